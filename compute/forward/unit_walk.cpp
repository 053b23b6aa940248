#include "compute/forward/unit_walk.hpp"

#include "compute/forward/kv_cache.hpp"
#include "compute/forward/kv_digest.hpp"
#include "compute/kernels/reference/block_operations.hpp"
#include "compute/kernels/two_terms.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

namespace ovir::compute {

namespace {

using floats = std::vector<float>;

class walk {
public:
  walk(const model_config& config, const unit_floats& given, const unit_task& task,
       const kernel_set& kernels, integer_products& products, parallel_runner& runner,
       unit_scratch& scratch)
      : config_(config), given_(given), task_(task), kernels_(kernels), products_(products),
        runner_(runner), scratch_(scratch), x_(scratch.inputs),
        first_(task.unit.window * limits::window_positions), count_(task.positions - first_) {
    for (position p = 0; p < first_ && task.spots == nullptr; ++p) {
      places_.push_back(p);
    }
    if (task.spots != nullptr) {
      places_ = task.spots->earlier;
    }
    for (position p = first_; p < task.positions; ++p) {
      places_.push_back(p);
    }
  }

  result<unit_result> run();

private:
  [[nodiscard]] bool is_last() const { return task_.unit.layer + 1 == config_.layers; }
  [[nodiscard]] error nonfinite(const char* where) const {
    return fail(errc::nonfinite, "a value that is not finite arose {} of layer {} in window {}",
                where, task_.unit.layer, task_.unit.window);
  }
  [[nodiscard]] std::uint32_t width_of(unit_matrix which) const;
  [[nodiscard]] result<void> quantize(const floats& rows, std::uint32_t cols, std::size_t skip,
                                      activation_form form, input_terms terms);
  result<floats> product(unit_matrix which, const floats& rows, std::uint32_t cols,
                         std::size_t skip = 0, std::span<const position> places = {});
  [[nodiscard]] result<floats> normal_inputs();
  void take_revealed();
  [[nodiscard]] const std::uint16_t* kept(bool keys, std::uint32_t head) const;
  [[nodiscard]] unit_between all_keys_and_values() const;
  result<void> keys_and_values(const floats& normal);
  void attend_at(const floats& q, std::uint32_t place, floats& scores, float* out) const;
  [[nodiscard]] result<floats> attend(const floats& q) const;
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
  unit_scratch& scratch_;
  quantized_batch& x_; ///< input of the current product, in `terms_`
  input_terms terms_{input_terms::one};
  std::optional<kv_cache> kv_; ///< where it is not taken as revealed, and in the last layer
  position first_;             ///< of the window
  std::uint32_t count_;        ///< positions in it
  /// Whose K and V are computed, ascending: some or all before the window, and all of the window.
  std::vector<position> places_;
};

floats walk::normalize(std::span<const float> rows, std::span<const float> norm) {
  const std::uint32_t dim = config_.dim;
  floats out = scratch_.take(rows.size());
  runner_.run(rows.size() / dim, [&](std::size_t t) {
    kernels_.rms_norm(rows.data() + t * dim, norm.data(), dim, config_.norm_epsilon,
                      out.data() + t * dim);
  });
  return out;
}

/// Rows of `rows` but the first `skip`.
result<void> walk::quantize(const floats& rows, std::uint32_t cols, std::size_t skip,
                            activation_form form, input_terms terms) {
  const auto tokens = static_cast<std::uint32_t>(rows.size() / cols - skip);
  const bool two = terms == input_terms::two;
  x_.reshape(form, (two ? 2 : 1) * tokens, cols);
  terms_ = terms;
  floats rest = scratch_.take(two ? std::size_t{tokens} * cols : 0);
  std::vector<std::uint8_t> ok(tokens);
  runner_.run(tokens, [&](std::size_t t) {
    const float* const row = rows.data() + (skip + t) * cols;
    const auto token = static_cast<std::uint32_t>(t);
    const bool done = two ? quantize_in_two(kernels_, row, rest.data() + t * cols, x_, token)
                          : kernels_.quantize(row, x_, token);
    ok[t] = done ? 1 : 0;
  });
  scratch_.give(std::move(rest));
  return std::find(ok.begin(), ok.end(), std::uint8_t{0}) == ok.end()
             ? result<void>{}
             : nonfinite("in the input of a product");
}

std::uint32_t walk::width_of(unit_matrix which) const {
  switch (which) {
  case unit_matrix::q: return config_.q_dim();
  case unit_matrix::k:
  case unit_matrix::v: return config_.kv_dim();
  case unit_matrix::gate:
  case unit_matrix::up: return config_.ffn_dim;
  case unit_matrix::head: return config_.vocabulary;
  case unit_matrix::output:
  case unit_matrix::down: break;
  }
  return config_.dim;
}

result<floats> walk::product(unit_matrix which, const floats& rows, std::uint32_t cols,
                             std::size_t skip, std::span<const position> places) {
  // V has the input of K, up that of gate.
  const bool follows = which == unit_matrix::v || which == unit_matrix::up;
  const activation_form form = products_.form_of(which);
  const input_terms terms = terms_of(which, form);
  if (!follows || x_.form != form || terms_ != terms) {
    OVIR_TRY(quantize(rows, cols, skip, form, terms));
  }
  const std::size_t width = width_of(which);
  floats y = scratch_.take(x_.tokens * width);
  OVIR_TRY(products_.of(which, x_, places, y));
  if (terms == input_terms::two) {
    const std::size_t tokens = x_.tokens / 2;
    add_second_terms(y.data(), tokens, width, 0, width);
    y.resize(tokens * width);
  }
  return y;
}

/// Of the places computed, [places][dim].
result<floats> walk::normal_inputs() {
  const std::uint32_t dim = config_.dim;
  floats out = scratch_.take(places_.size() * dim);
  std::vector<std::uint8_t> ok(places_.size());
  runner_.run(places_.size(), [&](std::size_t i) {
    const float* const row = task_.rows.data() + std::size_t{places_[i]} * dim;
    std::uint32_t finite = 0;
    for (std::uint32_t c = 0; c < dim; ++c) {
      finite += std::abs(row[c]) <= std::numeric_limits<float>::max() ? 1U : 0U;
    }
    ok[i] = finite == dim ? 1 : 0;
    kernels_.rms_norm(row, given_.attention_norm.data(), dim, config_.norm_epsilon,
                      out.data() + i * dim);
  });
  return std::find(ok.begin(), ok.end(), std::uint8_t{0}) == ok.end()
             ? result<floats>{std::move(out)}
             : nonfinite("in what goes in");
}

/// In the last layer they are also copied to where its digest is taken from.
void walk::take_revealed() {
  const unit_between& from = *task_.spots->revealed;
  const std::size_t of_head = std::size_t{task_.positions} * config_.head_dim;
  const std::size_t all = of_head * config_.kv_heads;
  OVIR_CHECK(from.keys.size() == all && from.values.size() == all, from.keys.size(), all);
  for (std::uint32_t h = 0; h < config_.kv_heads && kv_; ++h) {
    std::copy_n(from.keys.data() + h * of_head, of_head, kv_->keys(task_.unit.layer, h));
    std::copy_n(from.values.data() + h * of_head, of_head, kv_->values(task_.unit.layer, h));
  }
}

/// [positions][head_dim] of a head.
const std::uint16_t* walk::kept(bool keys, std::uint32_t head) const {
  if (task_.spots != nullptr) {
    const unit_between& from = *task_.spots->revealed;
    return (keys ? from.keys : from.values).data() +
           std::size_t{head} * task_.positions * config_.head_dim;
  }
  return keys ? kv_->keys(task_.unit.layer, head) : kv_->values(task_.unit.layer, head);
}

unit_between walk::all_keys_and_values() const {
  unit_between all;
  const std::size_t of_head = std::size_t{task_.positions} * config_.head_dim;
  for (std::uint32_t h = 0; h < config_.kv_heads; ++h) {
    const std::uint16_t* const keys = kept(true, h);
    const std::uint16_t* const values = kept(false, h);
    all.keys.insert(all.keys.end(), keys, keys + of_head);
    all.values.insert(all.values.end(), values, values + of_head);
  }
  return all;
}

result<void> walk::keys_and_values(const floats& normal) {
  const bool spots = task_.spots != nullptr;
  const std::span<const position> places = spots ? places_ : std::span<const position>{};
  OVIR_ASSIGN(floats k, product(unit_matrix::k, normal, config_.dim, 0, places));
  OVIR_ASSIGN(floats v, product(unit_matrix::v, normal, config_.dim, 0, places));
  if (spots) {
    take_revealed();
  }
  const std::uint32_t width = config_.head_dim;
  std::vector<std::uint16_t> computed(width);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const position p = places_[i];
    for (std::uint32_t h = 0; h < config_.kv_heads; ++h) {
      const std::size_t at = i * config_.kv_dim() + std::size_t{h} * width;
      kernels_.rotate(k.data() + at, given_.rope->row(p), config_.rope_dim / 2);
      for (const bool key : {true, false}) {
        if (!kernels_.to_half((key ? k : v).data() + at, width, computed.data())) {
          return nonfinite("in a key or value");
        }
        const std::size_t row = std::size_t{p} * width;
        if (!spots) {
          std::copy(computed.begin(), computed.end(),
                    (key ? kv_->keys(task_.unit.layer, h) : kv_->values(task_.unit.layer, h)) +
                        row);
        } else if (!std::equal(computed.begin(), computed.end(), kept(key, h) + row)) {
          return fail(errc::digest_mismatch,
                      "the {} revealed of head {} at position {} is not what its integers give",
                      key ? "key" : "value", h, p);
        }
      }
    }
  }
  scratch_.give(std::move(k));
  scratch_.give(std::move(v));
  return {};
}

/// Of the heads that share one of K and V, at a position of the window: [heads][head_dim].
void walk::attend_at(const floats& q, std::uint32_t place, floats& scores, float* out) const {
  const std::uint32_t together = config_.heads / config_.kv_heads;
  const std::uint32_t head = place % config_.kv_heads;
  const std::size_t t = place / config_.kv_heads;
  scores.resize(std::size_t{task_.positions} * together);
  kernels_.attend(
      {.query = q.data() + std::size_t{place} * together * config_.head_dim,
       .keys = kept(true, head),
       .values = kept(false, head),
       .stride = config_.head_dim,
       .positions = first_ + static_cast<std::uint32_t>(t) + 1,
       .head_dim = config_.head_dim,
       .heads = together,
       .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim))),
       .scores = scores.data(),
       .output = out});
}

/// Computed, or as revealed and compared where the spots are: then empty.
result<floats> walk::attend(const floats& q) const {
  const std::size_t group = std::size_t{config_.heads} / config_.kv_heads * config_.head_dim;
  const std::size_t all = std::size_t{count_} * config_.kv_heads;
  const unit_spots* const spots = task_.spots;
  if (spots != nullptr && spots->revealed->heads.size() != all * group) {
    return fail(errc::digest_mismatch, "{} values of attention are revealed; {} are needed",
                spots->revealed->heads.size(), all * group);
  }
  floats out = spots == nullptr ? floats(all * group) : floats{};
  const std::size_t tasks = spots == nullptr ? all : spots->attention.size();
  const std::size_t parts = std::min(runner_.width(), tasks);
  std::vector<std::uint8_t> ok(tasks, 1);
  runner_.run(parts, [&](std::size_t part) {
    floats scores;
    floats computed(group);
    // Neighbours are taken in the order of heads, whose K and V then stay near.
    for (std::size_t i = part; i < tasks; i += parts) {
      if (spots == nullptr) {
        const auto place = static_cast<std::uint32_t>(i % count_ * config_.kv_heads + i / count_);
        attend_at(q, place, scores, out.data() + place * group);
      } else {
        const std::uint32_t place = spots->attention[i];
        attend_at(q, place, scores, computed.data());
        const std::size_t bytes = group * sizeof(float);
        const float* const revealed = spots->revealed->heads.data() + place * group;
        ok[i] = std::memcmp(computed.data(), revealed, bytes) == 0 ? 1 : 0;
      }
    }
  });
  const auto wrong = std::find(ok.begin(), ok.end(), std::uint8_t{0});
  if (wrong != ok.end()) {
    const std::uint32_t place = spots->attention[static_cast<std::size_t>(wrong - ok.begin())];
    return fail(errc::digest_mismatch,
                "the attention revealed at position {} over keys of head {} is not what follows",
                first_ + place / config_.kv_heads, place % config_.kv_heads);
  }
  return out;
}

result<void> walk::add(floats& x, const floats& what, const char* where) {
  return kernels_.add(x.data(), what.data(), static_cast<std::uint32_t>(x.size()))
             ? result<void>{}
             : nonfinite(where);
}

result<floats> walk::feed_forward(const floats& x) {
  floats normal = normalize(x, given_.feed_forward_norm);
  OVIR_ASSIGN(floats gate, product(unit_matrix::gate, normal, config_.dim));
  OVIR_ASSIGN(floats up, product(unit_matrix::up, normal, config_.dim));
  runner_.run(count_, [&](std::size_t t) {
    float* const row = gate.data() + t * config_.ffn_dim;
    kernels_.swiglu(row, up.data() + t * config_.ffn_dim, config_.ffn_dim, row);
  });
  scratch_.give(std::move(normal));
  scratch_.give(std::move(up));
  auto down = product(unit_matrix::down, gate, config_.ffn_dim);
  scratch_.give(std::move(gate));
  return down;
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
  const bool spots = task_.spots != nullptr;
  if (!spots || is_last()) {
    OVIR_ASSIGN(kv_, kv_cache::make(config_, {layer, layer + 1}, task_.positions,
                                    std::numeric_limits<std::size_t>::max()));
    kv_->set_length(task_.positions);
  }
  OVIR_ASSIGN(floats normal, normal_inputs());
  OVIR_TRY(keys_and_values(normal));
  unit_result out;
  if (!spots) {
    out.between = all_keys_and_values();
  }
  if (is_last()) {
    out.output = kv_digest(*kv_, layer, task_.unit.window, count_);
    if (task_.draws == 0) { // nothing else of it is stated
      if (spots && !task_.spots->revealed->heads.empty()) {
        return fail(errc::digest_mismatch, "attention is revealed of a window without draws");
      }
      return out;
    }
  }
  OVIR_ASSIGN(floats q, product(unit_matrix::q, normal, config_.dim, places_.size() - count_));
  runner_.run(count_, [&](std::size_t t) {
    for (std::uint32_t h = 0; h < config_.heads; ++h) {
      kernels_.rotate(q.data() + t * config_.q_dim() + std::size_t{h} * config_.head_dim,
                      given_.rope->row(first_ + static_cast<position>(t)), config_.rope_dim / 2);
    }
  });
  OVIR_ASSIGN(out.between.heads, attend(q));
  scratch_.give(std::move(q));
  scratch_.give(std::move(normal));
  OVIR_ASSIGN(floats heads,
              product(unit_matrix::output, spots ? task_.spots->revealed->heads : out.between.heads,
                      config_.q_dim()));
  const auto window = task_.rows.last(std::size_t{count_} * config_.dim);
  floats x = scratch_.take(window.size());
  std::copy(window.begin(), window.end(), x.begin());
  OVIR_TRY(add(x, heads, "after the attention"));
  scratch_.give(std::move(heads));
  OVIR_ASSIGN(floats inner, feed_forward(x));
  OVIR_TRY(add(x, inner, "at the end"));
  scratch_.give(std::move(inner));
  if (is_last()) {
    OVIR_ASSIGN(out.logits, logits(x));
    return out;
  }
  unit_digests digests{{layer, layer + 1}};
  digests.skip_to(task_.unit.window);
  std::vector<unit_leaf> leaves;
  digests.add(layer, first_, count_, x, config_.dim, leaves);
  out.output = (leaves.empty() ? digests.open_leaves() : leaves).front().boundary;
  if (task_.keep_rows) {
    out.rows = x;
  }
  scratch_.give(std::move(x));
  return out;
}

} // namespace

std::vector<float> unit_scratch::take(std::size_t n) {
  const auto fits = [n](const std::vector<float>& v) { return v.capacity() >= n; };
  auto found = std::find_if(free_.begin(), free_.end(), fits);
  if (found == free_.end()) {
    return std::vector<float>(n);
  }
  std::vector<float> taken = std::move(*found);
  free_.erase(found);
  taken.resize(n);
  return taken;
}

void unit_scratch::give(std::vector<float>&& used) {
  // Those that fit are tried smallest first.
  const auto larger = [&](const std::vector<float>& v) { return v.capacity() >= used.capacity(); };
  free_.insert(std::find_if(free_.begin(), free_.end(), larger), std::move(used));
}

result<unit_result> walk_unit(const model_config& config, const unit_floats& floats,
                              const unit_task& task, const kernel_set& kernels,
                              integer_products& products, parallel_runner& runner,
                              unit_scratch& scratch) {
  OVIR_CHECK(task.rows.size() == std::size_t{task.positions} * config.dim, task.rows.size(),
             task.positions);
  OVIR_CHECK(task.positions > task.unit.window * limits::window_positions, task.positions);
  return walk{config, floats, task, kernels, products, runner, scratch}.run();
}

} // namespace ovir::compute
