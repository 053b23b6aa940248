#include "actors/stage/host_core.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ovir::actors {
namespace {

node_id named_node(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

class sessions_of_a_host : public ::testing::Test {
protected:
  static constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20U;
  const node_id lead_ = named_node(1);
  const node_id rival_ = named_node(2);

  void admit(std::uint64_t request, const node_id& lead, std::uint32_t driver, bool log = true) {
    wire_open open;
    open.positions = 64;
    open.next.lead = true;
    open.previous = lead;
    if (log) {
      open.log.emplace();
      open.log->prompt = {1, 2};
      open.log->max_tokens = 3;
    }
    core_.admit({request_id{request}, 0}, lead, epoch{driver}, open, "slot", mebibyte);
  }
  [[nodiscard]] host_core::surroundings around() const {
    const auto there = [this](const node_id& who) { return there_.contains(who); };
    return {there, there, [this](const node_id& who) { return gone_.contains(who); }};
  }
  [[nodiscard]] result<void> drive(const node_id& from, std::uint32_t driver) {
    wire_message order;
    order.request = request_id{7};
    order.driver = epoch{driver};
    return host_core::check_driver(*core_.find({request_id{7}, 0}), from, order, around());
  }
  host_core::tick_result pass(std::chrono::milliseconds time) {
    host_core::tick_result all;
    for (auto left = time / host_tick_interval + 1; left > 0; --left) {
      host_core::tick_result one = core_.tick(around());
      all.orphans.insert(all.orphans.end(), one.orphans.begin(), one.orphans.end());
      all.forgotten.insert(all.forgotten.end(), one.forgotten.begin(), one.forgotten.end());
      if (!one.expired.empty()) {
        all.expired = std::move(one.expired);
        break;
      }
    }
    return all;
  }

  host_core core_;
  std::set<node_id> there_{lead_};
  std::set<node_id> gone_;
};

TEST_F(sessions_of_a_host, stay_with_a_lead_that_is_there) {
  admit(7, lead_, 5);
  EXPECT_EQ(drive(rival_, 9).error().code, errc::superseded);
  EXPECT_TRUE(drive(lead_, 6));
  EXPECT_EQ(drive(lead_, 4).error().code, errc::superseded) << "an epoch that is over";
  there_.clear();
  EXPECT_TRUE(drive(rival_, 9));
}

TEST_F(sessions_of_a_host, may_go_to_another_after_the_link_was_lost) {
  admit(7, lead_, 5);
  static_cast<void>(core_.link_lost(lead_));
  EXPECT_TRUE(drive(rival_, 9));
  EXPECT_FALSE(drive(rival_, 5)) << "not with an epoch that is no later";
}

TEST_F(sessions_of_a_host, tell_leads_of_frames_that_the_link_of_a_neighbour_lost) {
  wire_open open;
  open.previous = named_node(8);
  open.next.node = named_node(9);
  core_.admit({request_id{7}, 4}, lead_, epoch{1}, open, "slot", 1);
  EXPECT_EQ(core_.link_lost(named_node(8)).size(), 1U);
  EXPECT_EQ(core_.link_lost(named_node(9)).size(), 1U);
  EXPECT_TRUE(core_.link_lost(named_node(3)).empty());
}

TEST_F(sessions_of_a_host, say_that_they_cannot_hand_over) {
  wire_open open;
  open.next.node = named_node(9);
  const host_core::session_key key{request_id{7}, 4};
  core_.admit(key, lead_, epoch{1}, open, "slot", 1);
  const auto ticks = static_cast<int>(hand_over_patience / host_tick_interval);
  for (int i = 0; i < ticks; ++i) {
    EXPECT_TRUE(core_.tick(around()).cut_off.empty()) << i;
  }
  EXPECT_EQ(core_.tick(around()).cut_off, std::vector{key});
  EXPECT_TRUE(core_.tick(around()).cut_off.empty()) << "not at every tick";
  there_.insert(named_node(9));
  for (int i = 0; i < 2 * ticks; ++i) {
    EXPECT_TRUE(core_.tick(around()).cut_off.empty());
  }
}

TEST_F(sessions_of_a_host, leave_room_for_other_schedulers) {
  const host_core::room alone{8 * mebibyte, false};
  const host_core::room shared{8 * mebibyte, true};
  const host_core::session_key key{request_id{7}, 0};
  EXPECT_TRUE(core_.check_room(key, lead_, 8 * mebibyte, alone));
  EXPECT_EQ(core_.check_room(key, lead_, 8 * mebibyte, shared).error().code, errc::busy);
  EXPECT_EQ(core_.check_room(key, lead_, 9 * mebibyte, alone).error().code, errc::busy);
  admit(7, lead_, 1);
  EXPECT_TRUE(core_.check_room(key, lead_, 8 * mebibyte, alone)) << "in its own place";
  EXPECT_FALSE(core_.check_room({request_id{8}, 0}, lead_, 8 * mebibyte, alone));
  core_.erase(key);
  EXPECT_EQ(core_.bytes(), 0U);
}

TEST_F(sessions_of_a_host, ask_no_other_for_a_lead_whose_link_broke_a_moment_ago) {
  admit(7, lead_, 1);
  there_.clear();
  EXPECT_TRUE(core_.tick(around()).orphans.empty());
  there_.insert(lead_);
  EXPECT_TRUE(pass(std::chrono::seconds(3)).orphans.empty());
  there_.clear();
  EXPECT_FALSE(pass(2 * orphan_patience).orphans.empty()) << "its link stays away";
}

TEST_F(sessions_of_a_host, ask_for_orphans_and_end_after_their_grace) {
  admit(7, lead_, 1);
  there_.clear();
  gone_.insert(lead_);
  const auto first = core_.tick(around());
  ASSERT_EQ(first.orphans.size(), 1U);
  EXPECT_TRUE(core_.tick(around()).orphans.empty()) << "not at every tick";
  const auto end = pass(limits::session_grace);
  EXPECT_GT(end.orphans.size(), 0U);
  ASSERT_EQ(end.expired.size(), 1U);
}

TEST_F(sessions_of_a_host, ask_for_no_orphan_that_its_client_cancelled) {
  admit(7, lead_, 1);
  core_.find({request_id{7}, 0})->withdrawn = true;
  there_.clear();
  const auto end = pass(limits::session_grace);
  EXPECT_TRUE(end.orphans.empty());
  EXPECT_EQ(end.expired.size(), 1U);
}

TEST_F(sessions_of_a_host, ask_for_no_orphan_that_is_the_second_of_two_runs) {
  admit(7, lead_, 1);
  core_.find({request_id{7}, 0})->log->second = true;
  there_.clear();
  EXPECT_TRUE(pass(limits::session_grace).orphans.empty()) << "it begins with the first";
}

TEST_F(sessions_of_a_host, end_where_a_lead_says_nothing_after_its_link_came_back) {
  admit(7, lead_, 1);
  EXPECT_TRUE(pass(2 * limits::session_doubt).expired.empty()) << "no doubt";
  static_cast<void>(core_.link_lost(lead_));
  const auto end = pass(2 * limits::session_doubt);
  EXPECT_EQ(end.expired.size(), 1U);
  EXPECT_EQ(end.forgotten, end.expired);
}

TEST_F(sessions_of_a_host, end_where_the_last_order_is_handled_after_its_link_was_lost) {
  admit(7, lead_, 1);
  static_cast<void>(core_.link_lost(lead_));
  there_.clear();
  host_core::note_heard(*core_.find({request_id{7}, 0}), around());
  there_.insert(lead_);
  EXPECT_EQ(pass(2 * limits::session_doubt).forgotten.size(), 1U);
}

TEST_F(sessions_of_a_host, last_where_their_lead_speaks_over_a_new_link) {
  admit(7, lead_, 1);
  static_cast<void>(core_.link_lost(lead_));
  host_core::note_heard(*core_.find({request_id{7}, 0}), around());
  EXPECT_TRUE(pass(2 * limits::session_doubt).expired.empty());
}

TEST_F(sessions_of_a_host, keep_drawn_tokens_in_order_and_within_the_log) {
  admit(7, lead_, 1);
  host_core::session& s = *core_.find({request_id{7}, 0});
  log_token drawn;
  drawn.index = 1;
  host_core::keep_drawn(s, drawn);
  EXPECT_TRUE(s.log->drawn.empty());
  for (std::uint32_t i = 0; i < 9; ++i) {
    drawn.index = i;
    host_core::keep_drawn(s, drawn);
  }
  EXPECT_EQ(s.log->drawn.size(), 3U);
}

TEST_F(sessions_of_a_host, are_no_larger_than_the_model_allows) {
  compute::model_config config;
  config.context = 64;
  wire_open open;
  open.positions = 64;
  EXPECT_TRUE(host_core::check_size(config, open));
  open.positions = 65;
  EXPECT_EQ(host_core::check_size(config, open).error().code, errc::over_limit);
  open.positions = 64;
  open.log.emplace();
  open.log->prompt.resize(64);
  open.log->drawn.resize(2);
  EXPECT_EQ(host_core::check_size(config, open).error().code, errc::over_limit);
}

} // namespace
} // namespace ovir::actors
