#include "actors/operator/admin_call_actor.hpp"
#include "actors/placement/placer_actor.hpp"
#include "messages/caf/errors.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

const member* find_member(const std::vector<member>& members, const node_id& node) {
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const member& m) { return m.node == node; });
  return found == members.end() ? nullptr : &*found;
}

std::string name_of(const std::vector<member>& members, const node_id& node) {
  const member* const known = find_member(members, node);
  return known == nullptr || known->advert.name.empty() ? short_name(node) : known->advert.name;
}

json ranges_json(const placement_node::holdings& held, const digest& model) {
  json list = json::array();
  if (const auto found = held.find(model); found != held.end()) {
    for (const layer_range& range : found->second) {
      list.push_back({{"first_layer", range.first}, {"last_layer", range.last - 1}});
    }
  }
  return list;
}

json order_json(const placement_order& order, const std::vector<member>& members) {
  return {{"node", to_hex(order.node)},          {"name", name_of(members, order.node)},
          {"model", to_hex(order.model)},        {"first_layer", order.layers.first},
          {"last_layer", order.layers.last - 1}, {"order", to_string(order.act)},
          {"reason", to_string(order.reason)}};
}

json orders_json(const std::vector<placement_order>& orders, const std::vector<member>& members) {
  json list = json::array();
  for (const placement_order& order : orders) {
    list.push_back(order_json(order, members));
  }
  return list;
}

/// Of a model that is placed here: who holds what, and shall hold. Else what adverts say.
json nodes_json(const placement_view& view, const placement_view::of_model& model,
                const std::vector<member>& members) {
  json list = json::array();
  if (model.here) {
    for (std::size_t i = 0; i < view.nodes.size() && i < view.aim.size(); ++i) {
      const placement_node& node = view.nodes[i];
      list.push_back({{"node", to_hex(node.node)},
                      {"name", name_of(members, node.node)},
                      {"takes_orders", node.takes_orders},
                      {"memory_bytes", node.memory},
                      {"held", ranges_json(node.held, model.model)},
                      {"spares", ranges_json(node.spares, model.model)},
                      {"aim", ranges_json(view.aim[i], model.model)}});
    }
    return list;
  }
  for (const member& m : members) {
    placement_node::holdings held;
    placement_node::holdings spares;
    for (const held_segment& part : m.advert.held) {
      held[part.model].push_back(part.layers);
    }
    for (const held_segment& part : m.advert.spares) {
      spares[part.model].push_back(part.layers);
    }
    if (m.health == member_health::alive && m.advert.roles.has(role::worker)) {
      list.push_back({{"node", to_hex(m.node)},
                      {"name", name_of(members, m.node)},
                      {"takes_orders", m.advert.placed},
                      {"memory_bytes", m.advert.memory_bytes},
                      {"held", ranges_json(held, model.model)},
                      {"spares", ranges_json(spares, model.model)},
                      {"aim", nullptr}});
    }
  }
  return list;
}

json placement_json(const placement_view& view, const std::vector<member>& members,
                    const model_catalog& catalog) {
  json models = json::array();
  for (const placement_view::of_model& model : view.models) {
    const member* const placer = find_member(members, model.placer);
    const auto known = catalog.find(model.model);
    models.push_back(
        {{"model", to_hex(model.model)},
         {"name", model.name},
         {"layers", known ? json(known->weights.config.layers) : json(nullptr)},
         {"context", model.positions},
         {"placer", placer == nullptr ? json(nullptr) : json(to_hex(model.placer))},
         {"placer_name", placer == nullptr ? json(nullptr) : json(name_of(members, model.placer))},
         {"placer_address", placer == nullptr ? json(nullptr) : json(placer->advert.admin_address)},
         {"here", model.here},
         {"served", model.here ? json(model.aim.served) : json(nullptr)},
         {"nodes", nodes_json(view, model, members)}});
  }
  return {{"models", std::move(models)},
          {"under_way", orders_json(view.under_way, members)},
          {"next", orders_json(view.next, members)},
          {"waiting", view.waiting},
          {"calm", view.calm}};
}

} // namespace

result<void> show_placement(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const caf::actor placer = find_actor(c, "placer");
  if (!placer) {
    return fail(errc::unsupported,
                "this node is no scheduler and places nothing; ask one, as `nodes` lists them");
  }
  c.self->request(placer, admin_ask_wait, describe_placement{})
      .then(
          [c](const placement_view& view) {
            const admin_state& state = c.self->state;
            c.done(placement_json(view, *state.members, *state.environment.models));
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
