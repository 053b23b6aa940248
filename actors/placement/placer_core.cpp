#include "actors/placement/placer_core.hpp"

#include "actors/placement/placement_state.hpp"
#include "messages/digest.hpp"
#include "messages/limits/loads.hpp"
#include "messages/limits/placement.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

/// Speed of a machine that has not measured itself, in weight bytes per second.
constexpr double unmeasured = 8e9;

digest drawn(const digest& model, const node_id& node) {
  return hasher{"ovir/placement/v1/placer"}
      .update(model)
      .update(std::as_bytes(std::span{node.key}))
      .finish();
}

/// What a node has for models that are placed: all but what it holds of others, as far as that
/// shows in what it has left.
std::uint64_t memory_of(const node_advert& advert, const std::vector<known_model>& models) {
  std::uint64_t placed = 0;
  bool others = false;
  for (const held_segment& part : advert.held) {
    const auto known = std::find_if(models.begin(), models.end(),
                                    [&](const known_model& m) { return m.id == part.model; });
    if (known == models.end() || part.layers.last > known->shape.layer_weights.size()) {
      others = true;
    } else {
      placed += decode_bytes(known->shape, part.layers) +
                (part.layers.first == 0 ? known->shape.embedding : 0);
    }
  }
  const std::uint64_t left = advert.memory_free + placed;
  return others ? std::min(left, advert.memory_bytes) : advert.memory_bytes;
}

placement_node node_of(const member& m, const placer_core::surroundings& around) {
  placement_node made;
  made.node = m.node;
  made.memory = memory_of(m.advert, *around.models);
  const double measured = m.advert.decode_bytes_per_second > 0
                              ? static_cast<double>(m.advert.decode_bytes_per_second)
                              : unmeasured;
  made.speed = around.trust(m.node) * measured;
  made.takes_orders = m.advert.placed && around.is_linked(m.node);
  for (const held_segment& part : m.advert.held) {
    made.held[part.model].push_back(part.layers);
  }
  for (const held_segment& part : m.advert.spares) {
    made.spares[part.model].push_back(part.layers);
  }
  made.spare_room = m.advert.spare_free;
  return made;
}

void take_out(placement_node::holdings& held, const placement_order& order) {
  const auto known = held.find(order.model);
  if (known == held.end() || known->second.empty()) {
    return;
  }
  layer_marks marks(std::max(known->second.back().last, order.layers.last));
  mark(marks, held, order.model);
  std::fill(marks.begin() + order.layers.first, marks.begin() + order.layers.last, false);
  known->second = ranges_of(marks);
  if (known->second.empty()) {
    held.erase(known);
  }
}

bool counts(const member& m) {
  return m.health == member_health::alive && m.advert.roles.has(role::worker) && !m.advert.draining;
}

} // namespace

node_id placer_of(const digest& model, const std::vector<member>& members) {
  node_id best;
  digest least;
  for (const member& m : members) {
    if (m.health != member_health::alive || !m.advert.roles.has(role::scheduler)) {
      continue;
    }
    const digest here = drawn(model, m.node);
    if (best.empty() || here < least) {
      best = m.node;
      least = here;
    }
  }
  return best;
}

void placer_core::asked(const digest& model, time_point now) {
  if (const auto known = asked_.find(model); known != asked_.end()) {
    known->second = std::max(known->second, now);
  }
}

bool placer_core::failed(const node_id& node, const digest& model, time_point now) {
  const auto gone = std::erase_if(
      given_, [&](const given& g) { return g.order.node == node && g.order.model == model; });
  if (gone > 0) {
    failed_[{node, model}] = now + limits::load_retry_wait;
  }
  return gone > 0;
}

std::vector<placement_order> placer_core::under_way() const {
  std::vector<placement_order> orders;
  for (const given& g : given_) {
    orders.push_back(g.order);
  }
  return orders;
}

/// A node that went is there for a while yet, as it was, but is told nothing.
void placer_core::see(const surroundings& around, time_point now) {
  std::set<node_id> there;
  for (const member& m : *around.members) {
    if (!counts(m)) {
      continue;
    }
    there.insert(m.node);
    const auto [known, fresh] = seen_.try_emplace(m.node);
    if (fresh) {
      moved_ = now;
    }
    known->second = {node_of(m, around), now};
  }
  for (auto known = seen_.begin(); known != seen_.end();) {
    if (there.contains(known->first)) {
      ++known;
      continue;
    }
    known->second.last.takes_orders = false;
    known->second.last.answers = false;
    if (now - known->second.seen < limits::placement_patience) {
      ++known;
    } else {
      moved_ = now;
      known = seen_.erase(known);
    }
  }
  std::erase_if(failed_, [now](const auto& entry) { return entry.second <= now; });
  nodes_.clear();
  for (auto& [node, known] : seen_) {
    nodes_.push_back(known.last);
    nodes_.back().takes_orders =
        known.last.takes_orders &&
        std::none_of(failed_.begin(), failed_.end(),
                     [&, id = node](const auto& entry) { return entry.first.first == id; });
  }
}

bool placer_core::holds(const placement_order& order) const {
  const auto node = std::find_if(nodes_.begin(), nodes_.end(),
                                 [&](const placement_node& n) { return n.node == order.node; });
  if (node == nodes_.end()) {
    return true; // nothing more is to be done about it
  }
  layer_marks marks(order.layers.last);
  mark(marks, node->held, order.model);
  if (order.act == placement_act::spare) {
    mark(marks, node->spares, order.model);
  }
  return std::all_of(marks.begin() + order.layers.first, marks.end(),
                     [&](bool here) { return here == (order.act != placement_act::drop); });
}

void placer_core::forget_done(time_point now) {
  std::erase_if(given_, [&](const given& g) {
    if (holds(g.order)) {
      return true;
    }
    if (g.until <= now) {
      failed_[{g.order.node, g.order.model}] = now + limits::load_retry_wait;
    }
    return g.until <= now;
  });
  for (const given& g : given_) {
    const auto node = std::find_if(nodes_.begin(), nodes_.end(),
                                   [&](const placement_node& n) { return n.node == g.order.node; });
    switch (g.order.act) {
    case placement_act::fetch: node->coming[g.order.model].push_back(g.order.layers); break;
    case placement_act::spare: node->coming_spares[g.order.model].push_back(g.order.layers); break;
    case placement_act::drop: take_out(node->held, g.order); break; // as good as gone
    }
  }
}

std::vector<placeable_model> placer_core::wanted(const std::vector<known_model>& models,
                                                 time_point now) {
  std::vector<placeable_model> all;
  for (const known_model& known : models) {
    placeable_model model{known.id, known.shape, known.positions, calm(now) ? 2U : 1U, true};
    // One that just became known counts as asked for.
    const time_point last = asked_.try_emplace(known.id, now).first->second;
    model.wanted = now - last < limits::placement_idle;
    all.push_back(std::move(model));
  }
  return all;
}

bool placer_core::calm(time_point now) const {
  return moved_ && now - *moved_ >= limits::placement_calm;
}

bool placer_core::places(const digest& model, time_point now) const {
  const auto known = placers_.find(model);
  return known != placers_.end() && known->second.first == self_ &&
         now - known->second.second >= limits::placement_takeover;
}

// Orders of a model that another node places now are that one's to give.
void placer_core::find_placers(const surroundings& around, time_point now) {
  for (const known_model& model : *around.models) {
    const node_id placer = placer_of(model.id, *around.members);
    auto& known = placers_[model.id];
    if (known.first != placer) {
      known = {placer, now};
    }
    if (placer != self_) {
      std::erase_if(given_, [&](const given& g) { return g.order.model == model.id; });
    }
  }
}

// What was right when it was ordered may leave a layer without holders by now.
bool placer_core::still_right(const placement_order& order) const {
  layer_marks aimed(order.layers.last);
  layer_marks elsewhere(order.layers.last);
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    if (nodes_[n].node == order.node) {
      mark(aimed, aim_.held[n], order.model);
    } else if (nodes_[n].answers) {
      mark(elsewhere, nodes_[n].held, order.model);
    }
  }
  for (std::uint32_t i = order.layers.first; i < order.layers.last; ++i) {
    const bool drop = order.act == placement_act::drop;
    if ((drop && (aimed[i] || !elsewhere[i])) || (order.act == placement_act::fetch && !aimed[i])) {
      return false;
    }
  }
  return true;
}

std::vector<placement_order> placer_core::tick(const surroundings& around, time_point now) {
  if (!moved_) {
    moved_ = now;
  }
  see(around, now);
  find_placers(around, now);
  forget_done(now);
  const std::vector<placeable_model> models = wanted(*around.models, now);
  if (std::none_of(models.begin(), models.end(),
                   [&](const placeable_model& model) { return places(model.id, now); })) {
    aim_ = {};
    return {};
  }
  aim_ = place(models, nodes_);
  std::vector<placement_order> orders;
  std::erase_if(given_, [&](given& g) {
    if (g.again > now || !places(g.order.model, now)) {
      return false;
    }
    g.again = now + limits::placement_repeat;
    if (still_right(g.order)) {
      orders.push_back(g.order);
      return false;
    }
    return true;
  });
  for (const placement_order& order : aim_.orders) {
    const bool known =
        std::any_of(given_.begin(), given_.end(), [&](const given& g) { return g.order == order; });
    if (!known && places(order.model, now) && given_.size() < limits::placement_orders_max) {
      given_.push_back({order, now + limits::placement_repeat, now + limits::load_wait_max});
      orders.push_back(order);
    }
  }
  return orders;
}

} // namespace ovir::actors
