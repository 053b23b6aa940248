#include "compute/forward/lora_products.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ovir::compute {

namespace {

/// Rows of a session that are multiplied together: as many as amortise reading a pair once.
constexpr std::uint32_t stretch_rows = 16;
/// Elements of an output that one task computes: its sums lie on its stack.
constexpr std::uint32_t task_outputs = 256;

/// Some rows of a session beside one matrix.
struct stretch {
  const lora_matrices* pair;
  float* output;       ///< of the first row
  std::uint32_t row;   ///< the first, of the pass
  std::uint32_t count; ///< up to `stretch_rows`
  std::size_t low;     ///< where A x is: [count][rank]
};

/// A stretch and the outputs [from, from + task_outputs) of its matrix.
struct output_task {
  const stretch* of;
  std::uint32_t from;
};

bool has_pair(const session_rows& s, layer_index layer, lora_place place) noexcept {
  return s.lora != nullptr && !s.failed && layer < s.lora->layers.size() &&
         !s.lora->layers[layer][place].empty();
}

void add_outputs(const kernel_set& kernels, const output_task& task, const float* low) {
  const stretch& s = *task.of;
  const weight& b = s.pair->b;
  const std::uint32_t to = std::min(task.from + task_outputs, b.rows);
  // Sums of row r of B stand at r of a row of this length.
  std::array<float, std::size_t{stretch_rows} * task_outputs> sums; // NOLINT: written before read
  weight part = b;
  part.data = b.row(task.from);
  part.rows = to - task.from;
  kernels.product_float(part, 0, part.rows, low + s.low, b.cols, s.count, sums.data(),
                        task_outputs);
  for (std::uint32_t t = 0; t < s.count; ++t) {
    float* const y = s.output + std::size_t{t} * b.rows + task.from;
    const float* const z = sums.data() + std::size_t{t} * task_outputs;
    for (std::uint32_t i = 0; i < part.rows; ++i) {
      y[i] = std::fma(s.pair->scale, z[i], y[i]);
    }
  }
}

} // namespace

bool adapts(std::span<const session_rows> sessions, layer_index layer,
            std::span<const adapted_product> products) noexcept {
  return std::any_of(sessions.begin(), sessions.end(), [&](const session_rows& s) {
    return std::any_of(products.begin(), products.end(),
                       [&](const adapted_product& p) { return has_pair(s, layer, p.place); });
  });
}

void add_pairs(const kernel_set& kernels, std::span<const session_rows> sessions, layer_index layer,
               const activations& input, std::span<const adapted_product> products,
               std::vector<float>& scratch, parallel_runner& runner) {
  std::vector<stretch> stretches;
  std::size_t low = 0;
  for (const session_rows& s : sessions) {
    for (const adapted_product& p : products) {
      if (!has_pair(s, layer, p.place)) {
        continue;
      }
      const lora_matrices& pair = s.lora->layers[layer][p.place];
      for (std::uint32_t at = 0; at < s.count; at += stretch_rows) {
        const std::uint32_t row = s.row + at;
        const std::uint32_t count = std::min(stretch_rows, s.count - at);
        stretches.push_back({&pair, p.output + std::size_t{row} * pair.b.rows, row, count, low});
        low += std::size_t{count} * pair.a.rows;
      }
    }
  }
  if (stretches.empty()) {
    return;
  }
  float* const lows = grown(scratch, low);
  for_tokens(stretches.size(), runner, [&](std::size_t i) {
    const stretch& s = stretches[i];
    const weight& a = s.pair->a;
    kernels.product_float(a, 0, a.rows, input.row(s.row), a.cols, s.count, lows + s.low, a.rows);
  });
  std::vector<output_task> tasks;
  for (const stretch& s : stretches) {
    for (std::uint32_t from = 0; from < s.pair->b.rows; from += task_outputs) {
      tasks.push_back({&s, from});
    }
  }
  for_tokens(tasks.size(), runner, [&](std::size_t i) { add_outputs(kernels, tasks[i], lows); });
}

} // namespace ovir::compute
