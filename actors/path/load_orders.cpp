#include "actors/path/load_orders.hpp"

#include "messages/limits/loads.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

namespace ovir::actors {

namespace {

std::uint64_t weights_of(const model_shape& shape, layer_range layers) {
  const bool first = layers.first == 0;
  const bool last = layers.last == shape.layer_weights.size();
  const auto begin = shape.layer_weights.begin();
  const std::uint64_t bytes =
      std::accumulate(begin + layers.first, begin + layers.last, std::uint64_t{0});
  const bool once = first && last && shape.tied_head;
  return bytes + (once ? std::max(shape.embedding, shape.head)
                       : (first ? shape.embedding : 0) + (last ? shape.head : 0));
}

/// What a stage takes beside its weights, as the planner counts it.
std::uint64_t beside_of(const model_shape& shape, layer_range layers, std::uint32_t positions) {
  const bool last = layers.last == shape.layer_weights.size();
  return layers.size() * shape.kv_per_position * positions +
         (last ? shape.logits : shape.boundary * positions) + shape.stage_buffers;
}

std::uint64_t bytes_of(const model_shape& shape, layer_range layers, std::uint32_t positions) {
  return weights_of(shape, layers) + beside_of(shape, layers, positions);
}

void cover(std::vector<bool>& covered, layer_range layers) {
  for (layer_index i = layers.first; i < layers.last && i < covered.size(); ++i) {
    covered[i] = true;
  }
}

std::vector<layer_range> gaps_in(const std::vector<bool>& covered) {
  std::vector<layer_range> gaps;
  for (layer_index i = 0; i < covered.size(); ++i) {
    if (covered[i]) {
      continue;
    }
    if (gaps.empty() || gaps.back().last != i) {
      gaps.push_back({i, i});
    }
    gaps.back().last = i + 1;
  }
  return gaps;
}

/// Whether a node can have a stage of these layers beside those of the model that it has: as for
/// the planner, what is free beside weights is divided among them equally.
bool fits(const model_shape& shape, layer_range layers, std::uint32_t positions,
          const load_node& node) {
  const std::uint64_t weights = weights_of(shape, layers);
  if (weights > node.room) {
    return false;
  }
  const std::uint64_t share = (node.room - weights) / (node.held.size() + 1);
  return beside_of(shape, layers, positions) <= share &&
         std::all_of(node.held.begin(), node.held.end(), [&](const layer_range& part) {
           return beside_of(shape, part, positions) <= share;
         });
}

/// How many of these layers, from the first, have room; 0: none.
std::uint32_t fitting(const model_shape& shape, layer_range layers, std::uint32_t positions,
                      const load_node& node) {
  std::uint32_t count = node.able ? layers.size() : 0;
  while (count > 0 && !fits(shape, {layers.first, layers.first + count}, positions, node)) {
    --count;
  }
  return count;
}

bool holds_all(const load_node& node, layer_range layers) {
  std::vector<bool> covered(layers.last);
  for (const layer_range& part : node.held) {
    cover(covered, part);
  }
  return std::all_of(covered.begin() + layers.first, covered.end(), [](bool c) { return c; });
}

const load_node* find(const std::vector<load_node>& nodes, const node_id& node) {
  const auto found =
      std::find_if(nodes.begin(), nodes.end(), [&](const load_node& n) { return n.node == node; });
  return found == nodes.end() ? nullptr : &*found;
}

struct choice {
  std::size_t node{0};
  std::uint32_t layers{0};
};

/// Who takes the most of these layers; of equals the fastest, then the first by name, so that
/// schedulers agree.
std::optional<choice> choose(const model_shape& shape, layer_range layers, std::uint32_t positions,
                             const std::vector<load_node>& nodes) {
  std::optional<choice> best;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const std::uint32_t count = fitting(shape, layers, positions, nodes[i]);
    const auto better = [&] {
      const load_node& b = nodes[best->node];
      if (count != best->layers) {
        return count > best->layers;
      }
      return nodes[i].speed != b.speed ? nodes[i].speed > b.speed : nodes[i].node < b.node;
    };
    if (count > 0 && (!best || better())) {
      best = choice{i, count};
    }
  }
  return best;
}

} // namespace

void load_orders::forget_old(const digest& model, const std::vector<load_node>& nodes,
                             time_point now) {
  std::erase_if(failed_, [now](const auto& entry) { return entry.second.until <= now; });
  std::vector<node_id> late;
  std::erase_if(given_, [&](const given& order) {
    if (order.model != model) {
      return order.until <= now;
    }
    const load_node* const node = find(nodes, order.node);
    if (node == nullptr || !node->able || holds_all(*node, order.layers)) {
      return true;
    }
    if (order.until <= now) {
      late.push_back(order.node);
    }
    return order.until <= now;
  });
  for (const node_id& node : late) {
    failed(node, model, "did not hold the layers it was ordered to fetch in time", now);
  }
}

std::string load_orders::failures(const digest& model, const std::vector<load_node>& nodes) const {
  std::string text;
  for (const auto& [whose, what] : failed_) {
    const load_node* const node = find(nodes, whose.first);
    if (whose.second == model && node != nullptr) {
      text += fmt::format("; {}: {}", node->name, what.reason);
    }
  }
  return text;
}

result<std::vector<load_order>> load_orders::plan(const digest& model, const std::string& name,
                                                  const model_shape& shape, std::uint32_t positions,
                                                  const std::vector<load_node>& nodes,
                                                  time_point now) {
  forget_old(model, nodes, now);
  std::vector<bool> covered(shape.layer_weights.size());
  std::vector<load_node> candidates = nodes;
  for (load_node& node : candidates) {
    for (const layer_range& part : node.held) {
      cover(covered, part);
    }
    node.able = node.able && !failed_.contains({node.node, model});
    for (const given& order : given_) {
      if (order.node == node.node) {
        node.room -= std::min(node.room, order.bytes);
      }
    }
  }
  for (const given& order : given_) {
    if (order.model == model) {
      cover(covered, order.layers);
    }
  }
  std::vector<load_order> orders;
  std::vector<given> fresh;
  for (const layer_range& missing : gaps_in(covered)) {
    layer_range gap = missing;
    while (gap.first < gap.last) {
      const auto best = choose(shape, gap, positions, candidates);
      if (!best) {
        std::uint64_t most = 0;
        for (const load_node& node : candidates) {
          most = std::max(most, node.able ? node.room : 0);
        }
        return fail(errc::over_limit,
                    "nobody holds layers {}-{} of {}, and no worker has room to fetch them beside "
                    "its other stages: layer {} takes {} MiB, and at most {} are free{}",
                    missing.first, missing.last - 1, name, gap.first,
                    (bytes_of(shape, {gap.first, gap.first + 1}, positions) >> 20U) + 1,
                    most >> 20U, failures(model, nodes));
      }
      const layer_range part{gap.first, gap.first + best->layers};
      load_node& node = candidates[best->node];
      node.room -= weights_of(shape, part);
      node.held.push_back(part);
      orders.push_back({node.node, part});
      fresh.push_back(
          {node.node, model, part, bytes_of(shape, part, positions), now + limits::load_wait_max});
      gap.first = part.last;
    }
  }
  if (given_.size() + fresh.size() > limits::load_orders_max) {
    return fail(errc::busy, "{} orders to fetch layers stand already", given_.size());
  }
  given_.insert(given_.end(), fresh.begin(), fresh.end());
  return orders;
}

void load_orders::failed(const node_id& node, const digest& model, std::string reason,
                         time_point now) {
  std::erase_if(given_,
                [&](const given& order) { return order.node == node && order.model == model; });
  failed_[{node, model}] = {now + limits::load_retry_wait, std::move(reason)};
}

bool load_orders::ordered(const node_id& node, const digest& model) const {
  return std::any_of(given_.begin(), given_.end(), [&](const given& order) {
    return order.node == node && order.model == model;
  });
}

} // namespace ovir::actors
