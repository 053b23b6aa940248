#include "messages/evidence/attestation.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as an attestation, as the text of one, as a file of them, and as a tier. What is
// accepted must encode to what it came from.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto bytes = std::as_bytes(std::span{data, size});
  if (const auto one = ovir::attestation_from_bytes(bytes)) {
    const auto again = to_bytes(*one);
    require(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
    require(ovir::attestation_from_text(to_text(*one)).value() == *one);
    static_cast<void>(is_genuine(*one));
  } else {
    require(!one.error().message.empty());
  }
  if (const auto one = ovir::attestation_from_text(text)) {
    require(to_text(*one) == text);
    require(ovir::attestation_from_bytes(to_bytes(*one)).value() == *one);
  }
  const auto lines = ovir::attestations_from_lines(text, ovir::limits::attestations_per_node_max);
  require(!lines || lines->size() <= ovir::limits::attestations_per_node_max);
  if (const auto tier = ovir::tier_from_text(text)) {
    require(ovir::tier_from_text(to_text(*tier)).value() == *tier);
  }
  return 0;
}
