#include "learning/gradient/pass_plan.hpp"

#include "learning/gradient/layer_tape.hpp"
#include "learning/kernels/kernels.hpp"
#include "messages/limits/learning.hpp"

#include <algorithm>

namespace ovir::learning {

namespace {

/// Memory of a pass beside tapes and kept streams: inputs of products with their quantised forms,
/// gradients, logits, rows of weights as floats, attention's scores.
std::uint64_t scratch_bytes(const compute::model_config& c, std::uint64_t rows,
                            std::uint64_t longest, std::uint64_t threads) {
  const std::uint64_t widest = std::max({c.ffn_dim, c.dim, c.q_dim()});
  const std::uint64_t of_row = 8 * c.dim + 4 * c.q_dim() + 8 * c.kv_dim() + 6 * c.ffn_dim;
  const std::uint64_t logits = limits::learn_logit_bytes + 16 * sizeof(float) * c.vocabulary;
  const std::uint64_t panels = (chunk_terms + threads) * widest;
  const std::uint64_t attention = threads * longest * (2 * chunk_terms + 4 * c.head_dim + c.heads);
  return logits + sizeof(float) * (rows * of_row + panels + attention);
}

} // namespace

result<pass_plan> plan_pass(const compute::model_config& config, std::uint32_t rank,
                            std::uint64_t rows, std::uint64_t longest, std::uint64_t threads,
                            std::uint64_t bytes_max) {
  const std::uint64_t tape = rows * layer_tape::row_bytes(config, rank);
  const std::uint64_t stream = rows * config.dim * sizeof(float);
  const std::uint64_t scratch = scratch_bytes(config, rows, longest, threads);
  const std::uint64_t layers = config.layers;
  // What a plan takes: streams kept, streams of a group computed again, one tape for these, tapes.
  const auto bytes_of = [&](std::uint64_t tapes, std::uint64_t stride) {
    const std::uint64_t below = layers - tapes;
    const std::uint64_t again = below == 0 ? 0 : tape + (stride - 1) * stream;
    return scratch + tapes * tape + (below + stride - 1) / stride * stream + again;
  };
  for (std::uint64_t tapes = layers + 1; tapes-- > 0;) {
    if (const std::uint64_t bytes = bytes_of(tapes, 1); bytes <= bytes_max) {
      return pass_plan{static_cast<std::uint32_t>(tapes), 1, bytes};
    }
  }
  std::uint64_t least = bytes_of(0, 1);
  for (std::uint64_t stride = 2; stride <= layers; ++stride) {
    const std::uint64_t bytes = bytes_of(0, stride);
    if (bytes <= bytes_max) {
      return pass_plan{0, static_cast<std::uint32_t>(stride), bytes};
    }
    least = std::min(least, bytes);
  }
  return fail(errc::over_limit,
              "a pass of {} positions takes {} MiB at least, and {} are allowed; allow more, or "
              "take shorter examples",
              rows, (least >> 20U) + 1, bytes_max >> 20U);
}

} // namespace ovir::learning
