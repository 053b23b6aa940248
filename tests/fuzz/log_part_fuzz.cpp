#include "ledger/group/log_part.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

// Reads any bytes as a part of a log between keepers. What is accepted must be written as the same
// bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes{reinterpret_cast<const std::byte*>(data), size};
  const auto what = ovir::ledger::log_part_from(bytes);
  if (!what) {
    if (what.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  const std::vector<std::byte> again = to_bytes(*what);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
    std::abort();
  }
  return 0;
}
