#include "compute/text/byte_automaton.hpp"

#include <algorithm>
#include <deque>

namespace ovir::compute {

namespace {

using kind = automaton_edge::kind;

/// Edges backwards, and for each rule the edges that call it.
struct reversed {
  struct source {
    state_index from;
    const automaton_edge* edge;
  };
  std::vector<std::vector<source>> into;
  std::vector<std::vector<source>> calls;

  explicit reversed(const byte_automaton& a) : into(a.states.size()), calls(a.rules.size()) {
    for (state_index s = 0; s < a.states.size(); ++s) {
      for (const automaton_edge& e : a.states[s]) {
        into[e.to].push_back({s, &e});
        if (e.what == kind::call) {
          calls[e.callee].push_back({s, &e});
        }
      }
    }
  }
};

} // namespace

state_index byte_automaton::add_state() {
  states.emplace_back();
  is_last.push_back(false);
  return static_cast<state_index>(states.size() - 1);
}

rule_index byte_automaton::add_rule() {
  rule fresh;
  fresh.first = add_state();
  fresh.last = add_state();
  is_last[fresh.last] = true;
  rules.push_back(fresh);
  return static_cast<rule_index>(rules.size() - 1);
}

void byte_automaton::bytes(state_index from, std::uint8_t low, std::uint8_t high, state_index to) {
  states[from].push_back({kind::bytes, low, high, 0, to});
}

void byte_automaton::byte(state_index from, char value, state_index to) {
  bytes(from, static_cast<std::uint8_t>(value), static_cast<std::uint8_t>(value), to);
}

void byte_automaton::skip(state_index from, state_index to) {
  states[from].push_back({kind::skip, 0, 0, 0, to});
}

void byte_automaton::call(state_index from, rule_index callee, state_index to) {
  states[from].push_back({kind::call, 0, 0, callee, to});
}

state_index byte_automaton::literal(state_index from, std::string_view text) {
  for (const char c : text) {
    const state_index next = add_state();
    byte(from, c, next);
    from = next;
  }
  return from;
}

void byte_automaton::literal(state_index from, std::string_view text, state_index to) {
  skip(literal(from, text), to);
}

std::vector<std::uint32_t> byte_automaton::distances(const std::array<bool, 256>& available) const {
  const reversed back{*this};
  std::vector<std::uint32_t> best(states.size(), unreachable);
  std::vector<rule_index> rule_of(states.size(), unreachable);
  for (rule_index r = 0; r < rules.size(); ++r) {
    rule_of[rules[r].first] = r;
  }
  std::deque<state_index> changed;
  for (const rule& r : rules) {
    best[r.last] = 0;
    changed.push_back(r.last);
  }
  const auto cost = [&](const automaton_edge& e) -> std::uint32_t {
    if (e.what == kind::skip) {
      return 0;
    }
    if (e.what == kind::call) {
      return best[rules[e.callee].first];
    }
    const auto* const first = available.begin() + e.low;
    return std::find(first, available.begin() + e.high + 1, true) == available.begin() + e.high + 1
               ? unreachable
               : 1;
  };
  const auto relax = [&](state_index from, const automaton_edge& e) {
    const std::uint64_t through = std::uint64_t{cost(e)} + best[e.to];
    if (through < best[from]) {
      best[from] = static_cast<std::uint32_t>(through);
      changed.push_back(from);
    }
  };
  while (!changed.empty()) {
    const state_index s = changed.front();
    changed.pop_front();
    for (const auto& [from, edge] : back.into[s]) {
      relax(from, *edge);
    }
    if (rule_of[s] != unreachable) {
      for (const auto& [from, edge] : back.calls[rule_of[s]]) {
        relax(from, *edge);
      }
    }
  }
  return best;
}

bool byte_automaton::is_left_recursive() const {
  // The rules each rule can begin with.
  std::vector<std::vector<rule_index>> first_calls(rules.size());
  std::vector<rule_index> seen(states.size(), unreachable);
  for (rule_index r = 0; r < rules.size(); ++r) {
    std::vector<state_index> open{rules[r].first};
    while (!open.empty()) {
      const state_index s = open.back();
      open.pop_back();
      if (seen[s] == r) {
        continue;
      }
      seen[s] = r;
      for (const automaton_edge& e : states[s]) {
        if (e.what == kind::skip) {
          open.push_back(e.to);
        } else if (e.what == kind::call) {
          first_calls[r].push_back(e.callee);
        }
      }
    }
  }
  // Rules that begin with nothing left to judge are taken away until none is left, or a circle.
  std::vector<std::size_t> open_calls(rules.size());
  std::vector<std::vector<rule_index>> callers(rules.size());
  std::vector<rule_index> ready;
  for (rule_index r = 0; r < rules.size(); ++r) {
    open_calls[r] = first_calls[r].size();
    for (const rule_index callee : first_calls[r]) {
      callers[callee].push_back(r);
    }
    if (open_calls[r] == 0) {
      ready.push_back(r);
    }
  }
  std::size_t done = 0;
  while (!ready.empty()) {
    const rule_index r = ready.back();
    ready.pop_back();
    ++done;
    for (const rule_index caller : callers[r]) {
      if (--open_calls[caller] == 0) {
        ready.push_back(caller);
      }
    }
  }
  return done < rules.size();
}

} // namespace ovir::compute
