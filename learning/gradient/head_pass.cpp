#include "learning/gradient/head_pass.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "learning/gradient/workers.hpp"
#include "messages/check.hpp"
#include "messages/limits/learning.hpp"

#include <algorithm>
#include <atomic>

namespace ovir::learning {

using compute::grown;
using compute::model_config;

result<void> head_pass::some(std::span<const float> x, std::span<const counted_row> wanted,
                             double* losses, float* dx, compute::parallel_runner& runner) {
  const model_config& m = frozen_.config();
  const compute::model& w = *frozen_.weights;
  const auto* const norm = reinterpret_cast<const float*>(w.output_norm.data);
  const std::size_t rows = wanted.size();
  const compute::product_group head[] = {{&w.output, grown(logits_, rows * m.vocabulary)}};
  std::atomic<bool> ok{true};
  hidden_.reshape(static_cast<std::uint32_t>(rows), m.dim, compute::forms_of(head));
  over_tasks(rows, runner, [&](std::size_t, std::size_t i) {
    frozen_.kernels->rms_norm(x.data() + std::size_t{wanted[i].row} * m.dim, norm, m.dim,
                              m.norm_epsilon, hidden_.row(i));
    if (!hidden_.quantize(*frozen_.kernels, i)) {
      ok.store(false, std::memory_order_relaxed);
      std::fill_n(hidden_.row(i), m.dim, 0.0F);
      OVIR_CHECK(hidden_.quantize(*frozen_.kernels, i));
    }
  });
  compute::multiply(*frozen_.kernels, hidden_, head, runner);
  over_tasks(rows, runner, [&](std::size_t, std::size_t i) {
    float* const row = logits_.data() + i * m.vocabulary;
    if (!compute::all_finite({row, m.vocabulary})) {
      ok.store(false, std::memory_order_relaxed);
      std::fill_n(row, m.vocabulary, 0.0F);
    }
    const float logit = row[wanted[i].next];
    const softmax_sums sums = frozen_.learn->softmax(row, m.vocabulary, 1.0F);
    losses[i] = compute::exact_log(static_cast<double>(sums.total)) -
                (static_cast<double>(logit) - static_cast<double>(sums.most));
    row[wanted[i].next] -= 1.0F;
  });
  if (!ok.load()) {
    return fail(errc::nonfinite,
                "a NaN or an infinity arose in the logits; train with a lower rate");
  }
  if (dx == nullptr) {
    return {};
  }
  float* const d = grown(d_hidden_, rows * m.dim);
  std::fill_n(d, rows * m.dim, 0.0F);
  weights_.add_frozen({&w.output, logits_.data(), nullptr, nullptr, d}, rows, runner);
  over_tasks(rows, runner, [&](std::size_t, std::size_t i) {
    const std::size_t at = std::size_t{wanted[i].row} * m.dim;
    frozen_.learn->norm_back(x.data() + at, norm, d + i * m.dim, m.dim, m.norm_epsilon, dx + at);
  });
  return {};
}

// Rows are computed alone, so that how many are at once changes no bit.
result<std::vector<double>> head_pass::run(std::span<const float> x,
                                           std::span<const counted_row> wanted, float* dx,
                                           compute::parallel_runner& runner) {
  const std::size_t row_bytes = frozen_.config().vocabulary * sizeof(float);
  const std::size_t at_once = std::max<std::size_t>(16, limits::learn_logit_bytes / row_bytes);
  std::vector<double> losses(wanted.size());
  for (std::size_t first = 0; first < wanted.size(); first += at_once) {
    const std::size_t count = std::min(at_once, wanted.size() - first);
    OVIR_TRY(some(x, wanted.subspan(first, count), losses.data() + first, dx, runner));
  }
  return losses;
}

} // namespace ovir::learning
