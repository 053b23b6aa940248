#include "actors/reuse/flight_table.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using ids = std::vector<request_id>;

flight_table::time_point at(std::chrono::seconds time) { return flight_table::time_point{time}; }

digest window(std::uint32_t n) {
  digest d;
  d.bytes[0] = static_cast<std::uint8_t>(n);
  d.bytes[1] = static_cast<std::uint8_t>(n >> 8U);
  return d;
}
/// A prefix of `shared` windows that all have, and `own` that only this request has.
std::vector<digest> windows(std::uint32_t shared, std::uint32_t own, std::uint32_t request) {
  std::vector<digest> out;
  for (std::uint32_t i = 0; i < shared; ++i) {
    out.push_back(window(i));
  }
  for (std::uint32_t i = 0; i < own; ++i) {
    out.push_back(window(1'000 + request * 10 + i));
  }
  return out;
}

TEST(flight_table, one_computes_and_the_others_wait_until_it_has) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(4, 1, 1), 5, at(0s)));
  EXPECT_FALSE(table.enter(request_id{2}, windows(4, 1, 2), 5, at(0s)));
  EXPECT_FALSE(table.enter(request_id{3}, windows(4, 1, 3), 5, at(0s)));
  EXPECT_EQ(table.computed(request_id{1}, 3, at(1s)), ids{});
  EXPECT_EQ(table.computed(request_id{1}, 4, at(1s)), (ids{request_id{2}, request_id{3}}));
  EXPECT_EQ(table.waited(), 2U);
  EXPECT_EQ(table.waiting(), 0U);
}

TEST(flight_table, strangers_do_not_wait_for_each_other) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(0, 3, 1), 3, at(0s)));
  EXPECT_TRUE(table.enter(request_id{2}, windows(0, 3, 2), 3, at(0s)));
  EXPECT_TRUE(table.enter(request_id{3}, {}, 0, at(0s)));
}

TEST(flight_table, a_window_that_must_be_computed_anyway_is_not_waited_for) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(2, 0, 1), 1, at(0s)));
  // Of the same two windows the last one holds the position whose logits are wanted.
  EXPECT_FALSE(table.enter(request_id{2}, windows(2, 0, 2), 1, at(0s)));
  EXPECT_EQ(table.computed(request_id{1}, 1, at(0s)), ids{request_id{2}});
}

TEST(flight_table, when_the_one_that_computes_ends_early_exactly_one_takes_its_place) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(4, 0, 1), 4, at(0s)));
  EXPECT_FALSE(table.enter(request_id{2}, windows(4, 0, 2), 4, at(0s)));
  EXPECT_FALSE(table.enter(request_id{3}, windows(4, 0, 3), 4, at(0s)));
  EXPECT_EQ(table.left(request_id{1}, at(0s)), ids{request_id{2}});
  EXPECT_EQ(table.left(request_id{2}, at(0s)), ids{request_id{3}});
  EXPECT_EQ(table.left(request_id{3}, at(0s)), ids{});
  EXPECT_EQ(table.flying(), 0U);
}

TEST(flight_table, one_that_waits_may_leave) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(4, 0, 1), 4, at(0s)));
  EXPECT_FALSE(table.enter(request_id{2}, windows(4, 0, 2), 4, at(0s)));
  EXPECT_EQ(table.left(request_id{2}, at(0s)), ids{});
  EXPECT_EQ(table.left(request_id{1}, at(0s)), ids{});
}

TEST(flight_table, who_makes_no_progress_is_not_waited_for_any_more) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(4, 0, 1), 4, at(0s)));
  EXPECT_FALSE(table.enter(request_id{2}, windows(4, 0, 2), 4, at(1s)));
  EXPECT_EQ(table.tick(at(9s), 10s), ids{});
  EXPECT_EQ(table.computed(request_id{1}, 1, at(9s)), ids{});
  EXPECT_EQ(table.tick(at(18s), 10s), ids{}); // it moved
  EXPECT_EQ(table.tick(at(19s), 10s), ids{request_id{2}});
  EXPECT_EQ(table.given_up(), 1U);
  // What it says later frees nothing of another's.
  EXPECT_FALSE(table.enter(request_id{3}, windows(4, 0, 3), 4, at(19s)));
  EXPECT_EQ(table.left(request_id{1}, at(20s)), ids{});
  EXPECT_EQ(table.computed(request_id{2}, 4, at(20s)), ids{request_id{3}});
}

TEST(flight_table, windows_computed_after_all_by_one_given_up_are_there) {
  flight_table table;
  EXPECT_TRUE(table.enter(request_id{1}, windows(4, 0, 1), 4, at(0s)));
  EXPECT_FALSE(table.enter(request_id{2}, windows(4, 0, 2), 4, at(0s)));
  EXPECT_EQ(table.tick(at(10s), 10s), ids{request_id{2}});
  EXPECT_FALSE(table.enter(request_id{3}, windows(4, 0, 3), 4, at(10s)));
  EXPECT_EQ(table.computed(request_id{1}, 4, at(11s)), ids{request_id{3}});
}

TEST(flight_table, of_64_with_a_common_prefix_one_computes_it) {
  flight_table table;
  std::uint32_t went = 0;
  for (std::uint64_t r = 0; r < 64; ++r) {
    went += table.enter(request_id{r}, windows(16, 2, static_cast<std::uint32_t>(r)), 18, at(0s))
                ? 1U
                : 0U;
  }
  EXPECT_EQ(went, 1U);
  EXPECT_EQ(table.computed(request_id{0}, 16, at(0s)).size(), 63U);
}

// Whatever comes in whatever order: everybody goes in the end, and never do two compute one window.
TEST(flight_table, over_random_lives_nobody_is_forgotten_and_no_window_flies_twice) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random{seed};
    flight_table table;
    std::map<request_id, std::vector<digest>> flying;
    std::map<request_id, std::size_t> done;
    std::map<request_id, std::vector<digest>> waiting;
    std::map<request_id, std::set<digest>> found; ///< there when it went
    const auto go = [&](const ids& gone) {
      for (const request_id r : gone) {
        ASSERT_TRUE(waiting.contains(r));
        for (const auto& [other, its] : flying) {
          found[r].insert(its.begin(), its.begin() + static_cast<std::ptrdiff_t>(done[other]));
        }
        flying[r] = waiting[r];
        waiting.erase(r);
        std::set<digest> claimed;
        for (const auto& [other, its] : flying) {
          for (std::size_t i = done[other]; i < its.size(); ++i) {
            EXPECT_TRUE(found[other].contains(its[i]) || claimed.insert(its[i]).second);
          }
        }
      }
    };
    std::uint64_t next = 1;
    for (int step = 0; step < 300; ++step) {
      const std::uint32_t what = random() % 4;
      if (what == 0 && next < 40) {
        const request_id r{next++};
        waiting[r] =
            windows(static_cast<std::uint32_t>(random() % 5),
                    static_cast<std::uint32_t>(random() % 3), static_cast<std::uint32_t>(r.value));
        if (table.enter(r, waiting[r], waiting[r].size(), at(0s))) {
          go({r});
        }
      } else if (!flying.empty()) {
        auto chosen =
            std::next(flying.begin(), static_cast<std::ptrdiff_t>(random() % flying.size()));
        const request_id r = chosen->first;
        if (what == 1) {
          flying.erase(chosen);
          go(table.left(r, at(0s)));
        } else {
          done[r] = std::min(done[r] + 1, chosen->second.size());
          go(table.computed(r, done[r], at(0s)));
        }
      }
    }
    while (!flying.empty()) {
      const request_id r = flying.begin()->first;
      flying.erase(flying.begin());
      go(table.left(r, at(0s)));
    }
    EXPECT_TRUE(waiting.empty());
    EXPECT_EQ(table.flying() + table.waiting(), 0U);
  }
}

} // namespace
} // namespace ovir::actors
