#include "tests/swarm/rest.hpp"

#include "actors/payment/payments_actor.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "actors/stage/stage_host_actor.hpp"
#include "messages/limits/general.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <string>

namespace ovir::swarm {

namespace {

constexpr std::chrono::seconds answer_bound{5};

/// Asks the actor of that name, where there is one.
template <class Answer, class Question, class Take>
void ask(supervision::node_assembly& node, const std::string& name, Question question,
         const std::shared_ptr<told_state>& state, Take take) {
  const caf::actor who = node.find(name);
  if (!who) {
    return;
  }
  ++state->asked;
  node.system().spawn([=](caf::event_based_actor* self) {
    self->request(who, answer_bound, question).then([=](const Answer& answer) {
      ++state->told;
      take(*state, answer);
    });
  });
}

} // namespace

std::size_t told_state::running() const {
  std::size_t sum = 0;
  for (const auto& [who, list] : jobs) {
    sum += static_cast<std::size_t>(
        std::count_if(list.begin(), list.end(), [](const actors::job_view& job) {
          return job.state == actors::job_state::running;
        }));
  }
  return sum;
}

std::shared_ptr<told_state> ask_all(const std::vector<std::unique_ptr<host>>& hosts,
                                    const std::function<void(host&)>& look_after) {
  auto state = std::make_shared<told_state>();
  for (const auto& h : hosts) {
    supervision::node_assembly* const node = h->node();
    if (node == nullptr) {
      continue;
    }
    const std::size_t who = h->how().number;
    ask<actors::host_report>(
        *node, "host", actors::describe_host{}, state,
        [](told_state& s, const actors::host_report& report) { s.sessions += report.sessions; });
    ask<std::vector<actors::job_view>>(
        *node, "jobs", actors::list_jobs{}, state,
        [who](told_state& s, const auto& list) { s.jobs.emplace_back(who, list); });
    ask<actors::payments_report>(*node, "payments", actors::describe_payments{}, state,
                                 [](told_state& s, const actors::payments_report& report) {
                                   s.unsettled += report.requests;
                                 });
    ask<actors::members_changed>(*node, "membership", actors::list_members{}, state,
                                 [who](told_state& s, const actors::members_changed& seen) {
                                   s.views.emplace_back(who, seen.members);
                                 });
    ask<actors::placement_view>(*node, "placer", actors::describe_placement{}, state,
                                [who](told_state& s, const actors::placement_view& view) {
                                  s.placements.emplace_back(who, view);
                                });
    look_after(*h);
  }
  return state;
}

std::vector<std::string> wrong_views(const told_state& seen,
                                     const std::vector<std::unique_ptr<host>>& hosts) {
  std::vector<std::string> wrong;
  for (const auto& [who, view] : seen.views) {
    for (const auto& h : hosts) {
      const auto found = std::find_if(view->begin(), view->end(),
                                      [&](const actors::member& m) { return m.node == h->id(); });
      const bool counted = found != view->end() && found->health == actors::member_health::alive;
      const bool doubted = found != view->end() && found->health == actors::member_health::suspect;
      if (doubted && !h->is_up()) {
        wrong.push_back(fmt::format("n{} still waits for n{} to be dead", who, h->how().number));
      } else if (counted != h->is_up()) {
        wrong.push_back(
            fmt::format("n{} holds n{} for {}", who, h->how().number, counted ? "alive" : "gone"));
      } else if (counted && found->advert.rtts.empty()) {
        wrong.push_back(fmt::format("n{} was told no round trip of n{}", who, h->how().number));
      }
    }
  }
  return wrong;
}

std::vector<std::string> wrong_at_rest(const told_state& seen,
                                       const std::vector<std::unique_ptr<host>>& hosts, bool lies) {
  if (!seen.complete()) {
    return {
        fmt::format("{} of {} actors do not answer at rest", seen.asked - seen.told, seen.asked)};
  }
  std::vector<std::string> wrong;
  const auto up =
      std::count_if(hosts.begin(), hosts.end(), [](const auto& h) { return h->is_up(); });
  if (seen.views.size() != static_cast<std::size_t>(up)) { // one that begins has no actors yet
    wrong.push_back(fmt::format("{} of {} nodes have begun", seen.views.size(), up));
  }
  if (seen.sessions + seen.running() > 0) {
    wrong.push_back(fmt::format("{} sessions and {} running requests are left at rest",
                                seen.sessions, seen.running()));
  }
  for (const auto& [who, list] : seen.jobs) {
    if (list.size() > limits::jobs_kept_max) {
      wrong.push_back(fmt::format("n{} remembers {} requests", who, list.size()));
    }
  }
  if (lies) {
    return wrong;
  }
  if (seen.unsettled > 0) {
    wrong.push_back(fmt::format("the payment of {} requests is open at rest", seen.unsettled));
  }
  const auto views = wrong_views(seen, hosts);
  wrong.insert(wrong.end(), views.begin(), views.end());
  return wrong;
}

std::vector<std::string> wrong_placement(const told_state& seen) {
  std::vector<std::string> wrong;
  std::size_t placers = 0;
  for (const auto& [who, view] : seen.placements) {
    for (const auto& model : view.models) {
      placers += model.here ? 1 : 0;
      if (model.here && !model.aim.served) {
        wrong.push_back(fmt::format("n{} places a model so that it is not served", who));
      }
    }
    if (const std::size_t orders = view.under_way.size() + view.next.size() + view.waiting) {
      wrong.push_back(fmt::format("n{} has {} orders at rest: {} under way, {} to come, {} wait",
                                  who, orders, view.under_way.size(), view.next.size(),
                                  view.waiting));
    }
  }
  for (const auto& [who, view] : seen.placements) {
    if (!view.calm) {
      wrong.push_back(fmt::format("n{} has seen nodes come or go", who));
    }
  }
  if (placers != 1) {
    wrong.push_back(fmt::format("{} nodes place the model", placers));
  }
  return wrong;
}

const actors::job_view* answered_by(const told_state& seen, request_id request) {
  for (const auto& [who, list] : seen.jobs) {
    for (const actors::job_view& job : list) {
      if (job.request == request && job.state == actors::job_state::done) {
        return &job;
      }
    }
  }
  return nullptr;
}

void open_escrows::note(const ledger::command& what) {
  if (const auto* const begun = std::get_if<ledger::reserve>(&what)) {
    open_.insert(ledger::escrow_of(*begun));
  } else if (const auto* const settled = std::get_if<ledger::settle>(&what)) {
    open_.erase(settled->request);
  } else if (const auto* const cancelled = std::get_if<ledger::cancel>(&what)) {
    open_.erase(cancelled->request);
  } else if (const auto* const expired = std::get_if<ledger::expire>(&what)) {
    open_.erase(expired->request);
  }
}

} // namespace ovir::swarm
