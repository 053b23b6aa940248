#include "actors/request/gateway_actor.hpp"

#include "actors/payment/payments_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/gateway.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <set>
#include <utility>

namespace ovir::actors {

namespace {

constexpr std::chrono::milliseconds ask_wait{5'000};

generation_request request_of(const gateway::generation_order& order, const cache_policy& cache) {
  generation_request request;
  static_cast<request_terms&>(request) = order;
  request.id = order.id;
  request.drafts = order.drafts;
  request.deadline = order.deadline;
  request.batch = order.batch;
  request.budget = order.budget;
  request.reveal = order.reveal;
  request.privacy = order.privacy;
  request.tier = order.tier;
  request.cache =
      cache_use_of(cache, cache_choice::as_configured, "http/" + order.owner, order.repeatable);
  return request;
}

/// Positions of the prompt that no stage had to compute, as far as whole windows say.
std::uint32_t cached_tokens(const generation_report& report, std::uint32_t prompt) {
  if (report.answer_reused) {
    return prompt;
  }
  const std::uint64_t units = report.reused.memory + report.reused.disk + report.reused.peer;
  const std::uint64_t layers = report.path.empty() ? 0 : report.path.back().second.last;
  return layers == 0 ? 0
                     : static_cast<std::uint32_t>(std::min<std::uint64_t>(
                           units / layers * limits::window_positions, prompt));
}

result<gateway::generation_outcome> outcome_of(const job_outcome& job) {
  if (!job.report) {
    return job.report.error();
  }
  const generation_report& report = *job.report;
  return gateway::generation_outcome{
      report.end,
      static_cast<std::uint32_t>(report.tokens.size()),
      report.text,
      report.transcript,
      cached_tokens(report, static_cast<std::uint32_t>(job.request.prompt.size())),
      report.receipt,
      report.embedding,
      report.not_withdrawn ? report.not_withdrawn->message : std::string{}};
}

/// Every layer of some model that this node drives requests for is on a node that lives.
bool is_ready(const std::vector<member>& members, const model_catalog& models) {
  for (const auto& model : models.all()) {
    std::set<layer_index> held;
    for (const member& m : members) {
      for (const held_segment& h : m.advert.held) {
        for (layer_index l = h.layers.first;
             h.model == model->id && m.health == member_health::alive && l < h.layers.last; ++l) {
          held.insert(l);
        }
      }
    }
    if (model->vocabulary && held.size() >= model->weights.config.layers) {
      return true;
    }
  }
  return false;
}

void end(gateway_pointer self, std::uint64_t tag, result<gateway::generation_outcome> outcome) {
  self->state.interests.erase(tag);
  self->state.environment.desk->deliver(
      [tag, outcome = std::move(outcome)](gateway::generation_events& events) {
        events.on_end(tag, outcome);
      });
}

/// Whoever keeps requests, watched while there are any.
caf::actor jobs_of(gateway_pointer self) {
  caf::actor jobs = self->state.environment.find("jobs");
  if (jobs != self->state.jobs) {
    if (jobs) {
      self->monitor(jobs);
    }
    self->state.jobs = jobs;
  }
  return jobs;
}

void submit(gateway_pointer self, std::uint64_t tag);

error being_restarted() {
  return fail(errc::busy, "whoever drives requests is being restarted; try again");
}

/// The cancellation may have come before this node's jobs knew the request.
void cancel_again(gateway_pointer self, std::uint64_t tag) {
  const auto found = self->state.interests.find(tag);
  if (found != self->state.interests.end() && found->second.cancelled && self->state.jobs) {
    self->send(self->state.jobs,
               cancel_job{found->second.what.request.id, *found->second.cancelled});
  }
}

void watch(gateway_pointer self, std::uint64_t tag, request_id id, bool may_search) {
  const caf::actor jobs = jobs_of(self);
  if (!jobs) {
    return end(self, tag, being_restarted());
  }
  const gateway_start& what = self->state.interests.at(tag).what;
  self->request(jobs, ask_wait,
                watch_job{id,
                          0,
                          caf::actor_cast<caf::actor>(self),
                          tag,
                          1,
                          what.terms,
                          {},
                          may_search,
                          what.request.reveal,
                          what.request.privacy,
                          what.request.tier})
      .then([self, tag](bool) { cancel_again(self, tag); },
            [self, tag, may_search](const caf::error& e) {
              const auto found = self->state.interests.find(tag);
              if (found == self->state.interests.end()) {
                return;
              }
              const error why = from_caf(e);
              const bool more = self->state.environment.env->now() < found->second.search_until;
              if (!may_search || why.code != errc::not_found) {
                end(self, tag, why);
              } else if (more) {
                self->delayed_send(self, limits::api_search_pause, gateway_search{tag});
              } else {
                submit(self, tag);
              }
            });
}

void submit(gateway_pointer self, std::uint64_t tag) {
  const auto found = self->state.interests.find(tag);
  if (found == self->state.interests.end()) {
    return;
  }
  if (found->second.cancelled) {
    return end(self, tag,
               fail(errc::busy, "the request was to be cancelled, and no node here drives it"));
  }
  const caf::actor jobs = jobs_of(self);
  if (!jobs) {
    return end(self, tag, being_restarted());
  }
  const request_id id = found->second.what.request.id;
  self->request(jobs, ask_wait, submit_job{found->second.what.request})
      .then(
          [self, tag, id](bool) {
            if (self->state.interests.contains(tag)) {
              watch(self, tag, id, false);
            }
          },
          [self, tag](const caf::error& e) {
            if (self->state.interests.contains(tag)) {
              end(self, tag, from_caf(e));
            }
          });
}

void start(gateway_pointer self, gateway_start& command) {
  const std::uint64_t tag = command.tag;
  const request_id id = command.request.id;
  const bool searches = command.may_run;
  const bool begins = command.may_begin;
  self->state.interests[tag] = {std::move(command),
                                self->state.environment.env->now() + limits::api_search_wait};
  if (searches || !begins) {
    watch(self, tag, id, begins);
  } else {
    submit(self, tag);
  }
}

void search(gateway_pointer self, std::uint64_t tag) {
  const auto found = self->state.interests.find(tag);
  if (found != self->state.interests.end()) {
    watch(self, tag, found->second.what.request.id, true);
  }
}

void forget(gateway_pointer self, std::uint64_t tag) {
  if (self->state.interests.erase(tag) > 0 && self->state.jobs) {
    self->send(self->state.jobs, unwatch_job{caf::actor_cast<caf::actor>(self), tag});
  }
}

void take_members(gateway_pointer self, const members_view& members) {
  self->state.environment.desk->set_ready(is_ready(*members, *self->state.environment.models));
  self->state.environment.desk->set_members(members);
}

/// What was watched is watched no more: the application asks again, also for what went on
/// meanwhile.
void take_back(gateway_pointer self) {
  if (!jobs_of(self)) {
    self->delayed_send(self, limits::api_search_pause, gateway_back{});
    return;
  }
  self->state.interests.clear();
  self->state.environment.desk->deliver(
      [](gateway::generation_events& events) { events.on_restart(); });
}

// Budgets

constexpr auto budget_wait = 2 * limits::payment_action_wait;

void tell_budget(gateway_pointer self, const gateway::budget_told& done,
                 result<gateway::budget_view> view) {
  self->state.environment.desk->deliver(
      [done, view = std::move(view)](gateway::generation_events&) { done(view); });
}

void show_budget(gateway_pointer self, const gateway_budget& asked) {
  const caf::actor payments = self->state.environment.find("payments");
  if (!payments) {
    return tell_budget(self, asked.done,
                       fail(errc::unsupported, "this node uses no ledger, so no budget is kept"));
  }
  const auto failed = [self, done = asked.done](const caf::error& why) {
    tell_budget(self, done, from_caf(why));
  };
  self->request(payments, budget_wait, describe_budget{asked.use})
      .then(
          [self, payments, asked, failed](const budget_report& now) {
            if (!asked.from || !now.known || now.key != asked.use.key) {
              return tell_budget(self, asked.done, gateway::budget_view{now, {}});
            }
            self->request(payments, budget_wait, describe_budget_requests{now.voucher, *asked.from})
                .then(
                    [self, asked, now](const budget_statement& page) {
                      tell_budget(self, asked.done, gateway::budget_view{now, page});
                    },
                    failed);
          },
          failed);
}

} // namespace

void gateway_desk::set_doing(std::string words) {
  const std::lock_guard lock{guard_};
  doing_ = std::move(words);
}

void gateway_desk::set_members(members_view members) {
  const std::lock_guard lock{guard_};
  members_ = std::move(members);
}

std::map<node_id, std::string> gateway_desk::names() const {
  members_view members;
  {
    const std::lock_guard lock{guard_};
    members = members_;
  }
  std::map<node_id, std::string> all;
  if (members != nullptr) {
    for (const member& m : *members) {
      all[m.node] = m.advert.name;
    }
  }
  return all;
}

std::string gateway_desk::doing() {
  const std::lock_guard lock{guard_};
  return doing_;
}

void gateway_desk::use(gateway::generation_events* events, poster post) {
  const std::lock_guard lock{guard_};
  events_ = events;
  post_ = std::move(post);
}

void gateway_desk::use(caf::actor actor) {
  bool again = false;
  {
    const std::lock_guard lock{guard_};
    again = actor_ != nullptr && actor != nullptr;
    actor_ = std::move(actor);
  }
  if (again) { // the one before crashed, and with it what it watched
    deliver([](gateway::generation_events& events) { events.on_restart(); });
  }
}

void gateway_desk::deliver(std::function<void(gateway::generation_events&)> act) {
  const std::lock_guard lock{guard_};
  if (events_ != nullptr) {
    post_([events = events_, act = std::move(act)] { act(*events); });
  }
}

caf::actor gateway_desk::actor() const {
  const std::lock_guard lock{guard_};
  return actor_;
}

void gateway_desk::send(gateway_start command) {
  if (const caf::actor to = actor()) {
    caf::anon_send(to, std::move(command));
    return;
  }
  deliver([tag = command.tag](gateway::generation_events& events) {
    events.on_end(tag, being_restarted());
  });
}

void gateway_desk::start(std::uint64_t tag, const gateway::generation_order& order, bool may_run) {
  send(gateway_start{tag, request_of(order, cache_), may_run, true, digest_of(order)});
}

void gateway_desk::watch(std::uint64_t tag, request_id id, const digest& terms) {
  gateway_start command{tag, {}, true, false, terms};
  command.request.id = id;
  send(std::move(command));
}

void gateway_desk::forget(std::uint64_t tag) {
  if (const caf::actor to = actor()) {
    caf::anon_send(to, gateway_forget{tag});
  }
}

void gateway_desk::cancel(request_id id, bool asked) {
  if (const caf::actor to = actor()) {
    caf::anon_send(to, cancel_job{id, asked});
  }
}

void gateway_desk::show_budget(const budget_use& use, std::optional<std::uint64_t> from,
                               gateway::budget_told done) {
  if (const caf::actor to = actor()) {
    return caf::anon_send(to, gateway_budget{use, from, std::move(done)});
  }
  deliver([done = std::move(done)](gateway::generation_events&) { done(being_restarted()); });
}

std::vector<gateway::served_model> gateway_desk::models() {
  std::vector<gateway::served_model> list;
  for (const auto& model : models_.all()) {
    const bool known = std::any_of(list.begin(), list.end(),
                                   [&](const auto& other) { return other.id == model->id; });
    if (!model->vocabulary || known) {
      continue;
    }
    gateway::served_model served;
    served.id = model->id;
    served.name = model->name;
    // The title is the base's, which answers to it.
    if (const auto title = model->metadata.text_at("general.name"); title && !model->weights.lora) {
      served.title = *title;
    }
    served.context = std::min(model->weights.config.context, model->context);
    served.dim = model->weights.config.dim;
    served.vocabulary = {model, model->vocabulary.get()};
    if (const auto text = model->metadata.text_at("tokenizer.chat_template")) {
      served.chat_template = *text;
    }
    list.push_back(std::move(served));
  }
  return list;
}

caf::behavior gateway_behavior(gateway_pointer self, gateway_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->set_down_handler([self](const caf::down_msg& down) {
    if (self->state.jobs && down.source == self->state.jobs.address()) {
      self->state.jobs = nullptr;
      self->delayed_send(self, limits::api_search_pause, gateway_back{});
    }
  });
  if (const caf::actor membership = self->state.environment.find("membership")) {
    self->request(membership, ask_wait, list_members{})
        .then([self](const members_changed& m) { take_members(self, m.members); },
              [](const caf::error&) {});
  }
  return {
      [self](gateway_start& command) { start(self, command); },
      [self](const gateway_budget& asked) { show_budget(self, asked); },
      [self](const gateway_forget& command) { forget(self, command.tag); },
      [self](const gateway_search& command) { search(self, command.tag); },
      [self](const gateway_back&) { take_back(self); },
      [self](const cancel_job& command) {
        for (auto& [tag, interest] : self->state.interests) {
          if (interest.what.request.id == command.request) {
            interest.cancelled = command.asked;
          }
        }
        if (const caf::actor jobs = jobs_of(self)) {
          caf::anon_send(jobs, command);
        }
      },
      [self](const members_changed& news) { take_members(self, news.members); },
      [self](const job_token& token) {
        if (self->state.interests.contains(token.tag)) {
          self->state.environment.desk->deliver(
              [token](gateway::generation_events& events) { events.on_token(token.tag, token); });
        }
      },
      [self](const job_over& over) {
        if (self->state.interests.contains(over.tag)) {
          end(self, over.tag, outcome_of(*over.outcome));
        }
      },
  };
}

} // namespace ovir::actors
