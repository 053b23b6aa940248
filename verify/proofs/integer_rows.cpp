#include "verify/proofs/integer_rows.hpp"

#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "verify/proofs/reed_solomon.hpp"

#include <algorithm>
#include <array>

namespace ovir::proofs {

namespace {

using compute::weight;

constexpr std::size_t block_most = 256;

std::size_t folded_rows(const weight& w, std::uint32_t fold) { return (w.rows + fold - 1) / fold; }

/// Block `at` of a folded row: false behind the tensor's last row.
bool decode(const weight& w, std::uint32_t fold, std::size_t row, std::size_t at,
            std::int64_t* out) {
  const compute::tensor_layout layout = compute::layout_of(w.type);
  const std::size_t blocks = w.cols / layout.block_elements;
  const std::size_t of_tensor = row * fold + at / blocks;
  if (of_tensor >= w.rows) {
    return false;
  }
  compute::integer_weights(
      w.type, w.row(static_cast<std::uint32_t>(of_tensor)) + at % blocks * layout.block_bytes, out);
  return true;
}

std::size_t blocks_of(const weight& w, std::uint32_t fold) {
  return std::size_t{fold} * w.cols / compute::layout_of(w.type).block_elements;
}

/// Blocks of `weigh_rows` that begin with block `first`.
void weigh_blocks(const weight& w, std::uint32_t fold, std::span<const element> weights,
                  std::size_t first, std::span<element> out) {
  const std::size_t block = compute::layout_of(w.type).block_elements;
  std::array<weighed_sum, block_most> sums{};
  std::array<std::int64_t, block_most> integers{};
  for (std::size_t row = 0; row < folded_rows(w, fold); ++row) {
    for (std::size_t i = 0; i < out.size(); i += block) {
      if (!decode(w, fold, row, first + i / block, integers.data() + i)) {
        std::fill_n(integers.data() + i, block, 0);
      }
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      sums[i].add(weights[row], integers[i]);
    }
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = sums[i].value();
  }
}

/// A sum over symbols of w[2m] z^m + w[2m + 1] i z^m. Reduced when it is read: |w| sums to less
/// than 2^60 over a committed row, by the bound on the rows of a tensor.
struct symbol_sum {
  int128 re{0};
  int128 im{0};

  void add(const std::int64_t* weights, const element* z, std::size_t symbols) {
    for (std::size_t m = 0; m < symbols; ++m) {
      const auto zr = static_cast<std::int64_t>(z[m].re);
      const auto zi = static_cast<std::int64_t>(z[m].im);
      const std::int64_t a = weights[2 * m];
      const std::int64_t b = weights[2 * m + 1];
      re += int128{zr} * a - int128{zi} * b;
      im += int128{zi} * a + int128{zr} * b;
    }
  }
};

/// Some rows of `symbols_at`. The powers of all places at some blocks stay in the cache while the
/// rows pass by.
void symbols_of_rows(const weight& w, std::uint32_t fold, compute::slice rows,
                     const std::vector<std::vector<element>>& z,
                     std::vector<std::vector<element>>& out) {
  const std::size_t block = compute::layout_of(w.type).block_elements;
  const std::size_t together = std::max<std::size_t>(1, 1'024 / block);
  const std::size_t blocks = blocks_of(w, fold);
  std::vector<symbol_sum> sums((rows.last - rows.first) * z.size());
  std::vector<std::int64_t> weights(together * block);
  for (std::size_t first = 0; first < blocks; first += together) {
    const std::size_t last = std::min(blocks, first + together);
    for (std::size_t row = rows.first; row < rows.last; ++row) {
      std::fill(weights.begin(), weights.end(), 0);
      for (std::size_t at = first; at < last; ++at) {
        (void)decode(w, fold, row, at, weights.data() + (at - first) * block);
      }
      for (std::size_t place = 0; place < z.size(); ++place) {
        sums[(row - rows.first) * z.size() + place].add(
            weights.data(), z[place].data() + first * block / 2, (last - first) * block / 2);
      }
    }
  }
  for (std::size_t row = rows.first; row < rows.last; ++row) {
    for (std::size_t place = 0; place < z.size(); ++place) {
      const symbol_sum& sum = sums[(row - rows.first) * z.size() + place];
      out[place][row] = {reduce_signed(sum.re), reduce_signed(sum.im)};
    }
  }
}

} // namespace

void folded_row(const weight& w, std::uint32_t fold, std::uint32_t index,
                std::span<std::int64_t> out) {
  OVIR_CHECK(out.size() == std::size_t{fold} * w.cols, out.size());
  const std::size_t block = compute::layout_of(w.type).block_elements;
  for (std::size_t at = 0; at < blocks_of(w, fold); ++at) {
    if (!decode(w, fold, index, at, out.data() + at * block)) {
      std::fill_n(out.data() + at * block, block, 0);
    }
  }
}

std::vector<element> weigh_rows(const weight& w, std::uint32_t fold,
                                std::span<const element> weights,
                                compute::parallel_runner& runner) {
  OVIR_CHECK(weights.size() >= folded_rows(w, fold), weights.size());
  const std::size_t block = compute::layout_of(w.type).block_elements;
  const std::size_t together = block_most / block; // so that a row is read by whole cache lines
  std::vector<element> result(std::size_t{fold} * w.cols);
  const std::size_t parts = 4 * runner.width();
  runner.run(parts, [&](std::size_t part) {
    const compute::slice mine = compute::slice_of(blocks_of(w, fold), together, part, parts);
    for (std::size_t first = mine.first; first < mine.last; first += together) {
      const std::size_t count = std::min(together, mine.last - first) * block;
      weigh_blocks(w, fold, weights, first, {result.data() + first * block, count});
    }
  });
  return result;
}

std::vector<std::vector<element>> symbols_at(const weight& w, std::uint32_t fold,
                                             std::span<const element> places,
                                             compute::parallel_runner& runner) {
  std::vector<std::vector<element>> z(places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    z[i] = powers(places[i], std::size_t{fold} * w.cols / 2);
  }
  std::vector<std::vector<element>> out(places.size());
  for (auto& column : out) {
    column.resize(folded_rows(w, fold));
  }
  const std::size_t parts = runner.width();
  runner.run(parts, [&](std::size_t part) {
    symbols_of_rows(w, fold, compute::slice_of(folded_rows(w, fold), 1, part, parts), z, out);
  });
  return out;
}

} // namespace ovir::proofs
