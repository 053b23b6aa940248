#include "tests/swarm/trouble.hpp"

#include <caf/all.hpp>

#include <array>
#include <utility>

namespace ovir::swarm {

namespace {

enum note : std::uint64_t { fault_begins = 200, fault_ends };

constexpr std::chrono::seconds drains_for{2};
constexpr std::chrono::milliseconds restarts_after{100};
/// A node that moves away is even further at first, and for so long.
constexpr std::chrono::milliseconds further{160};
constexpr std::chrono::milliseconds further_for{580};
constexpr std::string_view ledger_folder = "state/ledger";
constexpr std::int64_t drift_middle_ppm = 500;
constexpr std::int64_t jump_middle_s = 3'600;
constexpr std::array<const char*, 12> actors_that_end{
    "jobs",   "host",   "membership", "paths",   "payments",  "verifier",
    "ledger", "blocks", "source",     "fetcher", "scheduler", "admin"};

} // namespace

void trouble::later(nanoseconds delay, std::function<void()> undo) {
  world_.in(delay, [this, undo = std::move(undo)] {
    if (!over_) {
      world_.note(fault_ends, 0);
      undo();
    }
  });
}

void trouble::set_cut(const pairs& which, bool cut) {
  for (std::size_t a = 0; a < hosts_.size(); ++a) {
    for (std::size_t b = 0; b < hosts_.size(); ++b) {
      if (a != b && which(a, b)) {
        wires_.between(a, b).cut = cut;
      }
    }
  }
  if (!cut) {
    wires_.healed();
  }
}

void trouble::cut(const fault& f, pairs which) {
  set_cut(which, true);
  later(f.length, [this, which = std::move(which)] { set_cut(which, false); });
}

void trouble::crash(const fault& f, crash_kind kind) {
  hosts_[f.who]->crash(kind);
  world_.in(f.length, [this, who = f.who] { start_(who); });
  if (f.amount > 0) {
    world_.in(f.length + std::chrono::milliseconds{f.amount}, [this, who = f.who, kind] {
      if (!over_) {
        crash({.who = who, .length = restarts_after}, kind);
      }
    });
  }
}

void trouble::disturb_wires(const fault& f) {
  const auto a = f.who;
  const auto b = f.other;
  switch (f.what) {
  case fault_kind::cut:
    return cut(f, [a, b](auto x, auto y) { return (x == a && y == b) || (x == b && y == a); });
  case fault_kind::cut_one: return cut(f, [a, b](auto x, auto y) { return x == a && y == b; });
  case fault_kind::isolate: return cut(f, [a](auto x, auto y) { return x == a || y == a; });
  case fault_kind::divide:
    return cut(f, [bits = f.amount](auto x, auto y) {
      return ((bits >> (x % 64)) & 1U) != ((bits >> (y % 64)) & 1U);
    });
  case fault_kind::reset: static_cast<void>(wires_.reset_one(world_.draws())); return;
  case fault_kind::forget:
    static_cast<void>(wires_.forget_one(world_.draws(), std::chrono::milliseconds{f.amount}));
    return;
  case fault_kind::far: return move_away(f);
  case fault_kind::delay: {
    wire_state& w = wires_.between(a, b);
    const std::chrono::milliseconds more{f.amount};
    w.delay += more;
    return later(f.length, [&w, more] { w.delay -= more; });
  }
  case fault_kind::jitter: {
    wire_state& w = wires_.between(a, b);
    const std::chrono::milliseconds more{f.amount};
    w.jitter += more;
    return later(f.length, [&w, more] { w.jitter -= more; });
  }
  default: {
    wire_state& w = wires_.between(a, b);
    w.bytes_per_second = f.amount;
    return later(f.length, [&w] { w.bytes_per_second = wire_state{}.bytes_per_second; });
  }
  }
}

void trouble::move_away(const fault& f) {
  const auto move = [this, who = f.who](std::chrono::milliseconds by) {
    for (std::size_t other = 0; other < hosts_.size(); ++other) {
      if (other != who) {
        wires_.between(who, other).delay += by;
        wires_.between(other, who).delay += by;
      }
    }
  };
  move(std::chrono::milliseconds{f.amount} + further);
  later(further_for, [move] { move(-further); });
  later(further_for + f.length, [move, f] { move(-std::chrono::milliseconds{f.amount}); });
}

void trouble::disturb_disk(const fault& f) {
  host& h = *hosts_[f.who];
  switch (f.what) {
  case fault_kind::full_disk:
    h.kept().full = true;
    return later(f.length, [&h] { h.kept().full = false; });
  case fault_kind::sick_disk:
    h.kept().sync_fails = true;
    return later(f.length, [&h] { h.kept().sync_fails = false; });
  default:
    h.speed().sync = std::chrono::milliseconds{f.amount};
    return later(f.length, [&h] { h.speed().sync = host_speed{}.sync; });
  }
}

void trouble::fork(const fault& f) {
  later(f.length, [this, f, then = hosts_[f.who]->kept().copy(ledger_folder)] {
    host& h = *hosts_[f.who];
    crash({.who = f.who, .length = restarts_after}, crash_kind::process);
    const std::string log = std::string{ledger_folder} + "/log";
    const auto now = h.kept().copy(log);
    const auto earlier = then.find(log);
    forgot_ = earlier == then.end() || !now.contains(log) || now.at(log) != earlier->second;
    h.kept().restore(then, ledger_folder);
  });
}

void trouble::disturb_node(const fault& f) {
  host& h = *hosts_[f.who];
  switch (f.what) {
  case fault_kind::crash: return crash(f, crash_kind::process);
  case fault_kind::power: return crash(f, crash_kind::power);
  case fault_kind::freeze:
    if (h.is_up()) {
      h.freeze();
      later(f.length, [&h] { h.thaw(); });
    }
    return;
  case fault_kind::slow_node:
    h.speed().step = host_speed{}.step * static_cast<std::int64_t>(f.amount);
    return later(f.length, [&h] { h.speed().step = host_speed{}.step; });
  case fault_kind::drift:
    return h.clock().drift(world_.now(), static_cast<std::int64_t>(f.amount) - drift_middle_ppm);
  case fault_kind::drain:
    if (h.is_up() && !h.is_frozen()) {
      draining_[f.who] = h.life();
      h.run_here(h.life(), [&h] { h.node()->begin_drain(); });
      later(drains_for, [this, f, &h, life = h.life()] {
        if (h.life() == life) {
          crash(f, crash_kind::process);
        }
      });
    }
    return;
  case fault_kind::fork: return fork(f);
  case fault_kind::actor:
    if (h.is_up() && !h.is_frozen()) {
      h.run_here(h.life(), [&h, name = actors_that_end.at(f.amount % actors_that_end.size())] {
        if (const caf::actor one = h.node()->find(name)) {
          caf::anon_send_exit(one, caf::exit_reason::unhandled_exception);
        }
      });
    }
    return;
  case fault_kind::flip:
    crash({.who = f.who, .length = f.length}, crash_kind::power);
    static_cast<void>(
        h.kept().flip(f.amount == 0 ? "state/requests/" : "state/store/", world_.draws()));
    return;
  case fault_kind::lose_disk:
    crash({.who = f.who, .length = f.length}, crash_kind::power);
    return h.kept().lose();
  default: return h.clock().jump_date(static_cast<std::int64_t>(f.amount) - jump_middle_s);
  }
}

void trouble::begin(const fault& f) {
  if (over_ || f.who >= hosts_.size() || f.other >= hosts_.size()) {
    return;
  }
  world_.note(fault_begins, f.who, static_cast<std::uint64_t>(f.what));
  switch (f.what) {
  case fault_kind::crash:
  case fault_kind::power:
  case fault_kind::freeze:
  case fault_kind::slow_node:
  case fault_kind::drift:
  case fault_kind::drain:
  case fault_kind::flip:
  case fault_kind::lose_disk:
  case fault_kind::actor:
  case fault_kind::fork:
  case fault_kind::jump: return disturb_node(f);
  case fault_kind::full_disk:
  case fault_kind::sick_disk:
  case fault_kind::slow_disk: return disturb_disk(f);
  case fault_kind::cut:
  case fault_kind::cut_one:
  case fault_kind::isolate:
  case fault_kind::divide:
  case fault_kind::reset:
  case fault_kind::delay:
  case fault_kind::narrow:
  case fault_kind::far:
  case fault_kind::jitter:
  case fault_kind::forget: return disturb_wires(f);
  }
}

void trouble::mend() {
  over_ = true;
  for (std::size_t a = 0; a < hosts_.size(); ++a) {
    for (std::size_t b = 0; b < hosts_.size(); ++b) {
      if (a != b) {
        wires_.between(a, b) = wire_state{};
      }
    }
  }
  wires_.healed();
  for (std::size_t who = 0; who < hosts_.size(); ++who) {
    host& h = *hosts_[who];
    h.kept().full = false;
    h.kept().sync_fails = false;
    h.speed() = host_speed{};
    h.thaw();
    if (const auto drains = draining_.find(who);
        drains != draining_.end() && drains->second == h.life() && h.is_up()) {
      h.crash(crash_kind::process); // it takes nothing new for the rest of its life
    }
    start_(who);
  }
}

} // namespace ovir::swarm
