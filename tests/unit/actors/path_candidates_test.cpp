#include "actors/path/path_candidates.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

node_id node(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

using ranges = std::vector<layer_range>;
using indices = std::vector<std::size_t>;

TEST(path_candidates, ranges_that_overlap_are_one_and_those_beyond_the_model_count_for_nothing) {
  EXPECT_EQ(merged_ranges({{4, 6}, {0, 3}, {2, 5}, {0, 3}}, 8), (ranges{{0, 6}}));
  EXPECT_EQ(merged_ranges({{0, 400}, {0, 9}, {3, 3}, {1, 2}}, 8), (ranges{{1, 2}}));
  EXPECT_EQ(merged_ranges({{4, 8}, {0, 4}}, 8), (ranges{{0, 4}, {4, 8}}))
      << "a stage lies within one of them";
}

layer_holder holder(std::uint8_t number, layer_range layers, double seconds,
                    std::uint32_t at_once = 100) {
  return {node(number), layers, at_once, seconds, 0};
}

indices chosen(const std::vector<layer_holder>& holders, std::uint32_t layers, std::size_t few,
               std::size_t most) {
  return chosen_holders(holders, std::vector<layer_range>{{0, layers}}, few, most);
}

TEST(path_candidates, few_holders_are_taken_all) {
  EXPECT_EQ(chosen({holder(1, {0, 4}, 1), holder(2, {4, 8}, 9)}, 8, 2, 16), (indices{0, 1}));
}

// Those that are faster hold layers that everybody holds; the last two hold what nobody else does.
TEST(path_candidates, no_layer_loses_its_last_holder) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 30; ++i) {
    many.push_back(holder(i, {0, 4}, 1));
  }
  many.push_back(holder(40, {4, 6}, 1e9));
  many.push_back(holder(41, {6, 8}, 1e9));
  EXPECT_EQ(chosen(many, 8, 4, 6), (indices{0, 1, 2, 3, 30, 31}));
}

TEST(path_candidates, each_layer_keeps_its_cheapest_holders) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 60; ++i) {
    many.push_back(holder(i, i % 2 == 0 ? layer_range{0, 4} : layer_range{4, 8}, 100.0 - i));
  }
  const indices some = chosen(many, 8, 4, 128);
  EXPECT_EQ(some.size(), 2 * limits::path_holders_per_layer);
  EXPECT_EQ(some.front(), 60 - 2 * limits::path_holders_per_layer);
}

// Slower by half, but a hand-over of 8 is for eight layers instead of one.
TEST(path_candidates, a_hand_over_counts_by_the_layers_it_is_for_and_short_ranges_have_places) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 60; ++i) {
    const bool whole = i % 2 == 0;
    many.push_back(
        holder(i, whole ? layer_range{0, 8} : layer_range{3, 4}, whole ? 1.5 : 1.0 + i * 0.001));
    many.back().hand_over_seconds = 8;
  }
  indices expected;
  for (std::size_t i = 0; i < 2 * limits::path_holders_per_layer; i += 2) {
    expected.push_back(i);
  }
  const indices some = chosen(many, 8, 4, 128);
  EXPECT_TRUE(std::includes(some.begin(), some.end(), expected.begin(), expected.end()));
  EXPECT_EQ(std::count_if(some.begin(), some.end(), [](auto i) { return i % 2 == 1; }),
            std::ptrdiff_t{limits::path_holders_for_one_layer});
}

TEST(path_candidates, who_can_hold_a_part_only_counts_as_that_part) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 100; ++i) {
    many.push_back(holder(i, {0, 8}, 1, 2));
  }
  EXPECT_EQ(chosen(many, 8, 4, 128).size(), 4 * limits::path_holders_per_layer);
}

TEST(path_candidates, who_has_no_memory_takes_nobodys_place) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 40; ++i) {
    many.push_back(holder(i, {0, 8}, i < 35 ? 1 : 2, i < 35 ? 0 : 8));
  }
  EXPECT_EQ(chosen(many, 8, 4, 128), (indices{35, 36, 37, 38, 39}));
  many.resize(35);
  EXPECT_FALSE(chosen(many, 8, 4, 128).empty()) << "a plan says what lacks";
}

TEST(path_candidates, one_node_with_many_ranges_does_not_fill_the_places) {
  std::vector<layer_holder> many;
  for (std::uint32_t i = 0; i < 16; ++i) {
    many.push_back(holder(1, {i, i + 1}, 1));
  }
  for (std::uint8_t i = 2; i < 6; ++i) {
    many.push_back(holder(i, {0, 16}, 9));
  }
  const indices some = chosen(many, 16, 4, 128);
  const auto of_first = std::count_if(some.begin(), some.end(), [](auto i) { return i < 16; });
  EXPECT_EQ(of_first, static_cast<std::ptrdiff_t>(limits::plan_ranges_per_node_max));
  EXPECT_EQ(some.size(), limits::plan_ranges_per_node_max + 4);
}

TEST(path_candidates, all_that_are_needed_are_chosen_even_if_they_are_many) {
  std::vector<layer_holder> thin;
  for (std::uint8_t i = 0; i < 20; ++i) {
    thin.push_back(holder(i, {i, i + 1U}, 1));
  }
  EXPECT_EQ(chosen(thin, 20, 4, 16).size(), 20U);
}

TEST(path_candidates, only_holders_of_the_runs_are_chosen) {
  const std::vector<layer_holder> all{holder(1, {0, 3}, 1), holder(2, {2, 5}, 1),
                                      holder(3, {5, 8}, 1), holder(4, {8, 9}, 1)};
  EXPECT_EQ(chosen_holders(all, std::vector<layer_range>{{3, 5}, {8, 9}}, 1, 16), (indices{1, 3}));
  EXPECT_EQ(chosen_holders(all, {}, 1, 16), indices{});
}

TEST(path_candidates, of_equals_the_lower_keys_are_chosen_in_whatever_order_they_come) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 40; ++i) {
    many.push_back(holder(static_cast<std::uint8_t>(i * 7 % 40), {0, 8}, 1));
  }
  for (const std::size_t i : chosen(many, 8, 4, 128)) {
    EXPECT_LT(many[i].node, node(limits::path_holders_per_layer));
  }
}

} // namespace
} // namespace ovir::actors
