#include "actors/placement/placement.hpp"
#include "actors/placement/placement_spares.hpp"
#include "actors/placement/placement_state.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <tuple>

namespace ovir::actors {
namespace {

constexpr std::uint64_t layer_bytes = 1'000;

node_id id(std::uint32_t n) {
  node_id node;
  node.key[0] = static_cast<std::uint8_t>(n >> 8U);
  node.key[1] = static_cast<std::uint8_t>(n);
  return node;
}

placeable_model model(std::uint8_t name, std::size_t layers) {
  placeable_model m;
  m.id.bytes[0] = name;
  m.shape.layer_weights.assign(layers, layer_bytes);
  return m;
}

placement_node node(std::uint32_t n, std::uint64_t memory, double speed = 1e6) {
  placement_node made;
  made.node = id(n);
  made.memory = memory;
  made.speed = speed;
  return made;
}

std::uint64_t weights_moved(const placeable_model& m, const std::vector<placement_node>& before,
                            const std::vector<placement_node::holdings>& after) {
  std::uint64_t bytes = 0;
  for (std::size_t n = 0; n < before.size(); ++n) {
    const auto marks_of = [&](const placement_node::holdings& held) {
      layer_marks marks(m.shape.layer_weights.size());
      if (const auto found = held.find(m.id); found != held.end()) {
        for (const layer_range& range : found->second) {
          std::fill(marks.begin() + range.first, marks.begin() + range.last, true);
        }
      }
      return marks;
    };
    const layer_marks was = marks_of(before[n].held);
    const layer_marks is = marks_of(after[n]);
    for (std::size_t i = 0; i < is.size(); ++i) {
      bytes += is[i] && !was[i] ? m.shape.layer_weights[i] : 0;
    }
  }
  return bytes;
}

/// Carries orders out as nodes do, and checks them: no layer that was held is held by nobody
/// afterwards, and no node holds more than its memory.
void carry_out(const std::vector<placeable_model>& models, std::vector<placement_node>& nodes,
               const std::vector<placement_order>& orders) {
  const auto held = [&] {
    std::vector<const placement_node*> all;
    all.reserve(nodes.size());
    for (const placement_node& n : nodes) {
      all.push_back(&n);
    }
    return placement_state{models, all, false};
  };
  for (const placement_order& order : orders) {
    const auto whose = std::find_if(nodes.begin(), nodes.end(),
                                    [&](const placement_node& n) { return n.node == order.node; });
    ASSERT_NE(whose, nodes.end());
    ASSERT_TRUE(whose->takes_orders);
    const auto m = static_cast<std::size_t>(
        std::find_if(models.begin(), models.end(),
                     [&](const placeable_model& known) { return known.id == order.model; }) -
        models.begin());
    ASSERT_LT(m, models.size());
    if (order.act == placement_act::spare) {
      const std::uint64_t bytes = order.layers.size() * layer_bytes;
      ASSERT_GE(whose->spare_room, bytes);
      whose->spare_room -= bytes;
      whose->spares[order.model].push_back(order.layers);
      continue;
    }
    const bool fetched = order.act == placement_act::fetch;
    const placement_state before = held();
    layer_marks marks = before.marks(static_cast<std::size_t>(whose - nodes.begin()), m);
    for (std::uint32_t i = order.layers.first; i < order.layers.last; ++i) {
      ASSERT_NE(marks[i], fetched) << "an order to do what is done";
      marks[i] = fetched;
      if (!fetched && models[m].wanted) {
        ASSERT_GT(before.copies(m, i), 1U) << "layer " << i << " would be lost";
      }
    }
    if (!fetched) {
      whose->spares[order.model].push_back(order.layers); // its disk is not erased
    }
    whose->held[order.model] = ranges_of(marks);
    if (whose->held[order.model].empty()) {
      whose->held.erase(order.model);
    }
    ASSERT_LE(held().used(static_cast<std::size_t>(whose - nodes.begin())), whose->memory);
  }
}

/// Carries a placement out to its end. The number of rounds.
std::size_t settle(const std::vector<placeable_model>& models, std::vector<placement_node>& nodes) {
  constexpr std::size_t rounds_max = 20;
  for (std::size_t rounds = 0; rounds < rounds_max; ++rounds) {
    const placement next = place(models, nodes);
    if (next.orders.empty()) {
      EXPECT_EQ(next.waiting, 0U);
      for (std::size_t n = 0; n < nodes.size(); ++n) {
        EXPECT_EQ(next.held[n], nodes[n].held);
      }
      return rounds;
    }
    carry_out(models, nodes, next.orders);
    if (::testing::Test::HasFatalFailure()) {
      return rounds_max;
    }
  }
  ADD_FAILURE() << "the orders never end";
  return rounds_max;
}

std::uint32_t least_copies(const placement& p, std::size_t m = 0) {
  return *std::min_element(p.models[m].copies.begin(), p.models[m].copies.end());
}

/// The best there is by trying everything: fewest bytes held by nobody, then by one node, then
/// moved. For at most 8 layers.
struct outcome {
  std::uint64_t unheld{0};
  std::uint64_t single{0};
  std::uint64_t moved{0};
  friend auto operator<=>(const outcome&, const outcome&) = default;
};

outcome try_everything(const placeable_model& m, const std::vector<placement_node>& nodes) {
  const std::size_t layers = m.shape.layer_weights.size();
  // By how often each layer is held, in base 3, twice and more alike: the fewest bytes moved.
  std::size_t states = 1;
  for (std::size_t i = 0; i < layers; ++i) {
    states *= 3;
  }
  constexpr auto never = ~std::uint64_t{0};
  std::vector<std::uint64_t> moved(states, never);
  moved[0] = 0;
  for (const placement_node& n : nodes) {
    const placement_state now{{m}, {&n}, false};
    std::vector<std::uint64_t> next(states, never);
    for (std::uint32_t set = 0; set < 1U << layers; ++set) {
      layer_marks marks(layers);
      std::uint64_t cost = 0;
      for (std::size_t i = 0; i < layers; ++i) {
        marks[i] = (set >> i & 1U) != 0;
        cost += marks[i] && !now.marks(0, 0)[i] ? m.shape.layer_weights[i] : 0;
      }
      if (set != 0 && bytes_of(m, marks) > n.memory) {
        continue;
      }
      for (std::size_t state = 0; state < states; ++state) {
        if (moved[state] == never) {
          continue;
        }
        std::size_t to = 0;
        for (std::size_t i = 0, power = 1, rest = state; i < layers; ++i, power *= 3, rest /= 3) {
          to += power * std::min<std::size_t>(2, rest % 3 + (marks[i] ? 1 : 0));
        }
        next[to] = std::min(next[to], moved[state] + cost);
      }
    }
    moved = std::move(next);
  }
  std::optional<outcome> best;
  for (std::size_t state = 0; state < states; ++state) {
    if (moved[state] == never) {
      continue;
    }
    outcome here{0, 0, moved[state]};
    for (std::size_t i = 0, rest = state; i < layers; ++i, rest /= 3) {
      here.unheld += rest % 3 == 0 ? m.shape.layer_weights[i] : 0;
      here.single += rest % 3 == 1 ? m.shape.layer_weights[i] : 0;
    }
    best = best ? std::min(*best, here) : here;
  }
  return *best;
}

outcome outcome_of(const placeable_model& m, const std::vector<placement_node>& nodes,
                   const placement& p) {
  outcome reached{0, 0, weights_moved(m, nodes, p.held)};
  for (std::size_t i = 0; i < m.shape.layer_weights.size(); ++i) {
    reached.unheld += p.models[0].copies[i] == 0 ? m.shape.layer_weights[i] : 0;
    reached.single += p.models[0].copies[i] == 1 ? m.shape.layer_weights[i] : 0;
  }
  return reached;
}

/// Memory for so much of the model, as `ovir up --memory` would give it.
std::uint64_t part_of(const placeable_model& m, double part) {
  return static_cast<std::uint64_t>(
      part * static_cast<double>(bytes_of(m, layer_marks(m.shape.layer_weights.size(), true))));
}

TEST(placement, four_nodes_with_room_for_two_fifths_hold_all_and_survive_any_death) {
  const placeable_model m = model(1, 10);
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 0; n < 4; ++n) {
    nodes.push_back(node(n, part_of(m, 0.4)));
  }
  settle({m}, nodes);
  const placement whole = place({m}, nodes);
  EXPECT_TRUE(whole.models[0].served);
  EXPECT_EQ(std::count(whole.models[0].copies.begin(), whole.models[0].copies.end(), 2U), 6);
  for (std::size_t dead = 0; dead < nodes.size(); ++dead) {
    std::vector<placement_node> left = nodes;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(dead));
    settle({m}, left);
    const placement after = place({m}, left);
    EXPECT_TRUE(after.models[0].served) << "without node " << dead;
    EXPECT_GE(least_copies(after), 1U);
  }
}

/// On how many disks the layer lies that lies on fewest.
std::size_t least_disks(const placeable_model& m, const std::vector<placement_node>& nodes) {
  std::vector<std::size_t> disks(m.shape.layer_weights.size());
  for (const placement_node& n : nodes) {
    const layer_marks marks = on_disk(n, m);
    for (std::size_t i = 0; i < marks.size(); ++i) {
      disks[i] += marks[i] ? 1 : 0;
    }
  }
  return *std::min_element(disks.begin(), disks.end());
}

TEST(placement, what_memory_does_not_hold_twice_lies_on_two_disks) {
  placeable_model m = model(1, 10);
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 0; n < 4; ++n) {
    nodes.push_back(node(n, part_of(m, 0.4)));
  }
  settle({m}, nodes);
  ASSERT_EQ(least_disks(m, nodes), 1U);
  for (placement_node& n : nodes) {
    n.spare_room = 3 * layer_bytes;
  }
  m.copies = 1;
  EXPECT_THAT(place({m}, nodes).orders, ::testing::IsEmpty()) << "not before it is calm";
  m.copies = 2;
  settle({m}, nodes);
  EXPECT_EQ(least_disks(m, nodes), 2U);
  for (std::size_t dead = 0; dead < nodes.size(); ++dead) {
    std::vector<placement_node> left = nodes;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(dead));
    ASSERT_GE(least_disks(m, left), 1U);
    for (const placement_order& order : place({m}, left).orders) {
      const auto from = std::count_if(left.begin(), left.end(), [&](const placement_node& n) {
        return n.node != order.node && on_disk(n, m)[order.layers.first];
      });
      EXPECT_TRUE(
          order.act != placement_act::fetch || from > 0 ||
          on_disk(*std::find_if(left.begin(), left.end(),
                                [&](const placement_node& n) { return n.node == order.node; }),
                  m)[order.layers.first]);
    }
  }
}

TEST(placement, spare_copies_need_room_on_the_disk_and_are_not_made_of_what_no_node_has) {
  const placeable_model m = model(1, 4);
  std::vector<placement_node> nodes{node(0, part_of(m, 0.9)), node(1, 0), node(2, 0)};
  nodes[0].held[m.id] = {{0, 3}};
  nodes[1].spare_room = 2 * layer_bytes - 1;
  const placement with = place({m}, nodes);
  ASSERT_EQ(with.orders.size(), 1U);
  EXPECT_EQ(
      with.orders[0],
      (placement_order{id(1), m.id, {0, 1}, placement_act::spare, placement_reason::one_disk}));
  nodes[1].takes_orders = false;
  EXPECT_THAT(place({m}, nodes).orders, ::testing::IsEmpty());
}

TEST(placement, of_equals_the_node_that_has_the_layers_on_its_disk_holds_them) {
  const placeable_model m = model(1, 4);
  std::vector<placement_node> nodes{node(0, part_of(m, 1.1), 8e9), node(1, part_of(m, 1.1), 8e9)};
  nodes[1].spares[m.id] = {{0, 4}};
  const placement whole = place({m}, nodes);
  ASSERT_FALSE(whole.orders.empty());
  EXPECT_EQ(whole.orders[0].node, id(0)) << "copies are made of what is held";
  placeable_model once = m;
  once.copies = 1;
  const placement first = place({once}, nodes);
  ASSERT_EQ(first.orders.size(), 1U);
  EXPECT_EQ(first.orders[0].node, id(1));
}

TEST(placement, a_fifth_node_takes_what_one_node_holds_and_nothing_else_moves) {
  const placeable_model m = model(1, 8);
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 0; n < 4; ++n) {
    nodes.push_back(node(n, part_of(m, 0.4)));
  }
  settle({m}, nodes);
  nodes.push_back(node(4, part_of(m, 0.4)));
  const outcome least = try_everything(m, nodes);
  const std::vector<placement_node> before = nodes;
  const outcome reached = outcome_of(m, before, place({m}, before));
  EXPECT_EQ(std::tie(reached.unheld, reached.single), std::tie(least.unheld, least.single));
  EXPECT_LE(reached.moved * 10, least.moved * 13);
  settle({m}, nodes);
}

/// Bytes held by nobody or by one node, and bytes moved, over random clusters beside the least.
TEST(placement, is_nearly_as_good_as_trying_everything) {
  std::mt19937 chance{11};
  const auto pick = [&](std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>{low, high}(chance);
  };
  std::uint64_t moved = 0;
  std::uint64_t least_moved = 0;
  std::uint64_t more_single = 0;
  constexpr std::size_t clusters = 150;
  for (std::size_t round = 0; round < clusters; ++round) {
    placeable_model m = model(1, pick(4, 7));
    m.shape.embedding = pick(0, 1'000);
    m.shape.head = pick(0, 1'000);
    m.shape.stage_buffers = pick(0, 100);
    std::vector<placement_node> nodes;
    const std::uint64_t count = pick(2, 5);
    for (std::uint32_t n = 0; n < count; ++n) {
      nodes.push_back(node(n, part_of(m, static_cast<double>(pick(20, 70)) / 100),
                           static_cast<double>(pick(1, 4)) * 1e6));
    }
    settle({m}, nodes);
    if (pick(0, 1) == 0) {
      nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(pick(0, nodes.size() - 1)));
    } else {
      nodes.push_back(node(9, part_of(m, 0.4)));
    }
    const outcome least = try_everything(m, nodes);
    const outcome reached = outcome_of(m, nodes, place({m}, nodes));
    if (least.unheld == 0) {
      EXPECT_EQ(reached.unheld, 0U);
      more_single += reached.single - std::min(reached.single, least.single);
      if (reached.single == least.single) {
        moved += reached.moved;
        least_moved += least.moved;
      }
    }
    settle({m}, nodes);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  // Ends hold as much as a layer beside theirs here, so that a layer may find no room.
  EXPECT_LE(more_single * 3, clusters * layer_bytes);
  EXPECT_LE(moved * 10, least_moved * 13);
}

TEST(placement, nodes_may_come_in_any_order) {
  const placeable_model m = model(1, 9);
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 0; n < 5; ++n) {
    nodes.push_back(node(n, part_of(m, 0.3 + 0.05 * n), 1e6 * (1 + n % 2)));
  }
  const placement forward = place({m}, nodes);
  std::reverse(nodes.begin(), nodes.end());
  placement backward = place({m}, nodes);
  std::reverse(backward.held.begin(), backward.held.end());
  EXPECT_EQ(forward.held, backward.held);
  EXPECT_EQ(forward.orders, backward.orders);
}

TEST(placement, of_equals_the_faster_node_holds_more) {
  const placeable_model m = model(1, 8);
  std::vector<placement_node> nodes{node(0, part_of(m, 1.0), 1e6), node(1, part_of(m, 1.0), 1e7)};
  placeable_model once = m;
  once.copies = 1;
  const placement p = place({once}, nodes);
  EXPECT_TRUE(p.held[0].empty());
  EXPECT_EQ(p.held[1].at(m.id), (std::vector<layer_range>{{0, 8}}));
}

TEST(placement, what_a_path_would_need_one_node_for_twice_goes_to_another_one_too) {
  placeable_model m = model(1, 8);
  m.copies = 1;
  std::vector<placement_node> nodes{node(0, part_of(m, 1.0)), node(1, part_of(m, 0.5))};
  nodes[0].held[m.id] = {{0, 2}, {6, 8}};
  nodes[1].held[m.id] = {{2, 6}};
  const placement p = place({m}, nodes);
  EXPECT_TRUE(p.models[0].served);
  ASSERT_FALSE(p.orders.empty());
  settle({m}, nodes);
}

TEST(placement, a_model_that_nobody_asks_for_leaves_and_comes_back) {
  placeable_model m = model(1, 8);
  std::vector<placement_node> nodes{node(0, part_of(m, 1.0)), node(1, part_of(m, 1.0))};
  settle({m}, nodes);
  EXPECT_EQ(least_copies(place({m}, nodes)), 2U);
  m.wanted = false;
  const placement p = place({m}, nodes);
  ASSERT_EQ(p.orders.size(), 2U);
  EXPECT_EQ(p.orders[0].reason, placement_reason::not_asked);
  settle({m}, nodes);
  EXPECT_TRUE(nodes[0].held.empty() && nodes[1].held.empty());
  m.wanted = true;
  settle({m}, nodes);
  EXPECT_EQ(least_copies(place({m}, nodes)), 2U);
}

TEST(placement, a_second_model_takes_the_room_of_second_copies_and_no_more) {
  const placeable_model first = model(1, 8);
  const placeable_model second = model(2, 8);
  std::vector<placement_node> nodes{node(0, part_of(first, 1.0)), node(1, part_of(first, 1.0))};
  settle({first}, nodes);
  EXPECT_EQ(least_copies(place({first}, nodes)), 2U);
  settle({first, second}, nodes);
  const placement p = place({first, second}, nodes);
  EXPECT_TRUE(p.models[0].served);
  EXPECT_TRUE(p.models[1].served);
}

TEST(placement, a_model_without_room_takes_nothing_from_others) {
  const placeable_model first = model(1, 8);
  const placeable_model large = model(2, 40);
  std::vector<placement_node> nodes{node(0, part_of(first, 1.0)), node(1, part_of(first, 1.0))};
  settle({first}, nodes);
  const std::vector<placement_node> before = nodes;
  settle({first, large}, nodes);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    EXPECT_EQ(nodes[n].held.at(first.id), before[n].held.at(first.id));
  }
}

TEST(placement, an_owner_who_takes_no_orders_is_not_asked) {
  const placeable_model m = model(1, 8);
  std::vector<placement_node> nodes{node(0, part_of(m, 1.0)), node(1, part_of(m, 1.0))};
  nodes[0].takes_orders = false;
  nodes[0].held[m.id] = {{0, 5}};
  settle({m}, nodes);
  EXPECT_EQ(nodes[0].held.at(m.id), (std::vector<layer_range>{{0, 5}}));
  EXPECT_EQ(least_copies(place({m}, nodes)), 1U);
}

TEST(placement, nodes_that_hold_more_than_they_have_room_for_drop_what_others_hold) {
  const std::vector<placeable_model> models{model(1, 8)};
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 1; n <= 4; ++n) {
    nodes.push_back(node(n, 5 * layer_bytes));
    nodes.back().held[models[0].id] = {{0, 8}};
  }
  const placement made = place(models, nodes);
  ASSERT_TRUE(made.models[0].served);
  for (const std::uint32_t copies : made.models[0].copies) {
    EXPECT_GE(copies, 2U);
  }
  for (const placement_node::holdings& held : made.held) {
    std::uint32_t layers = 0;
    for (const layer_range& range : held.at(models[0].id)) {
      layers += range.size();
    }
    EXPECT_LE(layers, 5U);
  }
  for (const placement_order& order : made.orders) {
    EXPECT_EQ(order.act, placement_act::drop);
  }
  EXPECT_EQ(made.waiting, 0U);
}

TEST(placement, what_is_under_way_is_kept_when_others_come) {
  const placeable_model m = model(1, 8);
  std::vector<placement_node> nodes{node(1, part_of(m, 0.6)), node(2, part_of(m, 0.6))};
  const placement begun = place({m}, nodes);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    nodes[n].coming = begun.held[n];
  }
  EXPECT_TRUE(place({m}, nodes).orders.empty());
  nodes.push_back(node(0, part_of(m, 1.0), 1e8)); // it would have been the first choice
  const placement grown = place({m}, nodes);
  for (const placement_order& order : grown.orders) {
    EXPECT_EQ(order.node, id(0));
  }
  // Nothing is dropped for a copy that is only coming.
  std::vector<placement_node> moving{node(1, part_of(m, 1.0)), node(2, part_of(m, 1.0))};
  moving[0].held[m.id] = {{0, 8}};
  moving[1].coming[m.id] = {{0, 8}};
  placeable_model more = model(2, 8);
  const placement next = place({more, m}, moving);
  for (const placement_order& order : next.orders) {
    EXPECT_TRUE(order.act == placement_act::fetch || order.model != m.id);
  }
}

TEST(placement, a_swarm_is_placed_and_stays) {
  placeable_model m = model(1, 80);
  m.copies = 3;
  std::vector<placement_node> nodes;
  for (std::uint32_t n = 0; n < 300; ++n) {
    nodes.push_back(node(n, part_of(m, 0.02 + 0.001 * (n % 7)), 1e6 * (1 + n % 3)));
  }
  settle({m}, nodes);
  EXPECT_EQ(least_copies(place({m}, nodes)), 3U);
}

} // namespace
} // namespace ovir::actors
