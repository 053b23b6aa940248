#include "messages/evidence/seen_times.hpp"

#include "messages/limits/evidence.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace ovir {

namespace {

/// A stage's part of one turn around the path: the end of a step's positions, and when it was
/// there.
using passages_of_stage = std::map<position, handover>;

passages_of_stage passages_until(const stage_records& records, std::uint32_t window) {
  passages_of_stage all;
  for (const std::uint32_t w : {window - std::min(window, 1U), window}) {
    if (w < records.statements.size()) {
      for (const handover& h : records.statements[w].handovers) {
        all[w * limits::window_positions + h.positions] = h;
      }
    }
  }
  return all;
}

std::int64_t held(const handover& h) { return std::int64_t{h.sent_us} - h.came_us; }

/// A turn that ends with a step's arrival at stage `at`, and began with that of the step before:
/// the stages behind `at` hold that one in it, those in front the next.
struct turn {
  const std::vector<passages_of_stage>& all;
  position before;
  position next;

  [[nodiscard]] const handover& of(std::size_t stage, std::size_t at) const {
    return all[stage].at(stage >= at ? before : next);
  }
  /// What stage `i` held, as stage `at` saw it. Negative: the steps were not one after another.
  [[nodiscard]] std::int64_t seen(std::size_t i, std::size_t at) const {
    std::int64_t left = std::int64_t{all[at].at(next).came_us} - all[at].at(before).came_us;
    for (std::size_t k = 0; k < all.size(); ++k) {
      left -= k == i ? 0 : held(of(k, at));
    }
    return left;
  }
  [[nodiscard]] std::int64_t least_seen(std::size_t i) const {
    std::optional<std::int64_t> least;
    for (std::size_t at = 0; at < all.size(); ++at) {
      if (at != i) {
        least = std::min(least.value_or(seen(i, at)), seen(i, at));
      }
    }
    return *least;
  }
};

} // namespace

seen_times times_seen(std::span<const stage_records* const> path, std::uint32_t window) {
  seen_times out;
  out.held.resize(path.size());
  if (path.size() < 2) {
    return out;
  }
  std::vector<passages_of_stage> all;
  for (const stage_records* const records : path) {
    if (records->statements.size() <= window) {
      return out;
    }
    all.push_back(passages_until(*records, window));
  }
  const auto everybody_has = [&](position at) {
    return std::all_of(all.begin(), all.end(), [at](const auto& one) { return one.contains(at); });
  };
  const position first = window * limits::window_positions;
  for (auto next = all.front().begin(); next != all.front().end(); ++next) {
    if (next == all.front().begin() || next->first <= first || !everybody_has(next->first) ||
        !everybody_has(std::prev(next)->first)) {
      continue;
    }
    const turn one{all, std::prev(next)->first, next->first};
    std::vector<std::int64_t> seen;
    for (std::size_t i = 0; i < path.size(); ++i) {
      seen.push_back(one.least_seen(i));
    }
    if (std::any_of(seen.begin(), seen.end(), [](std::int64_t t) { return t < 0; })) {
      continue; // the next step was sent meanwhile, as of a prompt
    }
    ++out.steps;
    for (std::size_t i = 0; i < path.size(); ++i) {
      out.held[i] += static_cast<std::uint64_t>(seen[i]);
    }
  }
  return out;
}

} // namespace ovir
