#include "actors/request/stated_units.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

std::uint32_t windows_of(position positions) {
  return (positions + limits::window_positions - 1) / limits::window_positions;
}

} // namespace

// Its own layers, whole windows of what was computed so far; with its end, also the one begun.
bool stated_units::may_state(stage_index s, const bounds& limits,
                             const compute::unit_leaf& leaf) const {
  if (s.value >= places_.size()) {
    return false;
  }
  const layer_range& layers = places_[s.value].layers;
  const auto& [window, layer] = leaf.unit;
  const std::uint64_t begin = std::uint64_t{window} * limits::window_positions;
  const bool whole = leaf.positions == limits::window_positions;
  const bool begun = limits.ends && leaf.positions > 0 &&
                     leaf.positions < limits::window_positions &&
                     begin + leaf.positions == limits.target;
  return layers.first <= layer && layer < std::min(layers.last, hashed_layers_) &&
         ((whole && begin + leaf.positions <= limits.length_max) || begun);
}

std::optional<stated_units::objection> stated_units::add_leaf(stage_index s, bool current,
                                                              const compute::unit_leaf& leaf) {
  const auto added = transcript_.add_unit(leaf);
  const std::uint32_t host = places_[s.value].host;
  if (added) {
    stated_by_.try_emplace(leaf.unit, host);
    return std::nullopt;
  }
  if (!current) {
    return std::nullopt;
  }
  const auto author = stated_by_.find(leaf.unit);
  if (author != stated_by_.end() && author->second != host) {
    const auto known = disputed_.find(leaf.unit);
    if (known != disputed_.end() && known->second.leaf == leaf && known->second.host != host) {
      return objection{fault::earlier, author->second, added.error()};
    }
    if (disputed_.size() < limits::disputes_max || known != disputed_.end()) {
      disputed_.insert_or_assign(leaf.unit, dispute{leaf, host});
    }
  }
  return objection{fault::stage, 0, added.error()};
}

std::optional<stated_units::objection>
stated_units::add(stage_index s, bool current, const bounds& limits,
                  const std::vector<compute::unit_leaf>& leaves) {
  for (const compute::unit_leaf& leaf : leaves) {
    if (replaceable()) {
      if (!may_state(s, limits, leaf)) {
        continue;
      }
      if (auto objects = add_leaf(s, current, leaf)) {
        return objects;
      }
    } else if (const auto added = transcript_.add_unit(leaf); !added) {
      return objection{fault::request, 0, added.error()};
    }
  }
  return std::nullopt;
}

bool stated_units::all_of(stage_index s, position positions) const {
  if (!replaceable()) {
    return true;
  }
  const layer_range& layers = places_[s.value].layers;
  const layer_index last = std::min(layers.last, hashed_layers_);
  for (std::uint32_t window = 0; window < windows_of(positions); ++window) {
    for (layer_index layer = layers.first; layer < last; ++layer) {
      if (!stated_by_.contains({window, layer})) {
        return false;
      }
    }
  }
  return true;
}

void stated_units::drop_units() {
  for (const auto& [at, logits] : std::exchange(transcript_, {}).logits()) {
    static_cast<void>(transcript_.add_logits(at, logits));
  }
}

void stated_units::forget(std::uint32_t host) {
  const std::vector<compute::unit_leaf> known = transcript_.units();
  drop_units();
  for (const compute::unit_leaf& leaf : known) {
    const auto author = stated_by_.find(leaf.unit);
    if (author == stated_by_.end() || author->second != host) {
      static_cast<void>(transcript_.add_unit(leaf));
    }
  }
  std::erase_if(stated_by_, [host](const auto& one) { return one.second == host; });
}

} // namespace ovir::actors
