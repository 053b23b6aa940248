#include "actors/path/observed_reputation.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::actors {

void observed_reputation::note_step(const node_id& node, double took, double planned,
                                    time_point now) {
  if (!(planned > 0) || !std::isfinite(planned) || !(took >= 0)) {
    return;
  }
  if (!nodes_.contains(node) && nodes_.size() >= limits::reputation_nodes_max) {
    nodes_.erase(std::min_element(nodes_.begin(), nodes_.end(), [](const auto& a, const auto& b) {
      return a.second.steps < b.second.steps;
    }));
  }
  const auto [found, fresh] = nodes_.try_emplace(node);
  record& r = found->second;
  if (fresh) {
    r.since = now;
  }
  const double grace = std::chrono::duration<double>(limits::late_grace).count();
  const bool in_time = took <= planned * limits::late_factor + grace;
  constexpr double fades = 1 - 1 / static_cast<double>(limits::reputation_steps);
  r.kept = r.kept * fades + (in_time ? 1 : 0);
  r.steps = r.steps * fades + 1;
  ++r.seen;
  r.last = now;
}

void observed_reputation::note_there(const std::function<bool(const node_id&)>& is_there,
                                     time_point now) {
  for (auto& [node, r] : nodes_) {
    const std::chrono::duration<double> passed = now - r.since;
    const double fades = std::exp2(-passed / limits::reputation_half_life);
    r.up = r.up * fades + (r.there ? passed.count() : 0);
    r.all = r.all * fades + passed.count();
    r.since = now;
    r.there = is_there(node);
  }
}

// Both begin as if so much had been seen before.
reputation_view observed_reputation::view_of(const node_id& node, const record& r) {
  constexpr double steps = limits::reputation_steps_before;
  const double time = std::chrono::duration<double>(limits::reputation_time_before).count();
  return {node, (r.kept + steps / 2) / (r.steps + steps), (r.up + time) / (r.all + time), r.seen};
}

double observed_reputation::share(const node_id& node) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) {
    return 0.5;
  }
  const reputation_view view = view_of(node, found->second);
  return std::min(view.punctuality, view.availability);
}

double observed_reputation::weight(const node_id& node, bool in_a_hurry, time_point now) const {
  const double known = share(node);
  if (in_a_hurry) {
    return (0.8 + 0.4 * known) * (0.8 + 0.4 * known);
  }
  const auto found = nodes_.find(node);
  if (found == nodes_.end()) {
    return 1.2;
  }
  const std::chrono::duration<double> unseen = now - found->second.last;
  const double lacks = (1 - known) * std::exp2(-std::max(unseen / limits::reputation_doubts, 0.0));
  return 1.2 - 0.4 * lacks;
}

std::vector<reputation_view> observed_reputation::list() const {
  std::vector<reputation_view> all;
  for (const auto& [node, r] : nodes_) {
    all.push_back(view_of(node, r));
  }
  return all;
}

} // namespace ovir::actors
