#include "ledger/keeper/verify.hpp"
#include "messages/hex.hpp"
#include "tests/swarm/liars/collusion.hpp"
#include "tests/swarm/liars/escape_tally.hpp"
#include "tests/swarm/liars/escapes.hpp"
#include "tests/swarm/liars/lying.hpp"
#include "tests/swarm/swarm.hpp"

#include <algorithm>
#include <utility>
#include <variant>

// Runs with a liar that has its standing, and colluding verifiers (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

/// One of so many steps of the liar is a lie, until all are told.
constexpr std::uint64_t steps_a_lie = 3;
/// In which all that was told is in the log, drawn, and looked at.
constexpr nanoseconds entered_within = 20s;
/// Then, in which an honest verifier convicts where it has to look at a lie; and all know.
constexpr nanoseconds convicted_within = 180s;
constexpr nanoseconds asked_again = 2s;

} // namespace

void swarm::begin_lies() {
  lying how;
  how.who = liar_number;
  how.most = lies_of(plan_.seed);
  how.one_in = steps_a_lie;
  how.now = [this] { return world_.now() >= lies_begin && world_.now() < lies_end; };
  how.after_a_lie = [this] { say(fmt::format("n{} lies", liar_number)); };
  begin_lying(std::move(how), world_.draws().split(0x11a4));
  collusion friends;
  friends.members = colluders_among(plan_.how);
  for (const std::size_t who : friends.members) {
    friends.keys.insert(hosts_[who]->id());
  }
  friends.liar = hosts_[liar_number]->id();
  begin_collusion(std::move(friends));
}

/// Whether it may lose a receipt that waits for its audit, or what was found in one: they are in
/// the memory of who drove the request, and on the disk of who audits it.
bool swarm::loses_audits(const fault& f) const {
  switch (f.what) {
  case fault_kind::crash:
  case fault_kind::power:
  case fault_kind::drain:
  case fault_kind::flip:
  case fault_kind::actor:
  case fault_kind::lose_disk: {
    const role_set roles = hosts_[f.who]->how().options.roles;
    return is_believed(f.who) && (roles.has(role::scheduler) || roles.has(role::verifier));
  }
  default: return false;
  }
}

/// Whose word on convictions counts here.
bool swarm::is_believed(std::size_t who) const {
  return who != liar_number && !colluders_among(plan_.how).contains(who);
}

void swarm::ask_convicted() {
  for (const auto& h : hosts_) {
    const std::size_t who = h->how().number;
    if (!h->is_up() || !is_believed(who)) {
      continue;
    }
    shell_->call(h->how().options.listen, "audits", operator_shell::json::object(),
                 [this, who](const operator_shell::json& reply) {
                   if (reply.is_object() && reply.value("ok", false)) {
                     for (const auto& one : reply["data"]["convictions"]) {
                       convicted_[who].insert(
                           node_id_from_hex(one["node"].get<std::string>()).value());
                     }
                   }
                 });
  }
  static_cast<void>(go([] { return false; }, world_.now() + asked_again));
}

/// What the log has of the liar's lies, and whom it convicts.
void swarm::read_lies() {
  const node_id liar = hosts_[liar_number]->id();
  std::set<node_id> colluders;
  for (const std::size_t who : colluders_among(plan_.how)) {
    colluders.insert(hosts_[who]->id());
  }
  std::uint64_t unknown = 0;
  const auto lied = [&unknown](const digest& statement, std::uint32_t window, std::uint32_t last) {
    const auto said = stated_by_liar(statement);
    if (!said || said->window != last) {
      ++unknown;
      return false;
    }
    return bool{(*said->all)[window]};
  };
  disk_env env{hosts_[keeper()]->kept(),
               {[] { return storage::env::time_point{}; }, [] { return 0U; }},
               chance{1}};
  const auto log = env.open_durable("state/ledger/log", storage::durable_use::read);
  if (!log) {
    return violate("the keeper's log cannot be read: " + log.error().message);
  }
  ledger::epoch_reader reader;
  ledger::verify_options how;
  how.signatures = false; // `check_ledger` looks at them
  how.watch = [&](std::uint64_t index, const ledger::entry& e, const digest& chain,
                  const ledger::state& after) {
    for (const ledger::epoch_draw& d : reader.take(index, e, chain, after)) {
      auto more = fates_of(d, liar, lied, colluders);
      for (const lie_fate& one : more) {
        std::string by;
        for (const node_id& v : one.verifiers) {
          by += " " + short_name(v);
        }
        say(fmt::format("a lie in window {} of {}, drawn at {} ppm for{}", one.window,
                        to_hex(one.request).substr(0, 8), one.rate_ppm, one.drawn ? by : " none"));
      }
      out_.liar.windows.insert(out_.liar.windows.end(), more.begin(), more.end());
    }
    if (const auto* const c = std::get_if<ledger::convict>(&e.what); c && c->guilty != liar) {
      ++out_.liar.honest_convictions;
      violate(fmt::format("the ledger convicts {}, which is honest", short_name(c->guilty)));
    }
  };
  if (const auto seen = ledger::verify_log(**log, how); !seen) {
    violate("the keeper's log cannot be read: " + seen.error().message);
  }
  if (unknown > 0) {
    violate(fmt::format("the log pays for {} windows that the liar did not state", unknown));
  }
  out_.liar.unpaid = windows_lied() - std::min(windows_lied(), out_.liar.windows.size());
}

void swarm::check_lies() {
  static_cast<void>(go([] { return false; }, world_.now() + entered_within));
  read_lies();
  liar_fate& fate = out_.liar;
  fate.lied = windows_lied() > 0;
  fate.undisturbed = std::none_of(plan_.faults.begin(), plan_.faults.end(),
                                  [this](const fault& f) { return loses_audits(f); });
  const bool found = std::any_of(fate.windows.begin(), fate.windows.end(),
                                 [](const lie_fate& one) { return one.found; });
  const node_id liar = hosts_[liar_number]->id();
  const auto all_know = [&] {
    return std::all_of(hosts_.begin(), hosts_.end(), [&](const auto& h) {
      const std::size_t who = h->how().number;
      return !is_believed(who) || convicted_[who].contains(liar);
    });
  };
  const nanoseconds until = world_.now() + convicted_within;
  ask_convicted();
  while (!all_know() && world_.now() < until &&
         (found || std::any_of(convicted_.begin(), convicted_.end(),
                               [](const auto& one) { return !one.second.empty(); }))) {
    ask_convicted();
  }
  fate.convicted = all_know();
  if (found && !fate.convicted && fate.undisturbed) {
    violate(fmt::format("an honest verifier had to look at a lie of n{}, which is not convicted "
                        "everywhere",
                        liar_number));
  }
  for (const auto& [who, guilty] : convicted_) {
    for (const node_id& one : guilty) {
      if (one != liar) {
        ++fate.honest_convictions;
        violate(fmt::format("n{} holds {} for convicted, which is honest", who, short_name(one)));
      } else if (!fate.lied) {
        ++fate.honest_convictions;
        violate(fmt::format("n{} holds n{} for convicted, which has not lied", who, liar_number));
      }
    }
  }
  const collusion_count& c = colluded();
  out_.found.push_back(fmt::format("{} windows stated by n{}, {} lies, of them {} paid for; "
                                   "colluders passed over {}, vouched {} "
                                   "times, accused {}, confirmed {}; {}",
                                   windows_stated(), liar_number, windows_lied(),
                                   fate.windows.size(), c.passed_over, c.vouched, c.accused,
                                   c.confirmed,
                                   fate.convicted ? "convicted"
                                   : found        ? "NOT convicted though a lie was drawn"
                                                  : "not convicted"));
}

} // namespace ovir::swarm
