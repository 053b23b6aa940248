#include "actors/request/request_check.hpp"

namespace ovir::actors {

result<void> check(const compute::model_config& config, const generation_request& request) {
  OVIR_TRY(check(static_cast<const request_terms&>(request)));
  if (request.prompt.size() > config.context) {
    return fail(errc::over_limit,
                "the prompt has {} tokens and the model sees {}; shorten the prompt",
                request.prompt.size(), config.context);
  }
  for (const token_id id : request.prompt) {
    if (id >= config.vocabulary) {
      return fail(errc::invalid_argument, "token {} of the prompt is outside the vocabulary of {}",
                  id, config.vocabulary);
    }
  }
  if (const auto& biases = request.sampling.logit_bias;
      !biases.empty() && biases.back().token >= config.vocabulary) { // they ascend
    return fail(errc::invalid_argument, "logit_bias has token {}, outside the vocabulary of {}",
                biases.back().token, config.vocabulary);
  }
  return {};
}

} // namespace ovir::actors
