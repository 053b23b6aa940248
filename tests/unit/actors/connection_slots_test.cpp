#include "actors/connection_slots.hpp"
#include "messages/limits.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace ovir::actors {
namespace {

using slot = connection_slots::slot;

node_id node(std::uint8_t value) {
  node_id id;
  id.key.fill(value);
  return id;
}

/// As many as are given out, at most `most`.
std::vector<slot> fill(connection_slots& slots, const std::string& address, std::size_t most) {
  std::vector<slot> taken;
  while (taken.size() < most) {
    auto next = slots.take_incoming(address);
    if (!next) {
      EXPECT_EQ(next.error().code, errc::busy);
      break;
    }
    taken.push_back(std::move(*next));
  }
  return taken;
}

TEST(connection_slots, only_so_many_strangers_are_met_at_once) {
  const auto slots = std::make_shared<connection_slots>();
  std::vector<slot> pending = fill(*slots, "", 1'000);
  EXPECT_EQ(pending.size(), limits::connections_pending_max);
  ASSERT_TRUE(pending[0].admitted(node(1), channel::control));
  EXPECT_TRUE(slots->take_incoming("")) << "an admitted one is no stranger";
  pending.clear();
  EXPECT_EQ(slots->in_use(), 0U);
}

TEST(connection_slots, one_address_leaves_room_for_others) {
  const auto slots = std::make_shared<connection_slots>();
  std::vector<slot> crowd = fill(*slots, "10.0.0.7", 1'000);
  EXPECT_EQ(crowd.size(), limits::connections_pending_per_address_max);
  EXPECT_TRUE(slots->take_incoming("10.0.0.8"));
  std::vector<slot> admitted;
  for (std::uint8_t i = 1; i <= 200; ++i) {
    for (slot& s : crowd) {
      if (s.admitted(node(i), channel::control)) {
        admitted.push_back(std::move(s));
      }
    }
    crowd = fill(*slots, "10.0.0.7", 1'000);
    if (crowd.empty()) {
      break;
    }
  }
  EXPECT_EQ(admitted.size(), limits::connections_per_address_max);
  EXPECT_TRUE(slots->take_incoming(""));
  admitted.clear();
  EXPECT_TRUE(slots->take_incoming("10.0.0.7"));
}

TEST(connection_slots, one_node_has_a_bounded_number) {
  const auto slots = std::make_shared<connection_slots>();
  std::vector<slot> held;
  for (std::size_t i = 0; i < limits::connections_per_node_max; ++i) {
    held.push_back(std::move(*slots->take_incoming("")));
    ASSERT_TRUE(held.back().admitted(node(1), channel::control));
  }
  auto one_more = slots->take_incoming("");
  ASSERT_TRUE(one_more);
  EXPECT_EQ(one_more->admitted(node(1), channel::control).error().code, errc::busy);
  EXPECT_TRUE(one_more->admitted(node(2), channel::control));
  held.pop_back();
  auto again = slots->take_incoming("");
  EXPECT_TRUE(again->admitted(node(1), channel::data));
}

TEST(connection_slots, one_person_has_fewer_shells) {
  const auto slots = std::make_shared<connection_slots>();
  std::vector<slot> held;
  for (std::size_t i = 0; i < limits::shells_per_key_max; ++i) {
    held.push_back(std::move(*slots->take_incoming("")));
    ASSERT_TRUE(held.back().admitted(node(1), channel::admin));
  }
  auto one_more = slots->take_incoming("");
  ASSERT_TRUE(one_more);
  EXPECT_EQ(one_more->admitted(node(1), channel::admin).error().code, errc::busy);
}

TEST(connection_slots, all_together_are_bounded_and_outgoing_ones_count) {
  const auto slots = std::make_shared<connection_slots>();
  std::vector<slot> held;
  while (auto next = slots->take_outgoing()) {
    held.push_back(std::move(*next));
    ASSERT_LE(held.size(), limits::connections_max);
  }
  EXPECT_EQ(held.size(), limits::connections_max);
  EXPECT_FALSE(slots->take_incoming(""));
  held.pop_back();
  auto last = slots->take_incoming("");
  ASSERT_TRUE(last);
  *last = {};
  EXPECT_EQ(slots->in_use(), limits::connections_max - 1);
}

} // namespace
} // namespace ovir::actors
