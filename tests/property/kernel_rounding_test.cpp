// Sums of integers become binary32 in one conversion: on the way through binary64 this one would be
// rounded twice, to another number (docs/formats/exact-1.md, section 1).
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/kernels.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace ovir::compute {
namespace {

constexpr std::uint32_t blocks = 3;
constexpr std::uint32_t rounded_rows = 19;

/// Rows of Q8_0 of which each block of 32 has these scales (fp16) and its first weights, the rest
/// zero.
std::vector<std::byte> rows_of(const std::uint16_t (&scales)[blocks],
                               const std::int8_t (&weights)[blocks][2]) {
  constexpr std::size_t block_bytes = 34;
  std::vector<std::byte> bytes(rounded_rows * blocks * block_bytes);
  for (std::size_t b = 0; b < rounded_rows * blocks; ++b) {
    std::memcpy(&bytes[b * block_bytes], &scales[b % blocks], 2);
    std::memcpy(&bytes[b * block_bytes + 2], weights[b % blocks], 2);
  }
  return bytes;
}

TEST(kernel_rounding, of_a_sum_of_more_than_53_bits_happens_once) {
  // 2^30 * 2^11 * 2^13 + 2^30 + 1: just above the middle of two neighbours, which are 2^31 apart.
  const auto bytes = rows_of({0x5400, 0x5400, 0x0001}, {{64, 64}, {1, 0}, {1, 0}});
  weight w{
      .type = tensor_type::q8_0, .rows = rounded_rows, .cols = 32 * blocks, .data = bytes.data()};
  std::vector<std::byte> packed(packed_bytes(w));
  for (std::uint32_t panel = 0; panel * packed_rows < rounded_rows; ++panel) {
    pack_panel(w, panel, packed.data() + panel * packed_panel_bytes(w.type, w.cols));
  }
  for (const std::uint32_t tokens : {1U, 2U, 5U}) {
    quantized_batch x;
    x.reshape(activation_form::a32, tokens, w.cols);
    for (std::uint32_t t = 0; t < tokens; ++t) {
      x.u[t] = 1;
      for (std::uint32_t b = 0; b < blocks; ++b) {
        x.k[t * blocks + b] = b == 0 ? 2'048 : 1;
        x.m[t * blocks + b] = 1;
        const std::int8_t q = b == 0 ? 64 : 1;
        x.q[t * w.cols + b * 32] = q;
        x.q[t * w.cols + b * 32 + 1] = q;
        x.sum[t * blocks + b] = 2 * q;
      }
    }
    const std::vector<float> wanted(std::size_t{tokens} * rounded_rows,
                                    (0x1p54F + 0x1p31F) * 0x1p-24F);
    std::vector<const kernel_set*> sets = fast_kernels_here();
    sets.push_back(&kernels_reference());
    for (const kernel_set* set : sets) {
      for (const std::byte* form : std::vector<const std::byte*>{nullptr, packed.data()}) {
        w.packed = form;
        std::vector<float> y(wanted.size());
        set->product(w, 0, rounded_rows, x, y.data(), rounded_rows, nullptr);
        EXPECT_EQ(y, wanted) << set->name << ", " << tokens << " tokens";
      }
    }
  }
}

} // namespace
} // namespace ovir::compute
