#include "actors/bulk/unit_keeper.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

std::vector<digest> names(std::uint8_t first, std::uint8_t count) {
  std::vector<digest> out(count);
  for (std::uint8_t i = 0; i < count; ++i) {
    out[i].bytes[0] = static_cast<std::uint8_t>(first + i);
  }
  return out;
}
/// Leaves of layers 2 and 3 over a window.
std::vector<compute::unit_leaf> leaves(std::uint32_t window) {
  return {{{window, 2}, 32, {}}, {{window, 3}, 32, {}}};
}

window_origin origin(std::uint32_t window) { return {window, {}, {}, {}, {}}; }

TEST(unit_keeper, hands_over_what_is_both_complete_and_named_once) {
  unit_keeper keeper;
  keeper.name(0, names(0, 1));
  EXPECT_FALSE(keeper.take());
  keeper.complete(1, leaves(0), {origin(0)});
  keeper.complete(2, leaves(1), {origin(1)});
  const auto first = keeper.take();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->first, 0U);
  EXPECT_EQ(*first->prefixes, names(0, 1));
  EXPECT_EQ(first->leaves, leaves(0));
  EXPECT_EQ(first->origins, std::vector{origin(0)});
  EXPECT_FALSE(keeper.take());
  keeper.name(1, names(1, 2));
  const auto second = keeper.take();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->first, 1U);
  EXPECT_EQ(*second->prefixes, names(1, 1));
  EXPECT_EQ(second->leaves, leaves(1));
  EXPECT_EQ(second->origins, std::vector{origin(1)});
}

TEST(unit_keeper, names_told_again_or_behind_a_gap_change_nothing) {
  unit_keeper keeper;
  keeper.name(0, names(0, 2));
  keeper.name(0, names(0, 1));
  keeper.name(1, names(1, 2));
  keeper.name(9, names(9, 1));
  keeper.complete(20, {}, {});
  EXPECT_EQ(*keeper.take()->prefixes, names(0, 3));
}

TEST(unit_keeper, what_came_from_the_cache_is_not_handed_back) {
  unit_keeper keeper;
  keeper.name(0, names(0, 4));
  keeper.complete(1, leaves(0), {origin(0)});
  keeper.skip_to(2);
  EXPECT_FALSE(keeper.take());
  keeper.complete(3, leaves(2), {origin(2)});
  const auto units = keeper.take();
  ASSERT_TRUE(units);
  EXPECT_EQ(units->first, 2U);
  EXPECT_EQ(units->leaves, leaves(2));
  EXPECT_EQ(units->origins, std::vector{origin(2)});
}

} // namespace
} // namespace ovir::actors
