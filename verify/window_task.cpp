#include "verify/window_task.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// The part of a map with keys of one window.
std::map<unit_name, digest> of_window(const std::map<unit_name, digest>& all, std::uint32_t window,
                                      layer_range layers) {
  std::map<unit_name, digest> some;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    if (const auto found = all.find({window, l}); found != all.end()) {
      some.insert(*found);
    }
  }
  return some;
}

template <class Value>
std::map<position, Value> between(const std::map<position, Value>& all, position first,
                                  position end) {
  return {all.lower_bound(first), all.lower_bound(end)};
}

} // namespace

audit_task task_of(const receipt& r, const stage_window& at) {
  const stage_records& stage = r.stages[at.stage];
  audit_task task;
  task.model = r.asked.model;
  task.model_layers = r.asked.layers;
  task.layers = stage.signer.layers;
  task.positions = at.window * limits::window_positions + positions_of(at.window, r.positions);
  task.tokens = r.asked.prompt;
  task.tokens.insert(task.tokens.end(), r.output.begin(), r.output.end());
  task.tokens.resize(std::min<std::size_t>(task.tokens.size(), task.positions + std::size_t{1}));
  task.prompt = static_cast<std::uint32_t>(std::min(r.asked.prompt.size(), task.tokens.size()));
  task.sampling = r.asked.sampling;
  if (task.layers.first > 0) {
    task.input = stage.statements[at.window].input;
  }
  for (std::uint32_t w = 0; w < at.window; ++w) {
    const std::vector<digest>& kv = stage.statements[w].kv;
    task.kv.insert(task.kv.end(), kv.begin(), kv.end());
  }
  return task;
}

receipt receipt_of(const audit_task& task) {
  receipt r;
  r.asked.model = task.model;
  r.asked.layers = task.model_layers;
  r.asked.sampling = task.sampling;
  const auto given = task.tokens.begin() + task.prompt;
  r.asked.prompt.assign(task.tokens.begin(), given);
  r.output.assign(given, task.tokens.end());
  r.positions = task.positions;
  stage_records stage;
  stage.signer.layers = task.layers;
  const std::size_t layers = task.layers.size();
  for (std::uint32_t w = 0; w <= task.window(); ++w) {
    statement s;
    s.window = w;
    s.positions = positions_of(w, task.positions);
    s.units.resize(layers);
    s.kv.resize(layers);
    if (w < task.window()) {
      std::copy_n(task.kv.begin() + static_cast<std::ptrdiff_t>(w * layers), layers, s.kv.begin());
    } else {
      s.input = task.input;
    }
    stage.statements.push_back(std::move(s));
  }
  r.stages.push_back(std::move(stage));
  return r;
}

std::optional<replay_outcome> outcome_for(const audit_task& task, const replay_outcome& again) {
  const std::uint32_t window = task.window();
  const position first = window * limits::window_positions;
  replay_outcome out;
  out.units = of_window(again.units, window, task.layers);
  out.kv = of_window(again.kv, window, task.layers);
  if (task.layers.last == task.model_layers) {
    out.draws = between(again.draws, first, task.positions);
    out.follows = between(again.follows, first, task.positions);
  }
  const position drawn_from = std::max(first, task.prompt - 1);
  const std::size_t rows = task.layers.last == task.model_layers && drawn_from < task.positions
                               ? task.positions - drawn_from
                               : 0;
  const std::size_t layers = task.layers.size();
  const bool whole =
      out.units.size() == layers && out.kv.size() == layers && out.draws.size() == rows;
  return whole ? std::optional{std::move(out)} : std::nullopt;
}

digest outcome_digest(const replay_outcome& of_window) {
  hasher h{"ovir/audit/v1/outcome"};
  for (const auto* const list : {&of_window.units, &of_window.kv}) {
    h.update_u32(static_cast<std::uint32_t>(list->size()));
    for (const auto& [unit, value] : *list) {
      h.update_u32(unit.window).update_u32(unit.layer).update(value);
    }
  }
  h.update_u32(static_cast<std::uint32_t>(of_window.draws.size()));
  for (const auto& [at, value] : of_window.draws) {
    h.update_u32(at).update(value);
  }
  return h.finish();
}

bool follows_from_tokens(const audit_task& task, const replay_outcome& again) {
  const auto is = [](const std::map<unit_name, digest>& all, const unit_name& unit,
                     const digest& named) {
    const auto found = all.find(unit);
    return found != all.end() && found->second == named;
  };
  const layer_range layers = task.layers;
  if (layers.first > 0 && !is(again.units, {task.window(), layers.first - 1}, task.input)) {
    return false;
  }
  auto named = task.kv.begin();
  for (std::uint32_t w = 0; w < task.window(); ++w) {
    for (layer_index l = layers.first; l < layers.last; ++l, ++named) {
      if (!is(again.kv, {w, l}, *named)) {
        return false;
      }
    }
  }
  return true;
}

} // namespace ovir::compute
