// How long a stage held its steps, from what the others of its path state.
#include "messages/evidence/seen_times.hpp"
#include "messages/limits/evidence.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir {
namespace {

using ::testing::ElementsAre;

constexpr std::uint32_t link_us = 10;

/// A path in which steps of one position go around, each stage with a clock of its own.
class seen_times_of_a_path : public ::testing::Test {
protected:
  void go_around(const std::vector<std::uint32_t>& held_us, std::uint32_t steps) {
    path_.resize(held_us.size());
    std::uint32_t now = 0;
    for (std::uint32_t p = 0; p < steps; ++p) {
      const std::uint32_t w = p / limits::window_positions;
      for (std::size_t i = 0; i < path_.size(); ++i) {
        auto& said = path_[i].statements;
        said.resize(w + 1);
        const auto off = static_cast<std::uint32_t>(1'000 * (i + 1)); // of its clock
        said[w].handovers.push_back(
            {p % limits::window_positions + 1, off + now, off + now + held_us[i]});
        now += held_us[i] + link_us;
      }
    }
  }
  [[nodiscard]] seen_times see(std::uint32_t window) const {
    std::vector<const stage_records*> path;
    for (const stage_records& one : path_) {
      path.push_back(&one);
    }
    return times_seen(path, window);
  }

  std::vector<stage_records> path_;
};

TEST_F(seen_times_of_a_path, are_those_of_the_stages_and_the_ways) {
  go_around({100, 400, 50}, 64);
  const seen_times first = see(0);
  EXPECT_EQ(first.steps, 31U) << "the time before the first step is no wait";
  const seen_times second = see(1);
  EXPECT_EQ(second.steps, 32U);
  EXPECT_THAT(second.held, ElementsAre(32 * 130U, 32 * 430U, 32 * 80U));
}

TEST_F(seen_times_of_a_path, are_not_what_a_stage_says_of_itself) {
  go_around({100, 400, 50}, 64);
  const seen_times honest = see(1);
  for (statement& s : path_[1].statements) {
    for (handover& h : s.handovers) {
      h.sent_us = h.came_us + 1; // as if it took no time
    }
  }
  const seen_times lied = see(1);
  EXPECT_EQ(lied.held[1], honest.held[1]);
}

TEST_F(seen_times_of_a_path, are_none_of_steps_that_overlap) {
  go_around({100, 400}, 64);
  for (statement& s : path_[0].statements) {
    for (handover& h : s.handovers) {
      h.came_us = 1'000;
      h.sent_us = 1'000 + 100 * h.positions;
    }
  }
  EXPECT_EQ(see(1).steps, 0U);
}

TEST_F(seen_times_of_a_path, are_none_of_one_stage_or_of_what_is_not_stated) {
  go_around({100, 400}, 40);
  EXPECT_EQ(see(2).steps, 0U);
  path_[1].statements.pop_back();
  EXPECT_EQ(see(1).steps, 0U);
  path_.pop_back();
  EXPECT_EQ(see(0).steps, 0U);
}

} // namespace
} // namespace ovir
