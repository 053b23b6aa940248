#include "storage/env/thread_runner.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <numeric>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ovir::storage {
namespace {

TEST(thread_runner, calls_every_part_exactly_once) {
  for (const std::size_t threads : {1U, 2U, 3U, 7U}) {
    thread_runner runner{threads};
    EXPECT_EQ(runner.width(), threads);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 64U, 1'001U}) {
      std::vector<std::atomic<int>> calls(count);
      runner.run(count, [&](std::size_t i) { calls[i].fetch_add(1); });
      EXPECT_TRUE(std::all_of(calls.begin(), calls.end(), [](auto& n) { return n.load() == 1; }));
    }
  }
}

TEST(thread_runner, shows_the_caller_what_the_parts_wrote) {
  thread_runner runner{3};
  std::vector<std::uint64_t> cells(6, 0);
  // Many short runs, each building on the last: a part run twice, late or with an old function
  // would break the sum.
  for (std::uint64_t round = 1; round <= 5'000; ++round) {
    runner.run(cells.size(), [&](std::size_t i) { cells[i] += round * (i + 1); });
    const std::uint64_t rounds = round * (round + 1) / 2;
    ASSERT_EQ(std::accumulate(cells.begin(), cells.end(), std::uint64_t{0}), rounds * 21);
  }
}

TEST(thread_runner, lets_concurrent_callers_take_turns) {
  thread_runner shared{2};
  thread_runner callers{4};
  std::atomic<int> parts{0};
  std::atomic<int> wrong{0};
  callers.run(4, [&](std::size_t) {
    for (int i = 0; i < 200; ++i) {
      int mine[3] = {0, 0, 0};
      shared.run(3, [&](std::size_t k) {
        mine[k] += 1;
        parts.fetch_add(1);
      });
      wrong.fetch_add(mine[0] + mine[1] + mine[2] == 3 ? 0 : 1);
    }
  });
  EXPECT_EQ(parts.load(), 4 * 200 * 3);
  EXPECT_EQ(wrong.load(), 0);
}

TEST(thread_runner, workers_use_the_float_mode_of_the_exact_profile) {
  thread_runner runner{4};
  std::atomic<int> exact{0};
  runner.run(64, [&](std::size_t) { exact.fetch_add(float_mode_is_exact() ? 1 : 0); });
  EXPECT_EQ(exact.load(), 64);
}

#if defined(__x86_64__)
TEST(thread_runner, sees_flush_to_zero_and_other_rounding) {
  const unsigned int saved = _mm_getcsr();
  for (const unsigned int bit : {0x8000U, 0x0040U, 0x2000U, 0x4000U}) {
    _mm_setcsr(saved | bit);
    const bool exact = float_mode_is_exact();
    _mm_setcsr(saved);
    EXPECT_FALSE(exact) << bit;
  }
  EXPECT_TRUE(float_mode_is_exact());
}
#endif

} // namespace
} // namespace ovir::storage
