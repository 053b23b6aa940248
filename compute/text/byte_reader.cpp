#include "compute/text/byte_reader.hpp"

#include "messages/limits/constraint.hpp"

#include <algorithm>
#include <bitset>
#include <set>
#include <utility>

namespace ovir::compute {

namespace {

using kind = automaton_edge::kind;

std::uint64_t mixed(std::uint64_t sum, std::uint64_t value) {
  sum = (sum ^ value) * 0x9E3779B97F4A7C15U;
  return sum ^ (sum >> 29U);
}

std::uint32_t plus(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{a} + b, byte_automaton::unreachable));
}

} // namespace

byte_reader::byte_reader(const byte_automaton& automaton, const std::array<bool, 256>& available)
    : automaton_(automaton), distances_(automaton.distances(available)) {
  classify();
  start_ = intern({{automaton_.rules.front().first, bottom}});
}

// Bytes between the same edges of the automaton are alike.
void byte_reader::classify() {
  std::bitset<257> begins;
  begins.set(0);
  for (const auto& edges : automaton_.states) {
    for (const automaton_edge& e : edges) {
      if (e.what == kind::bytes) {
        begins.set(e.low);
        begins.set(std::size_t{e.high} + 1);
      }
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (begins[byte]) {
      example_.push_back(static_cast<std::uint8_t>(byte));
    }
    class_of_[byte] = static_cast<std::uint8_t>(example_.size() - 1);
  }
}

byte_reader::stack byte_reader::push(state_index back, stack below) {
  const std::uint64_t key = std::uint64_t{back} << 32U | below;
  const auto [found, fresh] = frame_of_.emplace(key, static_cast<stack>(frames_.size()));
  if (fresh) {
    const std::uint32_t rest = below == bottom ? 0 : frames_[below].distance;
    frames_.push_back({back, below, plus(distances_[back], rest)});
  }
  return found->second;
}

std::uint32_t byte_reader::distance_of(const way& w) const {
  return plus(distances_[w.at], w.on == bottom ? 0 : frames_[w.on].distance);
}

byte_reader::place byte_reader::intern(std::vector<way> open) {
  known_place made;
  made.distance = byte_automaton::unreachable;
  std::set<way> seen;
  while (!open.empty()) {
    const way w = open.back();
    open.pop_back();
    if (distance_of(w) == byte_automaton::unreachable || !seen.insert(w).second) {
      continue;
    }
    if (automaton_.is_last[w.at]) {
      if (w.on == bottom) {
        made.complete = true;
        made.distance = 0;
      } else {
        open.push_back({frames_[w.on].back, frames_[w.on].below});
      }
      continue;
    }
    bool reads = false;
    for (const automaton_edge& e : automaton_.states[w.at]) {
      if (e.what == kind::bytes) {
        reads = true;
      } else if (e.what == kind::skip) {
        open.push_back({e.to, w.on});
      } else {
        // What only ends behind the call need not be come back to.
        const stack on = automaton_.is_last[e.to] ? w.on : push(e.to, w.on);
        open.push_back({automaton_.rules[e.callee].first, on});
      }
    }
    if (reads) {
      made.ways.push_back(w);
      made.distance = std::min(made.distance, distance_of(w));
    }
  }
  if (!made.complete && made.ways.empty()) {
    return nowhere;
  }
  std::sort(made.ways.begin(), made.ways.end());
  std::uint64_t key = made.complete ? 1 : 0;
  for (const way& w : made.ways) {
    key = mixed(mixed(key, w.at), w.on);
  }
  const auto [first, last] = place_of_.equal_range(key);
  for (auto known = first; known != last; ++known) {
    const known_place& other = places_[known->second];
    if (other.complete == made.complete && other.ways == made.ways) {
      return known->second;
    }
  }
  const auto number = static_cast<place>(places_.size());
  place_of_.emplace(key, number);
  places_.push_back(std::move(made));
  return number;
}

byte_reader::place byte_reader::step(place from, std::uint8_t byte) {
  const std::uint8_t c = class_of_[byte];
  if (places_[from].next.empty()) {
    places_[from].next.assign(example_.size(), unknown);
  }
  if (places_[from].next[c] != unknown) {
    return places_[from].next[c];
  }
  std::vector<way> open;
  for (const way& w : places_[from].ways) {
    for (const automaton_edge& e : automaton_.states[w.at]) {
      if (e.what == kind::bytes && e.low <= byte && byte <= e.high) {
        open.push_back({e.to, w.on});
      }
    }
  }
  const place to = intern(std::move(open));
  places_[from].next[c] = to;
  return to;
}

bool byte_reader::is_full() const noexcept {
  return places_.size() > limits::constraint_configs_max ||
         frames_.size() > limits::constraint_stacks_max;
}

byte_reader::place byte_reader::forget(place at) {
  const std::vector<frame> frames = std::exchange(frames_, {});
  const std::vector<way> ways = places_[at].ways;
  const bool complete = places_[at].complete;
  frame_of_.clear();
  places_.clear();
  place_of_.clear();
  const auto kept = [&](stack on) {
    std::vector<state_index> backs;
    for (; on != bottom; on = frames[on].below) {
      backs.push_back(frames[on].back);
    }
    stack fresh = bottom;
    for (auto back = backs.rbegin(); back != backs.rend(); ++back) {
      fresh = push(*back, fresh);
    }
    return fresh;
  };
  std::vector<way> open;
  open.reserve(ways.size() + 1);
  for (const way& w : ways) {
    open.push_back({w.at, kept(w.on)});
  }
  if (complete) {
    open.push_back({automaton_.rules.front().last, bottom});
  }
  const place again = intern(std::move(open));
  start_ = intern({{automaton_.rules.front().first, bottom}});
  return again;
}

} // namespace ovir::compute
