#include "actors/runtime/compute_pool.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <numeric>

namespace ovir::actors {
namespace {

/// Runs `work` on the pool and waits for it.
void run_on(compute_pool& pool, const std::function<void(compute::parallel_runner&)>& work) {
  std::promise<void> done;
  pool.post([&](compute::parallel_runner& runner) {
    work(runner);
    done.set_value();
  });
  done.get_future().wait();
}

TEST(compute_pool, calls_every_part_exactly_once_whatever_its_width) {
  for (const std::size_t threads : {1U, 2U, 3U, 7U}) {
    compute_pool pool{threads};
    run_on(pool, [threads](compute::parallel_runner& runner) {
      EXPECT_EQ(runner.width(), threads);
      for (std::size_t count = 0; count < 200; ++count) {
        std::vector<std::atomic<int>> calls(count);
        runner.run(count, [&](std::size_t i) { calls[i].fetch_add(1); });
        for (const auto& c : calls) {
          ASSERT_EQ(c.load(), 1);
        }
      }
    });
  }
}

TEST(compute_pool, a_step_sees_what_the_step_before_it_wrote) {
  compute_pool pool{4};
  run_on(pool, [](compute::parallel_runner& runner) {
    std::vector<std::uint64_t> before(64, 0);
    std::vector<std::uint64_t> after(64, 0);
    for (std::uint64_t round = 1; round <= 5'000; ++round) {
      runner.run(before.size(), [&](std::size_t i) { after[i] = before[(i * 7 + 1) % 64] + 1; });
      std::swap(before, after);
    }
    EXPECT_TRUE(
        std::all_of(before.begin(), before.end(), [](std::uint64_t v) { return v == 5'000; }));
  });
}

TEST(compute_pool, runs_jobs_one_at_a_time_in_the_order_posted) {
  compute_pool pool{3};
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    pool.post([&order, i](compute::parallel_runner&) { order.push_back(i); });
  }
  run_on(pool, [](compute::parallel_runner&) {});
  std::vector<int> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST(compute_pool, takes_jobs_whether_it_looks_for_them_or_sleeps) {
  // With the longest wait it looks on, with none it sleeps after a moment.
  for (const auto active_wait : {std::chrono::milliseconds{0}, std::chrono::milliseconds{60'000}}) {
    compute_pool pool{2, active_wait};
    int jobs = 0;
    for (int i = 0; i < 200; ++i) {
      run_on(pool, [&jobs](compute::parallel_runner&) { ++jobs; });
    }
    EXPECT_EQ(jobs, 200);
  }
}

TEST(compute_pool, ends_with_jobs_still_waiting) {
  std::atomic<int> ran{0};
  {
    compute_pool pool{2};
    for (int i = 0; i < 1'000; ++i) {
      pool.post([&ran](compute::parallel_runner& runner) {
        runner.run(8, [&ran](std::size_t) { ran.fetch_add(1); });
      });
    }
  }
  EXPECT_EQ(ran.load() % 8, 0);
}

} // namespace
} // namespace ovir::actors
