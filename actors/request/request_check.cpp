#include "actors/request/request_check.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

namespace ovir::actors {

result<void> check(const compute::model_config& config, const generation_request& request) {
  if (request.prompt.empty()) {
    return fail(errc::invalid_argument, "the prompt has no tokens; give at least one");
  }
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
  if (request.stop.size() > limits::stop_strings_max) {
    return fail(errc::over_limit, "{} stop strings; at most {} are allowed", request.stop.size(),
                limits::stop_strings_max);
  }
  for (const std::string& stop : request.stop) {
    if (stop.empty() || stop.size() > limits::stop_string_bytes_max) {
      return fail(errc::invalid_argument, "a stop string has 1 to {} bytes, not {}",
                  limits::stop_string_bytes_max, stop.size());
    }
  }
  if (request.logprobs.value_or(0) > limits::logprobs_top_max) {
    return fail(errc::over_limit, "{} likeliest tokens with each; at most {} are told",
                *request.logprobs, limits::logprobs_top_max);
  }
  if (request.embedding && request.max_tokens > 0) {
    return fail(errc::invalid_argument, "a request for an embedding draws no tokens");
  }
  return compute::check(request.sampling);
}

} // namespace ovir::actors
