#include "actors/weights/weights_source_actor.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/limits/fetch.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

/// Between two turns while the rate allows nothing, or nobody says that pieces came.
constexpr std::chrono::milliseconds turn_pause{5};
/// Sent in one turn, so that questions do not wait long behind pieces.
constexpr std::uint64_t turn_bytes = 8U << 20U;

using parts = std::vector<std::shared_ptr<const held_pieces>>;

/// The parts of this model that are here, as of now.
parts parts_of(source_state& state, const digest& model) {
  parts& known = state.known[model];
  parts now;
  const std::vector<layer_range> spares = state.environment.models->spares(model).ranges;
  for (const model_catalog::entry& part : state.environment.models->all()) {
    if (part->id != model || !part->manifest || !part->file) {
      continue;
    }
    const auto same = std::find_if(known.begin(), known.end(), [&](const auto& held) {
      return held->part() == part && held->spares() == spares;
    });
    if (same != known.end()) {
      now.push_back(*same);
    } else if (auto held = held_pieces::of(part, spares)) {
      now.push_back(std::make_shared<const held_pieces>(std::move(*held)));
    } else {
      state.environment.journal->say(log_level::warn, std::nullopt, "{}", held.error().message);
    }
  }
  if (now.empty()) {
    state.known.erase(model); // lets go of files that were unloaded
  } else {
    known = now;
  }
  return now;
}

void refuse(source_pointer self, const peer_info& to, const digest& model, std::uint32_t piece,
            const error& reason) {
  ++self->state.totals.refused;
  self->state.environment.links->send_bulk(to.connection, encode_refusal(model, piece, reason));
}

error unknown_model(const digest& model) {
  return fail(errc::segment_missing, "model {} is not here", to_hex(model).substr(0, 8));
}

void send_manifest(source_pointer self, const peer_info& to, const digest& model) {
  const parts here = parts_of(self->state, model);
  if (here.empty()) {
    return refuse(self, to, model, no_piece, unknown_model(model));
  }
  const std::string bytes = to_bytes(here.front()->list().manifest());
  if (bytes.size() > limits::fetch_manifest_bytes_max) {
    return refuse(self, to, model, no_piece,
                  fail(errc::over_limit,
                       "the manifest has {} bytes, more than the {} that are sent", bytes.size(),
                       limits::fetch_manifest_bytes_max));
  }
  self->state.environment.links->send_bulk(
      to.connection,
      encode_fetch({fetch_kind::manifest, model, 0, 0}, std::as_bytes(std::span{bytes})));
}

void send_holdings(source_pointer self, const peer_info& to, const digest& model) {
  const parts here = parts_of(self->state, model);
  if (here.empty()) {
    return refuse(self, to, model, no_piece, unknown_model(model));
  }
  std::vector<std::uint32_t> all;
  for (const auto& part : here) {
    for (const piece_range& range : part->ranges()) {
      for (std::uint32_t piece = range.first; piece < range.last; ++piece) {
        all.push_back(piece);
      }
    }
  }
  std::vector<piece_range> ranges = ranges_of(std::move(all));
  if (ranges.size() > limits::fetch_ranges_max) {
    ranges.resize(limits::fetch_ranges_max); // what is not named is asked of others
  }
  self->state.environment.links->send_bulk(to.connection, encode_holdings(model, ranges));
}

void take_turns(source_pointer self);

void plan_turn(source_pointer self, bool now) {
  if (!self->state.turn_due) {
    self->state.turn_due = true;
    if (now) {
      self->send(self, source_turn{});
    } else {
      self->delayed_send(self, turn_pause, source_turn{});
    }
  }
}

void take_wants(source_pointer self, source_state::asker& asker, const fetch_view& view) {
  const std::vector<std::uint32_t> pieces = view.pieces();
  if (asker.waiting.size() + pieces.size() > limits::pieces_waiting_max) {
    self->state.environment.links->close(
        asker.peer.connection, fail(errc::over_limit, "{} pieces wait for you; at most {} may",
                                    asker.waiting.size(), limits::pieces_waiting_max));
    asker.waiting.clear();
    return;
  }
  asker.received = std::min(std::max(asker.received, view.header.received), asker.sent);
  for (const std::uint32_t piece : pieces) {
    asker.waiting.push_back({view.header.model, piece});
  }
  plan_turn(self, true);
}

void take(source_pointer self, const bulk_received& news) {
  source_state& state = self->state;
  const peer_info& peer = news.peer;
  const auto view = decode_fetch(*news.bytes);
  if (!view) {
    state.environment.journal->say(log_level::warn, std::nullopt,
                                   "{} asked for weights wrongly: {}", short_name(peer.node),
                                   view.error().message);
    return state.environment.links->close(peer.connection, view.error());
  }
  if (!peer.roles.has(role::worker) && !peer.roles.has(role::scheduler)) {
    return refuse(self, peer, view->header.model, no_piece,
                  fail(errc::invalid_argument, "weights are for workers and schedulers"));
  }
  auto known = state.askers.find(peer.connection);
  if (known == state.askers.end()) {
    if (state.askers.size() >= limits::bulk_connections_served_max) {
      return state.environment.links->close(
          peer.connection, fail(errc::busy, "{} nodes fetch from here", state.askers.size()));
    }
    known = state.askers.emplace(peer.connection, source_state::asker{peer, {}, 0, 0}).first;
  }
  switch (view->header.kind) {
  case fetch_kind::want_manifest: return send_manifest(self, peer, view->header.model);
  case fetch_kind::want_holdings: return send_holdings(self, peer, view->header.model);
  case fetch_kind::want_pieces: return take_wants(self, known->second, *view);
  default:
    return state.environment.links->close(
        peer.connection, fail(errc::malformed, "an answer to a question that nobody asked"));
  }
}

/// Bytes sent, 0 when it was refused; nothing while the asker has not said that others came.
std::optional<std::uint64_t> serve(source_pointer self, source_state::asker& asker) {
  source_state& state = self->state;
  const source_state::want next = asker.waiting.front();
  for (const auto& part : parts_of(state, next.model)) {
    const std::span<const std::byte> bytes =
        next.piece < part->list().size() ? part->find(next.piece) : std::span<const std::byte>{};
    if (bytes.empty()) {
      continue;
    }
    const std::uint64_t owed = asker.sent - asker.received;
    if (owed > 0 && owed + bytes.size() > limits::fetch_source_bytes_max) {
      return std::nullopt;
    }
    asker.waiting.pop_front();
    asker.sent += bytes.size();
    state.totals.served_bytes += bytes.size();
    ++state.totals.served_pieces;
    state.environment.links->send_bulk(
        asker.peer.connection, encode_fetch({fetch_kind::piece, next.model, next.piece, 0}, bytes));
    return bytes.size();
  }
  asker.waiting.pop_front();
  refuse(self, asker.peer, next.model, next.piece,
         fail(errc::segment_missing, "piece {} is not here", next.piece));
  return 0;
}

/// Whose turn it is: the next connection behind the one served last that may be sent something.
void take_turns(source_pointer self) {
  source_state& state = self->state;
  state.turn_due = false;
  std::uint64_t sent = 0;
  bool owing = false;
  std::size_t idle = 0;
  auto it = state.served_last ? state.askers.upper_bound(*state.served_last) : state.askers.begin();
  while (idle < state.askers.size() && sent < turn_bytes) {
    if (it == state.askers.end()) {
      it = state.askers.begin();
    }
    if (it->second.waiting.empty()) {
      ++idle;
    } else if (!state.rate->ready(state.environment.env->now())) {
      owing = true;
      break;
    } else if (const auto bytes = serve(self, it->second)) {
      state.rate->spend(*bytes);
      state.served_last = it->first;
      sent += *bytes;
      idle = 0;
    } else {
      ++idle; // its next question says what came
    }
    ++it;
  }
  if (owing || sent >= turn_bytes) {
    plan_turn(self, !owing);
  }
}

} // namespace

caf::behavior source_behavior(source_pointer self, source_environment environment) {
  make_quiet(self);
  self->state.environment = environment;
  self->state.rate.emplace(environment.bytes_per_second);
  return {
      [](const bulk_connected&) {}, // whoever says nothing costs nothing here
      [self](const bulk_received& news) { take(self, news); },
      [self](const bulk_closed& news) { self->state.askers.erase(news.peer.connection); },
      [self](const source_turn&) { take_turns(self); },
      [self](const describe_source&) {
        source_totals totals = self->state.totals;
        totals.askers = self->state.askers.size();
        return totals;
      },
  };
}

} // namespace ovir::actors
