#include "verify/proofs/commitment.hpp"

#include "messages/check.hpp"
#include "verify/proofs/integer_rows.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace ovir::proofs {

namespace {

using compute::parallel_runner;
using compute::slice;
using compute::slice_of;
using compute::weight;

constexpr std::uint32_t span_wanted = std::uint32_t{1} << 15U;
constexpr std::size_t columns_together = 8;
/// Larger sums are refused in any case.
constexpr std::uint64_t sum_told_max = std::uint64_t{1} << 62U;

std::uint64_t largest_row_sum(const weight& w, parallel_runner& runner) {
  std::vector<std::uint64_t> most(runner.width(), 0);
  runner.run(most.size(), [&](std::size_t part) {
    std::vector<std::int64_t> row(w.cols);
    const slice mine = slice_of(w.rows, 1, part, most.size());
    for (std::size_t r = mine.first; r < mine.last; ++r) {
      folded_row(w, 1, static_cast<std::uint32_t>(r), row);
      std::uint64_t sum = 0;
      for (const std::int64_t x : row) {
        sum = std::min(sum + static_cast<std::uint64_t>(std::abs(x)), sum_told_max);
      }
      most[part] = std::max(most[part], sum);
    }
  });
  return *std::max_element(most.begin(), most.end());
}

/// Words of all rows at one coset, [rows][places].
void encode_rows(const weight& w, std::uint32_t fold, const coset_transform& transform,
                 std::span<element> words, parallel_runner& runner) {
  const std::size_t size = transform.size();
  const std::size_t rows = words.size() / size;
  const std::size_t parts = std::min<std::size_t>(rows, 4 * runner.width());
  runner.run(parts, [&](std::size_t part) {
    std::vector<std::int64_t> weights(std::size_t{fold} * w.cols);
    const slice mine = slice_of(rows, 1, part, parts);
    for (std::size_t row = mine.first; row < mine.last; ++row) {
      folded_row(w, fold, static_cast<std::uint32_t>(row), weights);
      const std::span<element> word = words.subspan(row * size, size);
      std::fill(word.begin(), word.end(), zero);
      for (std::size_t m = 0; m < weights.size() / 2; ++m) {
        word[m] = {base_of(weights[2 * m]), base_of(weights[2 * m + 1])};
      }
      transform.apply(word);
    }
  });
}

/// Leaves of the columns of one coset. Some columns at a time, because neighbours share cache
/// lines.
void hash_columns(std::span<const element> words, const coset_transform& transform,
                  std::uint32_t coset, std::vector<digest>& leaves, parallel_runner& runner) {
  const std::size_t size = transform.size();
  const std::size_t rows = words.size() / size;
  const std::size_t together = std::min(columns_together, size);
  const std::size_t parts = std::min(size / together, 4 * runner.width());
  runner.run(parts, [&](std::size_t part) {
    std::vector<element> columns(together * rows);
    const slice mine = slice_of(size, together, part, parts);
    for (std::size_t first = mine.first; first < mine.last; first += together) {
      for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = 0; i < together; ++i) {
          columns[i * rows + row] = words[row * size + first + i];
        }
      }
      for (std::size_t i = 0; i < together; ++i) {
        const std::uint32_t at = transform.order(static_cast<std::uint32_t>(first + i));
        leaves[coset + std::size_t{code_blowup} * at] =
            column_digest(std::span{columns}.subspan(i * rows, rows));
      }
    }
  });
}

} // namespace

std::uint32_t fold_for(std::uint32_t rows, std::uint32_t cols) noexcept {
  const std::uint32_t most = std::bit_floor(std::max(1U, span_wanted / std::max(1U, cols)));
  return std::min(most, std::bit_ceil(std::max(1U, rows)));
}

result<tensor_commitment> commit_tensor(const weight& w, std::uint32_t fold, std::string_view name,
                                        parallel_runner& runner) {
  tensor_commitment made;
  made.tensor = {w.type, w.rows, w.cols, fold, 0, {}};
  if (const auto shape = check_tensor(made.tensor); !shape) {
    return in_context(name, shape.error());
  }
  made.tensor.row_sum_max = largest_row_sum(w, runner);
  if (const auto bound = check_tensor(made.tensor); !bound) {
    return in_context(name, bound.error());
  }
  const std::uint32_t symbols = made.tensor.span() / 2;
  std::vector<digest> leaves(code_length(symbols));
  std::vector<element> words(std::size_t{made.tensor.folded_rows()} * std::bit_ceil(symbols));
  for (std::uint32_t coset = 0; coset < code_blowup; ++coset) {
    const coset_transform transform{symbols, coset};
    encode_rows(w, fold, transform, words, runner);
    hash_columns(words, transform, coset, leaves, runner);
  }
  made.tree = column_tree{std::move(leaves)};
  made.tensor.root = made.tree.root();
  return made;
}

} // namespace ovir::proofs
