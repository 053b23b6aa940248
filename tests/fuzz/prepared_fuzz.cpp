#include "messages/evidence/prepared.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a prepared model. What is accepted has one encoding.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto read = ovir::decode_prepared(bytes);
  if (!read) {
    if (read.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_prepared(*read);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  return 0;
}
