#include "learning/gradient/weight_back.hpp"

#include "compute/forward/products.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "learning/gradient/workers.hpp"

#include <algorithm>

namespace ovir::learning {

using compute::grown;

namespace {

/// Columns of a panel: what a tile of the fastest kernels reads, row behind row, so that it stays
/// in the first-level cache.
constexpr std::uint32_t panel = 32;
/// Rows of a pass, or of a matrix, that a thread takes at a time.
constexpr std::size_t share_grain = 48;

constexpr std::uint32_t panels_in(std::uint32_t cols) { return (cols + panel - 1) / panel; }

} // namespace

void weight_back::decode(const compute::weight& w, std::uint32_t first, std::uint32_t count,
                         compute::parallel_runner& runner) {
  float* const to = grown(panels_, std::size_t{panels_in(w.cols)} * panel * chunk_terms);
  float* const rows = grown(decoded_, parts_of(count, runner) * w.cols);
  over_tasks(count, runner, [&](std::size_t part, std::size_t j) {
    float* const row = rows + part * w.cols;
    compute::embed_row(w, first + static_cast<std::uint32_t>(j), row);
    for (std::uint32_t at = 0; at < w.cols; at += panel) {
      std::copy_n(row + at, std::min(panel, w.cols - at),
                  to + std::size_t{at} * chunk_terms + j * panel);
    }
  });
}

void weight_back::add_frozen(const product_back& p, std::size_t rows,
                             compute::parallel_runner& runner) {
  const compute::weight& w = *p.matrix;
  for (std::uint32_t first = 0; first < w.rows; first += chunk_terms) {
    const std::uint32_t count = std::min(chunk_terms, w.rows - first);
    decode(w, first, count, runner);
    over_tasks(panels_in(w.cols), runner, [&](std::size_t, std::size_t i) {
      const auto at = static_cast<std::uint32_t>(i) * panel;
      kernels_.add_chunk({.a = p.dy + first,
                          .a_row = w.rows,
                          .b = panels_.data() + std::size_t{at} * chunk_terms,
                          .b_row = panel,
                          .out = p.dx + at,
                          .out_row = w.cols,
                          .rows = static_cast<std::uint32_t>(rows),
                          .terms = count,
                          .cols = std::min(panel, w.cols - at)});
    });
  }
}

// The gradient of A x, which dx takes through A, and A x itself, both times the scale.
void weight_back::back_to_low(const product_back& p, const lora_pair& pair, std::size_t rows,
                              compute::parallel_runner& runner) {
  const std::size_t out = p.matrix->rows;
  const std::size_t cols = p.matrix->cols;
  float* const d_low = grown(d_low_, rows * rank_);
  float* const low = grown(low_, rows * rank_);
  over_stretches(rows, share_grain, runner, [&](std::size_t first, std::size_t last) {
    const auto n = static_cast<std::uint32_t>(last - first);
    std::fill_n(d_low + first * rank_, n * rank_, 0.0F);
    for (std::size_t o = 0; o < out; o += chunk_terms) {
      kernels_.add_chunk(
          {.a = p.dy + first * out + o,
           .a_row = out,
           .b = pair.b.data() + o * rank_,
           .b_row = rank_,
           .out = d_low + first * rank_,
           .out_row = rank_,
           .rows = n,
           .terms = static_cast<std::uint32_t>(std::min<std::size_t>(chunk_terms, out - o)),
           .cols = rank_});
    }
    for (std::size_t i = first * rank_; i < last * rank_; ++i) {
      d_low[i] *= scale_;
      low[i] = p.low[i] * scale_;
    }
    if (p.dx != nullptr) {
      kernels_.add_chunk({.a = d_low + first * rank_,
                          .a_row = rank_,
                          .b = pair.a.data(),
                          .b_row = cols,
                          .out = p.dx + first * cols,
                          .out_row = cols,
                          .rows = n,
                          .terms = rank_,
                          .cols = static_cast<std::uint32_t>(cols)});
    }
  });
}

void weight_back::add_pair(const product_back& p, std::span<const sequence> sequences,
                           const lora_pair& pair, lora_pair& into, std::size_t rows,
                           compute::parallel_runner& runner) {
  const std::size_t out = p.matrix->rows;
  const std::size_t cols = p.matrix->cols;
  back_to_low(p, pair, rows, runner);
  const float* const d_low = d_low_.data();
  const float* const low = low_.data();
  const auto over_chunks = [&](const auto& f) {
    for (const sequence& s : sequences) {
      for (std::uint32_t t = 0; t < s.count; t += chunk_terms) {
        f(std::size_t{s.first} + t, std::min(chunk_terms, s.count - t));
      }
    }
  };
  over_stretches(cols, share_grain, runner, [&](std::size_t first, std::size_t last) {
    over_chunks([&](std::size_t row, std::uint32_t count) {
      kernels_.add_chunk({.a = d_low + row * rank_,
                          .a_row = 1,
                          .a_term = rank_,
                          .b = p.x + row * cols + first,
                          .b_row = cols,
                          .out = into.a.data() + first,
                          .out_row = cols,
                          .rows = rank_,
                          .terms = count,
                          .cols = static_cast<std::uint32_t>(last - first)});
    });
  });
  over_stretches(out, share_grain, runner, [&](std::size_t first, std::size_t last) {
    over_chunks([&](std::size_t row, std::uint32_t count) {
      kernels_.add_chunk({.a = p.dy + row * out + first,
                          .a_row = 1,
                          .a_term = out,
                          .b = low + row * rank_,
                          .b_row = rank_,
                          .out = into.b.data() + first * rank_,
                          .out_row = rank_,
                          .rows = static_cast<std::uint32_t>(last - first),
                          .terms = count,
                          .cols = rank_});
    });
  });
}

} // namespace ovir::learning
