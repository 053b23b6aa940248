#include "messages/evidence/lateness.hpp"
#include "messages/limits/evidence.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace ovir {
namespace {

constexpr std::uint32_t hold_us = 2'000;
constexpr std::uint32_t way_us = 300;
constexpr std::uint32_t bound_us = 5'000;
constexpr std::uint32_t steps = 40; ///< a window and a part of another

node_id node_at(std::uint8_t n) {
  node_id id;
  id.key[0] = n;
  return id;
}

/// A path of stages whose clocks began at different times, through which steps go one after
/// another.
class paced_path {
public:
  explicit paced_path(std::size_t stages) : records_(stages) {
    for (std::size_t i = 0; i < stages; ++i) {
      records_[i].signer.node = node_at(static_cast<std::uint8_t>(i + 1));
      commitment c;
      c.windows = 2;
      c.step_us = bound_us;
      records_[i].commitments.push_back(c);
    }
  }

  /// Of one stage, at one step: so much longer, by all clocks but what it says of itself.
  void delay(std::size_t stage, position at, std::uint32_t us, bool says_so = true) {
    delays_[{stage, at}] = {us, says_so};
  }
  /// The lead waits so long before this step.
  void delay_lead(position at, std::uint32_t us) { lead_delays_[at] = us; }
  /// What it may hold a step for.
  void allow(std::size_t stage, std::uint32_t us) { records_[stage].commitments[0].step_us = us; }
  /// It says that it got this step so much later, or, of the first one, all behind it, and moves
  /// what follows, so that its times still ascend.
  void forge(std::size_t stage, position at, std::uint32_t us) { forged_[stage] = {at, us}; }
  /// Its clock is so much faster.
  void drift(std::size_t stage, std::uint32_t ppm) { drift_[stage] = ppm; }

  [[nodiscard]] stage_lateness judge(
      const node_id& lead = node_at(99),
      const std::function<bool(const node_id&, const node_id&)>& same = std::equal_to<node_id>{}) {
    std::uint64_t now = 0;
    for (stage_records& s : records_) {
      s.statements.clear();
    }
    for (position p = 1; p <= steps; ++p) {
      now += way_us + lead_delays_[p];
      for (std::size_t i = 0; i < records_.size(); ++i) {
        now += way_us;
        const std::uint64_t came = now;
        const auto late = delays_.find({i, p});
        const std::uint32_t longer = late == delays_.end() ? 0 : late->second.first;
        now += hold_us + longer;
        const bool says_so = late == delays_.end() || late->second.second;
        write(i, p, came, says_so ? now : now - longer);
      }
    }
    std::vector<const stage_records*> path;
    for (const stage_records& s : records_) {
      path.push_back(&s);
    }
    return judge_times(path, lead, same);
  }

private:
  void write(std::size_t i, position p, std::uint64_t came, std::uint64_t sent) {
    const std::uint32_t window = (p - 1) / limits::window_positions;
    auto& statements = records_[i].statements;
    if (window >= statements.size()) {
      statements.push_back({});
      statements.back().window = window;
    }
    const auto by_own_clock = [&](std::uint64_t at) {
      const std::uint64_t faster = at * drift_[i] / 1'000'000;
      return static_cast<std::uint32_t>(at + faster + 1'000'000 * (i + 1)); // begun elsewhere
    };
    handover h{p - window * limits::window_positions, by_own_clock(came), by_own_clock(sent)};
    if (const auto forged = forged_.find(i); forged != forged_.end()) {
      const auto& [at, us] = forged->second;
      const std::uint32_t moved = p > at || (p == at && i > 0) ? us : 0;
      h.came_us += moved;
      h.sent_us += moved;
    }
    statements.back().handovers.push_back(h);
  }

  std::vector<stage_records> records_;
  std::map<std::pair<std::size_t, position>, std::pair<std::uint32_t, bool>> delays_;
  std::map<position, std::uint32_t> lead_delays_;
  std::map<std::size_t, std::pair<position, std::uint32_t>> forged_;
  std::map<std::size_t, std::uint32_t> drift_;
};

TEST(lateness, a_step_in_time_is_not_late_whatever_the_clocks_say) {
  paced_path path{3};
  path.drift(0, 100);
  EXPECT_TRUE(path.judge().late.empty());
  EXPECT_TRUE(path.judge().differing.empty());
  path.delay(1, 20, bound_us - 100);
  EXPECT_TRUE(path.judge().late.empty()) << "as long as it was committed to";
}

TEST(lateness, neighbours_show_a_step_that_was_held_too_long) {
  paced_path path{4};
  path.delay(1, 20, 9'000);
  const auto found = path.judge().late;
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].stage, 1U);
  EXPECT_EQ(found[0].at, 20U);
  EXPECT_EQ(found[0].allowed_us, bound_us);
  EXPECT_NEAR(static_cast<double>(found[0].over_us), 4'000, 200);
}

TEST(lateness, who_is_late_cannot_hide_it_and_is_named_where_it_says_otherwise) {
  paced_path path{3};
  path.delay(1, 20, 400'000, false);
  const auto found = path.judge();
  ASSERT_EQ(found.late.size(), 1U);
  ASSERT_EQ(found.differing.size(), 1U);
  EXPECT_EQ(found.differing[0].stage, 1U);
  EXPECT_NEAR(static_cast<double>(found.differing[0].seen_us), 400'000, 1'000);
  EXPECT_EQ(found.differing[0].stated_us, 0U);
}

TEST(lateness, of_first_and_last_stages_nothing_is_said) {
  for (const std::size_t stage : {0U, 2U}) {
    paced_path path{3};
    path.delay(stage, 20, 900'000);
    EXPECT_TRUE(path.judge().late.empty()) << stage;
  }
  paced_path two{2};
  two.delay(1, 20, 900'000);
  EXPECT_TRUE(two.judge().late.empty());
}

TEST(lateness, neighbours_count_that_are_others_of_other_operators_and_not_the_lead) {
  paced_path path{3};
  path.delay(1, 20, 900'000);
  EXPECT_EQ(path.judge().late.size(), 1U);
  EXPECT_TRUE(path.judge(node_at(1)).late.empty());
  EXPECT_TRUE(path.judge(node_at(3)).late.empty());
  const auto together = [](std::uint8_t one, std::uint8_t other) {
    return [=](const node_id& a, const node_id& b) {
      return a == b ||
             (std::min(a.key[0], b.key[0]) == one && std::max(a.key[0], b.key[0]) == other);
    };
  };
  EXPECT_TRUE(path.judge(node_at(99), together(1, 2)).late.empty()) << "its own operator's";
  EXPECT_TRUE(path.judge(node_at(99), together(1, 3)).late.empty()) << "one witness";
}

// It owns a key and knows the format: what it invents is away from nobody else's clock.
TEST(lateness, one_neighbour_alone_makes_nobody_late) {
  for (const std::size_t forger : {0U, 2U}) {
    paced_path path{3};
    path.forge(forger, 20, 900'000);
    EXPECT_TRUE(path.judge().late.empty()) << forger;
  }
  paced_path both{3};
  both.forge(0, 20, 900'000);
  both.forge(2, 20, 900'000);
  EXPECT_EQ(both.judge().late.size(), 1U) << "two operators together may";
}

TEST(lateness, slow_stages_elsewhere_and_slow_leads_are_not_this_stages_fault) {
  for (const std::size_t slow : {0U, 1U, 3U, 4U}) {
    paced_path path{5};
    path.delay(slow, 20, 900'000);
    for (const late_step& one : path.judge().late) {
      EXPECT_EQ(one.stage, slow);
    }
  }
  paced_path path{5};
  path.delay_lead(20, 900'000);
  EXPECT_TRUE(path.judge().late.empty());
}

TEST(lateness, without_a_bound_nothing_is_late) {
  paced_path path{3};
  path.allow(1, 0);
  path.delay(1, 20, 900'000);
  EXPECT_TRUE(path.judge().late.empty());
}

} // namespace
} // namespace ovir
