#include "verify/capsule_replay.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

// Reads any bytes as a replay capsule. What is accepted has one encoding; where its receipt holds,
// its rows can be compared with what the receipt states, and whoever is blamed is nobody.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto read = ovir::decode_capsule(bytes);
  if (!read) {
    if (read.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const auto again = encode_capsule(*read);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  if (ovir::compute::check_receipt(read->what, {ovir::compute::signer_policy::kind::any, {}})
          .empty()) {
    for (const auto& found : ovir::compute::check_inputs(*read)) {
      if (found.signer || !found.unit) {
        std::abort();
      }
    }
  }
  return 0;
}
