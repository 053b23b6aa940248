#include "actors/reuse/cache_actor.hpp"

#include "actors/reuse/block_exchange_actor.hpp"
#include "compute/forward/prefix.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/cache.hpp"

#include <caf/all.hpp>

#include <utility>

namespace ovir::actors {

namespace {

using cache_pointer = caf::stateful_actor<cache_state>*;

void warn(const cache_environment& around, const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    if (around.warn) {
      around.warn(warning);
    }
  }
}

void order_commit(cache_pointer self) {
  if (!std::exchange(self->state.commit_due, true)) {
    self->delayed_send(self, limits::cache_commit_pause, cache_commit_order{});
  }
}

// Front, back, front: the tiers are handed from thread to thread, never shared.
void commit(cache_pointer self) {
  const cache_environment around = self->state.environment;
  const caf::actor me{self};
  around.front->post([around, me](compute::parallel_runner&) {
    auto batch = around.tiers->take_batch();
    if (!batch) {
      caf::anon_send(me, cache_commit_done{false});
      return;
    }
    auto taken = std::make_shared<cache_tiers::batch>(std::move(*batch));
    around.back->post([around, me, taken](compute::parallel_runner&) {
      auto done = std::make_shared<cache_tiers::committed>(around.tiers->commit(std::move(*taken)));
      around.front->post([around, me, done](compute::parallel_runner&) {
        warn(around, around.tiers->take(std::move(*done)));
        caf::anon_send(me, cache_commit_done{true});
      });
    });
  });
}

void answer_lookup(cache_pointer self, cache_lookup_done& done);

// `blocks` came from others for this lookup.
void find(cache_pointer self, std::uint64_t ticket, std::vector<fetched_block> blocks) {
  const cache_environment& around = self->state.environment;
  const cache_state::lookup& lookup = self->state.lookups.at(ticket);
  const bool others = around.exchange && !lookup.asked_others;
  around.front->post([tiers = around.tiers, me = caf::actor{self}, ticket, others,
                      blocks = std::move(blocks),
                      wanted = lookup.wanted](compute::parallel_runner&) mutable {
    if (!blocks.empty()) {
      tiers->take_fetched(wanted.scope, std::move(blocks));
    }
    cache_lookup_done done{
        ticket, tiers->find(wanted), {}, tiers->unit_cost_us(wanted.scope.model)};
    if (others && !done.found.more) {
      const auto windows = done.found.blocks.size() / wanted.scope.layers.size();
      done.missing = tiers->missing(wanted, wanted.first + static_cast<std::uint32_t>(windows));
    }
    caf::anon_send(me, std::move(done));
  });
}

caf::typed_response_promise<units_found> look_up(cache_pointer self, const find_units& wanted) {
  cache_state& state = self->state;
  const std::uint64_t ticket = ++state.tickets;
  auto promise = self->make_response_promise<units_found>();
  state.lookups[ticket] = {promise, wanted, false};
  find(self, ticket, {});
  order_commit(self); // what the lookup notes
  return promise;
}

// What other nodes have comes into the tiers, and then it is found like everything else.
void ask_others(cache_pointer self, const caf::actor& exchange, cache_lookup_done& done) {
  cache_state::lookup& lookup = self->state.lookups.at(done.ticket);
  lookup.asked_others = true;
  auto rest = std::make_shared<units_found>(std::move(done.found));
  const auto give_up = [self, ticket = done.ticket, rest] {
    cache_lookup_done local{ticket, std::move(*rest)};
    answer_lookup(self, local);
  };
  self->request(exchange, limits::cache_wait_max,
                fetch_blocks{lookup.wanted.scope.model, std::move(done.missing), done.unit_us})
      .then(
          [self, ticket = done.ticket, give_up](blocks_fetched& fetched) {
            self->state.lookups.at(ticket).others = fetched.told;
            if (fetched.blocks.empty()) {
              return give_up();
            }
            find(self, ticket, std::move(fetched.blocks));
            order_commit(self);
          },
          [give_up](const caf::error&) { give_up(); });
}

void answer_lookup(cache_pointer self, cache_lookup_done& done) {
  const auto found = self->state.lookups.find(done.ticket);
  if (found == self->state.lookups.end()) {
    return;
  }
  const auto& exchange = self->state.environment.exchange;
  if (!done.missing.empty() && !found->second.asked_others) {
    if (const caf::actor others = exchange ? exchange() : caf::actor{}) {
      return ask_others(self, others, done);
    }
  }
  done.found.others = found->second.others;
  found->second.promise.deliver(std::move(done.found));
  self->state.lookups.erase(found);
}

void let_go(cache_pointer self, const std::vector<request_id>& requests) {
  for (const request_id request : requests) {
    const auto found = self->state.leads.find(request);
    if (found != self->state.leads.end()) {
      found->second.promise.deliver(std::move(found->second.answer));
      self->state.leads.erase(found);
    }
  }
}

void leave(cache_pointer self, request_id request) {
  cache_state& state = self->state;
  const auto watched = state.watched.find(request);
  if (watched == state.watched.end()) {
    return;
  }
  self->demonitor(watched->second);
  state.watched.erase(watched);
  state.leads.erase(request);
  let_go(self, state.flights.left(request, state.environment.env->now()));
}

void tick_later(cache_pointer self) {
  if (self->state.flights.waiting() > 0 && !std::exchange(self->state.ticking, true)) {
    self->delayed_send(self, limits::flight_tick, cache_flight_tick{});
  }
}

caf::typed_response_promise<request_entered> enter(cache_pointer self, enter_request& wanted) {
  cache_state& state = self->state;
  const request_id request = wanted.request;
  const auto lead = caf::actor_cast<caf::actor_addr>(self->current_sender());
  auto promise = self->make_response_promise<request_entered>(); // takes the sender
  leave(self, request); // a lead that takes the place of another
  state.watched[request] = lead;
  self->monitor(lead);
  cache_state::question& question = state.leads[request];
  question.promise = promise;
  question.asked = std::move(wanted);
  state.environment.front->post([tiers = state.environment.tiers, me = caf::actor{self},
                                 asked = question.asked](compute::parallel_runner&) {
    caf::anon_send(me, cache_answer_looked_up{asked.request, tiers->find_answer(asked)});
  });
  order_commit(self);
  return promise;
}

// What another owner computes, or another model, is of no use to this request: it neither waits for
// that nor takes so long that anybody could tell.
std::vector<digest> flight_names(const enter_request& asked) {
  std::vector<digest> names;
  for (const digest& window : asked.windows) {
    names.push_back(storage::lookup_key({asked.salt}, compute::unit_key(asked.model, 0, window)));
  }
  return names;
}

// Who has the whole answer computes nothing that others could wait for.
void answer_found(cache_pointer self, cache_answer_looked_up& found) {
  cache_state& state = self->state;
  const auto lead = state.leads.find(found.request);
  if (lead == state.leads.end()) {
    return;
  }
  cache_state::question& question = lead->second;
  question.answer = std::move(found.answer);
  if (question.answer.finished ||
      state.flights.enter(found.request, flight_names(question.asked), question.asked.wanted,
                          state.environment.env->now())) {
    let_go(self, {found.request});
  }
  tick_later(self);
}

template <class Kept>
void keep(cache_pointer self, const Kept& what) {
  self->state.environment.front->post([tiers = self->state.environment.tiers,
                                       what](compute::parallel_runner&) { tiers->keep(what); });
  order_commit(self);
}

void hold(cache_pointer self, const hold_inputs& what) {
  self->state.environment.front->post([tiers = self->state.environment.tiers,
                                       what](compute::parallel_runner&) { tiers->hold(what); });
}

// What was computed here tells what computing takes, and whether others were right.
void keep_computed(cache_pointer self, const keep_units& units) {
  const cache_environment& around = self->state.environment;
  const caf::actor exchange = around.exchange ? around.exchange() : caf::actor{};
  around.front->post([around, units, exchange](compute::parallel_runner&) {
    around.tiers->keep(units);
    for (const node_id& author : around.tiers->take_refuted()) {
      warn(around, {fmt::format("blocks that {} sent are not what comes out when they are computed",
                                short_name(author))});
      if (exchange) {
        caf::anon_send(exchange, author_refuted{author});
      }
    }
  });
  if (exchange && units.cost_us > 0) {
    caf::anon_send(exchange, unit_computed{units.scope.model, units.cost_us});
  }
  order_commit(self);
}

void refuse(cache_pointer self, const refuse_units& order) {
  const cache_environment& around = self->state.environment;
  around.front->post(
      [around, which = order.which](compute::parallel_runner&) { around.tiers->refuse(which); });
  order_commit(self); // the disk forgets them
}

void lead_down(cache_pointer self, const caf::down_msg& message) {
  std::vector<request_id> gone;
  for (const auto& [request, lead] : self->state.watched) {
    if (lead == message.source) {
      gone.push_back(request);
    }
  }
  for (const request_id request : gone) {
    leave(self, request);
  }
}

caf::typed_response_promise<cache_report> describe(cache_pointer self) {
  auto promise = self->make_response_promise<cache_report>();
  const flight_table& flights = self->state.flights;
  // Through the front, so that what was kept before counts.
  self->state.environment.front->post([tiers = self->state.environment.tiers, promise,
                                       waited = flights.waited(), gave_up = flights.given_up(),
                                       me = caf::actor{self}](compute::parallel_runner&) {
    cache_report report = tiers->report();
    report.waited = waited;
    report.gave_up = gave_up;
    caf::anon_send(me, cache_report_ready{promise, report});
  });
  return promise;
}

} // namespace

caf::behavior cache_behavior(cache_pointer self, cache_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->set_down_handler([self](caf::down_msg& message) { lead_down(self, message); });
  return {
      [self](const find_units& wanted) { return look_up(self, wanted); },
      [self](cache_lookup_done& done) { answer_lookup(self, done); },
      [self](const keep_units& units) { keep_computed(self, units); },
      [self](const refuse_units& e) { refuse(self, e); },
      [self](const keep_inputs& inputs) { keep(self, inputs); },
      [self](const hold_inputs& inputs) { hold(self, inputs); },
      [self](enter_request& wanted) { return enter(self, wanted); },
      [self](cache_answer_looked_up& found) { answer_found(self, found); },
      [self](const windows_computed& e) {
        let_go(self, self->state.flights.computed(e.request, e.windows,
                                                  self->state.environment.env->now()));
      },
      [self](const leave_request& e) { leave(self, e.request); },
      [self](const keep_answer& answer) { keep(self, answer); },
      [self](const write_quarantine&) { order_commit(self); },
      [self](const cache_commit_order&) { commit(self); },
      [self](const cache_commit_done& done) {
        self->state.commit_due = false;
        if (done.more) {
          order_commit(self);
        }
      },
      [self](const cache_flight_tick&) {
        self->state.ticking = false;
        let_go(self, self->state.flights.tick(self->state.environment.env->now(),
                                              limits::flight_wait_max));
        tick_later(self);
      },
      [self](const describe_cache&) { return describe(self); },
      [](cache_report_ready& ready) { ready.promise.deliver(ready.report); },
  };
}

std::vector<std::string> flush(cache_tiers& tiers) {
  std::vector<std::string> warnings;
  while (auto batch = tiers.take_batch()) {
    auto more = tiers.take(tiers.commit(std::move(*batch)));
    warnings.insert(warnings.end(), more.begin(), more.end());
  }
  return warnings;
}

} // namespace ovir::actors
