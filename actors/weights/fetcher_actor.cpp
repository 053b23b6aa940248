#include "actors/weights/fetcher_actor.hpp"

#include "actors/weights/held_pieces.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/fetch.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

using fetch = fetcher_state::fetch;
using source_link = fetcher_state::source_link;
using stage = fetcher_state::stage;
using time_point = fetch_core::time_point;

constexpr std::chrono::milliseconds tick_interval{50};
constexpr std::size_t ended_shown_max = 16;
constexpr std::uint32_t doublings_max = 5; // of the wait between two tries of a node

std::string short_model(const digest& model) { return to_hex(model).substr(0, 8); }

std::chrono::milliseconds wait_after(std::uint32_t tries) {
  return limits::fetch_contact_wait * (1U << std::min(tries, doublings_max));
}

void begin_next(fetcher_pointer self);

void close_link(fetcher_pointer self, fetch& f, source_link& link, const error& reason) {
  if (link.connection) {
    f.nodes.erase(*link.connection);
    self->state.environment.links->close(*link.connection, reason);
  }
  link.connection.reset();
  link.connected = false;
  link.ready = false;
}

void finish(fetcher_pointer self, result<fetched_segment> outcome) {
  fetcher_state& state = self->state;
  fetch& f = *state.active;
  for (auto& [node, link] : f.links) {
    close_link(self, f, link, {errc::cancelled, "everything was fetched, or nothing more will be"});
  }
  fetch_progress end = shown(f.shown, f.core);
  log& journal = *state.environment.journal;
  if (outcome) {
    end.state = "done";
    journal.say(log_level::info, std::nullopt,
                "has {} of model {}: {} bytes were here, {} in other files, {} fetched from {} "
                "members",
                words_of(end.layers), short_model(end.model), end.present_bytes, end.local_bytes,
                end.count.verified_bytes, end.sources.size());
  } else {
    end.state = "failed";
    end.reason = outcome.error().message;
    journal.say(log_level::warn, std::nullopt, "cannot fetch model {}: {}", short_model(end.model),
                end.reason);
  }
  state.ended.push_back(std::move(end));
  if (state.ended.size() > ended_shown_max) {
    state.ended.pop_front();
  }
  const fetch_order order = std::move(f.order);
  state.active.reset();
  // What the configuration wants is tried again, unless trying cannot help.
  if (order.patient && !outcome && reaction_to(outcome.error().code) != reaction::refuse) {
    self->delayed_send(self, limits::fetch_retry_wait, order);
  } else {
    (*order.answer)(std::move(outcome));
  }
  begin_next(self);
}

void ban(fetcher_pointer self, fetch& f, const node_id& node, const std::string& reason) {
  source_link& link = f.links[node];
  link.banned = true;
  close_link(self, f, link, {errc::digest_mismatch, reason});
}

/// Bytes of pieces that came from it, for the tokenizer as for the rest: a source counts what it
/// has on the way, and one that is told too little keeps the last pieces to itself.
std::uint64_t received_from(const fetch& f, const node_id& node) {
  std::uint64_t bytes = 0;
  if (const auto before = f.shown.sources.find(node); before != f.shown.sources.end()) {
    bytes += before->second.bytes;
  }
  if (f.core) {
    const auto now = f.core->sources().find(node);
    bytes += now == f.core->sources().end() ? 0 : now->second.bytes;
  }
  return bytes;
}

/// False: the fetch is over.
bool perform(fetcher_pointer self, const fetch_core::effects& effects) {
  fetch& f = *self->state.active;
  log& journal = *self->state.environment.journal;
  for (const fetch_core::drop& drop : effects.drops) {
    journal.say(log_level::warn, std::nullopt, "drops {} as a source of model {}: it {}",
                short_name(drop.source), short_model(f.order.model), drop.reason);
    if (drop.fault == source_fault::lied) {
      ban(self, f, drop.source, drop.reason);
    } else {
      source_link& link = f.links[drop.source];
      close_link(self, f, link, {errc::timed_out, drop.reason});
      link.next_try = self->state.environment.env->now() + wait_after(++link.tries);
    }
  }
  for (const fetch_core::ask& ask : effects.asks) {
    const auto link = f.links.find(ask.source);
    if (link != f.links.end() && link->second.connection) {
      self->state.environment.links->send_bulk(
          *link->second.connection,
          encode_want_pieces(f.order.model, ask.pieces, received_from(f, ask.source)));
    }
  }
  if (f.core && f.core->failed()) {
    finish(self, *f.core->failed());
    return false;
  }
  return true;
}

/// Hands those that said what they have to the core. False: the fetch is over.
bool join_sources(fetcher_pointer self) {
  fetch& f = *self->state.active;
  std::vector<node_id> ready;
  for (const auto& [node, link] : f.links) {
    if (link.ready && f.core && f.core->takes(node)) {
      ready.push_back(node);
    }
  }
  for (const node_id& node : ready) {
    if (!perform(self, f.core->source_joined(node, f.links[node].holds,
                                             self->state.environment.env->now()))) {
      return false;
    }
  }
  return true;
}

/// The next core, with the counts of the one before.
void use_core(fetcher_pointer self, const std::vector<std::uint32_t>& missing) {
  fetch& f = *self->state.active;
  if (f.core) {
    f.shown = shown(f.shown, f.core);
    for (auto& [node, report] : f.shown.sources) {
      report.joined = false;
    }
  }
  std::vector<wanted_piece> pieces;
  for (const std::uint32_t index : missing) {
    const compute::model_piece piece = f.store->pieces()->at(index);
    pieces.push_back({index, piece.bytes, piece.content});
  }
  fetch_settings how = self->state.environment.settings;
  how.patient = f.order.patient;
  f.core.emplace(std::move(pieces), how, self->state.environment.env->now());
}

/// Takes what other files have. Returns what they have not.
result<std::vector<std::uint32_t>> take_local(fetcher_pointer self,
                                              const std::vector<std::uint32_t>& missing) {
  fetch& f = *self->state.active;
  const local_pieces local{*self->state.environment.models};
  std::vector<std::uint32_t> left;
  for (const std::uint32_t index : missing) {
    const auto bytes = local.find(f.store->pieces()->at(index).content);
    if (bytes.empty()) {
      left.push_back(index);
    } else {
      OVIR_TRY(f.store->write(index, bytes));
      f.shown.local_bytes += bytes.size();
    }
  }
  return left;
}

/// Layers that are whole are of use while the rest is on its way.
void tell_part(fetch& f) {
  if (const auto layers = f.order.part ? f.begun->take() : std::nullopt) {
    f.order.part({f.order.model, *layers, f.store->weights_path(), f.store->manifest()});
  }
}

result<void> choose_layers(fetcher_pointer self) {
  fetch& f = *self->state.active;
  const compute::piece_list& pieces = *f.store->pieces();
  const std::uint64_t room =
      room_for(f.order, self->state.environment.room, *self->state.environment.models);
  if (f.order.layers) {
    f.shown.layers = *f.order.layers;
  } else {
    OVIR_ASSIGN(f.shown.layers, fitting_layers(pieces, room));
  }
  OVIR_ASSIGN(f.wanted, wanted_pieces(pieces, f.shown.layers));
  f.shown.bytes = pieces.bytes_of(f.wanted);
  return check_room(f.order, f.shown.layers, f.shown.bytes, room);
}

/// Goes as far as what is on the disk allows. False in the result: the fetch is not over.
result<bool> advance(fetcher_pointer self) {
  fetch& f = *self->state.active;
  if (f.at == stage::manifest) {
    if (f.store->pieces() == nullptr) {
      return false;
    }
    OVIR_TRY(choose_layers(self));
    f.at = stage::tokenizer;
    if (!f.store->has_file()) {
      const local_pieces local{*self->state.environment.models};
      if (const auto bytes = local.find(f.store->manifest()->tokenizer); !bytes.empty()) {
        OVIR_TRY(f.store->take_tokenizer(bytes));
        f.shown.local_bytes += bytes.size();
      } else {
        use_core(self, {0});
      }
    } else {
      f.shown.present_bytes += f.store->manifest()->tokenizer_bytes;
    }
  }
  if (f.at == stage::tokenizer) {
    if (!f.store->has_file()) {
      return false;
    }
    f.at = stage::pieces;
    OVIR_ASSIGN(const auto absent, f.store->missing(f.wanted));
    const bool words_before = f.shown.present_bytes > 0;
    const std::uint64_t words = f.store->manifest()->tokenizer_bytes;
    f.shown.present_bytes = f.shown.bytes - f.store->pieces()->bytes_of(absent);
    f.shown.present_bytes -= words_before ? 0 : words;
    OVIR_ASSIGN(const auto left, take_local(self, absent));
    OVIR_ASSIGN(f.begun, first_layers::of(*f.store->pieces(), f.shown.layers, f.wanted, left));
    use_core(self, left);
    tell_part(f);
  }
  if (!f.core->done()) {
    return false;
  }
  OVIR_TRY(f.store->sync());
  return true;
}

/// False: the fetch is over.
bool go_on(fetcher_pointer self) {
  const auto over = advance(self);
  if (!over) {
    finish(self, over.error());
    return false;
  }
  if (*over) {
    const fetch& f = *self->state.active;
    finish(self, fetched_segment{f.order.model, f.shown.layers, f.store->weights_path(),
                                 f.store->manifest()});
    return false;
  }
  return join_sources(self);
}

// Sources

void ask_holdings(fetcher_pointer self, const source_link& link) {
  self->state.environment.links->send_bulk(
      *link.connection,
      encode_fetch({fetch_kind::want_holdings, self->state.active->order.model, 0, 0}, {}));
}

void contact(fetcher_pointer self, time_point now) {
  fetcher_state& state = self->state;
  fetch& f = *state.active;
  for (const member* const m :
       possible_sources(f.order.model, *state.members, state.environment.self)) {
    source_link& link = f.links[m->node];
    if (link.banned || link.ready || now < link.next_try) {
      continue;
    }
    if (link.connected) {
      link.next_try = now + wait_after(++link.tries);
      ask_holdings(self, link);
    } else if (!link.connection && f.nodes.size() < limits::fetch_sources_max) {
      link.next_try = now + wait_after(++link.tries);
      link.connection = state.environment.links->connect_bulk(m->advert.address, m->node);
      if (link.connection) {
        f.nodes[*link.connection] = m->node;
      }
    }
  }
}

void ask_manifest(fetcher_pointer self, time_point now) {
  fetch& f = *self->state.active;
  if (f.at != stage::manifest ||
      (f.manifest_asked_of && now - f.manifest_asked < 2 * limits::fetch_stall_wait)) {
    return;
  }
  const auto ready = std::find_if(f.links.begin(), f.links.end(), [&](const auto& one) {
    return one.second.ready && one.first != f.manifest_asked_of;
  });
  f.manifest_asked_of.reset();
  if (ready != f.links.end()) {
    f.manifest_asked_of = ready->first;
    f.manifest_asked = now;
    self->state.environment.links->send_bulk(
        *ready->second.connection,
        encode_fetch({fetch_kind::want_manifest, f.order.model, 0, 0}, {}));
  }
}

/// Without a source it lets another go first. What was verified is on the disk.
void step_aside(fetcher_pointer self, time_point now) {
  fetcher_state& state = self->state;
  fetch& f = *state.active;
  if ((f.core && f.core->in_flight() > 0) || f.manifest_asked_of) {
    f.idle_since = now;
  }
  if (now - f.idle_since <= limits::fetch_review) {
    return;
  }
  if (!state.waiting.empty()) {
    fetch_order again = f.order;
    for (auto& [node, link] : f.links) {
      close_link(self, f, link, {errc::cancelled, "another model is fetched first"});
    }
    state.active.reset();
    state.waiting.push_back(std::move(again));
    begin_next(self);
  } else if (!f.order.patient && f.at == stage::manifest &&
             now - f.idle_since > limits::fetch_source_wait) {
    finish(self, fail(errc::timed_out, "no member had model {} within {} s; start one that has it",
                      short_model(f.order.model), limits::fetch_source_wait.count() / 1'000));
  }
}

// News

void take_manifest(fetcher_pointer self, const node_id& from, const fetch_view& view) {
  fetch& f = *self->state.active;
  if (f.manifest_asked_of != from) {
    return ban(self, f, from, "sent a manifest it was not asked for");
  }
  f.manifest_asked_of.reset();
  if (f.at != stage::manifest) {
    return;
  }
  if (const auto taken = f.store->take_manifest(view.payload); !taken) {
    if (taken.error().code != errc::digest_mismatch) {
      return finish(self, taken.error());
    }
    self->state.environment.journal->say(
        log_level::warn, std::nullopt, "drops {} as a source of model {}: it sent another manifest",
        short_name(from), short_model(f.order.model));
    ban(self, f, from, taken.error().message);
    f.shown.sources[from].fault = "sent another manifest";
    return ask_manifest(self, self->state.environment.env->now());
  }
  (void)go_on(self);
}

void take_piece(fetcher_pointer self, const node_id& from, const fetch_view& view) {
  fetch& f = *self->state.active;
  if (!f.core) {
    return ban(self, f, from, "sent a piece it was not asked for");
  }
  const auto effects = f.core->piece_arrived(from, view.header.piece, view.payload,
                                             self->state.environment.env->now());
  if (effects.keep) {
    const auto kept = f.at == stage::tokenizer ? f.store->take_tokenizer(view.payload)
                                               : f.store->write(view.header.piece, view.payload);
    if (!kept) {
      return finish(self, kept.error());
    }
    if (f.begun) {
      f.begun->arrived(view.header.piece);
      tell_part(f);
    }
  }
  if (perform(self, effects) && f.core->done()) {
    (void)go_on(self);
  }
}

void take_refusal(fetcher_pointer self, const node_id& from, const fetch_view& view) {
  fetch& f = *self->state.active;
  source_link& link = f.links[from];
  if (f.manifest_asked_of == from) {
    f.manifest_asked_of.reset();
  }
  if (view.header.piece == no_piece) {
    link.ready = false; // it is asked again what it has, after a while
  }
  if (f.core) {
    (void)perform(self,
                  f.core->refused(from, view.header.piece, self->state.environment.env->now()));
  }
}

void take(fetcher_pointer self, const bulk_received& news) {
  fetcher_state& state = self->state;
  if (!state.active) {
    return;
  }
  fetch& f = *state.active;
  const auto known = f.nodes.find(news.peer.connection);
  if (known == f.nodes.end()) {
    return; // of a fetch that is over
  }
  const node_id from = known->second;
  const auto view = decode_fetch(*news.bytes);
  if (!view || view->header.model != f.order.model) {
    state.environment.journal->say(
        log_level::warn, std::nullopt, "drops {} as a source of model {}: {}", short_name(from),
        short_model(f.order.model), view ? "it speaks of another" : view.error().message);
    ban(self, f, from, "sent what is no answer");
    if (f.core) {
      (void)perform(self, f.core->source_left(from, state.environment.env->now()));
    }
    return;
  }
  switch (view->header.kind) {
  case fetch_kind::holdings: {
    source_link& link = f.links[from];
    link.ready = true;
    link.tries = 0;
    link.holds = view->ranges();
    ask_manifest(self, state.environment.env->now());
    (void)join_sources(self);
    return;
  }
  case fetch_kind::manifest: return take_manifest(self, from, *view);
  case fetch_kind::piece: return take_piece(self, from, *view);
  case fetch_kind::refusal: return take_refusal(self, from, *view);
  default: return ban(self, f, from, "asked instead of answering");
  }
}

void link_made(fetcher_pointer self, const peer_info& peer) {
  fetcher_state& state = self->state;
  if (!state.active || !state.active->nodes.contains(peer.connection)) {
    return state.environment.links->close(peer.connection, {errc::cancelled, "nothing is fetched"});
  }
  source_link& link = state.active->links[state.active->nodes.at(peer.connection)];
  link.connected = true;
  ask_holdings(self, link);
}

void link_gone(fetcher_pointer self, const bulk_closed& news) {
  fetcher_state& state = self->state;
  if (!state.active) {
    return;
  }
  fetch& f = *state.active;
  const auto known = f.nodes.find(news.peer.connection);
  if (known == f.nodes.end()) {
    return;
  }
  const node_id node = known->second;
  f.nodes.erase(known);
  const time_point now = state.environment.env->now();
  source_link& link = f.links[node];
  link.connection.reset();
  link.connected = false;
  link.ready = false;
  link.next_try = std::max(link.next_try, now + limits::fetch_contact_wait);
  if (f.manifest_asked_of == node) {
    f.manifest_asked_of.reset();
    ask_manifest(self, now);
  }
  if (f.core) {
    (void)perform(self, f.core->source_left(node, now));
  }
}

void begin_next(fetcher_pointer self) {
  fetcher_state& state = self->state;
  while (!state.active && !state.waiting.empty()) {
    state.active = fetcher_state::fetch{};
    if (!std::exchange(state.ticks, true)) {
      self->delayed_send(self, tick_interval, fetch_tick{});
    }
    fetch& f = *state.active;
    f.order = std::move(state.waiting.front());
    state.waiting.pop_front();
    f.shown.model = f.order.model;
    f.shown.layers = f.order.layers.value_or(layer_range{});
    f.shown.state = "fetching";
    f.idle_since = f.begun_at = f.told = state.environment.env->now();
    auto store =
        fetched_model::open(*state.environment.env, state.environment.state, f.order.model);
    if (!store) {
      finish(self, store.error());
      return; // which began the next
    }
    f.store = std::move(*store);
    if (!go_on(self)) {
      return;
    }
  }
}

void take_order(fetcher_pointer self, const fetch_order& order) {
  fetcher_state& state = self->state;
  if (state.waiting.size() >= limits::fetches_max) {
    return (*order.answer)(
        fail(errc::busy, "{} models are to be fetched before", state.waiting.size()));
  }
  state.waiting.push_back(order);
  begin_next(self);
}

void tell(fetcher_state& state, const std::string& words) {
  if (words == std::exchange(state.told, words)) {
    return;
  }
  if (!words.empty()) {
    state.environment.journal->say(log_level::info, std::nullopt, "{}", words);
  }
  if (state.environment.tell) {
    state.environment.tell(words);
  }
}

void tick(fetcher_pointer self) {
  fetcher_state& state = self->state;
  state.ticks = state.active.has_value();
  if (!state.ticks) {
    return tell(state, {});
  }
  self->delayed_send(self, tick_interval, fetch_tick{});
  const time_point now = state.environment.env->now();
  if (fetch& f = *state.active; now - f.told >= limits::fetch_words_wait) {
    f.told = now;
    tell(state, words_of(shown(f.shown, f.core), now - f.begun_at));
  }
  contact(self, now);
  ask_manifest(self, now);
  if (state.active->core && !perform(self, state.active->core->tick(now))) {
    return;
  }
  if (join_sources(self)) {
    step_aside(self, now);
  }
}

fetch_list list(const fetcher_state& state) {
  fetch_list list;
  if (state.active) {
    list.fetches.push_back(shown(state.active->shown, state.active->core));
  }
  for (const fetch_order& order : state.waiting) {
    fetch_progress& waits = list.fetches.emplace_back();
    waits.model = order.model;
    waits.layers = order.layers.value_or(layer_range{});
    waits.state = "waiting";
  }
  list.fetches.insert(list.fetches.end(), state.ended.begin(), state.ended.end());
  return list;
}

} // namespace

caf::behavior fetcher_behavior(fetcher_pointer self, fetcher_environment environment) {
  make_quiet(self);
  self->state.environment = std::move(environment);
  self->state.members = std::make_shared<const std::vector<member>>();
  for (const fetch_order& order : self->state.environment.configured) {
    self->send(self, order);
  }
  return {
      [self](const fetch_order& order) { take_order(self, order); },
      [self](const members_changed& news) { self->state.members = news.members; },
      [self](const bulk_connected& news) { link_made(self, news.peer); },
      [self](const bulk_received& news) { take(self, news); },
      [self](const bulk_closed& news) { link_gone(self, news); },
      [self](const fetch_tick&) { tick(self); },
      [self](const list_fetches&) { return list(self->state); },
  };
}

} // namespace ovir::actors
