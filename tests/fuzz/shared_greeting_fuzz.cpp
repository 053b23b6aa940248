#include "actors/shared/greeting.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Decodes any bytes as what a process of the same user may say at the door to shared memory. What
// is accepted must encode to the very bytes it came from.

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::actors;
  const std::span<const std::byte> bytes = std::as_bytes(std::span{data, size});
  ovir::digest pass;
  if (const auto greeting = decode_greeting(bytes)) {
    pass = greeting->pass;
    if (!std::ranges::equal(encode_greeting(*greeting), bytes)) {
      std::abort();
    }
  }
  if (check_answer(bytes, pass) && !std::ranges::equal(encode_answer(pass), bytes)) {
    std::abort();
  }
  return 0;
}
