#include "actors/bulk/unit_protocol_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/general.hpp"
#include "node/unit_pool.hpp"
#include "supervision/supervisor.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

#include <array>
#include <random>

namespace ovir::supervision {
namespace {

using namespace std::chrono_literals;

/// Real BLAKE3; units crash as often as the table says.
class fragile_work final : public actors::unit_work {
public:
  [[nodiscard]] digest run(const actors::work_unit& unit, std::uint32_t attempt) const override {
    const auto found = crashes.find(unit.id);
    if (found != crashes.end() && attempt <= found->second) {
      throw std::runtime_error("a bad unit");
    }
    runs[unit.id] += 1;
    return hash_plain(unit.input);
  }

  std::map<std::uint64_t, std::uint32_t> crashes;
  mutable std::map<std::uint64_t, int> runs; ///< to the end
};

/// A pool on the deterministic scheduler; which actor runs next is drawn from a seed.
class unit_pool_actors : public ::testing::Test {
protected:
  unit_pool_actors()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    auto tree = unit_pool_tree({3}, work_);
    root_ = system_.spawn(supervisor_behavior, *tree);
    run();
  }
  ~unit_pool_actors() override {
    caf::anon_send_exit(client_, caf::exit_reason::kill);
    caf::anon_send_exit(root_, caf::exit_reason::kill);
    run();
  }

  bool step() {
    auto& jobs = scheduler_.jobs;
    if (jobs.empty()) {
      return false;
    }
    const auto chosen = static_cast<long>(random_() % jobs.size());
    std::rotate(jobs.begin(), jobs.begin() + chosen, jobs.begin() + chosen + 1);
    return scheduler_.try_run_once();
  }
  void run() {
    while (step()) {
    }
  }
  tree_node tree() {
    tree_node out;
    system_.spawn([this, &out](caf::event_based_actor* self) {
      self->request(root_, 1s, describe_tree{}).then([&out](tree_node& n) { out = n; });
    });
    run();
    return out;
  }
  std::uint32_t restarts() {
    std::uint32_t sum = 0;
    const tree_node whole = tree();
    for (const tree_node& worker : whole.children.at(1).children) {
      sum += worker.restarts;
    }
    return sum;
  }
  caf::actor child(const std::string& path) {
    caf::actor out;
    system_.spawn([this, &out, path](caf::event_based_actor* self) {
      self->request(root_, 1s, find_child{path})
          .then([&out](caf::actor& a) { out = a; }, [](const caf::error&) {});
    });
    run();
    return out;
  }
  actors::unit_dispatcher_actor dispatcher() {
    return caf::actor_cast<actors::unit_dispatcher_actor>(child(std::string{unit_dispatcher_path}));
  }

  actors::unit_client_actor client() {
    if (!client_) {
      client_ = system_.spawn([this](actors::unit_client_actor::pointer self)
                                  -> actors::unit_client_actor::behavior_type {
        make_quiet(self);
        return {[this](actors::batch_done& d) {
                  EXPECT_TRUE(done_.emplace(d.batch.value, std::move(d.failures)).second);
                },
                [this](actors::batch_refused& r) { refused_.push_back(r.reason.code); }};
      });
    }
    return client_;
  }
  /// Submits one batch of units [first, first + count), each with its right digest.
  void submit(std::uint64_t first, std::uint32_t count, std::int64_t wrong_at = -1) {
    auto batch = std::make_shared<actors::unit_batch>();
    auto inputs = std::make_shared<std::vector<std::array<std::byte, 256>>>(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      auto& input = (*inputs)[i];
      std::memcpy(input.data(), &first, sizeof first);
      input[100] = static_cast<std::byte>(i);
      batch->units.push_back({first + i, input, hash_plain(input)});
      if (wrong_at == std::int64_t{i}) {
        batch->units.back().expected.bytes[0] ^= 1U;
      }
    }
    batch->inputs = std::move(inputs);
    caf::anon_send(dispatcher_, actors::submit_batch{{first}, std::move(batch), client()});
  }

  std::shared_ptr<fragile_work> work_ = std::make_shared<fragile_work>();
  std::mt19937_64 random_{7};
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor root_;
  actors::unit_client_actor client_;
  actors::unit_dispatcher_actor dispatcher_;
  std::map<std::uint64_t, std::vector<actors::unit_failure>> done_;
  std::vector<errc> refused_;
};

TEST_F(unit_pool_actors, checks_every_unit_and_names_the_wrong_one) {
  dispatcher_ = dispatcher();
  submit(0, 20);
  submit(100, 20, 5);
  run();
  ASSERT_EQ(done_.size(), 2U);
  EXPECT_TRUE(done_[0].empty());
  ASSERT_EQ(done_[100].size(), 1U);
  EXPECT_EQ(done_[100][0].index, 5U);
  EXPECT_EQ(done_[100][0].what, actors::unit_failure::kind::wrong);
  EXPECT_NE(done_[100][0].found, digest{});
  EXPECT_EQ(restarts(), 0U);
}

TEST_F(unit_pool_actors, restarts_the_worker_of_a_crashing_unit_and_loses_none) {
  dispatcher_ = dispatcher();
  std::uint32_t crashes = 0;
  for (std::uint64_t id = 0; id < 3'200; ++id) {
    if (random_() % 10 == 0) {
      work_->crashes[id] = 1 + random_() % (limits::unit_attempts_max - 1);
      crashes += work_->crashes[id];
    }
  }
  for (std::uint64_t first = 0; first < 3'200; first += 64) {
    submit(first, 64);
  }
  run();
  ASSERT_EQ(done_.size(), 50U);
  for (const auto& [id, failures] : done_) {
    EXPECT_TRUE(failures.empty()) << id;
  }
  ASSERT_EQ(work_->runs.size(), 3'200U);
  for (const auto& [id, runs] : work_->runs) {
    EXPECT_EQ(runs, 1) << id;
  }
  EXPECT_EQ(restarts(), crashes);
}

TEST_F(unit_pool_actors, reports_a_unit_that_ends_every_worker) {
  dispatcher_ = dispatcher();
  work_->crashes[3] = 1'000;
  submit(0, 8);
  submit(100, 8);
  run();
  ASSERT_EQ(done_.size(), 2U);
  ASSERT_EQ(done_[0].size(), 1U);
  EXPECT_EQ(done_[0][0].index, 3U);
  EXPECT_EQ(done_[0][0].what, actors::unit_failure::kind::poison);
  EXPECT_TRUE(done_[100].empty());
  EXPECT_EQ(work_->runs.size(), 15U);
  EXPECT_EQ(restarts(), limits::unit_attempts_max);
}

TEST_F(unit_pool_actors, gives_the_batches_of_a_killed_worker_to_others) {
  dispatcher_ = dispatcher();
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    random_.seed(seed);
    const std::uint32_t before = restarts();
    const caf::actor victim = child("workers/worker-1");
    ASSERT_TRUE(victim);
    done_.clear();
    for (std::uint64_t first = 0; first < 320; first += 32) {
      submit(10'000 * (seed + 1) + first, 32);
    }
    for (std::uint64_t i = 0; i < seed && step(); ++i) {
    }
    caf::anon_send_exit(victim, caf::exit_reason::kill);
    run();
    EXPECT_EQ(done_.size(), 10U) << "seed " << seed;
    EXPECT_EQ(restarts(), before + 1) << "seed " << seed;
  }
}

TEST_F(unit_pool_actors, keeps_batches_while_no_worker_lives_and_refuses_too_many) {
  dispatcher_ = dispatcher();
  caf::anon_send_exit(child("workers"), caf::exit_reason::kill);
  run();
  for (std::uint64_t i = 0; i < limits::unit_batches_max + 3; ++i) {
    submit(100 * i, 1);
  }
  run();
  EXPECT_EQ(refused_, (std::vector<errc>{errc::busy, errc::busy, errc::busy}));
  EXPECT_TRUE(done_.empty());
  scheduler_.advance_time(1s); // the back-off of their supervisor
  run();
  EXPECT_EQ(done_.size(), limits::unit_batches_max);
}

TEST_F(unit_pool_actors, a_crashed_dispatcher_takes_the_workers_along_and_comes_back) {
  caf::anon_send_exit(child("dispatcher"), caf::exit_reason::kill);
  run();
  scheduler_.advance_time(1s);
  run();
  dispatcher_ = dispatcher();
  ASSERT_TRUE(dispatcher_);
  submit(0, 16);
  run();
  EXPECT_EQ(done_.size(), 1U);
}

TEST(unit_pool_tree, refuses_a_pool_without_workers) {
  const auto work = std::make_shared<actors::digest_work>();
  EXPECT_EQ(unit_pool_tree({0}, work).error().code, errc::invalid_argument);
  EXPECT_EQ(unit_pool_tree({limits::unit_workers_max + 1}, work).error().code,
            errc::invalid_argument);
  EXPECT_TRUE(unit_pool_tree({1}, work).has_value());
}

} // namespace
} // namespace ovir::supervision
