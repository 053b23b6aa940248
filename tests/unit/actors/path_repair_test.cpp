#include "actors/path/path_repair.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace ovir::actors {
namespace {

using places = std::vector<path_place>;

repair_node holder(layer_range holds, double speed = 1e9, double rtt = 0.001) {
  return {.usable = true,
          .holds = holds,
          .memory_free = 100,
          .decode_bytes_per_second = speed,
          .rtt_seconds = rtt};
}

/// Twelve layers that need 10 bytes each, 1 MB of weights, in three stages on nodes 0, 1 and 2.
const places path{{0, {0, 4}}, {1, {4, 8}}, {2, {8, 12}}};
const std::vector<repair_layer> layers(12, repair_layer{10, 1'000'000});

std::vector<repair_node> running() { return {holder({0, 4}), holder({4, 8}), holder({8, 12})}; }

TEST(path_repair, leaves_a_whole_path_alone) {
  EXPECT_EQ(repair_path(path, running(), layers), path);
}

TEST(path_repair, gives_a_lost_segment_to_the_fastest_node_that_holds_it_and_is_near) {
  std::vector<repair_node> nodes = running();
  nodes[1].usable = false;
  nodes.push_back(holder({2, 9}, 1e9));
  nodes.push_back(holder({4, 8}, 1e10));
  nodes.push_back(holder({4, 8}, 2e10, 0.1));
  nodes.push_back(holder({5, 12}, 1e12));
  EXPECT_EQ(repair_path(path, nodes, layers), (places{path[0], {4, {4, 8}}, path[2]}));
}

TEST(path_repair, prefers_a_node_that_is_not_on_the_path_yet) {
  std::vector<repair_node> nodes = running();
  nodes[1].usable = false;
  nodes[0] = holder({0, 12}, 1e12);
  nodes.push_back(holder({4, 8}, 1e6, 1));
  EXPECT_EQ(repair_path(path, nodes, layers), (places{path[0], {3, {4, 8}}, path[2]}));
  nodes[3].usable = false;
  EXPECT_EQ(repair_path(path, nodes, layers), (places{path[0], {0, {4, 8}}, path[2]}));
}

TEST(path_repair, takes_one_node_for_two_lost_neighbours_and_several_where_none_has_all) {
  std::vector<repair_node> nodes = running();
  nodes[0].usable = nodes[1].usable = false;
  nodes.push_back(holder({0, 8}, 1e6));
  nodes.push_back(holder({0, 4}));
  nodes.push_back(holder({4, 8}));
  EXPECT_EQ(repair_path(path, nodes, layers), (places{{3, {0, 8}}, path[2]}));
  nodes[3].memory_free = 79;
  EXPECT_EQ(repair_path(path, nodes, layers), (places{{4, {0, 4}}, {5, {4, 8}}, path[2]}));
}

TEST(path_repair, shares_the_memory_of_a_node_among_all_its_new_stages) {
  std::vector<repair_node> nodes = running();
  nodes[0].usable = nodes[2].usable = false;
  nodes.push_back(holder({0, 12}, 1e10));
  nodes[3].memory_free = 80;
  EXPECT_EQ(repair_path(path, nodes, layers), (places{{3, {0, 4}}, path[1], {3, {8, 12}}}));
  --nodes[3].memory_free;
  EXPECT_EQ(repair_path(path, nodes, layers), std::nullopt);
  nodes.push_back(holder({11, 12}, 1e3));
  EXPECT_EQ(repair_path(path, nodes, layers),
            (places{{3, {0, 4}}, path[1], {3, {8, 11}}, {4, {11, 12}}}));
}

TEST(path_repair, gives_up_where_a_layer_is_held_by_nobody) {
  std::vector<repair_node> nodes = running();
  nodes[1].usable = false;
  nodes.push_back(holder({4, 6}));
  nodes.push_back(holder({7, 8}));
  EXPECT_EQ(repair_path(path, nodes, layers), std::nullopt);
  nodes[4].holds.reset(); // can get any
  EXPECT_TRUE(repair_path(path, nodes, layers));
}

TEST(path_repair, uses_a_node_nobody_measured_when_there_is_no_other) {
  std::vector<repair_node> nodes = running();
  nodes[1].usable = false;
  nodes.push_back(holder({4, 8}, 0));
  EXPECT_EQ(repair_path(path, nodes, layers), (places{path[0], {3, {4, 8}}, path[2]}));
  nodes.push_back(holder({4, 8}, 1e3, 10));
  EXPECT_EQ(repair_path(path, nodes, layers), (places{path[0], {4, {4, 8}}, path[2]}));
}

TEST(path_repair, ends_within_its_bound_on_many_nodes_with_little_memory) {
  const std::vector<repair_layer> many(80, repair_layer{10, 1'000'000});
  std::vector<repair_node> nodes;
  for (std::uint32_t i = 0; i < limits::full_mesh_max; ++i) {
    nodes.push_back(holder({0, 80}, 1e9 + i));
    nodes.back().memory_free = i == 5 ? 400 : 20;
  }
  nodes[0].usable = false;
  const auto made = repair_path(places{{0, {0, 80}}}, nodes, many);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->size(), 21U) << "40 layers on the large one, 2 on each of 20 others";
}

TEST(should_move, moves_only_for_a_clear_gain) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  EXPECT_FALSE(should_move(0.1, 0.1));
  EXPECT_FALSE(should_move(0.129, 0.1));
  EXPECT_TRUE(should_move(0.131, 0.1));
  EXPECT_FALSE(should_move(0.1, 0.131)) << "worse is never better";
  EXPECT_TRUE(should_move(infinite, 0.1)) << "a path that stands still";
  EXPECT_FALSE(should_move(infinite, infinite));
  EXPECT_FALSE(should_move(std::numeric_limits<double>::quiet_NaN(), 0.1));
  EXPECT_FALSE(should_move(0.1, 0));
  EXPECT_FALSE(should_move(0.1, -1));
}

} // namespace
} // namespace ovir::actors
