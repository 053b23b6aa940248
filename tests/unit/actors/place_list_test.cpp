#include "actors/members/place_list.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

digest place(std::uint8_t first) { return digest{{first}}; }

TEST(place_list, keeps_those_used_last) {
  place_list list{2};
  list.touch(place(1));
  list.touch(place(2));
  list.touch(place(1));
  list.touch(place(3));
  EXPECT_EQ(list.look(), (std::vector{place(1), place(3)}));
}

TEST(place_list, changes_when_a_place_comes_or_goes_and_not_when_it_is_used) {
  place_list list{8};
  EXPECT_FALSE(list.changed());
  list.touch(place(1));
  EXPECT_TRUE(list.changed());
  EXPECT_EQ(list.look().size(), 1U);
  list.touch(place(1));
  EXPECT_FALSE(list.changed());
  list.forget(place(2));
  EXPECT_FALSE(list.changed());
  list.forget(place(1));
  EXPECT_TRUE(list.changed());
  EXPECT_TRUE(list.look().empty());
}

} // namespace
} // namespace ovir::actors
