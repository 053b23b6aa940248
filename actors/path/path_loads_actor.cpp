#include "actors/path/path_loads_actor.hpp"

#include "messages/limits/loads.hpp"
#include "messages/limits/paths.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

/// Speed of a machine that has not measured itself, in weight bytes per second.
constexpr double unmeasured = 8e9;

load_orders::time_point now_of(const pathfinder_state& state) {
  return load_orders::time_point{state.ticks * paths_tick_interval};
}

std::vector<load_node> load_nodes(const pathfinder_state& state, const digest& model,
                                  fault_memory::time_point now) {
  std::vector<load_node> nodes;
  for (const member& m : *state.members) {
    const node_advert& advert = m.advert;
    if (!advert.roles.has(role::worker)) {
      continue;
    }
    const bool linked =
        m.node == state.environment.self || state.environment.links->reachable(m.node);
    load_node node{m.node, advert.name, false, {}, advert.memory_free, 0};
    // What a node at fault says that it holds keeps no other from fetching it.
    // Who is placed hears of it from placers, which order what lacks without being asked.
    node.able = m.health == member_health::alive && linked && !advert.draining && !advert.placed &&
                state.faults.level(m.node, now) < limits::fault_weight;
    const double measured = advert.decode_bytes_per_second > 0
                                ? static_cast<double>(advert.decode_bytes_per_second)
                                : unmeasured;
    node.speed = state.trusted.trust(m.node) * measured / (1.0 + advert.sessions);
    for (const held_segment& held : advert.held) {
      if ((node.able || advert.placed) && held.model == model) {
        node.held.push_back(held.layers);
      }
    }
    nodes.push_back(std::move(node));
  }
  return nodes;
}

bool is_placed(const pathfinder_state& state) {
  return std::any_of(state.members->begin(), state.members->end(), [](const member& m) {
    return m.health == member_health::alive && m.advert.placed;
  });
}

error placed_error(const catalog_model& model) {
  return fail(
      errc::segment_missing,
      "no node holds some layers of {} yet; `ovir shell placement` says which are to hold them",
      model.name);
}

/// The most positions a request of this model waits for, and one that does.
struct wait {
  request_id request;
  std::uint32_t positions{1};
};

std::map<digest, wait> waits(const pathfinder_state& state) {
  constexpr auto patience = static_cast<std::uint32_t>(limits::load_patience / paths_tick_interval);
  std::map<digest, wait> models;
  for (const auto& [id, request] : state.requests) {
    if (request.lacking && state.ticks - *request.lacking >= patience) {
      wait& known = models.try_emplace(request.model, wait{id}).first->second;
      known.positions = std::max(known.positions, request.positions);
    }
  }
  return models;
}

/// To all who wait for the model, once.
void tell(pathfinder_pointer self, const digest& model, const error& reason) {
  for (auto& [id, request] : self->state.requests) {
    if (request.lacking && request.model == model && request.load_told != reason.message) {
      request.load_told = reason.message;
      self->state.environment.journal->say(log_level::warn, id, "waits: {}", reason.message);
      self->send(request.lead, path_missing{reason});
    }
  }
}

} // namespace

void order_loads(pathfinder_pointer self) {
  pathfinder_state& state = self->state;
  constexpr std::uint32_t every = 5; // ticks
  if (state.ticks % every != 0) {
    return;
  }
  for (const auto& [id, waiting] : waits(state)) {
    const auto model = state.environment.models->find(id);
    if (!model) {
      continue;
    }
    const std::vector<load_node> nodes = load_nodes(state, id, self->clock().now());
    const auto orders =
        state.loads.plan(id, model->name, shape_of(model->weights, model->prefill_chunk),
                         waiting.positions, nodes, now_of(state));
    if (!orders) {
      tell(self, id, is_placed(state) ? placed_error(*model) : orders.error());
      continue;
    }
    std::string who;
    for (const load_order& order : *orders) {
      const auto node = std::find_if(nodes.begin(), nodes.end(),
                                     [&](const load_node& n) { return n.node == order.node; });
      who += fmt::format("{}layers {}-{} by {}", who.empty() ? "" : ", ", order.layers.first,
                         order.layers.last - 1, node->name);
      state.environment.links->send_wire(
          order.node, {waiting.request, {}, order.layers.first, wire_load{id, order.layers}});
    }
    if (!who.empty()) {
      tell(self, id,
           {errc::segment_missing, fmt::format("fetched first, of {}: {}", model->name, who)});
    }
  }
}

void load_refused(pathfinder_pointer self, const load_failed& news) {
  pathfinder_state& state = self->state;
  if (state.loads.ordered(news.from, news.what.model)) {
    state.environment.journal->say(log_level::warn, std::nullopt, "{} fetches no layers of {}: {}",
                                   short_name(news.from), to_hex(news.what.model).substr(0, 8),
                                   news.what.reason.message);
    state.loads.failed(news.from, news.what.model, news.what.reason.message, now_of(state));
  }
}

} // namespace ovir::actors
