#include "compute/base/grain_shares.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

namespace ovir::compute {
namespace {

using testing::Each;

TEST(grain_shares, give_every_grain_once_whoever_asks) {
  std::mt19937 random{7};
  for (std::uint32_t grains = 0; grains < 200; grains += 7) {
    for (const std::size_t takers : {1U, 2U, 3U, 8U, 64U, 200U}) {
      grain_shares shares{grains, takers};
      std::vector<int> taken(grains);
      std::vector<std::size_t> asking(takers);
      for (std::size_t i = 0; i < takers; ++i) {
        asking[i] = i;
      }
      while (!asking.empty()) {
        const std::size_t at = random() % asking.size();
        const grain_run run = shares.take(asking[at]);
        if (run.empty()) {
          asking.erase(asking.begin() + static_cast<std::ptrdiff_t>(at));
          continue;
        }
        for (std::uint32_t g = run.first; g < run.last; ++g) {
          ++taken.at(g);
        }
      }
      EXPECT_THAT(taken, Each(1)) << grains << " grains, " << takers << " takers";
    }
  }
}

TEST(grain_shares, let_one_who_is_alone_do_all) {
  grain_shares shares{64, 4};
  std::uint32_t taken = 0;
  for (grain_run run = shares.take(2); !run.empty(); run = shares.take(2)) {
    taken += run.last - run.first;
  }
  EXPECT_EQ(taken, 64U);
  EXPECT_TRUE(shares.take(0).empty());
}

// What a thread reads of its own share is one run of memory; others take from behind.
TEST(grain_shares, are_read_from_first_to_last_by_their_owner) {
  grain_shares shares{100, 2};
  std::uint32_t next = 50;
  for (int i = 0; i < 3; ++i) {
    const grain_run run = shares.take(1);
    EXPECT_EQ(run.first, next);
    next = run.last;
  }
  while (next != 100) {
    const grain_run run = shares.take(1);
    ASSERT_FALSE(run.empty());
    EXPECT_EQ(run.first, next);
    next = run.last;
  }
  EXPECT_EQ(shares.take(1).last, 50U); // the end of the other's
  EXPECT_EQ(shares.take(0).first, 0U);
}

TEST(grain_shares, end_in_runs_of_one_grain) {
  grain_shares shares{64, 1};
  grain_run last;
  for (grain_run run = shares.take(0); !run.empty(); run = shares.take(0)) {
    last = run;
  }
  EXPECT_EQ(last.last - last.first, 1U);
}

TEST(grain_shares, are_taken_whole_where_less_is_worth_no_run) {
  grain_shares shares{24, 2, 12};
  const grain_run own = shares.take(0);
  EXPECT_EQ(own.first, 0U);
  EXPECT_EQ(own.last, 12U);
  const grain_run other = shares.take(0);
  EXPECT_EQ(other.first, 12U);
  EXPECT_EQ(other.last, 24U);
  EXPECT_TRUE(shares.take(1).empty());
}

TEST(grain_shares, give_every_grain_once_to_threads) {
  constexpr std::uint32_t grains = 100'000;
  constexpr std::size_t takers = 4;
  grain_shares shares{grains, takers};
  std::vector<std::vector<grain_run>> runs(takers);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < takers; ++i) {
    threads.emplace_back([&, i] {
      for (grain_run run = shares.take(i); !run.empty(); run = shares.take(i)) {
        runs[i].push_back(run);
      }
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
  std::vector<int> taken(grains);
  for (const auto& of : runs) {
    for (const grain_run run : of) {
      for (std::uint32_t g = run.first; g < run.last; ++g) {
        ++taken[g];
      }
    }
  }
  EXPECT_THAT(taken, Each(1));
}

} // namespace
} // namespace ovir::compute
