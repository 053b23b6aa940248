#include "tests/units/honest_units.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/make/synth_blocks.hpp"
#include "compute/text/sampler.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/units/random_model.hpp"
#include "verify/window_replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace ovir::units {

namespace {

using namespace compute;

constexpr std::uint32_t window_size = limits::window_positions;
constexpr std::uint32_t windows_max = 8;
constexpr std::uint32_t stages_max = 4;
constexpr std::uint32_t sessions_max = 3; ///< that share a pass
constexpr std::uint32_t chunk_max = 48;
constexpr std::uint32_t unpacked_every = 8; ///< models whose weights stay as they are in the file
constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

/// What one stage keeps of a prompt.
struct stage_part {
  segment_state state;
  std::vector<float> rows; ///< the boundary that came in; of the first stage nothing
  std::vector<unit_leaf> leaves;
  step_output out;
};

struct session {
  std::uint32_t prompt{0};
  std::vector<token_id> tokens;
  std::vector<stage_part> parts;
  position done{0};
  std::uint32_t chunk{0}; ///< positions of the pass under way
  token_id follows{0};
  digest logits; ///< of the last position

  [[nodiscard]] std::uint32_t positions() const {
    return static_cast<std::uint32_t>(tokens.size());
  }
};

/// A bit that gets lost between computing and stating.
struct planted_bit {
  std::uint32_t prompt;
  layer_index layer;
};

void flip(session& s, std::size_t stage, layer_index layer) {
  kv_cache& kv = s.parts[stage].state.kv;
  const position last = s.positions() - 1; // no window behind it is computed from it
  kv.keys(layer, 0)[std::size_t{last} * kv.head_dim()] ^= 1U;
}

/// The model of a seed, cut into stages, and the work on its prompts.
class seed_work {
public:
  seed_work(const seed_order& order, const kernel_set& kernels)
      : order_(order), kernels_(kernels), random_(order.seed, 2), file_(random_model(order.seed)),
        model_(file_.get()), total_("ovir/test/units/v1") {}

  result<seed_outcome> run() {
    OVIR_TRY(prepare());
    if (order_.plant) {
      synth_random chosen{order_.seed, 3}; // so that all else is as without it
      planted_ = planted_bit{chosen.below(order_.prompts), chosen.below(model_.config.layers)};
    }
    for (std::uint32_t first = 0; first < order_.prompts;) {
      std::vector<session> group(std::min(1 + random_.below(sessions_max), order_.prompts - first));
      for (session& s : group) {
        OVIR_TRY(begin(s, first++));
      }
      while (std::any_of(group.begin(), group.end(),
                         [](const session& s) { return s.done < s.positions(); })) {
        OVIR_TRY(pass(group));
      }
      for (session& s : group) {
        OVIR_TRY(finish(s));
      }
    }
    out_.value = total_.finish();
    return std::move(out_);
  }

private:
  result<void> prepare();
  result<void> begin(session& s, std::uint32_t prompt);
  result<void> pass(std::vector<session>& group);
  result<void> take(session& s, std::size_t stage);
  result<void> finish(session& s);
  [[nodiscard]] receipt stated(const session& s) const;
  result<void> compute_again(const session& s, const receipt& r);
  [[nodiscard]] std::vector<input_bytes> inputs(const session& s, const receipt& r,
                                                const stage_window& at) const;
  void compare(std::uint32_t prompt, const receipt& r, const stage_window& at,
               const replay_outcome& again);

  const seed_order& order_;
  const kernel_set& kernels_;
  synth_random random_;
  test::loaded_model file_;
  model model_;
  std::vector<std::byte> packed_;
  std::vector<std::unique_ptr<segment>> stages_;
  serial_runner runner_;
  std::optional<planted_bit> planted_;
  hasher total_;
  seed_outcome out_;
};

result<void> seed_work::prepare() {
  const std::uint32_t layers = model_.config.layers;
  OVIR_TRY(check_weights(model_, {0, layers}, runner_));
  const bool packs = random_.below(unpacked_every) != 0;
  if (packs && kernels_.id != isa::reference) {
    constexpr std::size_t line = 64;
    const packing_plan plan = plan_packing(model_, {0, layers}, kernels_.id);
    packed_.resize(plan.bytes + line);
    void* at = packed_.data();
    std::size_t room = packed_.size();
    auto* const memory = static_cast<std::byte*>(std::align(line, plan.bytes, at, room));
    for (const packing_plan::part& part : plan.parts) {
      pack_weight(part, memory, runner_);
    }
  }
  std::vector<layer_index> cuts{0, layers};
  for (std::uint32_t i = random_.below(stages_max); i > 0; --i) {
    cuts.push_back(1 + random_.below(layers - 1));
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    OVIR_ASSIGN(auto made, segment::make_checked(model_, {cuts[i], cuts[i + 1]}, kernels_));
    stages_.push_back(std::move(made));
  }
  return {};
}

result<void> seed_work::begin(session& s, std::uint32_t prompt) {
  s.prompt = prompt;
  const std::uint32_t whole = random_.below(windows_max); // drawn first by every compiler
  s.tokens.resize(window_size * whole + 1 + random_.below(window_size));
  for (token_id& token : s.tokens) {
    token = random_.below(model_.config.vocabulary);
  }
  s.parts.resize(stages_.size());
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    OVIR_ASSIGN(s.parts[i].state, stages_[i]->open(s.positions(), no_limit));
  }
  return {};
}

/// The next positions of each prompt, in one pass of each stage.
result<void> seed_work::pass(std::vector<session>& group) {
  std::vector<session*> working;
  for (session& s : group) {
    if (s.done < s.positions()) {
      const std::uint32_t wanted = 1 + random_.below(random_.below(8) == 0 ? 4 : chunk_max);
      s.chunk = std::min(wanted, s.positions() - s.done);
      working.push_back(&s);
    }
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    std::vector<session_step> steps;
    for (session* const s : working) {
      step_input in{.first = s->done, .count = s->chunk};
      if (i == 0) {
        in.tokens = std::span{s->tokens}.subspan(s->done, s->chunk);
      } else {
        in.boundary = s->parts[i - 1].out.boundary;
      }
      in.logit_rows = stages_[i]->is_last() && s->done + s->chunk == s->positions() ? 1 : 0;
      steps.push_back({&s->parts[i].state, in, &s->parts[i].out});
    }
    stages_[i]->forward(steps, runner_);
    for (std::size_t n = 0; n < steps.size(); ++n) {
      OVIR_TRY(steps[n].done);
      OVIR_TRY(take(*working[n], i));
    }
  }
  for (session* const s : working) {
    s->done += s->chunk;
  }
  return {};
}

/// What came out of a stage's pass.
result<void> seed_work::take(session& s, std::size_t stage) {
  stage_part& part = s.parts[stage];
  part.leaves.insert(part.leaves.end(), part.out.leaves.begin(), part.out.leaves.end());
  const position end = s.done + s.chunk;
  if (!stages_[stage]->is_last()) {
    std::vector<float>& next = s.parts[stage + 1].rows;
    next.insert(next.end(), part.out.boundary.begin(), part.out.boundary.end());
  } else if (end == s.positions()) {
    s.logits = logits_digest(end - 1, part.out.logits);
    s.follows = sampler{sampling_params{}}.draw(part.out.logits, s.tokens, end);
  }
  return {};
}

/// What the stages state of a prompt that is computed.
receipt seed_work::stated(const session& s) const {
  receipt r;
  r.asked.profile = profile_name;
  r.asked.layers = model_.config.layers;
  r.asked.prompt = s.tokens;
  r.asked.max_tokens = 1;
  r.output = {s.follows};
  r.positions = s.positions();
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const stage_part& part = s.parts[i];
    const layer_range layers = stages_[i]->layers();
    std::vector<unit_leaf> leaves = part.leaves;
    const std::vector<unit_leaf> open = part.state.units.open_leaves();
    leaves.insert(leaves.end(), open.begin(), open.end());
    stage_records stage;
    stage.signer.layers = layers;
    for (std::uint32_t w = 0; w < windows_of(r.positions); ++w) {
      statement one;
      one.window = w;
      one.positions = positions_of(w, r.positions);
      one.input = i == 0 ? digest{} : r.stages[i - 1].statements[w].units.back();
      for (layer_index l = layers.first; l < layers.last; ++l) {
        one.kv.push_back(kv_digest(part.state.kv, l, w, one.positions));
        const auto leaf = std::find_if(leaves.begin(), leaves.end(), [&](const unit_leaf& x) {
          return x.unit == unit_name{w, l};
        });
        one.units.push_back(l + 1 == r.asked.layers ? one.kv.back()
                            : leaf == leaves.end()  ? digest{}
                                                    : leaf->boundary);
      }
      stage.statements.push_back(std::move(one));
    }
    r.stages.push_back(std::move(stage));
  }
  statement& last = r.stages.back().statements.back();
  last.first_draw = r.positions - 1;
  last.logits = {s.logits};
  return r;
}

result<void> seed_work::finish(session& s) {
  for (std::size_t i = 0; planted_ && planted_->prompt == s.prompt && i < stages_.size(); ++i) {
    const layer_range layers = stages_[i]->layers();
    if (planted_->layer >= layers.first && planted_->layer < layers.last) {
      flip(s, i, planted_->layer);
    }
  }
  const receipt r = stated(s);
  for (const stage_records& stage : r.stages) {
    for (const statement& one : stage.statements) {
      for (std::uint32_t i = 0; i < stage.signer.layers.size(); ++i) {
        const unit_name unit{one.window, stage.signer.layers.first + i};
        out_.units.push_back({s.prompt, unit, one.positions, one.units[i], one.kv[i]});
        total_.update_u32(one.positions).update(one.units[i]).update(one.kv[i]);
      }
    }
  }
  total_.update(s.logits).update_u32(s.follows);
  return order_.also_windows ? compute_again(s, r) : result<void>{};
}

std::vector<input_bytes> seed_work::inputs(const session& s, const receipt& r,
                                           const stage_window& at) const {
  const stage_part& part = s.parts[at.stage];
  const std::size_t dim = model_.config.dim;
  std::vector<input_bytes> all;
  for (const window_input& one : inputs_of(r, model_.config, at)) {
    const auto [window, layer] = one.unit;
    std::vector<std::byte> bytes;
    if (one.part == audit_part::kv) {
      bytes = kv_bytes(part.state.kv, layer, window, one.positions);
    } else {
      const auto rows = std::as_bytes(
          std::span{part.rows}.subspan(window * window_size * dim, one.positions * dim));
      bytes.assign(rows.begin(), rows.end());
    }
    all.push_back(std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
  }
  return all;
}

result<void> seed_work::compute_again(const session& s, const receipt& r) {
  for (std::size_t stage = 0; stage < r.stages.size(); ++stage) {
    for (std::uint32_t w = 0; w < windows_of(r.positions); ++w) {
      const stage_window at{stage, w};
      OVIR_ASSIGN(const replay_outcome again,
                  replay_window(r, at, model_, inputs(s, r, at), kernels_, runner_));
      compare(s.prompt, r, at, again);
    }
  }
  return {};
}

void seed_work::compare(std::uint32_t prompt, const receipt& r, const stage_window& at,
                        const replay_outcome& again) {
  const auto differs = [&](audit_part part, layer_index layer, position p) {
    const audit_place place{part, at.window, layer, p};
    const auto stated = stated_at(r, place);
    return stated && computed_at(again, place) != stated->value;
  };
  const layer_range layers = r.stages[at.stage].signer.layers;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    ++out_.again;
    if (differs(audit_part::unit, l, 0) || differs(audit_part::kv, l, 0)) {
      out_.mismatches.push_back(fmt::format("seed {}, prompt {}, window {}, layer {}", order_.seed,
                                            prompt, at.window, l));
    }
  }
  const position last = r.positions - 1;
  if (layers.last == r.asked.layers && last / window_size == at.window &&
      (differs(audit_part::draw, layers.last - 1, last) ||
       differs(audit_part::token, layers.last - 1, last))) {
    out_.mismatches.push_back(fmt::format("seed {}, prompt {}, logits", order_.seed, prompt));
  }
}

} // namespace

result<seed_outcome> compute_units(const seed_order& order, const kernel_set& kernels) {
  return seed_work{order, kernels}.run();
}

} // namespace ovir::units
