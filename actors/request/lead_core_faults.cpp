// What a lead makes of what stages elsewhere say of themselves, and of answers no honest one gives.
#include "actors/request/lead_core.hpp"
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
bool lead_core::may_state(stage_index s, bool ends, const compute::unit_leaf& leaf) const {
  if (s.value >= trust_.places.size()) {
    return false;
  }
  const layer_range& layers = trust_.places[s.value].layers;
  const auto& [window, layer] = leaf.unit;
  const std::uint64_t begin = std::uint64_t{window} * limits::window_positions;
  const bool whole = leaf.positions == limits::window_positions;
  const bool begun = ends && leaf.positions > 0 && leaf.positions < limits::window_positions &&
                     begin + leaf.positions == output_.target;
  return layers.first <= layer && layer < std::min(layers.last, shape_.hashed_layers) &&
         ((whole && begin + leaf.positions <= length_max()) || begun);
}

bool lead_core::add_leaf(stage_index s, epoch e, const compute::unit_leaf& leaf, effects& out) {
  const auto added = transcript_.add_unit(leaf);
  const std::uint32_t host = trust_.places[s.value].host;
  if (added) {
    trust_.stated_by.try_emplace(leaf.unit, host);
    return true;
  }
  if (!current(s, e)) {
    return true; // of a path that is over: who said it is not certain, and who is left repeats it
  }
  const auto author = trust_.stated_by.find(leaf.unit);
  if (author != trust_.stated_by.end() && author->second != host) {
    const auto known = trust_.disputed.find(leaf.unit);
    if (known != trust_.disputed.end() && known->second.leaf == leaf &&
        known->second.host != host) {
      out.push_back(accuse_effect{author->second, added.error()});
      fail(added.error(), out);
      return false;
    }
    if (trust_.disputed.size() < limits::disputes_max || known != trust_.disputed.end()) {
      trust_.disputed.insert_or_assign(leaf.unit, trust::dispute{leaf, host});
    }
  }
  blame(s, added.error(), out);
  return false;
}

// Leaves are taken from any epoch, because what a stage states is determined. It states all of them
// again when it is opened again, so what is passed over here is not lost.
bool lead_core::add_leaves(stage_index s, epoch e, bool ends,
                           const std::vector<compute::unit_leaf>& leaves, effects& out) {
  for (const compute::unit_leaf& leaf : leaves) {
    if (!trust_.places.empty()) {
      if (may_state(s, ends, leaf) && !add_leaf(s, e, leaf, out)) {
        return false;
      }
    } else if (const auto added = transcript_.add_unit(leaf); !added) {
      fail(added.error(), out);
      return false;
    }
  }
  return true;
}

bool lead_core::stated_all(stage_index s) const {
  if (trust_.places.empty()) {
    return true;
  }
  const layer_range& layers = trust_.places[s.value].layers;
  const layer_index last = std::min(layers.last, shape_.hashed_layers);
  for (std::uint32_t window = 0; window < windows_of(output_.target); ++window) {
    for (layer_index layer = layers.first; layer < last; ++layer) {
      if (!trust_.stated_by.contains({window, layer})) {
        return false;
      }
    }
  }
  return true;
}

bool lead_core::too_long(stage_index s, epoch e, position length, effects& out) {
  if (trust_.places.empty() || !current(s, e) || length <= length_max()) {
    return false;
  }
  blame(s,
        {errc::malformed,
         fmt::format("the stage says it holds {} positions of {}", length, length_max())},
        out);
  return true;
}

void lead_core::take_length(stage& st, position length) {
  if (length <= st.length) {
    return;
  }
  st.length = length;
  if (length >= run_.cursor || length - st.counted >= shape_.prefill_chunk) {
    st.counted = length;
    ++moves_;
  }
}

// A stage that lacks what it was sent gets it again. When that does not help, either it lies or the
// one before it does not send: one is blamed, and the next time the other.
void lead_core::lacks_something(stage_index s, effects& out) {
  stage& st = stages_[s.value];
  if (st.complaints < limits::recoveries_max) {
    ++st.complaints;
    gather(out);
    return;
  }
  const bool source = std::exchange(trust_.blames_source, !trust_.blames_source) && s.value > 0;
  const stage_index at{source ? s.value - 1 : s.value};
  blame(at,
        {errc::malformed, fmt::format("stage {} lacked what it was sent {} times", s.value,
                                      limits::recoveries_max + 1)},
        out);
}

lead_core::effects lead_core::on_bad_answer(epoch driver, error reason) {
  effects out;
  const stage_index last{static_cast<std::uint32_t>(std::max<std::size_t>(stages_.size(), 1) - 1)};
  if (current(last, driver)) {
    blame(last, std::move(reason), out);
  }
  return out;
}

void lead_core::blame(stage_index s, error reason, effects& out) {
  if (trust_.places.empty()) {
    fail(std::move(reason), out);
    return;
  }
  forget_statements(trust_.places[s.value].host);
  stages_[s.value].up = false;
  stages_[s.value].dying = false;
  run_.now = phase::gathering;
  out.push_back(blame_effect{s, std::move(reason)});
}

// The stage that takes its place computes it again and states it.
void lead_core::forget_statements(std::uint32_t host) {
  for (std::size_t i = 0; i < trust_.places.size(); ++i) {
    if (trust_.places[i].host == host) {
      stages_[i].finished = false;
    }
  }
  compute::transcript kept;
  for (const auto& [at, logits] : transcript_.logits()) {
    static_cast<void>(kept.add_logits(at, logits));
  }
  for (const compute::unit_leaf& leaf : transcript_.units()) {
    const auto author = trust_.stated_by.find(leaf.unit);
    if (author == trust_.stated_by.end() || author->second != host) {
      static_cast<void>(kept.add_unit(leaf));
    }
  }
  transcript_ = std::move(kept);
  std::erase_if(trust_.stated_by, [host](const auto& one) { return one.second == host; });
}

} // namespace ovir::actors
