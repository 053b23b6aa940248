#include "actors/members/gossip_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::size_t much = 1'000'000;

node_id node(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}

signed_advert advert(std::uint8_t n, std::uint64_t incarnation) {
  return {node(n), incarnation, {}, {}};
}

signed_suspicion suspicion(std::uint8_t n, std::uint64_t incarnation) {
  return {node(99), node(n), incarnation, {}};
}

TEST(gossip_queue, tells_an_update_a_few_times_and_then_no_more) {
  gossip_queue q;
  q.push(advert(1, 1));
  EXPECT_EQ(gossip_queue::mesh_tellings(7), 9U);
  for (std::uint32_t i = 0; i < gossip_queue::mesh_tellings(7); ++i) {
    EXPECT_THAT(q.take(node(2), 9, 8, much), ElementsAre(signed_update{advert(1, 1)})) << i;
  }
  EXPECT_TRUE(q.empty());
  EXPECT_THAT(q.take(node(2), 9, 8, much), IsEmpty());
}

TEST(gossip_queue, tells_the_least_told_first_and_of_those_the_newest) {
  gossip_queue q;
  q.push(advert(1, 1));
  q.push(advert(2, 1));
  EXPECT_THAT(q.take(node(9), 9, 1, much), ElementsAre(signed_update{advert(2, 1)}));
  EXPECT_THAT(q.take(node(9), 9, 1, much), ElementsAre(signed_update{advert(1, 1)}));
  q.push(advert(3, 1));
  EXPECT_THAT(q.take(node(9), 9, 1, much), ElementsAre(signed_update{advert(3, 1)}));
}

TEST(gossip_queue, keeps_the_newest_of_a_kind_about_a_node) {
  gossip_queue q;
  q.push(advert(1, 1));
  q.push(suspicion(1, 1));
  EXPECT_EQ(q.size(), 2U);
  q.push(advert(1, 2));
  EXPECT_THAT(q.take(node(9), 9, 8, much), ElementsAre(signed_update{advert(1, 2)}));
}

TEST(gossip_queue, does_not_tell_a_node_what_it_said_itself) {
  gossip_queue q;
  q.push(advert(1, 1));
  q.push(suspicion(1, 1));
  EXPECT_THAT(q.take(node(1), 9, 8, much), ElementsAre(signed_update{suspicion(1, 1)}));
}

TEST(gossip_queue, keeps_to_the_bytes_it_may_use) {
  gossip_queue q;
  q.push(advert(1, 1));
  q.push(suspicion(2, 1));
  const std::size_t bytes = encoded_bytes(signed_update{suspicion(2, 1)});
  EXPECT_THAT(q.take(node(9), 9, 8, bytes), ElementsAre(signed_update{suspicion(2, 1)}));
  EXPECT_THAT(q.take(node(9), 9, 8, 10), IsEmpty());
  EXPECT_EQ(q.size(), 2U);
}

TEST(gossip_queue, keeps_the_words_of_so_many_accusers_as_it_is_told) {
  gossip_queue q;
  for (std::uint8_t accuser = 10; accuser < 16; ++accuser) {
    q.push(signed_suspicion{node(accuser), node(1), 1, {}}, 3);
  }
  EXPECT_EQ(q.size(), 3U);
  q.push(signed_suspicion{node(15), node(1), 1, {}}, 3);
  EXPECT_EQ(q.size(), 3U) << "the same word once";
  q.push(signed_suspicion{node(10), node(1), 2, {}}, 3);
  EXPECT_EQ(q.size(), 1U) << "of an earlier incarnation";
}

TEST(gossip_queue, drops_what_is_over) {
  gossip_queue q;
  q.push(advert(1, 1));
  q.push(suspicion(1, 1));
  q.push(suspicion(2, 1));
  q.drop_suspicion(node(2));
  EXPECT_EQ(q.size(), 2U);
  q.forget(node(1));
  EXPECT_TRUE(q.empty());
}

} // namespace
} // namespace ovir::actors
