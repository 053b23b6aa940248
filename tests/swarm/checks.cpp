#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/limits/general.hpp"
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
constexpr nanoseconds rest_bound = 90s;
/// In which a lie that was told in a finished request is found.
constexpr nanoseconds conviction_bound = 180s;

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
    if (!whole && a.cancel_after == 0) {
      violate(fmt::format("client {} was told that its request was cancelled", a.client));
    }
  }
}

void swarm::check_rest() {
  struct left {
    std::size_t sessions{0};
    std::size_t running{0};
    std::size_t asked{0};
    std::size_t told{0};
    std::size_t jobs{0}; ///< that one node remembers, at most
  };
  const auto count = [this] {
    auto sum = std::make_shared<left>();
    for (const auto& h : hosts_) {
      supervision::node_assembly* const node = h->node();
      if (node == nullptr) {
        continue;
      }
      const auto ask_host = node->find("host");
      const auto ask_jobs = node->find("jobs");
      node->system().spawn([sum, ask_host, ask_jobs](caf::event_based_actor* self) {
        if (ask_host) {
          ++sum->asked;
          self->request(ask_host, 5s, actors::describe_host{})
              .then([sum](const actors::host_report& report) {
                sum->sessions += report.sessions;
                ++sum->told;
              });
        }
        if (ask_jobs) {
          ++sum->asked;
          self->request(ask_jobs, 5s, actors::list_jobs{})
              .then([sum](const std::vector<actors::job_view>& list) {
                sum->jobs = std::max(sum->jobs, list.size());
                sum->running += static_cast<std::size_t>(
                    std::count_if(list.begin(), list.end(), [](const actors::job_view& job) {
                      return job.state == actors::job_state::running;
                    }));
                ++sum->told;
              });
        }
      });
      look_after(*h);
    }
    return sum;
  };
  const nanoseconds until = world_.now() + rest_bound;
  std::shared_ptr<left> seen;
  while (world_.now() < until) {
    seen = count();
    static_cast<void>(
        go([&seen] { return seen->asked > 0 && seen->told == seen->asked; }, world_.now() + 6s));
    if (seen->told == seen->asked && seen->sessions + seen->running == 0) {
      break;
    }
    static_cast<void>(go([] { return false; }, world_.now() + 1s));
  }
  if (seen->jobs > limits::jobs_kept_max) {
    violate(fmt::format("{} requests are remembered at rest", seen->jobs));
  }
  if (seen->told < seen->asked) {
    violate("hosts or jobs do not answer at rest");
  }
  if (seen->sessions + seen->running > 0) {
    violate(fmt::format("{} sessions and {} running requests are left at rest", seen->sessions,
                        seen->running));
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
    violate(fmt::format("n{} lied {} times and was not convicted", liar_number,
                        lies_told() - lies_before_));
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
  how.heads = promised_;
  how.visit = [this](std::uint64_t index, const ledger::entry& e, const auto&) {
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
  out_.entries = seen->head.size;
  if (seen->convictions > 0 && plan_.how.liars == 0) {
    violate(fmt::format("{} honest nodes were convicted", seen->convictions));
  }
}

} // namespace ovir::swarm
