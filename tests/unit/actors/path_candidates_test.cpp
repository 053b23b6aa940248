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

TEST(path_candidates, few_holders_are_taken_all) {
  const std::vector<layer_holder> few{{node(1), {0, 4}, 1}, {node(2), {4, 8}, 0}};
  EXPECT_EQ(chosen_holders(few, 8, 16), (indices{0, 1}));
}

// Sixteen that are faster hold layers that everybody holds; the last two hold what nobody else
// does.
TEST(path_candidates, no_layer_loses_its_last_holder) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 30; ++i) {
    many.push_back({node(i), {0, 4}, 1e18});
  }
  many.push_back({node(40), {4, 6}, 1});
  many.push_back({node(41), {6, 8}, 1});
  const indices chosen = chosen_holders(many, 8, 16);
  EXPECT_EQ(chosen.size(), 16U);
  EXPECT_EQ(chosen[14], 30U);
  EXPECT_EQ(chosen[15], 31U);
}

TEST(path_candidates, room_goes_to_the_fastest_holders_of_what_few_hold) {
  std::vector<layer_holder> many;
  for (std::uint8_t i = 0; i < 20; ++i) {
    many.push_back(
        {node(i), i % 2 == 0 ? layer_range{0, 4} : layer_range{4, 8}, static_cast<double>(i)});
  }
  const indices chosen = chosen_holders(many, 8, 6);
  EXPECT_EQ(chosen, (indices{14, 15, 16, 17, 18, 19}));
}

TEST(path_candidates, one_node_with_many_ranges_does_not_fill_the_places) {
  std::vector<layer_holder> many;
  for (std::uint32_t i = 0; i < 16; ++i) {
    many.push_back({node(1), {i, i + 1}, 1e18});
  }
  for (std::uint8_t i = 2; i < 6; ++i) {
    many.push_back({node(i), {0, 16}, 1});
  }
  const indices chosen = chosen_holders(many, 16, 8);
  const auto of_first = std::count_if(chosen.begin(), chosen.end(), [](auto i) { return i < 16; });
  EXPECT_EQ(of_first, static_cast<std::ptrdiff_t>(limits::plan_ranges_per_node_max));
  EXPECT_EQ(chosen.size(), 8U);
}

TEST(path_candidates, none_are_chosen_where_too_many_are_needed) {
  std::vector<layer_holder> thin;
  for (std::uint32_t i = 0; i < 20; ++i) {
    thin.push_back({node(static_cast<std::uint8_t>(i)), {i, i + 1}, 1});
  }
  EXPECT_EQ(chosen_holders(thin, 20, 16), indices{});
}

} // namespace
} // namespace ovir::actors
