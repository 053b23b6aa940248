// Any bytes as a model's manifest: what is accepted must encode to the very bytes it came from.
#include "compute/gguf/manifest.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto manifest = ovir::compute::manifest_from(bytes);
  if (!manifest) {
    OVIR_CHECK(!manifest.error().message.empty());
    return 0;
  }
  const std::string again = to_bytes(*manifest);
  OVIR_CHECK(again.size() == size);
  OVIR_CHECK(std::equal(again.begin(), again.end(), reinterpret_cast<const char*>(data)));
  OVIR_CHECK(name_of(*manifest) == ovir::hash_plain(bytes));
  return 0;
}
