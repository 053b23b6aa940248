#include "actors/stage/host_loads_actor.hpp"

#include "actors/placement/placer_core.hpp"
#include "messages/limits/loads.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

void refuse(host_pointer self, const node_id& to, request_id request, const digest& model,
            layer_range layers, error reason) {
  self->state.environment.journal->say(
      log_level::warn, request, "does not do what {} ordered with layers {}-{} of model {}: {}",
      short_name(to), layers.first, layers.last - 1, to_hex(model).substr(0, 8), reason.message);
  self->state.environment.links->send_wire(
      to, {request, {}, layers.first, wire_load_failed{model, std::move(reason)}});
}

/// Held, or where it is to be a spare copy on the disk.
bool is_here(const model_catalog& models, const wire_load& order) {
  if (models.find(order.model, order.layers)) {
    return true;
  }
  const std::vector<bool> on_disk = order.spare ? models.on_disk(order.model) : std::vector<bool>{};
  return order.layers.last <= on_disk.size() &&
         std::all_of(on_disk.begin() + order.layers.first, on_disk.begin() + order.layers.last,
                     [](bool here) { return here; });
}

} // namespace

void take_load(host_pointer self, const node_id& from, request_id request, const wire_load& order) {
  host_state& state = self->state;
  if (is_here(*state.environment.models, order)) {
    return; // and the advert that says so is on its way
  }
  const layer_fetcher& fetch = order.spare ? state.environment.keep : state.environment.fetch;
  if (!fetch) {
    return refuse(self, from, request, order.model, order.layers,
                  {errc::unsupported, "it takes no orders to fetch weights (fetch.orders)"});
  }
  const auto known =
      std::find_if(state.loads.begin(), state.loads.end(), [&](const host_state::load& load) {
        return load.model == order.model && load.spare == order.spare &&
               load.layers.first <= order.layers.first && order.layers.last <= load.layers.last;
      });
  if (known != state.loads.end()) {
    known->askers.insert(from);
    return;
  }
  if (state.loads.size() >= limits::loads_carried_max) {
    return refuse(self, from, request, order.model, order.layers,
                  fail(errc::busy, "it fetches layers of {} orders already", state.loads.size()));
  }
  state.environment.journal->say(
      log_level::info, request, "fetches layers {}-{} of model {}{}: {} ordered it",
      order.layers.first, order.layers.last - 1, to_hex(order.model).substr(0, 8),
      order.spare ? " as a spare copy" : "", short_name(from));
  state.loads.push_back({order.model, order.layers, order.spare, {from}});
  fetch(order.model, order.layers, [host = caf::actor{self}, order](result<void> outcome) {
    caf::anon_send(host,
                   host_load_ended{order.model, order.layers, order.spare, std::move(outcome)});
  });
}

void take_drop(host_pointer self, const node_id& from, const wire_unload& order) {
  host_state& state = self->state;
  const std::vector<model_catalog::entry> parts = state.environment.models->all();
  if (std::none_of(parts.begin(), parts.end(), [&](const model_catalog::entry& part) {
        return part->id == order.model && part->held.first < order.layers.last &&
               order.layers.first < part->held.last;
      })) {
    return; // done, and the advert that says so is on its way
  }
  if (!state.environment.drop) {
    return refuse(self, from, {}, order.model, order.layers,
                  {errc::unsupported, "its owner chose the layers it holds"});
  }
  // Where two schedulers do not see each other, each may count on the copy that the other drops.
  // A host that was just started again knows no members yet.
  if (const node_id placer = placer_of(order.model, *state.members);
      !placer.empty() && placer != from) {
    return refuse(self, from, {}, order.model, order.layers,
                  fail(errc::busy, "for it {} places the model", short_name(placer)));
  }
  state.environment.journal->say(log_level::info, std::nullopt,
                                 "drops layers {}-{} of model {}: {} ordered it",
                                 order.layers.first, order.layers.last - 1,
                                 to_hex(order.model).substr(0, 8), short_name(from));
  state.environment.drop(
      order.model, order.layers,
      [host = caf::actor{self}, from, model = order.model,
       layers = order.layers](result<void> outcome) {
        caf::anon_send(host, host_drop_ended{from, model, layers, std::move(outcome)});
      });
}

void drop_ended(host_pointer self, const host_drop_ended& end) {
  if (!end.outcome) {
    refuse(self, end.to, {}, end.model, end.layers, end.outcome.error());
  }
}

void load_ended(host_pointer self, const host_load_ended& end) {
  host_state& state = self->state;
  const auto found =
      std::find_if(state.loads.begin(), state.loads.end(), [&](const host_state::load& load) {
        return load.model == end.model && load.layers == end.layers && load.spare == end.spare;
      });
  if (found == state.loads.end()) {
    return; // of an earlier life of this actor
  }
  const std::set<node_id> askers = std::move(found->askers);
  state.loads.erase(found);
  for (const node_id& asker : askers) {
    if (!end.outcome) {
      refuse(self, asker, {}, end.model, end.layers, end.outcome.error());
    }
  }
}

} // namespace ovir::actors
