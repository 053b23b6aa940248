// A request whose two runs differ, on the deterministic scheduler: when it begins again, and what
// ends it meanwhile.
#include "actors/path/twin_runs.hpp"
#include "actors/request/jobs_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/system_config.hpp"
#include "storage/env/memory_env.hpp"
#include "tests/support/shared_files.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

class silent_log final : public log {
public:
  void write(log_level, std::optional<request_id>, std::string_view) override {}
  [[nodiscard]] log_level level() const noexcept override { return {}; }
  void set_level(log_level) noexcept override {}
};

class twice_computed : public ::testing::Test {
protected:
  static constexpr request_id id{7};

  twice_computed()
      : system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    auto known = std::make_shared<catalog_model>();
    known->weights.config.vocabulary = 100;
    known->weights.config.context = known->context = 64;
    models_.put(known);
    front_ = system_.spawn([this](caf::event_based_actor*) {
      return caf::behavior{[this](const submit_request& one) { submitted_.push_back(one); },
                           [](const cancel_request&) {}};
    });
    client_ = system_.spawn([this](caf::event_based_actor*) {
      return caf::behavior{[](const job_token&) {}, [](bool) {},
                           [this](const job_over& over) { outcome_ = over.outcome; }};
    });
    jobs_environment around;
    around.models = &models_;
    around.journal = &journal_;
    around.env = &env_;
    around.requests = requests_.get();
    around.scheduler = front_;
    around.settings.twice_tokens = 1;
    jobs_ = system_.spawn(jobs_behavior, std::move(around));
  }
  ~twice_computed() override {
    for (const caf::actor& one : {jobs_, front_, client_}) {
      caf::anon_send_exit(one, caf::exit_reason::kill);
    }
    submitted_.clear();
    settle();
  }

  void settle() {
    while (scheduler_.try_run_once()) {
    }
  }
  void pass(std::chrono::milliseconds time) {
    env_.advance(time);
    scheduler_.advance_time(time);
    settle();
  }
  void ask(std::chrono::seconds deadline) {
    generation_request request;
    request.id = id;
    request.prompt = {1};
    request.max_tokens = 4;
    request.deadline = deadline;
    caf::anon_send(jobs_, submit_job{std::move(request)});
    caf::anon_send(jobs_, watch_job{id, 0, client_, 1, 1});
    settle();
  }
  /// Both runs end, with different answers.
  void differ() {
    submitted_.clear();
    for (const token_id token : {2U, 3U}) {
      generation_report report;
      report.tokens = {token};
      caf::anon_send(jobs_, generation_done{token == 2 ? id : twin_of(id), std::move(report)});
    }
    settle();
  }
  [[nodiscard]] errc failure() const {
    return outcome_ && !outcome_->report ? outcome_->report.error().code : errc{};
  }

  silent_log journal_;
  storage::memory_env env_;
  test::temporary_folder folder_;
  std::unique_ptr<storage::env> disk_ = storage::make_env_posix();
  std::unique_ptr<request_journal> requests_ =
      request_journal::open(*disk_, folder_.path().string()).value();
  model_catalog models_;
  system_config config_{system_config::simulated()};
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::vector<submit_request> submitted_;
  std::shared_ptr<const job_outcome> outcome_;
  caf::actor front_;
  caf::actor client_;
  caf::actor jobs_;
};

TEST_F(twice_computed, begins_again_five_times_each_pause_twice_as_long) {
  ask(24h);
  EXPECT_EQ(submitted_.size(), 2U);
  for (std::chrono::milliseconds pause = 2s; pause <= 32s; pause *= 2) {
    differ();
    pass(pause - 1ms);
    ASSERT_TRUE(submitted_.empty()) << pause.count();
    pass(1ms);
    ASSERT_EQ(submitted_.size(), 2U) << pause.count();
    EXPECT_EQ(outcome_, nullptr);
  }
  differ();
  EXPECT_EQ(failure(), errc::digest_mismatch);
}

TEST_F(twice_computed, a_cancelled_request_does_not_begin_again) {
  ask(24h);
  differ();
  caf::anon_send(jobs_, cancel_job{id});
  settle();
  EXPECT_EQ(failure(), errc::cancelled);
  pass(100s);
  EXPECT_TRUE(submitted_.empty());
}

// A log may be left of an earlier life: the cancellation counts once the disk has it.
TEST_F(twice_computed, a_cancellation_that_the_disk_does_not_take_is_not_confirmed) {
  ask(24h);
  differ();
  std::filesystem::remove_all(folder_.path());
  for (const char* which : {"at first", "again"}) {
    std::optional<error> answered;
    const auto client = system_.spawn([&](caf::event_based_actor* self) {
      self->request(jobs_, caf::infinite, cancel_job{id})
          .then([](bool) {}, [&](const caf::error& e) { answered = from_caf(e); });
      return caf::behavior{[](bool) {}};
    });
    settle();
    ASSERT_TRUE(answered) << which;
    EXPECT_EQ(answered->code, errc::io_failed) << which;
    caf::anon_send_exit(client, caf::exit_reason::kill);
    settle();
  }
  EXPECT_EQ(failure(), errc::io_failed);
}

TEST_F(twice_computed, no_pause_goes_beyond_the_deadline) {
  ask(5s);
  differ();
  pass(2s);
  ASSERT_EQ(submitted_.size(), 2U);
  EXPECT_LE(submitted_.front().request.deadline, 3s) << "what is left of it";
  differ(); // the next pause is four seconds
  EXPECT_EQ(failure(), errc::digest_mismatch);
}

TEST_F(twice_computed, begins_anew_after_a_crash_without_what_one_run_drew) {
  request_log log;
  log.id = id;
  log.prompt = {1};
  log.max_tokens = 4;
  log.reveal = reveal_when::after;
  {
    const auto entry = requests_->begin(log);
    ASSERT_TRUE(entry);
    ASSERT_TRUE((*entry)->append({5, {}}));
  }
  ASSERT_EQ(requests_->unfinished().at(0).drawn.size(), 1U);
  caf::anon_send(jobs_, resume_jobs{});
  settle();
  ASSERT_EQ(submitted_.size(), 2U);
  for (const submit_request& run : submitted_) {
    EXPECT_TRUE(run.request.drawn.empty());
    EXPECT_EQ(run.request.generation, 1U);
  }
  EXPECT_EQ(submitted_[1].request.id, twin_of(id));
}

TEST_F(twice_computed, a_log_that_names_other_nodes_is_not_gone_on_with) {
  adoption_asked asked;
  asked.log.id = id;
  asked.log.prompt = {1};
  asked.log.max_tokens = 4;
  node_id other;
  other.key.fill(9);
  asked.log.ends = ends_rule{{other}, 1, 1, hash("salt", {})};
  caf::anon_send(jobs_, std::move(asked));
  settle();
  EXPECT_TRUE(submitted_.empty());
}

/// A request that few nodes may see is not the one of the same id that any may.
TEST_F(twice_computed, what_any_node_may_see_is_watched_by_none_who_wants_privacy) {
  ask(24h);
  std::optional<error> refused;
  caf::actor watcher = system_.spawn([&](caf::event_based_actor* self) {
    watch_job wanted{id, 0, client_, 2, 1};
    wanted.privacy = privacy_mode::ends;
    self->request(jobs_, 1s, std::move(wanted))
        .then([](bool) {}, [&](const caf::error& e) { refused = from_caf(e); });
  });
  settle();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, errc::invalid_argument);
}

/// Nor is one that any node may compute the one that demands a tier.
TEST_F(twice_computed, what_any_node_may_compute_is_watched_by_none_who_demands_a_tier) {
  ask(24h);
  std::optional<error> refused;
  caf::actor watcher = system_.spawn([&](caf::event_based_actor* self) {
    watch_job wanted{id, 0, client_, 2, 1};
    wanted.tier = tier_demand{{node_id{{1}}}, {{}, "eu", {}}};
    self->request(jobs_, 1s, std::move(wanted))
        .then([](bool) {}, [&](const caf::error& e) { refused = from_caf(e); });
  });
  settle();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::actors
