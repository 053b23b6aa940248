#include "messages/evidence/fast_record.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a record of the profile fast. What is accepted has one encoding, and its
// signature can be looked at.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto read = ovir::decode_fast_record(bytes);
  if (!read) {
    if (read.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_fast_record(*read);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  (void)is_signed(*read);
  return 0;
}
