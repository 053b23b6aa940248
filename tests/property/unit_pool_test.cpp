// The books of a pool of work units, with workers that crash, are killed and come back at random:
// every unit finishes exactly once.
#include "actors/bulk/unit_pool_core.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>

namespace ovir::actors {
namespace {

std::uint64_t first_seed() {
  const char* given = std::getenv("OVIR_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

/// Plays the workers and the client. A worker's reports may also come after the news of its end.
class random_pool {
public:
  explicit random_pool(std::uint64_t seed) : random_(seed) {}

  void play() {
    for (int step = 0; step < 2'000; ++step) {
      switch (draw(8)) {
      case 0: submit(); break;
      case 1: join(); break;
      case 2: kill(); break;
      case 3: repeat_a_report(); break;
      default: work(); break;
      }
    }
    while (core_.batches() > 0) {
      if (workers_.empty()) {
        join();
      }
      work();
    }
  }

  void judge() const {
    std::uint64_t units = 0;
    std::uint64_t poison = 0;
    for (const auto& [id, b] : batches_) {
      ASSERT_TRUE(b.finished);
      units += b.crashes_left.size();
      std::vector<unit_failure> expected;
      for (std::uint32_t i = 0; i < b.crashes_left.size(); ++i) {
        ASSERT_EQ(b.completed[i] + b.poisoned[i], 1) << "unit " << i << " of batch " << id;
        if (b.poisoned[i] == 1) {
          expected.push_back({i, unit_failure::kind::poison, {}});
          ++poison;
        } else if (b.wrong[i] == 1) {
          expected.push_back({i, unit_failure::kind::wrong, {}});
        }
      }
      ASSERT_EQ(b.failures, expected) << "batch " << id;
    }
    EXPECT_EQ(core_.counts().units, units);
    EXPECT_EQ(core_.counts().poison, poison);
    EXPECT_GT(poison, 0U);
    EXPECT_GT(core_.counts().wrong, 0U);
    EXPECT_GT(units, 1'000U);
  }

private:
  struct batch_book {
    shared_batch batch;
    std::vector<std::uint32_t> crashes_left; ///< of each unit
    std::vector<int> wrong;                  ///< whether its result will be
    std::vector<int> completed;
    std::vector<int> poisoned;
    std::vector<std::uint32_t> attempts;
    std::vector<unit_failure> failures;
    bool finished{false};
  };

  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  void submit() {
    batch_book b;
    auto batch = std::make_shared<unit_batch>();
    const std::size_t size = 1 + draw(40);
    batch->units.resize(size);
    for (work_unit& unit : batch->units) {
      unit.id = batches_.size();
      b.crashes_left.push_back(static_cast<std::uint32_t>(draw(10) == 0 ? 1 + draw(5) : 0));
      b.wrong.push_back(draw(20) == 0 ? 1 : 0);
    }
    b.completed.resize(size);
    b.poisoned.resize(size);
    b.attempts.resize(size);
    b.batch = batch;
    const batch_id id{batches_.size()};
    batches_.emplace(id.value, std::move(b));
    auto effects = core_.submit({1}, id, std::move(batch));
    ASSERT_TRUE(effects);
    perform(*effects);
  }

  void join() {
    if (workers_.size() < 4) {
      const unit_worker_key key{++last_worker_};
      workers_[key.value];
      perform(core_.worker_joined(key));
    }
  }

  void kill() {
    if (!workers_.empty() && draw(4) == 0) {
      const auto victim = std::next(workers_.begin(), static_cast<long>(draw(workers_.size())));
      const unit_worker_key key{victim->first};
      if (!victim->second.empty()) {
        old_.emplace_back(key, victim->second.front().ticket);
      }
      workers_.erase(victim);
      perform(core_.worker_left(key));
    }
  }

  /// Of a ticket that was reported or given up: nothing may come of it.
  void repeat_a_report() {
    if (!old_.empty()) {
      const auto [key, ticket] = old_[draw(old_.size())];
      EXPECT_TRUE(core_.done(key, {ticket, {}}).empty());
      EXPECT_TRUE(core_.crashed(key, {ticket, 0, {}}).empty());
    }
  }

  void work() {
    if (workers_.empty()) {
      return;
    }
    const auto w = std::next(workers_.begin(), static_cast<long>(draw(workers_.size())));
    if (w->second.empty()) {
      return;
    }
    const unit_range range = w->second.front();
    const unit_worker_key key{w->first};
    w->second.pop_front();
    old_.emplace_back(key, range.ticket);
    batch_book& b = batches_.at(range.batch->units.front().id);
    std::vector<unit_failure> wrong;
    for (std::uint32_t i = range.first; i < range.last; ++i) {
      EXPECT_EQ(++b.attempts[i], i == range.first ? range.attempt : 1);
      if (b.crashes_left[i] > 0) {
        --b.crashes_left[i];
        b.poisoned[i] = b.attempts[i] >= limits::unit_attempts_max ? 1 : 0;
        workers_.erase(w);
        perform(core_.crashed(key, {range.ticket, i, std::move(wrong)}));
        perform(core_.worker_left(key));
        return;
      }
      ++b.completed[i];
      if (b.wrong[i] == 1) {
        wrong.push_back({i, unit_failure::kind::wrong, {}});
      }
    }
    perform(core_.done(key, {range.ticket, std::move(wrong)}));
  }

  void perform(const unit_pool_core::effects& effects) {
    for (const unit_pool_effect& effect : effects) {
      if (const auto* assign = std::get_if<assign_effect>(&effect)) {
        auto& queue = workers_.at(assign->worker.value);
        queue.push_back(assign->range);
        EXPECT_LE(queue.size(), limits::unit_worker_credit);
      } else if (const auto* finish = std::get_if<batch_done_effect>(&effect)) {
        batch_book& b = batches_.at(finish->batch.value);
        EXPECT_FALSE(b.finished);
        b.finished = true;
        b.failures = finish->failures;
      }
    }
  }

  std::mt19937_64 random_;
  unit_pool_core core_;
  std::map<std::uint64_t, batch_book> batches_;
  std::map<std::uint64_t, std::deque<unit_range>> workers_;
  std::vector<std::pair<unit_worker_key, unit_ticket>> old_;
  std::uint64_t last_worker_{0};
};

TEST(unit_pool_property, every_unit_finishes_exactly_once_whoever_dies) {
  const std::uint64_t first = first_seed();
  for (std::uint64_t seed = first; seed < first + 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "OVIR_SEED=" << seed);
    random_pool pool{seed};
    pool.play();
    pool.judge();
    if (HasFailure()) {
      return;
    }
  }
}

} // namespace
} // namespace ovir::actors
