#include "compute/parts/head_statement.hpp"
#include "compute/parts/part_statement.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

namespace {

void read_head(std::span<const std::byte> bytes) {
  const auto s = ovir::compute::decode_head(bytes);
  if (s) {
    OVIR_CHECK(std::ranges::equal(ovir::compute::encode_head(*s), bytes));
    (void)ovir::compute::check_proofs(*s);
  }
}

} // namespace

// Decodes any bytes as a statement about parts, or about logits, and looks at its signatures. What
// is accepted must encode to the very bytes that it came from.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
  read_head(bytes);
  const auto s = ovir::compute::decode_statement(bytes);
  if (!s) {
    OVIR_CHECK(!s.error().message.empty());
    return 0;
  }
  OVIR_CHECK(std::ranges::equal(ovir::compute::encode_statement(*s), bytes));
  OVIR_CHECK(s->run.window() == (s->run.end() - 1) / 32);
  (void)ovir::compute::check_proofs(*s);
  return 0;
}
