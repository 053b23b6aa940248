// Products before they are rounded: the same integers on every instruction set, and the same
// product however columns are cut.
#include "compute/kernels/partial_sums.hpp"
#include "compute/parts/crossing.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

using test::kernel_random;

std::vector<const kernel_set*> sets_here() {
  std::vector<const kernel_set*> all{&kernels_reference()};
  const std::vector<const kernel_set*> fast = fast_kernels_here();
  all.insert(all.end(), fast.begin(), fast.end());
  return all;
}

std::vector<std::int64_t> sums_of(const kernel_set& kernels, const weight& w,
                                  const quantized_batch& x) {
  std::vector<std::int64_t> sums(std::size_t{x.tokens} * w.rows, -1);
  // In two calls, of which the second does not begin at a panel.
  const std::uint32_t middle = w.rows > 17 ? 17 : w.rows / 2;
  product_sums(kernels, w, 0, middle, x, sums.data(), w.rows);
  product_sums(kernels, w, middle, w.rows, x, sums.data(), w.rows);
  return sums;
}

/// Columns [first, last) of rows that stand behind each other.
struct cut_weight {
  std::vector<std::byte> bytes;
  weight view;
};
cut_weight columns_of(const weight& w, std::uint32_t first, std::uint32_t last) {
  cut_weight part{{}, w};
  const tensor_layout layout = layout_of(w.type);
  part.view.cols = last - first;
  for (std::uint32_t r = 0; r < w.rows; ++r) {
    const std::byte* from = w.row(r) + first / layout.block_elements * layout.block_bytes;
    part.bytes.insert(part.bytes.end(), from, from + part.view.row_bytes());
  }
  part.view.data = part.bytes.data();
  return part;
}

quantized_batch columns_of(const quantized_batch& x, std::uint32_t first, std::uint32_t last) {
  quantized_batch part;
  part.reshape(x.form, x.tokens, last - first);
  for (std::size_t t = 0; t < x.tokens; ++t) {
    const std::uint32_t scale = x.scale_block();
    std::copy_n(x.q_row(t) + first, part.cols, &part.q[t * part.cols]);
    std::copy_n(x.k_row(t) + first / scale, part.cols / scale, &part.k[t * (part.cols / scale)]);
    std::copy_n(x.m_row(t) + first / 32, part.cols / 32, &part.m[t * (part.cols / 32)]);
    std::copy_n(x.sum_row(t) + first / 32, part.cols / 32, &part.sum[t * (part.cols / 32)]);
    part.u[t] = x.u[t];
  }
  return part;
}

TEST(partial_sums, are_those_of_the_reference_on_every_instruction_set_packed_or_not) {
  kernel_random random{451};
  RecordProperty("seed", std::to_string(random.seed()));
  for (const tensor_row& type : tensor_rows) {
    if (type.decode == nullptr) {
      continue;
    }
    for (const test::filling how : {test::filling::random, test::filling::largest}) {
      auto w = test::make_quantized(random, type.type, 37, 768, how, 0x1800);
      const auto panels = test::packed(w.view);
      for (const std::uint32_t tokens : {1U, 2U, 9U}) {
        const auto x = test::make_batch(random, form_for(type.type), tokens, 768, how);
        w.view.packed = nullptr;
        const auto wanted = sums_of(kernels_reference(), w.view, x);
        for (const kernel_set* set : sets_here()) {
          for (const std::byte* packed : {static_cast<const std::byte*>(nullptr), panels.data()}) {
            w.view.packed = packed;
            ASSERT_EQ(sums_of(*set, w.view, x), wanted)
                << name_of(type.type) << " on " << set->name << ", " << tokens << " tokens, "
                << (packed == nullptr ? "as in the file" : "packed");
          }
        }
      }
    }
  }
}

TEST(partial_sums, of_columns_add_to_what_the_whole_product_rounds) {
  kernel_random random{452};
  RecordProperty("seed", std::to_string(random.seed()));
  constexpr std::uint32_t cols = 1280;
  constexpr std::uint32_t bounds[] = {0, 256, 1024, cols};
  for (const tensor_row& type : tensor_rows) {
    if (type.decode == nullptr) {
      continue;
    }
    const auto w = test::make_quantized(random, type.type, 20, cols, test::filling::random, 0x1800);
    const auto x = test::make_batch(random, form_for(type.type), 3, cols, test::filling::random);
    std::vector<float> whole(3 * 20);
    kernels_reference().product(w.view, 0, 20, x, whole.data(), 20, nullptr);
    for (const kernel_set* set : sets_here()) {
      std::vector<int128> totals(whole.size());
      for (std::size_t i = 0; i + 1 < std::size(bounds); ++i) {
        const auto part = columns_of(w.view, bounds[i], bounds[i + 1]);
        const auto sums = sums_of(*set, part.view, columns_of(x, bounds[i], bounds[i + 1]));
        ASSERT_TRUE(add_sums(encode_sums(sums), totals));
      }
      std::vector<float> joined(whole.size());
      for (std::size_t i = 0; i < whole.size(); ++i) {
        joined[i] = rounded_total(totals[i]) * (x.u[i / 20] * unit_of_products(type.type));
      }
      test::expect_same(joined, whole,
                        std::string{name_of(type.type)} + " on " + std::string{set->name});
    }
  }
}

TEST(partial_sums, beyond_64_bits_together_are_rounded_once) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  std::vector<int128> totals(2);
  for (const std::int64_t sum : {most, most, most, std::int64_t{1} << 39U}) {
    ASSERT_TRUE(add_sums(encode_sums(std::vector<std::int64_t>{sum, -sum}), totals));
  }
  EXPECT_EQ(totals[0], int128{most} * 3 + (int128{1} << 39U));
  EXPECT_EQ(rounded_total(totals[0]), round_to_float_wide(totals[0]));
  EXPECT_EQ(rounded_total(totals[1]), -rounded_total(totals[0]));
  EXPECT_EQ(rounded_total(totals[0]), 0x1.8p64F);
  // 2^54 + 2^30 + 1 rounds up, and by way of binary64 would not.
  EXPECT_EQ(rounded_total((int128{1} << 54U) + (int128{1} << 30U) + 1), 0x1.000002p54F);
}

} // namespace
} // namespace ovir::compute
