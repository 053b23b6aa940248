#include "actors/nat/punch_desk.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <utility>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr punch_token desk_token{4, 5};
const std::string helper = "198.51.100.1:7300";
const std::string there = "203.0.113.1:7300";

class punch_desk_core : public ::testing::Test {
protected:
  punch_desk::calls calls() {
    punch_desk::calls to;
    to.send = [this](const std::string& address, const std::vector<std::byte>& bytes) {
      const auto what = decode_punch_datagram(bytes);
      ASSERT_TRUE(what);
      sent_.emplace_back(address, what->kind);
    };
    to.probed = [this](std::uint64_t meeting) { probed_.push_back(meeting); };
    to.connect = [this](std::uint64_t meeting, const std::string& address) {
      connected_.emplace_back(meeting, address);
    };
    to.late = [this](std::uint64_t meeting) { late_.push_back(meeting); };
    return to;
  }

  std::vector<std::pair<std::string, punch_kind>> sent_;
  std::vector<std::uint64_t> probed_;
  std::vector<std::pair<std::uint64_t, std::string>> connected_;
  std::vector<std::uint64_t> late_;
  punch_desk::time_point now_{std::chrono::hours{1}};
  punch_desk desk_{calls()};
};

TEST_F(punch_desk_core, shows_the_helper_its_address_and_waits_a_short_while) {
  desk_.probe(1, helper, desk_token, now_);
  for (int i = 0; i < 20; ++i) {
    desk_.tick(now_ += 50ms);
  }
  EXPECT_EQ(sent_.size(), limits::probe_datagrams_max);
  EXPECT_EQ(sent_.front(), std::pair(helper, punch_kind::probe));
  EXPECT_EQ(probed_, std::vector<std::uint64_t>{1});
}

TEST_F(punch_desk_core, who_asks_connects_once_to_where_the_other_was_heard_first) {
  desk_.knock(1, desk_token, {there}, true, now_);
  EXPECT_EQ(sent_, (std::vector{std::pair(there, punch_kind::knock)}));
  desk_.heard("198.51.100.9:1", desk_token, now_);
  EXPECT_TRUE(connected_.empty());
  EXPECT_FALSE(desk_.is_connecting(1));
  desk_.heard("203.0.113.1:555", desk_token, now_);
  desk_.heard(there, desk_token, now_);
  EXPECT_EQ(connected_, (std::vector{std::pair(std::uint64_t{1}, std::string{"203.0.113.1:555"})}));
  EXPECT_TRUE(desk_.is_connecting(1));
  const std::size_t so_far = sent_.size();
  desk_.tick(now_ += 500ms);
  EXPECT_EQ(sent_.size(), so_far) << "the way is open";
}

TEST_F(punch_desk_core, who_answers_connects_to_no_one) {
  desk_.knock(1, desk_token, {there}, false, now_);
  desk_.heard(there, desk_token, now_);
  EXPECT_TRUE(connected_.empty());
}

TEST_F(punch_desk_core, hopes_for_a_bounded_time_before_and_after_the_way_is_open) {
  desk_.knock(1, desk_token, {there}, true, now_);
  desk_.knock(2, punch_token{6}, {there}, true, now_);
  EXPECT_TRUE(desk_.is_hopeful(2, now_ + limits::punch_head_start - 1ms));
  EXPECT_FALSE(desk_.is_hopeful(2, now_ + limits::punch_head_start));
  desk_.heard(there, desk_token, now_);
  desk_.tick(now_ += limits::punch_link_wait - 1ms);
  EXPECT_TRUE(desk_.is_hopeful(1, now_));
  EXPECT_TRUE(late_.empty());
  desk_.tick(now_ += 1ms);
  EXPECT_FALSE(desk_.is_hopeful(1, now_));
  EXPECT_EQ(late_, std::vector<std::uint64_t>{1});
}

// Whoever names addresses, and however many meetings are begun.
TEST_F(punch_desk_core, sends_a_bounded_number_for_all_meetings_together) {
  for (std::uint64_t meeting = 0; meeting < 500; ++meeting) {
    desk_.knock(meeting, desk_token, {fmt::format("203.0.113.{}:53", meeting % 200 + 1)}, false,
                now_);
    desk_.probe(1'000 + meeting, helper, desk_token, now_);
  }
  EXPECT_EQ(sent_.size(), limits::punch_burst);
  for (int i = 0; i < 100; ++i) {
    desk_.tick(now_ += 100ms);
  }
  EXPECT_LE(sent_.size(), limits::punch_burst + 11 * limits::punch_refill);
}

TEST_F(punch_desk_core, a_meeting_that_is_forgotten_sends_nothing_more) {
  desk_.knock(1, desk_token, {there}, true, now_);
  desk_.probe(1, helper, desk_token, now_);
  desk_.forget(1);
  sent_.clear();
  desk_.heard(there, desk_token, now_);
  desk_.tick(now_ += 1s);
  EXPECT_TRUE(sent_.empty());
  EXPECT_TRUE(probed_.empty());
  EXPECT_TRUE(connected_.empty());
}

} // namespace
} // namespace ovir::actors
