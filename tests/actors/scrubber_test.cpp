// Weights that rot are found, by the pool of work units, and reported once.
#include "actors/weights/scrubber_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "node/unit_pool.hpp"
#include "supervision/supervisor.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class file_in_memory final : public storage::mapped_file {
public:
  explicit file_in_memory(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override { return bytes_; }
  void release_pages() noexcept override {}
  std::byte& at(std::size_t index) { return bytes_[index]; }

private:
  std::vector<std::byte> bytes_;
};

class noted_log final : public log {
public:
  void write(log_level level, std::optional<request_id>, std::string_view text) override {
    if (level == log_level::error) {
      errors.emplace_back(text);
    }
  }
  [[nodiscard]] log_level level() const noexcept override { return log_level::debug; }
  void set_level(log_level) noexcept override {}
  std::vector<std::string> errors;
};

class scrubbing : public ::testing::Test {
protected:
  scrubbing()
      : config_(system_config::simulated()), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {
    supervision::unit_pool_options options;
    options.workers = 2;
    options.started = [this](const unit_dispatcher_actor& made) { pool_ = made; };
    root_ =
        system_.spawn(supervision::supervisor_behavior,
                      *supervision::unit_pool_tree(options, std::make_shared<const digest_work>()));
    scheduler_.run();

    // 40 small pieces.
    test::gguf_builder builder;
    builder.text("general.architecture", "llama");
    for (int i = 0; i < 40; ++i) {
      builder.tensor(fmt::format("t{:02}", i), compute::tensor_type::f32, {256});
    }
    auto file = std::make_unique<file_in_memory>(builder.build());
    file_ = file.get();
    auto model = std::make_shared<catalog_model>();
    model->metadata = compute::gguf::parse(file->bytes()).value();
    model->manifest =
        std::make_shared<const compute::model_manifest>(*compute::manifest_of(model->metadata));
    model->id = compute::name_of(*model->manifest);
    model->name = "letters";
    model->file = std::move(file);
    models_.put(model);
    scrubber_ = system_.spawn(scrubber_behavior,
                              scrubber_environment{&models_, &log_, [this] { return pool_; }, 1s});
  }
  ~scrubbing() override {
    caf::anon_send_exit(caf::actor_cast<caf::actor>(scrubber_), caf::exit_reason::kill);
    caf::anon_send_exit(root_, caf::exit_reason::kill);
    pool_ = nullptr;
    scheduler_.run();
  }

  void pass(int seconds) {
    for (int i = 0; i < seconds; ++i) {
      scheduler_.run();
      scheduler_.advance_time(1s);
    }
    scheduler_.run();
  }

  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor root_;
  unit_dispatcher_actor pool_;
  file_in_memory* file_{nullptr};
  model_catalog models_;
  noted_log log_;
  scrubber_actor scrubber_;
};

TEST_F(scrubbing, says_nothing_of_sound_weights) {
  pass(10);
  EXPECT_TRUE(log_.errors.empty()) << log_.errors.front();
}

TEST_F(scrubbing, finds_each_damaged_piece_once) {
  pass(4);
  file_->at(file_->bytes().size() - 1) ^= std::byte{1}; // of the last tensor
  pass(4);
  ASSERT_EQ(log_.errors.size(), 1U);
  EXPECT_THAT(log_.errors[0], HasSubstr("model letters: t39 is damaged on disk at its byte 0"));
  pass(10);
  EXPECT_EQ(log_.errors.size(), 1U) << "not again with every round";
}

TEST_F(scrubbing, goes_on_when_the_pool_was_away) {
  const unit_dispatcher_actor pool = std::exchange(pool_, nullptr);
  pass(3);
  pool_ = pool;
  file_->at(file_->bytes().size() - 1) ^= std::byte{1};
  pass(4);
  EXPECT_EQ(log_.errors.size(), 1U);
}

} // namespace
} // namespace ovir::actors
