#include "compute/parts/expert_rows.hpp"

#include "compute/kernels/reference/block_operations.hpp"
#include "messages/check.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// Calls `f(choice, seat)` for the choices of experts [first, last), in the order of rows: a choice
/// counts over all rows, a seat from the first of these experts.
template <class F>
void each_choice(const layer_step& step, std::uint32_t first, std::uint32_t last, const F& f) {
  const expert_scratch& s = step.scratch.experts;
  const std::uint32_t used = step.config.experts_used;
  for (std::size_t i = 0; i < expert_seats(step); ++i) {
    if (step.scratch.ok[i / used] != 0 && s.chosen[i].expert >= first &&
        s.chosen[i].expert < last) {
      f(i, std::size_t{s.seat_of[i]} - s.first_seat[first]);
    }
  }
}

/// The product of the experts' second matrices with whole activations, added by row.
class expert_sum {
public:
  expert_sum(const layer_step& step, std::span<const float> inner, std::uint32_t all,
             std::uint32_t width, parallel_runner& runner, float* out)
      : step_(step), inner_(inner), all_(all), width_(width), runner_(runner), out_(out) {}

  [[nodiscard]] bool add(std::uint32_t first, std::uint32_t last) const {
    expert_scratch& s = step_.scratch.experts;
    const std::size_t seats = step_.seat_experts(first, last);
    if (!quantise(first, last, seats)) {
      return false;
    }
    if (width_ == 0) {
      return true;
    }
    grown(s.output, seats * width_);
    s.products.clear();
    for (std::size_t i = 0; i < s.group.size(); ++i) {
      s.products.push_back({&s.inner[i], &step_.weights.experts[s.group[i].expert].down,
                            s.output.data() + std::size_t{s.group[i].first} * width_});
    }
    multiply_each(step_.kernels, s.products, runner_);
    each_choice(step_, first, last, [&](std::size_t choice, std::size_t seat) {
      add_share(out_ + choice / step_.config.experts_used * width_, s.output.data() + seat * width_,
                width_, s.chosen[choice].share);
    });
    return true;
  }

private:
  [[nodiscard]] bool quantise(std::uint32_t first, std::uint32_t last, std::size_t seats) const {
    expert_scratch& s = step_.scratch.experts;
    std::vector<const float*> rows(seats, nullptr);
    each_choice(step_, first, last, [&](std::size_t choice, std::size_t seat) {
      rows[seat] = inner_.data() + choice * all_;
    });
    const product_group read[] = {{&step_.weights.experts.front().down, nullptr}};
    grown(s.inner, s.group.size());
    s.ok.assign(seats, 1);
    for (std::size_t i = 0; i < s.group.size(); ++i) {
      activations& a = s.inner[i];
      a.reshape(s.group[i].rows, all_, forms_of(read));
      for (std::size_t r = 0; r < s.group[i].rows; ++r) {
        const std::size_t seat = s.group[i].first + r;
        if (rows[seat] != nullptr) {
          std::copy_n(rows[seat], all_, a.row(r));
        } else { // its session has failed since
          std::fill_n(a.row(r), all_, 0.0F);
        }
        if (!a.quantize(step_.kernels, r)) {
          s.ok[seat] = 0;
          std::fill_n(a.row(r), all_, 0.0F);
          OVIR_CHECK(a.quantize(step_.kernels, r));
        }
      }
    }
    for (std::size_t seat = 0; seat < seats; ++seat) {
      step_.scratch.ok[s.row_of[s.first_seat[first] + seat]] &= s.ok[seat];
    }
    return step_.check("in an expert");
  }

  const layer_step& step_;
  std::span<const float> inner_;
  std::uint32_t all_;
  std::uint32_t width_;
  parallel_runner& runner_;
  float* out_;
};

// Every member has the shared expert's first matrices, and rows of its second one.
bool add_shared_expert(const layer_step& step, std::uint32_t width, parallel_runner& runner,
                       float* out) {
  const layer_weights& w = step.weights;
  const std::uint32_t n = step.config.shared_ffn_dim;
  step_scratch& scratch = step.scratch;
  const product_group down[] = {
      {&w.ffn_shared_down, grown(scratch.experts.shared, std::size_t{step.rows} * width)}};
  scratch.inner.reshape(step.rows, n, forms_of(down));
  for_tokens(step.rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      gated(step.kernels, step.config.gate, scratch.gate.data() + t * n, scratch.up.data() + t * n,
            n, scratch.inner.row(t));
    }
    step.quantize(scratch.inner, t);
  });
  if (!step.check("in the shared expert")) {
    return false;
  }
  if (width == 0) {
    return true;
  }
  multiply(step.kernels, scratch.inner, down, runner);
  for_tokens(step.rows, runner, [&](std::size_t t) {
    add_share(out + t * width, scratch.experts.shared.data() + t * width, width,
              share_of(scratch.experts.shared_logit[t]));
  });
  return true;
}

} // namespace

std::size_t expert_seats(const layer_step& step) noexcept {
  return std::size_t{step.rows} * step.config.experts_used;
}

void inner_of_experts(const layer_step& step, parallel_runner& runner, std::vector<float>& inner) {
  expert_scratch& s = step.scratch.experts;
  const std::size_t part = step.config.expert_ffn_dim;
  inner.assign(expert_seats(step) * part, 0.0F);
  if (part == 0) {
    return;
  }
  const expert_weights& one = step.weights.experts.front();
  const product_group read[] = {{&one.gate, nullptr}, {&one.up, nullptr}};
  const auto some = [&](std::uint32_t first, std::uint32_t last) {
    const std::size_t seats = step.seat_experts(first, last);
    grown(s.inputs, s.group.size());
    grown(s.gate, seats * part);
    grown(s.up, seats * part);
    s.products.clear();
    for (std::size_t i = 0; i < s.group.size(); ++i) {
      const seated_expert& e = s.group[i];
      const activations* input = &step.scratch.hidden;
      if (e.rows != step.rows) {
        s.inputs[i].gather(step.scratch.hidden, {&s.row_of[s.first_seat[first] + e.first], e.rows},
                           forms_of(read));
        input = &s.inputs[i];
      }
      const expert_weights& w = step.weights.experts[e.expert];
      s.products.push_back({input, &w.gate, s.gate.data() + e.first * part});
      s.products.push_back({input, &w.up, s.up.data() + e.first * part});
    }
    multiply_each(step.kernels, s.products, runner);
    each_choice(step, first, last, [&](std::size_t choice, std::size_t seat) {
      gated(step.kernels, step.config.gate, s.gate.data() + seat * part, s.up.data() + seat * part,
            static_cast<std::uint32_t>(part), inner.data() + choice * part);
    });
    return true;
  };
  OVIR_CHECK(step.each_expert_group(std::cref(some)));
}

bool rows_of_experts(const layer_step& step, std::span<const float> inner, std::uint32_t all,
                     std::uint32_t width, parallel_runner& runner, float* out) {
  OVIR_CHECK(inner.size() == expert_seats(step) * all, inner.size());
  std::fill_n(out, std::size_t{step.rows} * width, 0.0F);
  const expert_sum sum{step, inner, all, width, runner, out};
  const auto some = [&](std::uint32_t first, std::uint32_t last) { return sum.add(first, last); };
  return step.each_expert_group(std::cref(some)) &&
         (step.weights.ffn_share.empty() || add_shared_expert(step, width, runner, out));
}

} // namespace ovir::compute
