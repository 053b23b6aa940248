#include "actors/nat/stream_flow.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using test::key_of;

class relayed_flow : public ::testing::Test {
protected:
  const secret_key a_ = key_of(1);
  const secret_key b_ = key_of(2);
  const secret_key relay_ = key_of(3);
  const std::array<std::uint8_t, 16> session_{7};
  stream_flow sends_{a_, relay_.id(), b_.id(), session_};
  stream_flow takes_{b_, relay_.id(), a_.id(), session_};
};

TEST_F(relayed_flow, stops_at_the_window_and_goes_on_with_a_count) {
  EXPECT_EQ(sends_.may_send(), limits::relay_window_bytes);
  sends_.sent(limits::relay_window_bytes);
  EXPECT_EQ(sends_.may_send(), 0U);
  ASSERT_TRUE(takes_.received(limits::relay_window_bytes));
  EXPECT_FALSE(takes_.delivered(4, limits::relay_count_bytes - 1));
  const auto count = takes_.delivered(4, 1);
  ASSERT_TRUE(count);
  EXPECT_EQ(count->stream, 4U);
  EXPECT_EQ(count->bytes, limits::relay_count_bytes);
  ASSERT_TRUE(sends_.counted(*count));
  EXPECT_EQ(sends_.may_send(), limits::relay_count_bytes);
}

TEST_F(relayed_flow, takes_no_more_than_was_allowed) {
  ASSERT_TRUE(takes_.received(limits::relay_window_bytes));
  const auto more = takes_.received(1);
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, errc::over_limit);
}

TEST_F(relayed_flow, believes_no_count_that_the_other_node_did_not_sign) {
  sends_.sent(1'000);
  counted_stream what{relay_.id(), a_.id(), b_.id(), session_, 1'000};
  const auto signed_by = [&](const secret_key& key, const counted_stream& w) {
    return stream_count{0, 1'000, key.sign(count_domain, count_statement(w))};
  };
  EXPECT_FALSE(sends_.counted(signed_by(relay_, what))) << "the relay counts itself";
  counted_stream other = what;
  other.session = {8};
  EXPECT_FALSE(sends_.counted(signed_by(b_, other))) << "of another stream";
  other = what;
  other.bytes = 999;
  EXPECT_FALSE(sends_.counted(signed_by(b_, other))) << "of other bytes";
  EXPECT_TRUE(sends_.counted(signed_by(b_, what)));
  EXPECT_FALSE(sends_.counted(signed_by(b_, what))) << "a second time";
}

TEST_F(relayed_flow, believes_no_count_of_more_than_was_sent) {
  sends_.sent(10);
  counted_stream what{relay_.id(), a_.id(), b_.id(), session_, 11};
  const auto more = sends_.counted({0, 11, b_.sign(count_domain, count_statement(what))});
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, errc::malformed);
}

TEST_F(relayed_flow, counts_the_rest_at_its_end_once) {
  ASSERT_TRUE(takes_.received(10));
  EXPECT_FALSE(takes_.last_count(4)) << "nothing was handed on";
  EXPECT_FALSE(takes_.delivered(4, 10));
  const auto last = takes_.last_count(4);
  ASSERT_TRUE(last);
  EXPECT_EQ(last->bytes, 10U);
  EXPECT_FALSE(takes_.last_count(4));
}

} // namespace
} // namespace ovir::actors
