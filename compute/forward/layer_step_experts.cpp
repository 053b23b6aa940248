// A feed-forward block that is a mixture of experts: each row goes through those the router chooses
// for it. Rows of one expert are computed together, and each row's sum has its own fixed order, so
// no bit depends on which rows share a pass.
#include "compute/forward/layer_step.hpp"
#include "messages/check.hpp"
#include "messages/limits/experts.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <numeric>

namespace ovir::compute {

// Chooses experts for every row that goes on, and gives each choice a seat.
bool layer_step::route(parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t used = config.experts_used;
  grown(s.chosen, std::size_t{rows} * used);
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      const bool chosen = choose_experts({s.logits.data() + t * config.experts, config.experts},
                                         config.shares_of_all, {s.chosen.data() + t * used, used});
      scratch.ok[t] = chosen ? 1 : 0;
    }
  });
  if (!check("in the router")) {
    return false;
  }
  s.first_seat.assign(config.experts + 1, 0);
  for (std::size_t i = 0; i < std::size_t{rows} * used; ++i) {
    s.first_seat[s.chosen[i].expert + 1] += scratch.ok[i / used];
  }
  std::partial_sum(s.first_seat.begin(), s.first_seat.end(), s.first_seat.begin());
  grown(s.row_of, s.first_seat.back());
  grown(s.seat_of, std::size_t{rows} * used);
  for (std::size_t i = 0; i < std::size_t{rows} * used; ++i) {
    if (scratch.ok[i / used] != 0) {
      s.seat_of[i] = s.first_seat[s.chosen[i].expert]++;
      s.row_of[s.seat_of[i]] = static_cast<std::uint32_t>(i / used);
    }
  }
  // Each entry has become the one behind it.
  std::copy_backward(s.first_seat.begin(), s.first_seat.end() - 1, s.first_seat.end());
  s.first_seat[0] = 0;
  return true;
}

// Who is in the group of experts [first, last), their inputs, and the products with these.
void layer_step::gather_experts(std::uint32_t first, std::uint32_t last,
                                parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t begin = s.first_seat[first];
  const std::size_t seats = s.first_seat[last] - begin;
  std::vector<seated_expert>& group = s.group;
  group.clear();
  for (std::uint32_t e = first; e < last; ++e) {
    if (const std::uint32_t n = s.first_seat[e + 1] - s.first_seat[e]; n > 0) {
      group.push_back({e, s.first_seat[e] - begin, n});
    }
  }
  // Memory of a place only grows, so experts with many rows always take the same places.
  std::sort(group.begin(), group.end(), [](const seated_expert& a, const seated_expert& b) {
    return a.rows != b.rows ? a.rows > b.rows : a.expert < b.expert;
  });
  grown(s.inputs, group.size());
  grown(s.inner, group.size());
  grown(s.gate, seats * config.expert_ffn_dim);
  grown(s.up, seats * config.expert_ffn_dim);
  grown(s.output, seats * config.dim);
  const expert_weights& one = weights.experts.front();
  const product_group read[] = {{&one.gate, nullptr}, {&one.up, nullptr}};
  const product_group inner_read[] = {{&one.down, nullptr}};
  const auto input_of = [&](std::size_t i) {
    return group[i].rows == rows ? &scratch.hidden : &s.inputs[i];
  };
  for_tokens(group.size(), runner, [&](std::size_t i) {
    if (input_of(i) == &s.inputs[i]) {
      s.inputs[i].gather(scratch.hidden, {&s.row_of[begin + group[i].first], group[i].rows},
                         forms_of(read));
    }
    s.inner[i].reshape(group[i].rows, config.expert_ffn_dim, forms_of(inner_read));
  });
  s.products.clear();
  for (std::size_t i = 0; i < group.size(); ++i) {
    const expert_weights& expert = weights.experts[group[i].expert];
    const std::size_t at = std::size_t{group[i].first} * config.expert_ffn_dim;
    s.products.push_back({input_of(i), &expert.gate, s.gate.data() + at});
    s.products.push_back({input_of(i), &expert.up, s.up.data() + at});
  }
}

// What goes into the second matrix of the group's experts.
void layer_step::gate_experts(std::size_t seats, parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::vector<seated_expert>& group = s.group;
  s.ok.assign(seats, 1);
  for_tokens(group.size(), runner, [&](std::size_t i) {
    for (std::size_t r = 0; r < group[i].rows; ++r) {
      const std::size_t seat = group[i].first + r;
      gated(kernels, config.gate, s.gate.data() + seat * config.expert_ffn_dim,
            s.up.data() + seat * config.expert_ffn_dim, config.expert_ffn_dim, s.inner[i].row(r));
      if (!s.inner[i].quantize(kernels, r)) {
        s.ok[seat] = 0;
        std::fill_n(s.inner[i].row(r), config.expert_ffn_dim, 0.0F);
        OVIR_CHECK(s.inner[i].quantize(kernels, r));
      }
    }
  });
}

// Experts [first, last) for the rows that chose them, added to the residual.
bool layer_step::run_experts(std::uint32_t first, std::uint32_t last,
                             parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const std::uint32_t begin = s.first_seat[first];
  const std::size_t seats = s.first_seat[last] - begin;
  gather_experts(first, last, runner);
  multiply_each(kernels, s.products, runner);
  gate_experts(seats, runner);
  for (std::size_t seat = 0; seat < seats; ++seat) {
    scratch.ok[s.row_of[begin + seat]] &= s.ok[seat];
  }
  if (!check("in an expert")) {
    return false;
  }
  s.products.clear();
  for (std::size_t i = 0; i < s.group.size(); ++i) {
    s.products.push_back({&s.inner[i], &weights.experts[s.group[i].expert].down,
                          s.output.data() + std::size_t{s.group[i].first} * config.dim});
  }
  multiply_each(kernels, s.products, runner);
  for_tokens(rows, runner, [&](std::size_t t) {
    for (std::size_t i = t * config.experts_used;
         scratch.ok[t] != 0 && i < (t + 1) * config.experts_used; ++i) {
      if (s.chosen[i].expert >= first && s.chosen[i].expert < last) {
        add_share(scratch.residual.data() + t * config.dim,
                  s.output.data() + std::size_t{s.seat_of[i] - begin} * config.dim, config.dim,
                  s.chosen[i].share);
      }
    }
  });
  return true;
}

bool layer_step::shared_expert(parallel_runner& runner) const {
  expert_scratch& s = scratch.experts;
  const product_group down[] = {
      {&weights.ffn_shared_down, grown(s.shared, std::size_t{rows} * config.dim)}};
  scratch.inner.reshape(rows, config.shared_ffn_dim, forms_of(down));
  for_tokens(rows, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      gated(kernels, config.gate, scratch.gate.data() + t * config.shared_ffn_dim,
            scratch.up.data() + t * config.shared_ffn_dim, config.shared_ffn_dim,
            scratch.inner.row(t));
    }
    quantize(scratch.inner, t);
  });
  if (!check("in the shared expert")) {
    return false;
  }
  multiply(kernels, scratch.inner, down, runner);
  for_tokens(rows, runner, [&](std::size_t t) {
    add_share(scratch.residual.data() + t * config.dim, s.shared.data() + t * config.dim,
              config.dim, share_of(s.shared_logit[t]));
  });
  return true;
}

bool layer_step::mixture(std::span<float> x, parallel_runner& runner) const {
  const std::size_t n = rows;
  expert_scratch& s = scratch.experts;
  const expert_weights& one = weights.experts.front();
  // The last two are computed later, from the same input.
  const product_group all[] = {
      {&weights.ffn_router, grown(s.logits, n * config.experts)},
      {&weights.ffn_share, grown(s.shared_logit, n)},
      {&weights.ffn_shared_gate, grown(scratch.gate, n * config.shared_ffn_dim)},
      {&weights.ffn_shared_up, grown(scratch.up, n * config.shared_ffn_dim)},
      {&one.gate, nullptr},
      {&one.up, nullptr},
  };
  std::array<product_group, std::size(all)> there{};
  const auto end = std::copy_if(std::begin(all), std::end(all), there.begin(),
                                [](const product_group& g) { return !g.matrix->empty(); });
  const std::span<const product_group> present{there.begin(), end};
  scratch.hidden.reshape(rows, config.dim, forms_of(present));
  for_tokens(n, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.attn_post_norm, t) ? 1 : 0;
      read_block_input(x.data(), weights.ffn_norm, t);
    }
    quantize(scratch.hidden, t);
  });
  if (!check("in the feed-forward input")) {
    return false;
  }
  multiply(kernels, scratch.hidden, present.first(present.size() - 2), runner);
  if (!route(runner)) {
    return false;
  }
  std::fill_n(scratch.residual.begin(), n * config.dim, 0.0F);
  const std::uint32_t together = std::max(rows, limits::expert_group_rows);
  for (std::uint32_t first = 0; first < config.experts;) {
    std::uint32_t last = first + 1;
    while (last < config.experts && s.first_seat[last + 1] - s.first_seat[first] <= together) {
      ++last;
    }
    if (s.first_seat[last] != s.first_seat[first] && !run_experts(first, last, runner)) {
      return false;
    }
    first = last;
  }
  if (!weights.ffn_share.empty() && !shared_expert(runner)) {
    return false;
  }
  for_tokens(n, runner, [&](std::size_t t) {
    if (scratch.ok[t] != 0) {
      scratch.ok[t] = add_block_output(x.data(), weights.ffn_post_norm, t) ? 1 : 0;
    }
  });
  return check("at the end");
}

} // namespace ovir::compute
