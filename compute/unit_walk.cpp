#include "compute/unit_walk.hpp"

#include "compute/block_operations.hpp"
#include "compute/field_sums.hpp"
#include "compute/kv_cache.hpp"
#include "compute/kv_digest.hpp"
#include "compute/segment.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ovir::compute {

namespace {

using floats = std::vector<float>;

class walk {
public:
  walk(const model_config& config, const unit_floats& given, const unit_task& task,
       const kernel_set& kernels, integer_products& products, parallel_runner& runner)
      : config_(config), given_(given), task_(task), kernels_(kernels), products_(products),
        runner_(runner), first_(task.unit.window * limits::window_positions),
        count_(task.positions - first_) {}

  result<unit_result> run();

private:
  [[nodiscard]] bool is_last() const { return task_.unit.layer + 1 == config_.layers; }
  [[nodiscard]] error nonfinite(const char* where) const {
    return fail(errc::nonfinite, "a value that is not finite arose {} of layer {} in window {}",
                where, task_.unit.layer, task_.unit.window);
  }
  [[nodiscard]] result<void> quantize(const floats& rows, std::uint32_t cols, std::size_t skip,
                                      activation_form form);
  result<floats> product(unit_matrix which, const floats& rows, std::uint32_t cols,
                         std::size_t skip = 0);
  result<void> keys_and_values(const floats& normal, kv_cache& kv, const rope_table& rope);
  [[nodiscard]] floats attend(const floats& q, kv_cache& kv);
  result<void> add(floats& x, const floats& what, const char* where);
  result<floats> feed_forward(const floats& x);
  result<floats> logits(const floats& x);
  [[nodiscard]] floats normalize(std::span<const float> rows, std::span<const float> norm);

  const model_config& config_;
  const unit_floats& given_;
  const unit_task& task_;
  const kernel_set& kernels_;
  integer_products& products_;
  parallel_runner& runner_;
  position first_;      ///< of the window
  std::uint32_t count_; ///< positions in it
  quantized_batch x_;   ///< input of the current product
};

floats walk::normalize(std::span<const float> rows, std::span<const float> norm) {
  const std::uint32_t dim = config_.dim;
  floats out(rows.size());
  runner_.run(rows.size() / dim, [&](std::size_t t) {
    kernels_.rms_norm(rows.data() + t * dim, norm.data(), dim, config_.norm_epsilon,
                      out.data() + t * dim);
  });
  return out;
}

/// Rows of `rows` but the first `skip`.
result<void> walk::quantize(const floats& rows, std::uint32_t cols, std::size_t skip,
                            activation_form form) {
  const auto tokens = static_cast<std::uint32_t>(rows.size() / cols - skip);
  x_.reshape(form, tokens, cols);
  std::vector<std::uint8_t> ok(tokens);
  runner_.run(tokens, [&](std::size_t t) {
    ok[t] = kernels_.quantize(rows.data() + (skip + t) * cols, x_, static_cast<std::uint32_t>(t))
                ? 1
                : 0;
  });
  return std::find(ok.begin(), ok.end(), std::uint8_t{0}) == ok.end()
             ? result<void>{}
             : nonfinite("in the input of a product");
}

/// The integers of somebody else, rounded once.
result<floats> walk::product(unit_matrix which, const floats& rows, std::uint32_t cols,
                             std::size_t skip) {
  // V has the input of K, and up that of gate.
  const bool follows = which == unit_matrix::v || which == unit_matrix::up;
  if (!follows || x_.form != products_.form_of(which)) {
    OVIR_TRY(quantize(rows, cols, skip, products_.form_of(which)));
  }
  OVIR_ASSIGN(const std::span<const std::int64_t> sums, products_.of(which, x_));
  const std::size_t width = sums.size() / x_.tokens;
  floats y(sums.size());
  runner_.run(x_.tokens, [&](std::size_t t) {
    field_sums_here().round(sums.data() + t * width, width, x_.u[t] * 0x1p-24F,
                            y.data() + t * width);
  });
  return y;
}

result<void> walk::keys_and_values(const floats& normal, kv_cache& kv, const rope_table& rope) {
  OVIR_ASSIGN(floats k, product(unit_matrix::k, normal, config_.dim));
  OVIR_ASSIGN(const floats v, product(unit_matrix::v, normal, config_.dim));
  bool ok = true;
  for (position p = 0; p < task_.positions; ++p) {
    for (std::uint32_t h = 0; h < config_.kv_heads; ++h) {
      const std::size_t at = std::size_t{p} * config_.kv_dim() + std::size_t{h} * config_.head_dim;
      const std::size_t to = std::size_t{p} * config_.head_dim;
      kernels_.rotate(k.data() + at, rope.row(p), config_.rope_dim / 2);
      ok = kernels_.to_half(k.data() + at, config_.head_dim, kv.keys(task_.unit.layer, h) + to) &&
           kernels_.to_half(v.data() + at, config_.head_dim, kv.values(task_.unit.layer, h) + to) &&
           ok;
    }
  }
  return ok ? result<void>{} : nonfinite("in a key or value");
}

floats walk::attend(const floats& q, kv_cache& kv) {
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim)));
  const std::uint32_t together = config_.heads / config_.kv_heads;
  floats out(std::size_t{count_} * config_.q_dim());
  const std::size_t tasks = std::size_t{count_} * config_.kv_heads;
  const std::size_t parts = std::min(runner_.width(), tasks);
  runner_.run(parts, [&](std::size_t part) {
    floats scores(std::size_t{task_.positions} * together);
    for (std::size_t i = part; i < tasks; i += parts) {
      const std::size_t t = i % count_;
      const auto head = static_cast<std::uint32_t>(i / count_);
      const std::size_t at = t * config_.q_dim() + std::size_t{head} * together * config_.head_dim;
      kernels_.attend({.query = q.data() + at,
                       .keys = kv.keys(task_.unit.layer, head),
                       .values = kv.values(task_.unit.layer, head),
                       .stride = config_.head_dim,
                       .positions = first_ + static_cast<std::uint32_t>(t) + 1,
                       .head_dim = config_.head_dim,
                       .heads = together,
                       .scale = scale,
                       .scores = scores.data(),
                       .output = out.data() + at});
    }
  });
  return out;
}

result<void> walk::add(floats& x, const floats& what, const char* where) {
  return kernels_.add(x.data(), what.data(), static_cast<std::uint32_t>(x.size()))
             ? result<void>{}
             : nonfinite(where);
}

result<floats> walk::feed_forward(const floats& x) {
  const floats normal = normalize(x, given_.feed_forward_norm);
  OVIR_ASSIGN(floats gate, product(unit_matrix::gate, normal, config_.dim));
  OVIR_ASSIGN(const floats up, product(unit_matrix::up, normal, config_.dim));
  runner_.run(count_, [&](std::size_t t) {
    float* const row = gate.data() + t * config_.ffn_dim;
    kernels_.swiglu(row, up.data() + t * config_.ffn_dim, config_.ffn_dim, row);
  });
  return product(unit_matrix::down, gate, config_.ffn_dim);
}

result<floats> walk::logits(const floats& x) {
  const std::size_t skip = task_.draws_first - first_;
  const std::span<const float> rows =
      std::span{x}.subspan(skip * config_.dim, std::size_t{task_.draws} * config_.dim);
  OVIR_ASSIGN(floats all,
              product(unit_matrix::head, normalize(rows, given_.output_norm), config_.dim));
  return all_finite(all) ? result<floats>{std::move(all)} : nonfinite("in the logits");
}

result<unit_result> walk::run() {
  const layer_index layer = task_.unit.layer;
  OVIR_ASSIGN(kv_cache kv, kv_cache::make(config_, {layer, layer + 1}, task_.positions,
                                          std::numeric_limits<std::size_t>::max()));
  rope_table rope{config_, given_.rope_factors};
  rope.grow(task_.positions);
  const floats normal = normalize(task_.rows, given_.attention_norm);
  OVIR_TRY(keys_and_values(normal, kv, rope));
  kv.set_length(task_.positions);
  unit_result out;
  if (is_last()) {
    out.output = kv_digest(kv, config_, layer, task_.unit.window, count_);
    if (task_.draws == 0) {
      return out; // nothing else of it is stated
    }
  }
  OVIR_ASSIGN(floats q, product(unit_matrix::q, normal, config_.dim, first_));
  runner_.run(count_, [&](std::size_t t) {
    for (std::uint32_t h = 0; h < config_.heads; ++h) {
      kernels_.rotate(q.data() + t * config_.q_dim() + std::size_t{h} * config_.head_dim,
                      rope.row(first_ + static_cast<position>(t)), config_.rope_dim / 2);
    }
  });
  OVIR_ASSIGN(const floats heads, product(unit_matrix::output, attend(q, kv), config_.q_dim()));
  const auto window = task_.rows.last(std::size_t{count_} * config_.dim);
  floats x{window.begin(), window.end()};
  OVIR_TRY(add(x, heads, "after the attention"));
  OVIR_ASSIGN(const floats inner, feed_forward(x));
  OVIR_TRY(add(x, inner, "at the end"));
  if (is_last()) {
    OVIR_ASSIGN(out.logits, logits(x));
    return out;
  }
  unit_digests digests{{layer, layer + 1}};
  digests.skip_to(task_.unit.window);
  std::vector<unit_leaf> leaves;
  digests.add(layer, first_, count_, x, config_.dim, leaves);
  out.output = (leaves.empty() ? digests.open_leaves() : leaves).front().boundary;
  return out;
}

} // namespace

result<unit_result> walk_unit(const model_config& config, const unit_floats& floats,
                              const unit_task& task, const kernel_set& kernels,
                              integer_products& products, parallel_runner& runner) {
  OVIR_CHECK(task.rows.size() == std::size_t{task.positions} * config.dim, task.rows.size(),
             task.positions);
  OVIR_CHECK(task.positions > task.unit.window * limits::window_positions, task.positions);
  return walk{config, floats, task, kernels, products, runner}.run();
}

} // namespace ovir::compute
