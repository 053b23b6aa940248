#include "gateway/doors/responses_request.hpp"
#include "messages/limits/gateway.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a body of /v1/responses, with one response that it may go on with. What is
// accepted is one chat within its bounds, and can be gone on with; what is refused says why.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  namespace limits = ovir::limits;
  answer_shelf::owned kept;
  kept[ovir::request_id{1}] = std::make_shared<const kept_answer>(
      kept_answer{"{}", R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])"});
  const auto read =
      read_responses({reinterpret_cast<const char*>(data), size}, limits::api_deadline_max, kept);
  if (const auto* const refused = std::get_if<api_error>(&read)) {
    require(refused->status == 400 && !refused->message.empty() && !body_of(*refused).empty());
    return 0;
  }
  const auto& r = std::get<responses_request>(read);
  require(r.asked.kind == api_kind::chat && r.asked.n == 1 && !r.asked.messages.empty());
  require(bool{ovir::check(r.asked.asked.sampling)} && r.echo.is_object());
  require(r.conversation.is_array() && !r.conversation.empty());
  kept[ovir::request_id{2}] =
      std::make_shared<const kept_answer>(kept_answer{"{}", dumped(r.conversation)});
  const auto next = read_responses(R"({"model": "m", "input": "x",
                                       "previous_response_id": "resp_0000000000000002"})",
                                   limits::api_deadline_max, kept);
  require(std::holds_alternative<responses_request>(next) ||
          std::get<api_error>(next).param == "input"); // one message too many
  return 0;
}
