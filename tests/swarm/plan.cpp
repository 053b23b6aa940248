#include "tests/swarm/plan.hpp"

#include "tests/swarm/calm.hpp"
#include "tests/swarm/liars/escapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, fault_kinds> names{
    "crash", "power",  "freeze",    "cut",       "cut_one",   "isolate",   "divide",    "reset",
    "delay", "narrow", "full_disk", "sick_disk", "slow_disk", "slow_node", "drift",     "jump",
    "drain", "flip",   "actor",     "fork",      "far",       "forget",    "lose_disk", "jitter"};

constexpr std::uint64_t requests_different = 48;

} // namespace

wanted_answer draw_wanted(chance& draws) {
  chance c{draws.below(requests_different) + 1};
  wanted_answer w;
  const std::uint64_t length = c.between(1, 70);
  for (std::uint64_t i = 0; i < length; ++i) {
    w.prompt.push_back(static_cast<token_id>(c.between(0, tiny_model::vocabulary - 5)));
  }
  w.max_tokens = static_cast<std::uint32_t>(c.between(1, 40));
  if (c.one_in(2)) {
    w.sampling.temperature = 0.75F;
    w.sampling.top_k = 40;
    w.sampling.seed = c.below(1'000);
  }
  return w;
}

fault draw_fault(chance& draws, const intensity& how) {
  fault f;
  f.at = draws.between(nanoseconds{1s}, how.length);
  f.what = static_cast<fault_kind>(draws.below(fault_kinds_drawn));
  if (!how.only.empty()) {
    f.what = how.only[static_cast<std::size_t>(f.what) % how.only.size()];
  }
  f.who = draws.below(how.nodes);
  f.other = (f.who + draws.between(1, std::max<std::size_t>(how.nodes, 2) - 1)) % how.nodes;
  f.length =
      draws.one_in(4) ? draws.between(nanoseconds{2s}, 10s) : draws.between(nanoseconds{20ms}, 2s);
  if (f.what == fault_kind::lose_disk && how.ledger && f.who + 1 == how.nodes) {
    f.who = 0; // a ledger has one keeper
  }
  chance more = draws.split(0xe4d); // what comes next is drawn as it was before these were
  if (f.what == fault_kind::reset && how.only.empty() && more.one_in(2)) {
    f.what = fault_kind::forget;
  }
  switch (f.what) {
  case fault_kind::divide: f.amount = draws.next(); break;
  case fault_kind::delay: f.amount = draws.between(1, 400); break;
  case fault_kind::narrow: f.amount = draws.between(2'000, 500'000); break;
  case fault_kind::slow_disk: f.amount = draws.between(1, 300); break;
  case fault_kind::slow_node: f.amount = draws.between(2, 200); break;
  case fault_kind::drift: f.amount = draws.between(0, 1'000); break;
  case fault_kind::actor: f.amount = draws.below(64); break;
  case fault_kind::jump: f.amount = draws.between(0, 7'200); break;
  case fault_kind::flip: f.amount = draws.below(2); break;
  case fault_kind::forget: f.amount = more.between(1, 1'000); break;
  case fault_kind::crash:
  case fault_kind::power: f.amount = more.one_in(3) ? more.between(50, 1'000) : 0; break;
  default: break;
  }
  return f;
}

namespace {

/// One of the two schedulers ends; it may come back soon. By then requests are paid for: one that
/// nobody reserved for is not gone on with elsewhere.
fault draw_takeover(chance& draws, const intensity& how) {
  fault f;
  f.at = draws.between(nanoseconds{5s}, how.length);
  f.who = draws.below(2);
  f.other = 1 - f.who;
  // Node 1 computes first layers as well, whose hosts keep the log of a request for others.
  const bool returns = f.who == 1 || draws.one_in(3);
  // What a machine that loses its power did not sync yet may be gone with it.
  f.what = returns || draws.one_in(2) ? fault_kind::crash : fault_kind::power;
  f.length = returns ? draws.between(nanoseconds{100ms}, 5s) : nanoseconds{300s};
  return f;
}

/// In half of the runs the others stand still when it ends: they handle its last words only after
/// they know that it is gone, as the bytes of its connections then arrive at different times.
void freeze_others(chance draws, const intensity& how, std::vector<fault>& faults) {
  const fault ends = faults.front();
  const bool frozen = draws.one_in(2);
  for (std::size_t who = 0; frozen && who < how.nodes; ++who) {
    fault f;
    f.what = fault_kind::freeze;
    f.who = who;
    f.at = ends.at - draws.between(nanoseconds{0}, 150us);
    f.length = draws.between(nanoseconds{20ms}, 300ms);
    fault late = f;
    late.what = fault_kind::jitter;
    late.who = ends.who;
    late.other = who;
    late.at = ends.at - draws.between(nanoseconds{10ms}, 50ms);
    late.length = ends.at - late.at + 1ms;
    late.amount = draws.between(1, 20);
    if (who != ends.who) {
      faults.push_back(f);
      faults.push_back(late);
    }
  }
}

/// In half of these runs some do not reach one of the schedulers for a while afterwards, as when a
/// switch went down with the machine: who goes on with the requests leaves them out.
void cut_some(chance draws, const intensity& how, std::vector<fault>& faults) {
  const fault ends = faults.front();
  const bool cuts = faults.size() > 1 && draws.one_in(2);
  const std::size_t from = draws.one_in(2) ? ends.other : ends.who;
  for (std::size_t who = 0; cuts && who < how.nodes; ++who) {
    fault f;
    f.what = fault_kind::cut;
    f.who = who;
    f.other = from;
    f.at = ends.at + draws.between(nanoseconds{300ms}, 600ms);
    f.length = draws.between(nanoseconds{2s}, 10s);
    if (who != ends.who && who != ends.other && draws.one_in(3)) {
      faults.push_back(f);
    }
  }
}

/// Early enough that requests come afterwards.
fault draw_fork(chance& draws, const intensity& how) {
  fault f;
  f.at = draws.between(nanoseconds{2s}, how.length / 3);
  f.what = fault_kind::fork;
  f.who = how.nodes - 1;
  f.length = draws.between(how.length / 5, how.length / 3);
  return f;
}

/// Two nodes that the others reach, or one whose words take so long that a probe of it fails where
/// it is doubted, and not so long that it is dead before its refutation is there.
fault draw_apart(chance& draws, const intensity& how) {
  fault f;
  f.at = draws.between(nanoseconds{4s}, how.length / 2);
  f.what = draws.one_in(2) ? fault_kind::cut : fault_kind::far;
  f.who = draws.below(how.nodes);
  f.other = (f.who + draws.between(1, how.nodes - 1)) % how.nodes;
  f.length = draws.between(nanoseconds{4s}, 8s);
  f.amount = f.what == fault_kind::far ? draws.between(150, 190) : 0;
  return f;
}

/// The only fault of its kind of run, or as many as are asked for.
std::vector<fault> draw_faults(chance& draws, const intensity& how) {
  std::vector<fault> faults;
  if (how.takeover) {
    faults.push_back(draw_takeover(draws, how));
    freeze_others(draws.split(0xf4ee2e), how, faults);
    cut_some(draws.split(0xc0750e), how, faults);
  }
  if (how.fork) {
    faults.push_back(draw_fork(draws, how));
  }
  if (how.apart) {
    faults.push_back(draw_apart(draws, how));
  }
  const bool chosen = how.takeover || how.fork || how.apart || how.cancels;
  for (std::size_t i = 0; !chosen && i < how.faults; ++i) {
    faults.push_back(draw_fault(draws, how));
  }
  return faults;
}

} // namespace

std::string_view to_string(fault_kind kind) noexcept {
  return names.at(static_cast<std::size_t>(kind));
}

result<fault_kind> fault_kind_from(std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) {
    return fail(errc::malformed, "no fault is called '{}'", name);
  }
  return static_cast<fault_kind>(found - names.begin());
}

fault draw_fault_of_cancel(chance& draws, std::size_t who) {
  fault f;
  f.who = who;
  f.what = draws.one_in(3) ? fault_kind::power : fault_kind::isolate;
  f.length = f.what == fault_kind::power ? draws.between(nanoseconds{100ms}, 1s)
                                         : draws.between(nanoseconds{3s}, 8s);
  return f;
}

plan draw_plan(std::uint64_t seed, const intensity& how) {
  if (how.calm) {
    return draw_calm_plan(seed, how);
  }
  if (how.escapes) {
    return draw_escapes_plan(seed, how);
  }
  plan p;
  p.seed = seed;
  p.how = how;
  p.how.free = how.free || (how.ledger && !how.fork && seed % 4 == 3);
  chance draws = chance{seed}.split(0xfa17);
  p.faults = draw_faults(draws, how);
  chance wants = chance{seed}.split(0xa5c);
  chance receipts = chance{seed}.split(0x4ece);
  chance aims = chance{seed}.split(0xa135);
  for (std::size_t i = 0; i < how.requests; ++i) {
    ask a;
    a.at = wants.between(nanoseconds{500ms}, how.length);
    // An answer takes about as long. What a keeper forgot shows in what is asked afterwards.
    if (how.aimed && !how.fork && !p.faults.empty() && aims.one_in(2)) {
      const fault& met = p.faults[aims.below(p.faults.size())];
      a.at = std::max<nanoseconds>(500ms, met.at - aims.between(nanoseconds{0}, 120ms));
    }
    a.client = i;
    a.gateway = wants.below(2);
    a.wanted = draw_wanted(wants);
    a.stream = !wants.one_in(5);
    a.receipt = receipts.one_in(2);
    a.hang_up_after =
        a.stream && wants.one_in(5) ? 1 + static_cast<std::uint32_t>(wants.below(8)) : 0;
    a.cancel_after =
        a.stream && wants.one_in(10) ? 1 + static_cast<std::uint32_t>(wants.below(8)) : 0;
    if (how.cancels) {
      a.stream = true;
      a.hang_up_after = 0;
      a.cancel_after = 1 + static_cast<std::uint32_t>(wants.below(8));
    }
    if (how.takeover && a.stream && a.hang_up_after + a.cancel_after == 0) {
      a.gateway = p.faults.front().who;
      a.at = p.faults.front().at - wants.between(nanoseconds{10ms}, 400ms); // it is under way then
      a.comes_back = how.length + takeover_bound + 5s;
    }
    p.asks.push_back(std::move(a));
  }
  std::sort(p.faults.begin(), p.faults.end(),
            [](const fault& a, const fault& b) { return a.at < b.at; });
  return p;
}

std::string to_text(const plan& all) {
  std::string out = fmt::format(
      "seed {}\nnodes {}\nrequests {}\nfaults {}\nlength_ns {}\nledger {:d}\naudits {:d}\n"
      "liars {}\nhostile {}\nreuse {:d}\ncalm {:d}\ntakeover {:d}\nfork {:d}\naimed "
      "{:d}\nplaced {:d}\nnewcomers {}\ncancels {:d}\napart {:d}\nfree {:d}\nescapes {:d}\n"
      "colluders {}\nlost_disks {}\nstrangers {}\n",
      all.seed, all.how.nodes, all.how.requests, all.how.faults, all.how.length.count(),
      all.how.ledger, all.how.audits, all.how.liars, all.how.hostile, all.how.reuse, all.how.calm,
      all.how.takeover, all.how.fork, all.how.aimed, all.how.placed, all.how.newcomers,
      all.how.cancels, all.how.apart, all.how.free, all.how.escapes, all.how.colluders,
      all.how.lost_disks, all.how.strangers);
  for (const fault_kind kind : all.how.only) {
    out += fmt::format("only {}\n", to_string(kind));
  }
  out += "asks";
  for (const ask& a : all.asks) {
    out += fmt::format(" {}", a.client);
  }
  out += "\n";
  for (const fault& f : all.faults) {
    out += fmt::format("fault {} {} {} {} {} {}\n", to_string(f.what), f.at.count(), f.who, f.other,
                       f.length.count(), f.amount);
  }
  return out;
}

namespace {

/// Whether `key` is one of these numbers; reads it.
bool read_intensity(const std::string& key, std::istringstream& words, intensity& how) {
  const std::map<std::string_view, std::size_t*> counts{
      {"nodes", &how.nodes},         {"requests", &how.requests},
      {"faults", &how.faults},       {"liars", &how.liars},
      {"hostile", &how.hostile},     {"newcomers", &how.newcomers},
      {"colluders", &how.colluders}, {"lost_disks", &how.lost_disks},
      {"strangers", &how.strangers}};
  const std::map<std::string_view, bool*> flags{
      {"ledger", &how.ledger},     {"audits", &how.audits}, {"fork", &how.fork},
      {"reuse", &how.reuse},       {"calm", &how.calm},     {"aimed", &how.aimed},
      {"takeover", &how.takeover}, {"placed", &how.placed}, {"cancels", &how.cancels},
      {"apart", &how.apart},       {"free", &how.free},     {"escapes", &how.escapes}};
  if (const auto count = counts.find(key); count != counts.end()) {
    words >> *count->second;
    return true;
  }
  if (const auto flag = flags.find(key); flag != flags.end()) {
    words >> *flag->second;
    return true;
  }
  return false;
}

result<fault> read_fault(std::istringstream& words) {
  fault f;
  std::string name;
  std::int64_t at = 0;
  std::int64_t length = 0;
  words >> name >> at >> f.who >> f.other >> length >> f.amount;
  OVIR_ASSIGN(f.what, fault_kind_from(name));
  f.at = nanoseconds{at};
  f.length = nanoseconds{length};
  return f;
}

} // namespace

result<plan> plan_from(std::string_view text) {
  std::istringstream lines{std::string{text}};
  std::string line;
  std::uint64_t seed = 0;
  intensity how;
  how.aimed = false; // older plans say nothing of it
  std::vector<fault> faults;
  std::vector<std::size_t> asks;
  while (std::getline(lines, line)) {
    std::istringstream words{line};
    std::string key;
    words >> key;
    if (key.empty() || key.starts_with('#')) {
      continue;
    }
    if (key == "seed") {
      words >> seed;
    } else if (key == "length_ns") {
      std::int64_t length = 0;
      words >> length;
      how.length = nanoseconds{length};
    } else if (key == "asks") {
      std::size_t one = 0;
      while (words >> one) {
        asks.push_back(one);
      }
      words.clear();
    } else if (key == "only") {
      std::string name;
      words >> name;
      OVIR_ASSIGN(const fault_kind kind, fault_kind_from(name));
      how.only.push_back(kind);
    } else if (key == "fault") {
      OVIR_ASSIGN(const fault f, read_fault(words));
      faults.push_back(f);
    } else if (!read_intensity(key, words, how)) {
      return fail(errc::malformed, "no line of a plan begins with '{}'", key);
    }
    if (words.fail()) {
      return fail(errc::malformed, "this line of a plan is cut short: {}", line);
    }
  }
  plan p = draw_plan(seed, how);
  p.faults = std::move(faults);
  std::erase_if(p.asks, [&](const ask& a) {
    return std::find(asks.begin(), asks.end(), a.client) == asks.end();
  });
  return p;
}

} // namespace ovir::swarm
