#include "actors/nat/helper_list.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::key_of;

constexpr helper_list::time_point begun{};

TEST(helper_list, nodes_that_know_the_same_helpers_look_where_the_node_is) {
  const node_id self = key_of(1).id();
  const node_id asker = key_of(2).id();
  helper_list mine{self};
  helper_list theirs{asker};
  for (std::uint8_t seed = 10; seed < 40; ++seed) {
    mine.reached(key_of(seed).id(), "192.0.2.1:" + std::to_string(seed), seed % 3 == 0, begun);
    theirs.reached(key_of(seed).id(), "192.0.2.1:" + std::to_string(seed), seed % 3 == 0, begun);
  }
  const auto homes = mine.homes(begun);
  const auto asked = theirs.for_node(self, begun);
  ASSERT_EQ(homes.size(), limits::helpers_kept);
  ASSERT_EQ(asked.size(), limits::helpers_asked);
  EXPECT_TRUE(std::equal(homes.begin(), homes.end(), asked.begin()));
  EXPECT_NE(asked, theirs.for_node(key_of(3).id(), begun)) << "others are elsewhere";
}

TEST(helper_list, relays_come_first) {
  helper_list list{key_of(1).id()};
  for (std::uint8_t seed = 10; seed < 30; ++seed) {
    list.reached(key_of(seed).id(), "192.0.2.1:1", false, begun);
  }
  list.reached(key_of(99).id(), "192.0.2.9:1", true, begun);
  EXPECT_EQ(list.homes(begun).front(), key_of(99).id());
  EXPECT_EQ(list.for_node(key_of(5).id(), begun).front(), key_of(99).id());
}

TEST(helper_list, one_that_failed_is_left_alone_for_a_while) {
  helper_list list{key_of(1).id()};
  const node_id helper = key_of(2).id();
  list.reached(helper, "192.0.2.1:1", true, begun);
  list.failed(helper, begun);
  EXPECT_TRUE(list.homes(begun).empty());
  EXPECT_EQ(list.homes(begun + limits::helper_retry_wait).size(), 1U);
  list.failed(key_of(3).id(), begun); // unknown
  EXPECT_EQ(list.size(), 1U);
}

TEST(helper_list, neither_the_node_itself_nor_the_one_that_is_looked_for_helps) {
  const node_id self = key_of(1).id();
  helper_list list{self};
  list.reached(self, "192.0.2.1:1", true, begun);
  list.reached(key_of(2).id(), "192.0.2.2:1", true, begun);
  EXPECT_EQ(list.size(), 1U);
  EXPECT_TRUE(list.for_node(key_of(2).id(), begun).empty());
}

TEST(helper_list, floods_of_members_put_no_home_out) {
  helper_list list{key_of(1).id()};
  list.reached(key_of(2).id(), "192.0.2.2:1", true, begun);
  list.reached(key_of(3).id(), "192.0.2.3:1", true, begun);
  const auto homes = list.homes(begun);
  for (std::uint8_t seed = 10; seed < 250; ++seed) {
    list.reached(key_of(seed).id(), "192.0.2.1:1", false, begun + std::chrono::seconds{seed});
  }
  EXPECT_EQ(list.size(), limits::helpers_known_max);
  EXPECT_EQ(list.homes(begun), homes);
}

} // namespace
} // namespace ovir::actors
