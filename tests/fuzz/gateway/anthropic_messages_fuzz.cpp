#include "gateway/doors/anthropic_request.hpp"
#include "messages/limits/gateway.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a body of /v1/messages. What is accepted is one chat within its bounds, whose
// results of tools answer calls of its own; what is refused says why, as a client's fault.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  namespace limits = ovir::limits;
  for (const bool count : {false, true}) {
    const auto read = read_anthropic_messages({reinterpret_cast<const char*>(data), size}, count,
                                              limits::api_deadline_max);
    if (const auto* const refused = std::get_if<api_error>(&read)) {
      require(refused->status == 400 && !refused->message.empty() && !body_of(*refused).empty());
      continue;
    }
    const auto& r = std::get<completion_request>(read);
    require(r.kind == api_kind::chat && r.n == 1 && !r.messages.empty());
    require(count || r.max_tokens.has_value());
    require(r.messages.back().role != "assistant");
    require(r.asked.sampling.temperature <= 1 && bool{ovir::check(r.asked.sampling)});
    require(r.deadline.count() > 0 && r.deadline <= limits::api_deadline_max);
    for (const chat_message& message : r.messages) {
      require(message.role == "tool" || message.answers.empty());
    }
  }
  return 0;
}
