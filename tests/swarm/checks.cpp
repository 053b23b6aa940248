#include "compute/text/tokenizer.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/request/request_name.hpp"
#include "tests/swarm/rest.hpp"
#include "tests/swarm/stand_in.hpp"
#include "tests/swarm/swarm.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <set>
#include <utility>

// What must hold after a run (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

/// In which nothing of a request is left behind.
constexpr nanoseconds rest_bound = 240s;
/// In which nothing is placed any more, once that is done.
constexpr nanoseconds placed_rest = 90s;
/// In which a lie that was told in a finished request is found.
constexpr nanoseconds conviction_bound = 180s;
/// After which everybody is asked again whom it holds for dead.
constexpr nanoseconds look_again = 50ms;
/// Drawn last by a scheduler that ended, which no log has.
constexpr std::uint32_t takeover_tokens = 4;

} // namespace

void swarm::check_answers() {
  for (const auto& c : clients_) {
    out_.attempts += c->attempts();
    const ask& a = c->asked();
    if (c->how() == client::state::refused) {
      violate(fmt::format("client {} was refused for good: {}", a.client, c->trouble()));
      continue;
    }
    if (!c->over()) {
      violate(fmt::format("client {} waits {} s after the last fault: {} ({} attempts, {} bytes)",
                          a.client, request_bound / 1s, c->trouble(), c->attempts(),
                          c->text().size()));
      continue;
    }
    const auto& tokens = model_.answer(a.wanted);
    const std::string text = model_.text(tokens);
    const bool whole = c->how() == client::state::answered;
    out_.answered += whole ? 1 : 0;
    out_.cancelled += whole ? 0 : 1;
    bool right = c->text() == text;
    for (std::size_t n = 0; !whole && !right && n < tokens.size(); ++n) {
      right = c->text() ==
              model_.text({tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n)});
    }
    if (!right) {
      violate(fmt::format("client {} got other bytes than one process answers: {} of {}", a.client,
                          c->text().size(), text.size()));
    }
    const std::string reason = model_.ends(tokens) ? "stop" : "length";
    if (whole && c->reason() != reason) {
      violate(fmt::format("client {} was told the end '{}' and not '{}'", a.client, c->reason(),
                          reason));
    }
    if (c->ignored()) {
      violate(fmt::format("client {} was told the whole answer that it had cancelled", a.client));
    }
    if (c->went_on()) {
      violate(fmt::format("client {} was told more after its cancellation", a.client));
    }
    if (!whole && a.cancel_after == 0) {
      violate(fmt::format("client {} was told that its request was cancelled", a.client));
    }
  }
}

std::shared_ptr<told_state> swarm::ask_everybody() {
  auto seen = ask_all(hosts_, [this](host& h) { look_after(h); });
  static_cast<void>(go([&seen] { return seen->complete(); }, world_.now() + 6s));
  return seen;
}

void swarm::check_rest() {
  const nanoseconds until = world_.now() + rest_bound;
  std::vector<std::string> wrong{"nobody was asked"};
  while (!wrong.empty() && world_.now() < until) {
    const auto seen = ask_everybody();
    wrong = wrong_at_rest(*seen, hosts_, plan_.how.liars > 0);
    if (plan_.how.placed) {
      const auto more = wrong_placement(*seen);
      wrong.insert(wrong.end(), more.begin(), more.end());
    }
    if (!wrong.empty()) {
      static_cast<void>(go([] { return false; }, world_.now() + 1s));
    }
  }
  for (std::string& one : wrong) {
    violate(std::move(one));
  }
  // What is done needs no orders: none of them undoes another.
  if (const std::uint64_t given = monitor_.layer_orders(); plan_.how.placed && wrong.empty()) {
    static_cast<void>(go([] { return false; }, world_.now() + placed_rest));
    if (monitor_.layer_orders() > given) {
      violate(fmt::format("{} orders were given after placement was done",
                          monitor_.layer_orders() - given));
    }
  }
}

/// While the scheduler that ended is away, or soon after it is back.
void swarm::check_takeover() {
  const auto seen = ask_everybody();
  for (const auto& c : clients_) {
    if (c->asked().comes_back == nanoseconds{0} || !c->has_some() || c->over()) {
      continue;
    }
    const request_id name = name_in_cluster({}, c->id());
    const actors::job_view* const job = answered_by(*seen, name);
    // One that was done just before its scheduler ended needs no other to go on with it.
    if (job == nullptr && !finished_.contains(name)) {
      violate(fmt::format("the request of client {} did not go on without it", c->asked().client));
    } else if (job != nullptr && !job->paths.empty() &&
               job->paths.front().from + takeover_tokens < c->events()) {
      violate(fmt::format("the request of client {} went on from token {} and not from {}",
                          c->asked().client, job->paths.front().from, c->events()));
    }
  }
  if (seen->sessions > 0) {
    violate(fmt::format("{} sessions are left of requests that are over", seen->sessions));
  }
  for (std::string& one : wrong_views(*seen, hosts_)) {
    violate(std::move(one));
  }
}

/// Who is there is dead to nobody, and is not even doubted where a third node reaches it.
void swarm::check_apart() {
  const fault& apart = plan_.faults.front();
  const nanoseconds until = apart.at + apart.length;
  static_cast<void>(go([] { return false; }, apart.at));
  while (world_.now() < until) {
    const auto seen = ask_everybody();
    for (const auto& [who, view] : seen->views) {
      for (const actors::member& m : *view) {
        const bool doubted = m.health == actors::member_health::suspect;
        if (m.health == actors::member_health::dead || (doubted && apart.what != fault_kind::far)) {
          return violate(fmt::format("n{} holds {} for {}, which is there", who, m.advert.name,
                                     doubted ? "doubtful" : "dead"));
        }
      }
    }
    static_cast<void>(go([] { return false; }, world_.now() + look_again));
  }
}

/// Who lied is convicted by the verifiers, and nobody else.
void swarm::await_conviction() {
  std::set<node_id> convicted;
  const auto liar = hosts_[liar_number]->id();
  const auto ask = [this, &convicted] {
    shell_->call(hosts_[0]->how().options.listen, "audits", operator_shell::json::object(),
                 [&convicted](const operator_shell::json& reply) {
                   if (reply.is_object() && reply.value("ok", false)) {
                     for (const auto& one : reply["data"]["convictions"]) {
                       convicted.insert(node_id_from_hex(one["node"].get<std::string>()).value());
                     }
                   }
                 });
  };
  const nanoseconds until = world_.now() + conviction_bound;
  while (!convicted.contains(liar) && world_.now() < until) {
    ask();
    static_cast<void>(go([] { return false; }, world_.now() + 2s));
  }
  if (!convicted.contains(liar)) {
    violate(fmt::format("n{} lied {} times and was not convicted", liar_number, lies_told()));
  }
  convicted.erase(liar);
  if (!convicted.empty()) {
    violate(fmt::format("{} honest nodes were convicted", convicted.size()));
  }
}

/// The log on the keeper's disk: every entry, every rule, and every head it ever signed.
void swarm::check_ledger() {
  host& keeps = *hosts_[keeper()];
  const auto file = keeps.kept().files.find("state/ledger/log");
  if (file == keeps.kept().files.end()) {
    return violate("the keeper has no log");
  }
  disk_env env{
      keeps.kept(), {[] { return storage::env::time_point{}; }, [] { return 0U; }}, chance{1}};
  const auto log = env.open_durable("state/ledger/log", storage::durable_use::read);
  ledger::verify_options how;
  how.heads = monitor_.heads();
  how.heads.insert(how.heads.end(), promised_.begin(), promised_.end());
  open_escrows open;
  how.visit = [this, &open](std::uint64_t index, const ledger::entry& e, const auto&) {
    open.note(e.what);
    monitor_.settled(index, e.what);
    if (std::holds_alternative<ledger::mint>(e.what)) {
      history_.add(world_.now(), "in_log", fmt::format(R"("entry":{})", index));
    }
  };
  const auto seen = ledger::verify_log(**log, how);
  if (!seen) {
    return violate("the keeper's log cannot be read: " + seen.error().message);
  }
  if (seen->fault) {
    violate(fmt::format("the keeper's log is wrong at entry {}: {}", seen->fault->entry.value_or(0),
                        seen->fault->what));
  }
  if (monitor_.forked_at()) {
    violate(fmt::format("the keeper told two heads over {} entries", *monitor_.forked_at()));
  }
  out_.entries = seen->head.size;
  // Who lost its disk does not know what it reserved: that is over when it expires.
  const bool forgotten = std::any_of(plan_.faults.begin(), plan_.faults.end(), [](const fault& f) {
    return f.what == fault_kind::lose_disk;
  });
  if (open.count() > 0 && plan_.how.liars == 0 && !forgotten) {
    violate(fmt::format("{} reservations are open at rest", open.count()));
  }
  if (seen->convictions > 0 && plan_.how.liars == 0) {
    violate(fmt::format("{} honest nodes were convicted", seen->convictions));
  }
}

/// A keeper that signed two histories is found out, and what shows it is kept.
void swarm::check_fork() {
  const auto found = std::any_of(hosts_.begin(), hosts_.end(), [](const auto& h) {
    return h->kept().files.contains("state/payments/fork");
  });
  if (!found && trouble_.forgot()) {
    violate("no node has evidence against the keeper that forgot what it signed");
  }
}

} // namespace ovir::swarm
