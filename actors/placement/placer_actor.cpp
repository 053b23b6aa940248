#include "actors/placement/placer_actor.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/limits/placement.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

constexpr std::chrono::milliseconds tick_interval{500};
/// A tick that took long is followed by a pause of so many times as long: placing takes at most a
/// twentieth of a processor.
constexpr int pause_factor = 20;

std::vector<known_model> known_models(const model_catalog& catalog) {
  std::vector<known_model> models;
  for (const auto& part : catalog.all()) {
    if (models.empty() || models.back().id != part->id) {
      models.push_back({part->id, shape_of(part->weights, part->prefill_chunk),
                        placed_positions(part->context)});
    }
  }
  return models;
}

std::string name_of(const placer_state& state, const digest& model) {
  const auto known = state.environment.models->find(model);
  return known ? known->name : to_hex(model).substr(0, 8);
}

std::string node_name(const placer_state& state, const node_id& node) {
  const auto found = std::find_if(state.members->begin(), state.members->end(),
                                  [&](const member& m) { return m.node == node; });
  return found == state.members->end() || found->advert.name.empty() ? short_name(node)
                                                                     : found->advert.name;
}

void give(const placer_state& state, const placement_order& order, bool again) {
  if (!again) {
    state.environment.journal->say(
        log_level::info, std::nullopt, "orders of {}: {} layers {}-{} of {}: {}",
        node_name(state, order.node), to_string(order.act), order.layers.first,
        order.layers.last - 1, name_of(state, order.model), to_string(order.reason));
  }
  wire_message message{{},
                       {},
                       order.layers.first,
                       wire_load{order.model, order.layers, order.act == placement_act::spare}};
  if (order.act == placement_act::drop) {
    message.body = wire_unload{order.model, order.layers};
  }
  state.environment.links->send_wire(order.node, std::move(message));
}

placer_core::surroundings around(const placer_state& state,
                                 const std::vector<known_model>& models) {
  return {&*state.members, &models,
          [&state](const node_id& node) {
            return node == state.environment.self || state.environment.links->reachable(node);
          },
          [&state](const node_id& node) { return state.trusted.trust(node); }};
}

void tick(placer_pointer self) {
  placer_state& state = self->state;
  const auto began = self->clock().now();
  const std::vector<known_model> models = known_models(*state.environment.models);
  const std::vector<placement_order> before = state.core->under_way();
  for (const placement_order& order : state.core->tick(around(state, models), began)) {
    give(state, order, std::find(before.begin(), before.end(), order) != before.end());
  }
  const auto took = self->clock().now() - began;
  self->delayed_send(self, std::max<std::chrono::nanoseconds>(tick_interval, took * pause_factor),
                     placer_tick{});
}

/// The others place some of the models: they hear of it, but not at each request.
void asked_here(placer_pointer self, const digest& model) {
  placer_state& state = self->state;
  const auto now = self->clock().now();
  state.core->asked(model, now);
  const auto told = state.told.find(model);
  if (!state.environment.models->find(model) ||
      (told != state.told.end() && now - told->second < limits::placement_asked_wait)) {
    return;
  }
  state.told[model] = now;
  for (const member& m : *state.members) {
    if (m.node != state.environment.self && m.health == member_health::alive &&
        m.advert.roles.has(role::scheduler)) {
      state.environment.links->send_wire(m.node, {{}, {}, 0, wire_asked{model}});
    }
  }
}

placement_view describe(const placer_state& state, placer_core::time_point now) {
  placement_view view;
  const std::vector<known_model> models = known_models(*state.environment.models);
  const placement& aim = state.core->aim();
  for (const known_model& model : models) {
    placement_view::of_model& shown = view.models.emplace_back();
    shown.model = model.id;
    shown.name = name_of(state, model.id);
    shown.placer = placer_of(model.id, *state.members);
    shown.here = state.core->places(model.id, now);
    shown.positions = model.positions;
    for (const model_coverage& coverage : aim.models) {
      if (coverage.model == model.id) {
        shown.aim = coverage;
      }
    }
  }
  if (!aim.models.empty()) {
    view.nodes = state.core->nodes();
    view.aim = aim.held;
  }
  view.under_way = state.core->under_way();
  std::copy_if(aim.orders.begin(), aim.orders.end(), std::back_inserter(view.next),
               [&](const placement_order& order) {
                 return std::find(view.under_way.begin(), view.under_way.end(), order) ==
                        view.under_way.end();
               });
  view.waiting = aim.waiting;
  view.calm = state.core->calm(now);
  return view;
}

void order_failed(placer_pointer self, const load_failed& news) {
  placer_state& state = self->state;
  if (state.core->failed(news.from, news.what.model, self->clock().now())) {
    state.environment.journal->say(
        log_level::warn, std::nullopt, "{} does not do what was ordered of {}: {}",
        node_name(state, news.from), name_of(state, news.what.model), news.what.reason.message);
  }
}

} // namespace

caf::behavior placer_behavior(placer_pointer self, placer_environment environment) {
  make_quiet(self);
  placer_state& state = self->state;
  state.environment = std::move(environment);
  state.core.emplace(state.environment.self);
  state.members = std::make_shared<const std::vector<member>>();
  self->delayed_send(self, tick_interval, placer_tick{});
  return {
      [self](const placer_tick&) { tick(self); },
      [self](const members_changed& news) { self->state.members = news.members; },
      [self](const standing_told& news) {
        self->state.trusted.tell(news.verifier, news.reputation_ppm);
      },
      [](const node_convicted&) {}, // it goes from the members
      [self](const load_failed& news) { order_failed(self, news); },
      [self](const model_asked& news) { asked_here(self, news.model); },
      [self](const asked_elsewhere& news) {
        self->state.core->asked(news.model, self->clock().now());
      },
      [self](const describe_placement&) { return describe(self->state, self->clock().now()); },
  };
}

} // namespace ovir::actors
