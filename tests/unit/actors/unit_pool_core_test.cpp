#include "actors/bulk/unit_pool_core.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr unit_client_key alice{1};
constexpr unit_client_key bob{2};
constexpr unit_worker_key first{11};
constexpr unit_worker_key second{12};

shared_batch batch_of(std::uint32_t units) {
  auto batch = std::make_shared<unit_batch>();
  batch->units.resize(units);
  return batch;
}

/// A core and what it asked for, as words: "11:[2,8)x3" is a range for a worker with the attempt of
/// its first unit, "done1" the end of a batch, "done1!4" one with a failed unit.
class unit_pool : public ::testing::Test {
protected:
  errc submit(std::uint64_t id, std::uint32_t units, unit_client_key client = alice) {
    auto effects = core_.submit(client, batch_id{id}, batch_of(units));
    if (!effects) {
      return effects.error().code;
    }
    note(*effects);
    return errc{};
  }
  void join(unit_worker_key w) { note(core_.worker_joined(w)); }
  void leave(unit_worker_key w) { note(core_.worker_left(w)); }
  void done(unit_worker_key w, std::vector<unit_failure> wrong = {}) {
    note(core_.done(w, {take(w).ticket, std::move(wrong)}));
  }
  void crash(unit_worker_key w, std::uint32_t index) {
    note(core_.crashed(w, {take(w).ticket, index, {}}));
    leave(w);
  }
  unit_range take(unit_worker_key w) {
    std::deque<unit_range>& queue = assigned_[w.value];
    if (queue.empty()) {
      ADD_FAILURE() << "worker " << w.value << " has nothing to do";
      return {};
    }
    unit_range range = queue.front();
    queue.pop_front();
    return range;
  }
  std::string words() { return std::exchange(words_, {}); }

  void note(const unit_pool_core::effects& effects) {
    for (const unit_pool_effect& effect : effects) {
      words_ += words_.empty() ? "" : " ";
      if (const auto* a = std::get_if<assign_effect>(&effect)) {
        assigned_[a->worker.value].push_back(a->range);
        words_ += fmt::format("{}:[{},{})x{}", a->worker.value, a->range.first, a->range.last,
                              a->range.attempt);
      } else if (const auto* f = std::get_if<batch_done_effect>(&effect)) {
        words_ += fmt::format("done{}", f->batch.value);
        for (const unit_failure& failure : f->failures) {
          words_ += fmt::format("{}{}", failure.what == unit_failure::kind::wrong ? "?" : "!",
                                failure.index);
        }
      }
    }
  }

  unit_pool_core core_;
  std::map<std::uint64_t, std::deque<unit_range>> assigned_;
  std::string words_;
};

TEST_F(unit_pool, gives_each_worker_two_batches_and_the_next_for_one_done) {
  join(first);
  join(second);
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(submit(i, 10 + static_cast<std::uint32_t>(i)), errc{});
  }
  EXPECT_EQ(words(), "11:[0,10)x1 12:[0,11)x1 11:[0,12)x1 12:[0,13)x1");
  done(second);
  EXPECT_EQ(words(), "done1 12:[0,14)x1");
}

TEST_F(unit_pool, keeps_batches_until_a_worker_joins) {
  EXPECT_EQ(submit(7, 3), errc{});
  EXPECT_EQ(words(), "");
  join(first);
  EXPECT_EQ(words(), "11:[0,3)x1");
  join(first);
  EXPECT_EQ(words(), "");
  done(first);
  EXPECT_EQ(words(), "done7");
  EXPECT_EQ(core_.counts().units, 3U);
}

TEST_F(unit_pool, runs_the_crashed_unit_and_the_rest_of_its_batch_again) {
  join(first);
  EXPECT_EQ(submit(1, 8), errc{});
  EXPECT_EQ(submit(2, 5), errc{});
  (void)words();
  crash(first, 3);
  EXPECT_EQ(words(), "");
  EXPECT_EQ(core_.counts().units, 3U) << "those before the crash are finished";
  join(second);
  EXPECT_EQ(words(), "12:[3,8)x2 12:[0,5)x1");
  done(second);
  done(second);
  EXPECT_EQ(words(), "done1 done2");
  EXPECT_EQ(core_.counts().units, 13U);
  EXPECT_EQ(core_.counts().crashes, 1U);
}

TEST_F(unit_pool, gives_up_a_unit_that_ends_every_worker_and_loses_no_other) {
  EXPECT_EQ(submit(1, 4), errc{});
  for (std::uint32_t i = 1; i <= limits::unit_attempts_max; ++i) {
    join(unit_worker_key{i});
    EXPECT_EQ(words(), fmt::format("{}:[{},4)x{}", i, i == 1 ? 0 : 2, i));
    crash(unit_worker_key{i}, 2);
  }
  join(first);
  EXPECT_EQ(words(), "11:[3,4)x1");
  done(first, {{3, unit_failure::kind::wrong, {}}});
  EXPECT_EQ(words(), "done1!2?3");
  EXPECT_EQ(core_.counts().units, 4U);
  EXPECT_EQ(core_.counts().poison, 1U);
  EXPECT_EQ(core_.counts().wrong, 1U);
}

TEST_F(unit_pool, counts_attempts_per_unit) {
  EXPECT_EQ(submit(1, 9), errc{});
  for (std::uint32_t i = 0; i < 9; ++i) {
    join(unit_worker_key{100 + i});
    crash(unit_worker_key{100 + i}, i);
  }
  join(first);
  done(first);
  EXPECT_TRUE(words().ends_with("11:[8,9)x2 done1"));
}

TEST_F(unit_pool, finishes_a_batch_whose_last_unit_is_poison) {
  EXPECT_EQ(submit(1, 2), errc{});
  for (std::uint32_t i = 1; i <= limits::unit_attempts_max; ++i) {
    join(unit_worker_key{i});
    crash(unit_worker_key{i}, 1);
  }
  EXPECT_TRUE(words().ends_with(" done1!1"));
  EXPECT_EQ(core_.batches(), 0U);
}

TEST_F(unit_pool, blames_no_unit_for_a_worker_that_was_killed) {
  for (std::uint32_t i = 1; i <= 2 * limits::unit_attempts_max; ++i) {
    join(unit_worker_key{i});
    if (i == 1) {
      EXPECT_EQ(submit(1, 4), errc{});
      EXPECT_EQ(submit(2, 5), errc{});
    }
    EXPECT_EQ(words(), fmt::format("{}:[0,4)x1 {}:[0,5)x1", i, i));
    leave(unit_worker_key{i});
  }
  EXPECT_EQ(core_.counts().crashes, 0U);
}

TEST_F(unit_pool, ignores_the_report_of_a_worker_given_up) {
  join(first);
  EXPECT_EQ(submit(1, 4), errc{});
  const unit_range late = take(first);
  leave(first);
  join(second);
  (void)words();
  note(core_.done(first, {late.ticket, {}}));
  note(core_.done(second, {late.ticket, {}}));
  note(core_.crashed(first, {late.ticket, 2, {}}));
  EXPECT_EQ(words(), "");
  EXPECT_EQ(core_.counts().units, 0U);
  done(second);
  EXPECT_EQ(words(), "done1");
  EXPECT_EQ(core_.counts().units, 4U);
}

TEST_F(unit_pool, drops_the_batches_of_a_client_that_left) {
  join(first);
  for (std::uint64_t i = 1; i <= 4; ++i) {
    EXPECT_EQ(submit(i, 4, i % 2 == 1 ? alice : bob), errc{});
  }
  (void)words(); // 1 and 2 are under way, 3 and 4 wait
  core_.client_left(alice);
  EXPECT_EQ(core_.batches(), 3U);
  done(first);
  EXPECT_EQ(words(), "11:[0,4)x1");
  crash(first, 1);
  join(second);
  done(second);
  done(second);
  EXPECT_EQ(words(), "12:[1,4)x2 12:[0,4)x1 done2 done4");
  EXPECT_EQ(core_.batches(), 0U);
}

TEST_F(unit_pool, does_not_run_a_dropped_batch_again_after_a_crash) {
  join(first);
  EXPECT_EQ(submit(1, 4), errc{});
  EXPECT_EQ(submit(2, 4), errc{});
  core_.client_left(alice);
  crash(first, 1);
  EXPECT_EQ(core_.batches(), 0U);
  (void)words();
  join(second);
  EXPECT_EQ(words(), "");
}

TEST_F(unit_pool, refuses_what_it_cannot_take) {
  EXPECT_EQ(submit(1, 0), errc::invalid_argument);
  EXPECT_EQ(core_.submit(alice, batch_id{1}, nullptr).error().code, errc::invalid_argument);
  EXPECT_EQ(submit(1, limits::unit_batch_max + 1), errc::over_limit);
  for (std::uint64_t i = 0; i < limits::unit_batches_max; ++i) {
    EXPECT_EQ(submit(i, 1), errc{});
  }
  EXPECT_EQ(submit(0, 1), errc::busy);
  join(first);
  done(first);
  EXPECT_EQ(submit(0, 1), errc{});
}

} // namespace
} // namespace ovir::actors
