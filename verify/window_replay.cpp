#include "verify/window_replay.hpp"

#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "messages/limits/general.hpp"
#include "verify/replay_draws.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace ovir::compute {

namespace {

/// The stage of a window; null where the receipt does not have that window and those before it, of
/// all the stage's layers.
const stage_records* stage_at(const receipt& r, const stage_window& at) {
  if (at.stage >= r.stages.size() || at.window >= windows_of(r.positions)) {
    return nullptr;
  }
  const stage_records& stage = r.stages[at.stage];
  const layer_range layers = stage.signer.layers;
  if (layers.first >= layers.last || layers.last > r.asked.layers ||
      at.window >= stage.statements.size()) {
    return nullptr;
  }
  for (std::uint32_t w = 0; w <= at.window; ++w) {
    const statement& s = stage.statements[w];
    if (s.window != w || s.positions != positions_of(w, r.positions) ||
        s.units.size() != layers.size() || s.kv.size() != layers.size()) {
      return nullptr;
    }
  }
  return &stage;
}

std::vector<float> rows_in(std::span<const std::byte> bytes) {
  std::vector<float> rows(bytes.size() / sizeof(float));
  std::memcpy(rows.data(), bytes.data(), rows.size() * sizeof(float)); // bytes lie anywhere
  return rows;
}

digest rows_digest(const window_input& input, std::span<const float> rows) {
  const auto [window, layer] = input.unit;
  unit_digests digests{{layer, layer + 1}};
  digests.skip_to(window);
  std::vector<unit_leaf> leaves;
  digests.add(layer, window * limits::window_positions, input.positions, rows,
              static_cast<std::uint32_t>(rows.size() / input.positions), leaves);
  return (leaves.empty() ? digests.open_leaves() : leaves).front().boundary;
}

result<void> check_window(const receipt& r, const stage_window& at, const model_config& config) {
  OVIR_TRY(check_replayable(r, config));
  if (stage_at(r, at) == nullptr) {
    return fail(errc::invalid_argument, "the receipt has no window {} of stage {}", at.window,
                at.stage);
  }
  const std::size_t tokens = r.asked.prompt.size() + r.output.size();
  if (r.asked.prompt.empty() || tokens < r.positions) {
    return fail(errc::invalid_argument, "the receipt has {} tokens for {} positions", tokens,
                r.positions);
  }
  return {};
}

result<void> check_inputs_fit(std::span<const window_input> named,
                              std::span<const input_bytes> inputs) {
  if (named.size() != inputs.size()) {
    return fail(errc::invalid_argument, "the window has {} inputs, given are {}", named.size(),
                inputs.size());
  }
  for (std::size_t i = 0; i < named.size(); ++i) {
    const unit_name& unit = named[i].unit;
    if (inputs[i] == nullptr || !named[i].is(*inputs[i])) {
      return fail(errc::digest_mismatch,
                  "input {} is not what the receipt names: layer {} over window {}", i, unit.layer,
                  unit.window);
    }
  }
  return {};
}

/// Fills `state` with K and V of the windows before and `rows` with the boundary that comes in.
result<void> load_inputs(std::span<const window_input> named, std::span<const input_bytes> inputs,
                         segment_state& state, std::vector<float>& rows) {
  for (std::size_t i = 0; i < named.size(); ++i) {
    const auto& [part, unit, positions, name, size] = named[i];
    bool finite = true;
    if (part == audit_part::kv) {
      finite = is_finite_kv(*inputs[i]);
      copy_kv(*inputs[i], state.kv, unit.layer, unit.window, positions);
    } else {
      rows = rows_in(*inputs[i]);
      finite = std::all_of(rows.begin(), rows.end(), [](float x) { return std::isfinite(x); });
    }
    if (!finite) {
      return fail(errc::malformed,
                  "input {}, of layer {} over window {}, holds a NaN or infinity and is stated so",
                  i, unit.layer, unit.window);
    }
  }
  return {};
}

/// Units, K and V of one window behind its step.
replay_outcome outcome_of(const segment& layers, std::uint32_t window, std::uint32_t positions,
                          const segment_state& state, std::span<const unit_leaf> leaves) {
  replay_outcome out;
  for (const unit_leaf& leaf : leaves) {
    out.units[leaf.unit] = leaf.boundary;
  }
  for (const unit_leaf& leaf : state.units.open_leaves()) {
    out.units[leaf.unit] = leaf.boundary;
  }
  for (layer_index l = layers.layers().first; l < layers.layers().last; ++l) {
    out.kv[{window, l}] = kv_digest(state.kv, l, window, positions);
  }
  if (layers.is_last()) {
    const unit_name last{window, layers.layers().last - 1};
    out.units[last] = out.kv[last];
  }
  return out;
}

} // namespace

result<window_start> start_window(const receipt& r, const stage_window& at, const segment& layers,
                                  std::span<const input_bytes> inputs) {
  OVIR_TRY(check_window(r, at, layers.config()));
  const std::vector<window_input> named = inputs_of(r, layers.config(), at);
  OVIR_TRY(check_inputs_fit(named, inputs));
  const position first = at.window * limits::window_positions;
  const std::uint32_t count = positions_of(at.window, r.positions);
  OVIR_ASSIGN(segment_state state,
              layers.open(first + count, std::numeric_limits<std::size_t>::max()));
  window_start start{std::move(state), {}, first, count};
  OVIR_TRY(load_inputs(named, inputs, start.state, start.boundary));
  start.state.resume_at(at.window);
  return start;
}

std::optional<stage_window> window_of(const receipt& r, const audit_place& place) {
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    const layer_range layers = r.stages[i].signer.layers;
    if (place.layer >= layers.first && place.layer < layers.last) {
      const stage_window at{i, place.window};
      return stage_at(r, at) != nullptr && stated_at(r, place) ? std::optional{at} : std::nullopt;
    }
  }
  return std::nullopt;
}

bool window_input::is(std::span<const std::byte> what) const {
  if (what.size() != bytes || positions == 0) {
    return false;
  }
  return name == (part == audit_part::kv ? kv_digest(unit.layer, unit.window, positions, what)
                                         : rows_digest(*this, rows_in(what)));
}

std::vector<window_input> inputs_of(const receipt& r, const model_config& config,
                                    const stage_window& at) {
  const stage_records* const stage = stage_at(r, at);
  if (stage == nullptr) {
    return {};
  }
  const layer_range layers = stage->signer.layers;
  std::vector<window_input> inputs;
  if (layers.first > 0) {
    const statement& s = stage->statements[at.window];
    inputs.push_back({audit_part::unit,
                      {at.window, layers.first - 1},
                      s.positions,
                      s.input,
                      std::size_t{s.positions} * config.dim * sizeof(float)});
  }
  for (std::uint32_t w = 0; w < at.window; ++w) {
    const statement& s = stage->statements[w];
    const std::size_t bytes = kv_bytes_of(config.kv_heads, config.head_dim, s.positions);
    for (std::uint32_t i = 0; i < layers.size(); ++i) {
      inputs.push_back({audit_part::kv, {w, layers.first + i}, s.positions, s.kv[i], bytes});
    }
  }
  return inputs;
}

result<replay_outcome> replay_window(const receipt& r, const stage_window& at, const model& m,
                                     std::span<const input_bytes> inputs, const kernel_set& kernels,
                                     parallel_runner& runner, const tokenizer* vocabulary) {
  OVIR_TRY(check_window(r, at, m.config));
  replay_draws draws{r, m.config, vocabulary};
  OVIR_ASSIGN(const auto layers,
              segment::make_checked(m, r.stages[at.stage].signer.layers, kernels));
  OVIR_ASSIGN(window_start start, start_window(r, at, *layers, inputs));
  step_input in;
  in.first = start.first;
  in.count = start.count;
  const position end = in.first + in.count;
  if (layers->is_first()) {
    in.tokens = draws.tokens().subspan(in.first, in.count);
  }
  in.boundary = start.boundary;
  in.logit_rows = layers->is_last() ? draws.rows_of(in.first, end) : 0;
  step_output step;
  OVIR_TRY(layers->forward(start.state, in, runner, step));
  replay_outcome out = outcome_of(*layers, at.window, in.count, start.state, step.leaves);
  draws.take(end - in.logit_rows, step.logits, out);
  return out;
}

std::vector<audit_place> places_of(const receipt& r, const stage_window& at) {
  const stage_records* const stage = stage_at(r, at);
  std::vector<audit_place> places;
  if (stage == nullptr) {
    return places;
  }
  const layer_range layers = stage->signer.layers;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    places.push_back({audit_part::unit, at.window, l, 0});
    places.push_back({audit_part::kv, at.window, l, 0});
  }
  const position first = at.window * limits::window_positions;
  const position end = first + stage->statements[at.window].positions;
  for (position p = first; p < end && layers.last == r.asked.layers; ++p) {
    places.push_back({audit_part::draw, at.window, layers.last - 1, p});
    places.push_back({audit_part::token, at.window, layers.last - 1, p});
  }
  std::erase_if(places, [&](const audit_place& place) { return !stated_at(r, place); });
  return places;
}

std::optional<stated_fault> window_fault(const receipt& r, const stage_window& at,
                                         const replay_outcome& again) {
  for (const audit_place& place : places_of(r, at)) {
    const auto stated = stated_at(r, place);
    const auto computed = computed_at(again, place);
    if (stated && computed && stated->value != *computed) {
      return stated_fault{place, stated->signer, stated->value, *computed};
    }
  }
  return std::nullopt;
}

} // namespace ovir::compute
