#include "actors/reuse/block_exchange_actor.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/wire/block_frame.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

using core = block_exchange_core;

storage::env::time_point now_of(exchange_pointer self) {
  return self->state.environment.env->now();
}

// Asks

void send_asks(exchange_pointer self, exchange_state::member_link& link) {
  for (const block_ask& ask : std::exchange(link.waiting, {})) {
    self->state.environment.links->send_bulk(*link.bulk, encode_want_blocks(ask.ticket, ask.places),
                                             message_kind::blocks);
  }
}

void perform(exchange_pointer self, core::effects effects);
void perform(exchange_pointer self, input_fetch_core::effects effects);

/// What it was asked for does not come any more.
void source_lost(exchange_pointer self, const node_id& source) {
  perform(self, self->state.core.lost(source, now_of(self)));
  perform(self, self->state.inputs.lost(source));
}

void ask(exchange_pointer self, block_ask question) {
  exchange_state& state = self->state;
  const auto address = state.addresses.find(question.source);
  if (input_fetch_core::is_ticket(question.ticket) && address != state.addresses.end()) {
    state.linked.try_emplace(question.source);
  }
  const auto known = state.linked.find(question.source);
  if (known == state.linked.end() || address == state.addresses.end()) {
    return source_lost(self, question.source);
  }
  exchange_state::member_link& link = known->second;
  if (!link.bulk) {
    link.bulk = state.environment.links->connect_bulk(address->second, question.source,
                                                      message_kind::blocks);
    link.up = false;
  }
  link.waiting.push_back(std::move(question));
  if (link.bulk && link.up) {
    send_asks(self, link);
  }
}

void hang_up(exchange_pointer self, const core::drop& drop) {
  exchange_state& state = self->state;
  state.environment.journal->say(log_level::warn, std::nullopt, "asks {} for no blocks: {}",
                                 short_name(drop.source), drop.why);
  const auto known = state.linked.find(drop.source);
  if (known != state.linked.end() && known->second.bulk) {
    state.environment.links->close(*known->second.bulk, {errc::digest_mismatch, drop.why});
    known->second.bulk.reset();
    known->second.up = false;
    known->second.waiting.clear();
    perform(self, state.inputs.lost(drop.source));
  }
}

fetch_told told_of(const fetch_decision& d) {
  const bool faster = d.compute_us == 0 || d.fetch_us < d.compute_us;
  return {d.fetched ? fetch_choice::fetched
          : faster  ? fetch_choice::busy
                    : fetch_choice::computed,
          d.windows,
          d.blocks,
          d.windows_got,
          d.fetch_us,
          d.compute_us,
          d.took_us};
}

void perform(exchange_pointer self, core::effects effects) {
  for (const core::drop& drop : effects.drops) {
    hang_up(self, drop);
  }
  for (core::finished& done : effects.done) {
    const auto promise = self->state.waiting.find(done.fetch);
    if (promise != self->state.waiting.end()) {
      promise->second.deliver(blocks_fetched{std::move(done.blocks), told_of(done.decision)});
      self->state.waiting.erase(promise);
    }
  }
  for (block_ask& question : effects.asks) {
    ask(self, std::move(question));
  }
}

caf::result<blocks_fetched> fetch(exchange_pointer self, const fetch_blocks& wanted) {
  exchange_state& state = self->state;
  const std::uint64_t id = ++state.fetches;
  core::effects effects;
  if (!state.core.begin(id, wanted.model, wanted.windows, wanted.unit_us, now_of(self), effects)) {
    blocks_fetched none;
    none.told.choice = fetch_choice::nobody;
    return effects.declined ? blocks_fetched{{}, told_of(*effects.declined)} : none;
  }
  auto promise = self->make_response_promise<blocks_fetched>();
  state.waiting.emplace(id, promise);
  perform(self, std::move(effects));
  return promise;
}

// Asks for inputs

void answer(exchange_pointer self, input_fetch_core::finished& done) {
  const auto promise = self->state.inputs_waiting.find(done.fetch);
  if (promise != self->state.inputs_waiting.end()) {
    promise->second.deliver(inputs_fetched{std::move(done.inputs), done.reached});
    self->state.inputs_waiting.erase(promise);
  }
}

void perform(exchange_pointer self, input_fetch_core::effects effects) {
  for (input_fetch_core::finished& done : effects.done) {
    answer(self, done);
  }
  for (block_ask& question : effects.asks) {
    ask(self, std::move(question));
  }
}

// An input a job, so that other lookups come in between.
void look_up_inputs(exchange_pointer self, std::uint64_t id,
                    const std::vector<wanted_input>& wanted) {
  const exchange_environment& around = self->state.environment;
  auto out = std::make_shared<inputs_looked_up>();
  out->found.fetch = id;
  for (const wanted_input& input : wanted) {
    around.front->post([tiers = around.tiers, out, input](compute::parallel_runner&) {
      auto bytes = tiers->input_at(input.name);
      out->found.inputs.push_back(bytes && bytes->size() == input.bytes ? std::move(bytes)
                                                                        : nullptr);
    });
  }
  around.front->post([out, me = caf::actor{self}](compute::parallel_runner&) {
    caf::anon_send(me, std::move(*out));
  });
}

caf::typed_response_promise<inputs_fetched> fetch(exchange_pointer self,
                                                  const fetch_inputs& wanted) {
  exchange_state& state = self->state;
  const std::uint64_t id = ++state.fetches;
  auto promise = self->make_response_promise<inputs_fetched>();
  state.inputs_waiting.emplace(id, promise);
  if (wanted.source == state.environment.self) {
    look_up_inputs(self, id, wanted.inputs);
  } else {
    perform(self, state.inputs.begin(id, wanted.source, wanted.inputs, now_of(self)));
  }
  return promise;
}

// Answers

void refuse(exchange_pointer self, const peer_info& peer, error reason) {
  ++self->state.refused;
  self->state.environment.journal->say(log_level::warn, std::nullopt, "{} about blocks: {}",
                                       short_name(peer.node), reason.message);
  self->state.environment.links->close(peer.connection, std::move(reason));
}

void serve(exchange_pointer self, const peer_info& peer, const block_view& view) {
  exchange_state& state = self->state;
  const bool computes = peer.roles.has(role::worker) || peer.roles.has(role::scheduler) ||
                        peer.roles.has(role::verifier);
  if (peer.kind != channel::bulk || !(computes || peer.roles.has(role::ledger))) {
    return refuse(self, peer,
                  fail(errc::invalid_argument, "blocks are for workers, schedulers and verifiers, "
                                               "and inputs of audits for keepers, too"));
  }
  std::size_t& open = state.serving[peer.connection];
  std::vector<digest> names = view.names();
  if (open + names.size() > limits::blocks_waiting_max) {
    return refuse(self, peer,
                  fail(errc::over_limit, "{} blocks wait for you; at most {} may", open,
                       limits::blocks_waiting_max));
  }
  open += names.size();
  // A block a job, so that lookups of this node's own come in between.
  for (std::uint32_t i = 0; i < names.size(); ++i) {
    state.environment.front->post([around = state.environment, me = caf::actor{self},
                                   to = peer.connection, ticket = view.header.ticket, i,
                                   name = names[i], computes](compute::parallel_runner&) {
      const auto bytes =
          around.blocks && computes ? around.tiers->serve(name) : around.tiers->serve_input(name);
      const block_kind kind = bytes ? block_kind::block : block_kind::missing;
      around.links->send_bulk(
          to,
          encode_block({kind, i, ticket}, bytes ? std::span{*bytes} : std::span<const std::byte>{}),
          message_kind::blocks);
      caf::anon_send(me, block_served{to});
    });
  }
}

void served(exchange_pointer self, const block_served& news) {
  const auto known = self->state.serving.find(news.connection);
  if (known != self->state.serving.end() && --known->second == 0) {
    self->state.serving.erase(known);
  }
}

/// Answers on a connection that was given up are nobody's any more.
bool is_current(const exchange_state& state, const peer_info& peer) {
  const auto known = state.linked.find(peer.node);
  return known != state.linked.end() && known->second.bulk == peer.connection;
}

void take(exchange_pointer self, const blocks_received& news) {
  exchange_state& state = self->state;
  const peer_info& peer = news.peer;
  const auto view = decode_block(*news.bytes);
  if (!view) {
    return refuse(self, peer, view.error());
  }
  const block_header& header = view->header;
  switch (header.kind) {
  case block_kind::claims:
    if (peer.kind == channel::control) {
      state.core.claim(peer.node, name_filter::from(view->payload).value(), header.number);
    }
    return;
  case block_kind::want: return serve(self, peer, *view);
  case block_kind::block:
    if (is_current(state, peer) && input_fetch_core::is_ticket(header.ticket)) {
      perform(self, state.inputs.on_block(peer.node, header.ticket, header.number, view->payload,
                                          now_of(self)));
    } else if (is_current(state, peer)) {
      // A copy: what is kept must not count against the connection.
      perform(self, state.core.on_block(peer.node, header.ticket, header.number,
                                        std::make_shared<const std::vector<std::byte>>(
                                            view->payload.begin(), view->payload.end()),
                                        now_of(self)));
    }
    return;
  case block_kind::missing:
    if (is_current(state, peer) && input_fetch_core::is_ticket(header.ticket)) {
      perform(self, state.inputs.on_missing(peer.node, header.ticket, header.number, now_of(self)));
    } else if (is_current(state, peer)) {
      perform(self, state.core.on_missing(peer.node, header.ticket, header.number, now_of(self)));
    }
    return;
  }
}

// Links

void link_made(exchange_pointer self, const peer_info& peer) {
  const auto known = self->state.linked.find(peer.node);
  if (known == self->state.linked.end() || known->second.bulk != peer.connection) {
    return self->state.environment.links->close(peer.connection,
                                                {errc::busy, "not needed any more"});
  }
  known->second.up = true;
  send_asks(self, known->second);
}

void link_gone(exchange_pointer self, const peer_info& peer) {
  if (is_current(self->state, peer)) {
    exchange_state::member_link& link = self->state.linked.at(peer.node);
    link.bulk.reset();
    link.up = false;
    link.waiting.clear();
    source_lost(self, peer.node);
  }
}

void follow_link(exchange_pointer self, const link_changed& link) {
  exchange_state& state = self->state;
  if (link.up) {
    state.linked[link.node].linked = true;
    state.core.joined(link.node);
    return;
  }
  const auto known = state.linked.find(link.node);
  if (known != state.linked.end()) {
    if (known->second.bulk) {
      state.environment.links->close(*known->second.bulk, {errc::peer_lost, link.reason});
    }
    state.linked.erase(known);
  }
  perform(self, state.core.left(link.node, now_of(self)));
  perform(self, state.inputs.lost(link.node));
}

// Claims

void look_at_places(exchange_pointer self) {
  if (!self->state.environment.blocks || std::exchange(self->state.looking, true)) {
    return;
  }
  self->state.environment.front->post(
      [tiers = self->state.environment.tiers, me = caf::actor{self}](compute::parallel_runner&) {
        caf::anon_send(me, places_ready{tiers->take_places()});
      });
}

void tell_claims(exchange_pointer self) {
  exchange_state& state = self->state;
  const auto now = now_of(self);
  for (auto& [node, link] : state.linked) {
    if (!link.linked || !state.claims || link.told == state.claims || now < link.tell_at) {
      continue;
    }
    state.environment.links->send_claims(node, state.claims);
    link.told = state.claims;
    // The next ones when these have had their share of the traffic.
    link.tell_at = now + std::chrono::microseconds{state.claims->size() * 1'000'000 /
                                                   limits::block_claims_bytes_per_second};
    ++state.claims_sent;
    state.claims_bytes += state.claims->size();
  }
}

void take_places(exchange_pointer self, const places_ready& news) {
  exchange_state& state = self->state;
  state.looking = false;
  if (news.places) {
    name_filter filter{news.places->size()};
    for (const digest& place : *news.places) {
      filter.add(place);
    }
    state.claims = std::make_shared<const std::vector<std::byte>>(encode_block(
        {block_kind::claims, static_cast<std::uint32_t>(news.places->size()), 0}, filter.bytes()));
  }
  tell_claims(self);
}

/// Members that are not linked, once nothing is to come from them.
void leave_idle(exchange_pointer self) {
  exchange_state& state = self->state;
  std::erase_if(state.linked, [&](const auto& entry) {
    const auto& [node, link] = entry;
    const bool idle = !link.linked && !state.inputs.waits_for(node);
    if (idle && link.bulk) {
      state.environment.links->close(*link.bulk, {errc::busy, "not needed any more"});
    }
    return idle;
  });
}

void tick(exchange_pointer self) {
  perform(self, self->state.core.on_tick(now_of(self)));
  perform(self, self->state.inputs.on_tick(now_of(self)));
  leave_idle(self);
  look_at_places(self);
  self->delayed_send(self, limits::block_claims_tick, exchange_tick{});
}

void know_members(exchange_pointer self, const members_changed& news) {
  self->state.addresses.clear();
  for (const member& m : *news.members) {
    self->state.addresses[m.node] = m.advert.address;
  }
}

exchange_report describe(exchange_pointer self) {
  const exchange_state& state = self->state;
  return {state.core.counts(), state.core.decisions(), state.core.claimants(now_of(self)),
          state.claims_sent,   state.claims_bytes,     state.refused};
}

} // namespace

caf::behavior exchange_behavior(exchange_pointer self, exchange_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.core.joined(self->state.environment.self);
  self->delayed_send(self, limits::block_claims_tick, exchange_tick{});
  // Later ones come by themselves.
  if (const caf::actor membership = std::exchange(self->state.environment.membership, nullptr)) {
    self->request(membership, limits::cache_wait_max, list_members{})
        .then([self](const members_changed& news) { know_members(self, news); },
              [](const caf::error&) {});
  }
  return {
      [self](const fetch_blocks& wanted) { return fetch(self, wanted); },
      [self](const fetch_inputs& wanted) { return fetch(self, wanted); },
      [self](inputs_looked_up& e) { answer(self, e.found); },
      [self](const unit_computed& e) { self->state.core.computed(e.model, e.unit_us); },
      [self](const author_refuted& e) {
        perform(self, self->state.core.refute(e.author, now_of(self)));
      },
      [self](const blocks_received& news) { take(self, news); },
      [self](const block_served& news) { served(self, news); },
      [self](const bulk_connected& news) { link_made(self, news.peer); },
      [self](const bulk_closed& news) { link_gone(self, news.peer); },
      [](const bulk_received&) {}, // of a source of weights that answers what was not asked
      [self](const link_changed& link) { follow_link(self, link); },
      [self](const members_changed& news) { know_members(self, news); },
      [self](const places_ready& news) { take_places(self, news); },
      [self](const exchange_tick&) { tick(self); },
      [self](const describe_exchange&) { return describe(self); },
  };
}

} // namespace ovir::actors
