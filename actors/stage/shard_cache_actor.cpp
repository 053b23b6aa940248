#include "actors/stage/shard_cache_actor.hpp"

#include "actors/reuse/cache_protocol_actor.hpp"
#include "compute/forward/kv_digest.hpp"
#include "messages/limits/cache.hpp"
#include "messages/limits/general.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

unit_scope scope_of(const stage_bench& bench, const shard_core::session& session) {
  const compute::model_config& config = bench.segment->config();
  return {model_of(bench, session.model),
          bench.segment->layers(),
          config.layers,
          {config.kv_heads, config.head_dim}};
}

caf::actor cache_of(const shard_state& state) {
  return state.bench->cache.handle ? state.bench->cache.handle->get() : caf::actor{};
}

/// Where units are found and kept; empty where nothing is used again.
caf::actor reuse_of(const shard_state& state) {
  return state.bench->cache.reuses ? cache_of(state) : caf::actor{};
}

void hand_over(shard_pointer self, const shard_core::session& session, unit_keeper& keeper,
               std::uint64_t cost_us) {
  auto units = keeper.take();
  const caf::actor cache = reuse_of(self->state);
  if (!units || !cache) {
    return;
  }
  units->scope = scope_of(*self->state.bench, session);
  units->kv = {session.data, &session.data->state.kv};
  units->cost_us = cost_us;
  units->era = keeper.era;
  caf::anon_send(cache, std::move(*units));
}

} // namespace

bool may_reuse(shard_pointer self, const shard_core::session& session) {
  const shard_state::route& route = self->state.routes.at(session.request);
  return route.prefixes && !route.reuse_done && session.length == session.reused_to &&
         session.length < std::min<std::uint64_t>(route.reuse_windows, route.prefixes->size()) *
                              limits::window_positions &&
         reuse_of(self->state);
}

void ask_cache(shard_pointer self, shard_core::session& session,
               std::function<void(shard_core::session&)> none, std::function<void()> post) {
  shard_state& state = self->state;
  shard_state::route& route = state.routes.at(session.request);
  if (std::exchange(route.reusing, true)) {
    return; // asked already
  }
  const auto last =
      std::min(route.reuse_windows, static_cast<std::uint32_t>(route.prefixes->size()));
  const find_units wanted{scope_of(*state.bench, session), route.prefixes,
                          session.length / limits::window_positions, last};
  const auto answered = [self, none = std::move(none), post = std::move(post),
                         request = session.request, driver = session.driver](units_found* found) {
    const auto known = self->state.routes.find(request);
    shard_core::session* const s = self->state.core->find(request);
    if (known == self->state.routes.end() || s == nullptr || s->driver != driver ||
        !known->second.reusing) {
      return; // for an epoch that is over
    }
    known->second.reusing = false;
    known->second.reuse_done = found == nullptr || !found->more;
    known->second.told.end = found == nullptr ? reuse_end::unanswered : found->end;
    if (found != nullptr && found->others.choice != fetch_choice::not_asked) {
      known->second.told.others = found->others; // else those of an earlier part of the lookup
    }
    const bool any = found != nullptr && !found->blocks.empty();
    const auto windows =
        any ? static_cast<std::uint32_t>(found->blocks.size() /
                                         self->state.bench->segment->layers().size())
            : 0;
    const std::uint32_t end = any ? found->first + windows : 0;
    const units_reused from = any ? found->from : units_reused{};
    if (!any || s->busy || !self->state.core->restore(request, driver, std::move(*found))) {
      known->second.reuse_done = true;
      if (any) {
        known->second.told.end = reuse_end::unanswered;
      }
      if (!s->busy && s->open_owed) {
        none(*s);
      }
      return;
    }
    s->reused_to = end * limits::window_positions;
    s->reused.memory += from.memory;
    s->reused.disk += from.disk;
    s->reused.peer += from.peer;
    if (const auto keeper = self->state.keepers.find(request);
        keeper != self->state.keepers.end()) {
      keeper->second.skip_to(end);
    }
    post();
  };
  self->request(reuse_of(state), limits::cache_wait_max, wanted)
      .then([answered](units_found& found) { answered(&found); },
            [answered](const caf::error&) { answered(nullptr); });
}

void refuse_windows(shard_pointer self, shard_core::session& session, std::uint32_t first) {
  shard_state& state = self->state;
  const shard_state::route& route = state.routes.at(session.request);
  const caf::actor cache = reuse_of(state);
  if (route.prefixes && cache && first < route.prefixes->size()) {
    caf::anon_send(cache, refuse_units{{scope_of(*state.bench, session), route.prefixes, first,
                                        static_cast<std::uint32_t>(route.prefixes->size())}});
  }
}

void begin_keeping(shard_pointer self, const shard_core::session& session) {
  const shard_state::route& route = self->state.routes.at(session.request);
  if (!route.prefixes || !reuse_of(self->state)) {
    self->state.keepers.erase(session.request);
    return;
  }
  const bool is_new = !self->state.keepers.contains(session.request);
  unit_keeper& keeper = self->state.keepers[session.request];
  if (session.length == 0) {
    keeper = {};
    keeper.era = self->state.bench->cache.handle->era();
  }
  if (is_new) {
    keeper.skip_to(session.length / limits::window_positions); // their leaves are stated
  }
  keeper.name(0, *route.prefixes);
  hand_over(self, session, keeper, 0);
}

void name_more(shard_pointer self, const to_stage<name_windows>& names) {
  const shard_core::session* const session = self->state.core->find(names.request);
  const auto keeper = self->state.keepers.find(names.request);
  if (session == nullptr || keeper == self->state.keepers.end() ||
      names.driver != session->driver) {
    return;
  }
  keeper->second.name(names.first, names.prefixes);
  hand_over(self, *session, keeper->second, 0);
}

void keep_complete(shard_pointer self, shard_core::session& session,
                   const std::vector<compute::unit_leaf>& leaves,
                   std::vector<window_origin> origins, std::chrono::nanoseconds time) {
  const auto keeper = self->state.keepers.find(session.request);
  if (keeper == self->state.keepers.end()) {
    return;
  }
  const std::uint32_t windows = session.length / limits::window_positions;
  keeper->second.complete(windows, leaves, std::move(origins));
  // What one unit took, as far as the last step tells.
  const std::uint64_t layers = self->state.bench->segment->layers().size();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
  hand_over(self, session, keeper->second, static_cast<std::uint64_t>(us) / layers);
}

void keep_window_inputs(shard_pointer self, const shard_core::session& session,
                        std::vector<window_kept> kept) {
  const caf::actor cache = cache_of(self->state);
  const auto route = self->state.routes.find(session.request);
  const bool sealed = route != self->state.routes.end() && route->second.sealed;
  if (kept.empty() || !cache || sealed) {
    return;
  }
  caf::anon_send(cache, keep_inputs{self->state.bench->segment->layers(),
                                    {session.data, &session.data->state.kv},
                                    std::move(kept)});
}

void keep_last_inputs(shard_pointer self, const shard_core::session& session) {
  constexpr std::uint32_t size = limits::window_positions;
  const std::uint32_t window = session.length / size;
  const std::uint32_t positions = session.length % size;
  if (!session.signs || positions == 0) {
    return;
  }
  session_data& data = *session.data;
  const auto input = data.input.at(window, positions);
  if (!input) {
    return;
  }
  window_kept last{window, positions, *input, data.input.take_rows(window, positions), {}};
  const layer_range layers = self->state.bench->segment->layers();
  for (layer_index layer = layers.first; layer < layers.last; ++layer) {
    last.kv.push_back(compute::kv_digest(data.state.kv, layer, window, positions));
  }
  keep_window_inputs(self, session, {std::move(last)});
}

} // namespace ovir::actors
