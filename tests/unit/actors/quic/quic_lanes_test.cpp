#include "actors/quic/quic_lanes.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr connection_id lane_one{1};

TEST(quic_lanes, counts_what_waits_until_the_peer_has_it) {
  quic_lanes lanes;
  lanes.open(lane_one, channel::control);
  ASSERT_TRUE(lanes.reserve(lane_one, message_kind::wire, 1'000));
  ASSERT_TRUE(lanes.reserve(lane_one, message_kind::gossip, 0));
  EXPECT_EQ(lanes.waiting(lane_one), 1'000 + 2 * limits::message_overhead_bytes);
  lanes.release(lane_one, quic_lanes::charge_of(1'000));
  EXPECT_EQ(lanes.waiting(lane_one), limits::message_overhead_bytes);
  lanes.close(lane_one);
  EXPECT_EQ(lanes.waiting(lane_one), 0U);
  EXPECT_EQ(lanes.reserve(lane_one, message_kind::wire, 1).error().code, errc::peer_lost);
}

TEST(quic_lanes, refuses_what_a_channel_does_not_take) {
  quic_lanes lanes;
  lanes.open(lane_one, channel::control);
  EXPECT_EQ(lanes.reserve(lane_one, message_kind::tensor, 1).error().code, errc::invalid_argument);
  EXPECT_EQ(lanes.reserve(lane_one, message_kind::wire, limits::wire_bytes_max + 1).error().code,
            errc::over_limit);
  EXPECT_TRUE(lanes.reserve(lane_one, message_kind::wire, limits::wire_bytes_max));
}

TEST(quic_lanes, closes_for_a_peer_that_takes_too_little) {
  quic_lanes lanes;
  lanes.open(lane_one, channel::control);
  std::size_t taken = 0;
  result<void> answer;
  while ((answer = lanes.reserve(lane_one, message_kind::wire, limits::wire_bytes_max))) {
    ++taken;
    ASSERT_LT(taken, 100U);
  }
  EXPECT_EQ(answer.error().code, errc::busy);
  EXPECT_EQ(taken,
            1 + send_bytes_max(channel::control) / quic_lanes::charge_of(limits::wire_bytes_max));
  lanes.release(lane_one, send_bytes_max(channel::control));
  EXPECT_EQ(lanes.reserve(lane_one, message_kind::wire, 1).error().code, errc::peer_lost);
}

} // namespace
} // namespace ovir::actors
