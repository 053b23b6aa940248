// Commitments of tensors: what is encoded, opened and refused.
#include "messages/digest_tree.hpp"
#include "tests/support/model/proof_cases.hpp"
#include "verify/proofs/integer_rows.hpp"
#include "verify/proofs/multilinear.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::proofs {
namespace {

using compute::tensor_type;
using ::testing::HasSubstr;

/// Calls parts backwards, as many as five at once would be.
class backward_runner final : public compute::parallel_runner {
public:
  [[nodiscard]] std::size_t width() const noexcept override { return 5; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    while (count-- > 0) {
      part(count);
    }
  }
};

/// The value at `z` of the polynomial of a committed row, term by term.
element plain_symbol(const std::vector<std::int64_t>& row, element z) {
  element sum = zero;
  element at = one;
  for (std::size_t m = 0; m < row.size() / 2; ++m, at = at * z) {
    sum = sum + element{base_of(row[2 * m]), base_of(row[2 * m + 1])} * at;
  }
  return sum;
}

TEST(proofs_commitment, a_root_is_that_of_all_columns_computed_one_by_one) {
  test::kernel_random random{1};
  std::printf("seed %llu\n", static_cast<unsigned long long>(random.seed()));
  compute::serial_runner serial;
  for (const auto& [type, rows, cols, fold] : {std::tuple{tensor_type::q8_0, 5U, 96U, 2U},
                                               {tensor_type::q4_k, 3U, 256U, 1U},
                                               {tensor_type::q6_k, 1U, 256U, 1U},
                                               {tensor_type::q4_1, 9U, 32U, 8U}}) {
    const auto w = make_quantized(random, type, rows, cols, test::filling::random, 0x2000);
    const auto made = commit_tensor(w.view, fold, "w", serial);
    ASSERT_TRUE(made) << made.error().message;
    const std::uint32_t length = code_length(made->tensor.span() / 2);
    std::vector<digest> leaves;
    std::vector<std::int64_t> row(made->tensor.span());
    std::uint64_t most = 0;
    for (std::uint32_t j = 0; j < length; ++j) {
      std::vector<element> column;
      for (std::uint32_t r = 0; r < made->tensor.folded_rows(); ++r) {
        folded_row(w.view, fold, r, row);
        column.push_back(plain_symbol(row, power(root_of_unity(length), j)));
      }
      leaves.push_back(column_digest(column));
    }
    EXPECT_EQ(made->tensor.root, tree_root(leaves));
    EXPECT_EQ(made->tree.path(length - 2), tree_proof(leaves, length - 2));
    for (std::uint32_t r = 0; r < rows; ++r) {
      row.resize(cols);
      folded_row(w.view, 1, r, row);
      std::uint64_t sum = 0;
      for (const std::int64_t x : row) {
        sum += static_cast<std::uint64_t>(std::abs(x));
      }
      most = std::max(most, sum);
    }
    EXPECT_EQ(made->tensor.row_sum_max, most);
    backward_runner backward;
    const auto again = commit_tensor(w.view, fold, "w", backward);
    EXPECT_EQ(again->tensor, made->tensor);
  }
}

TEST(proofs_commitment, opened_symbols_are_those_of_the_encoded_rows) {
  test::kernel_random random{2};
  backward_runner backward;
  for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_k}) {
    const auto w = make_quantized(random, type, 23, 1'280, test::filling::largest, 0x1400);
    const std::uint32_t fold = 4;
    std::vector<element> places;
    for (int i = 0; i < 5; ++i) {
      places.push_back(power(root_of_unity(code_length(fold * 640)), random.below(20'480)));
    }
    const auto columns = symbols_at(w.view, fold, places, backward);
    std::vector<std::int64_t> row(fold * 1'280);
    for (std::uint32_t r = 0; r < 6; ++r) {
      folded_row(w.view, fold, r, row);
      for (std::size_t i = 0; i < places.size(); ++i) {
        ASSERT_EQ(columns[i][r], plain_symbol(row, places[i])) << r << " " << i;
      }
    }
  }
}

TEST(proofs_commitment, weighed_rows_are_sums_of_rows) {
  test::kernel_random random{3};
  backward_runner backward;
  const auto w = make_quantized(random, tensor_type::q5_0, 11, 288, test::filling::largest, 0x3000);
  std::vector<element> weights;
  std::vector<element> expected(2 * 288, zero);
  std::vector<std::int64_t> row(2 * 288);
  for (std::uint32_t r = 0; r < 6; ++r) {
    weights.push_back({random.next() % prime, random.next() % prime});
    folded_row(w.view, 2, r, row);
    for (std::size_t i = 0; i < row.size(); ++i) {
      expected[i] = expected[i] + times_base(weights[r], base_of(row[i]));
    }
  }
  EXPECT_EQ(weigh_rows(w.view, 2, weights, backward), expected);
}

TEST(proofs_commitment, what_is_published_binds_every_field) {
  committed_tensor tensor{tensor_type::q8_0, 8, 64, 2, 1'000, {}};
  const digest published = commitment_digest(tensor);
  const auto differs = [&](auto&& change) {
    committed_tensor other = tensor;
    change(other);
    return commitment_digest(other) != published;
  };
  EXPECT_TRUE(differs([](committed_tensor& t) { t.type = tensor_type::q4_0; }));
  EXPECT_TRUE(differs([](committed_tensor& t) { t.rows = 7; }));
  EXPECT_TRUE(differs([](committed_tensor& t) { t.cols = 32, t.fold = 4; })); // the same span
  EXPECT_TRUE(differs([](committed_tensor& t) { t.row_sum_max += 1; }));
  EXPECT_TRUE(differs([](committed_tensor& t) { t.root.bytes[31] = 1; }));
}

TEST(proofs_commitment, folds_keep_rows_within_a_length) {
  EXPECT_EQ(fold_for(2'048, 2'048), 16U);
  EXPECT_EQ(fold_for(2'048, 5'632), 4U);
  EXPECT_EQ(fold_for(2, 256), 2U);
  EXPECT_EQ(fold_for(4'096, 65'536), 1U);
}

TEST(proofs_commitment, refuses_what_has_no_sums_in_the_field) {
  test::kernel_random random{4};
  compute::serial_runner serial;
  const auto floats = make_floats(random, tensor_type::f16, 4, 64);
  const auto none = commit_tensor(floats.view, 1, "norm", serial);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, errc::unsupported);
  EXPECT_THAT(none.error().message, HasSubstr("norm"));
  const auto huge =
      make_quantized(random, tensor_type::q8_0, 4, 512, test::filling::largest, 0x7BFF);
  const auto wide = commit_tensor(huge.view, 1, "wide", serial);
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.error().code, errc::over_limit);
  const auto small = make_quantized(random, tensor_type::q8_0, 4, 64, test::filling::zeros, 1);
  EXPECT_FALSE(commit_tensor(small.view, 3, "odd", serial));
  EXPECT_FALSE(commit_tensor(small.view, 8, "more than it has", serial));
}

} // namespace
} // namespace ovir::proofs
