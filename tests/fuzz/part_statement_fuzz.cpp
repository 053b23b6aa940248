#include "compute/parts/part_statement.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

// Decodes any bytes as a statement about parts, and looks at its signatures. What is accepted must
// encode to the very bytes that it came from.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span{data, size});
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
