// Any bytes as a kept answer: what is accepted must encode to the very bytes it came from, and
// comparing it with a request must not fail.
#include "actors/reuse/answer_record.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto record = actors::answer_from(bytes);
  if (!record) {
    OVIR_CHECK(!record.error().message.empty());
    return 0;
  }
  const auto again = to_bytes(*record);
  OVIR_CHECK(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
  const std::array<token_id, 3> prompt{1, 2, 3};
  static_cast<void>(agrees(*record, prompt, 1'000, 300));
  return 0;
}
