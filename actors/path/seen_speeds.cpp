#include "actors/path/seen_speeds.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::actors {

std::vector<double> seconds_on_ways(std::span<const double> to_lead,
                                    std::span<const double> between) {
  std::vector<double> seconds;
  for (std::size_t i = 0; i < to_lead.size(); ++i) {
    const bool first = i == 0;
    const bool last = i + 1 == to_lead.size();
    const double in = first ? to_lead[i] : between[i - 1];
    const double out = last ? to_lead[i] : between[i];
    const double told = (last ? 0 : to_lead[i + 1]) - (first ? 0 : to_lead[i - 1]);
    seconds.push_back((in + out + told) / 2);
  }
  return seconds;
}

computed_time without_ways(double took, double on_ways) noexcept {
  const double least = took * limits::seen_share_min;
  return {std::max(took - on_ways, least), took - on_ways >= least};
}

void seen_speeds::add(const node_id& node, double speed, double word, time_point now) {
  if (!(speed > 0) || !std::isfinite(speed) || !(word > 0) || !std::isfinite(word)) {
    return;
  }
  if (!nodes_.contains(node) && nodes_.size() >= limits::speeds_seen_max) {
    nodes_.erase(std::min_element(nodes_.begin(), nodes_.end(), [](const auto& a, const auto& b) {
      return a.second.last < b.second.last;
    }));
  }
  record& r = nodes_[node];
  if (r.steps >= limits::speed_seen_min && is_due(r, now)) {
    if (speed * limits::speed_try_factor < word * best_share_) {
      r.tries = std::min(r.tries + 1, limits::speed_tries_max);
    } else {
      r.tries = 0;
      r.speed = {};
    }
  }
  r.speed.add(speed);
  r.word = word;
  r.steps = std::min(r.steps + 1, limits::speed_usual_steps);
  r.last = now;
  r.usual += (speed - r.usual) / r.steps; // the mean of the latest limits::speed_usual_steps or so
  best_share_ = 0;
  for (const auto& [who, one] : nodes_) {
    if (one.steps >= limits::speed_seen_min) {
      best_share_ = std::max(best_share_, one.usual / one.word);
    }
  }
}

double seen_speeds::slower(double seen, double word) const noexcept {
  return best_share_ > 0 ? std::min(1.0, seen / (word * best_share_)) : 1.0;
}

std::optional<double> seen_speeds::believed(const node_id& node, double word,
                                            time_point now) const {
  const auto found = nodes_.find(node);
  if (found == nodes_.end() || found->second.steps < limits::speed_seen_min) {
    return std::nullopt;
  }
  const record& r = found->second;
  const double seen = *r.speed.value();
  const double best = word * best_share_;
  if (seen < best && is_due(r, now)) {
    return best;
  }
  const double goal = r.steps < limits::speed_usual_steps ? best : std::min(best, r.usual);
  const std::chrono::duration<double> age = now - r.last;
  const double nearer =
      std::exp2(std::max(age / std::chrono::duration<double>(limits::speed_seen_fades), 0.0));
  return seen < goal ? std::min(goal, seen * nearer) : std::max(goal, seen / nearer);
}

bool seen_speeds::is_due(const record& r, time_point now) {
  return now - r.last >= limits::speed_seen_fades * (std::int64_t{1} << r.tries);
}

} // namespace ovir::actors
