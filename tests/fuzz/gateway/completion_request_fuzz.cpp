#include "gateway/api/completion_request.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as the body of a request, of either kind. What is accepted is within its bounds;
// what is refused says why, as a client's fault.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  namespace limits = ovir::limits;
  for (const api_kind kind : {api_kind::completion, api_kind::chat, api_kind::embedding}) {
    const auto parsed = parse_completion(kind, {reinterpret_cast<const char*>(data), size});
    if (const auto* const refused = std::get_if<api_error>(&parsed)) {
      require(refused->status == 400 && !refused->message.empty() && !body_of(*refused).empty());
      continue;
    }
    const auto& r = std::get<completion_request>(parsed);
    require(!r.model.empty() || size > 0);
    require(r.n >= 1 && r.n <= limits::api_choices_max);
    require(r.asked.stop.size() <= limits::stop_strings_max);
    require(!r.max_tokens || (*r.max_tokens >= 1 && *r.max_tokens <= limits::context_max));
    require(r.prompts.size() * r.n <=
            (kind == api_kind::embedding ? limits::api_embeddings_max : limits::api_choices_max));
    require(r.prompts.empty() == (kind == api_kind::chat));
    require(r.messages.empty() == (kind != api_kind::chat));
    require(r.asked.embedding.has_value() == (kind == api_kind::embedding));
    require(r.deadline.count() > 0 && r.deadline <= limits::api_deadline_max);
    require(bool{ovir::check(r.asked.sampling)});
    require(r.stream || !r.include_usage);
    require(r.asked.logprobs.value_or(0) <= limits::logprobs_top_max);
  }
  return 0;
}
