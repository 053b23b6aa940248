#include "compute/make/synth.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <future>
#include <mutex>

namespace ovir::supervision {
namespace {

using test::loaded_model;

/// The monotonic clock, and no files.
class clock_env final : public storage::env {
public:
  result<std::unique_ptr<storage::mapped_file>> map(const std::string& path) override {
    return fail(errc::not_found, "{}: no files here", path);
  }
  result<std::string> read(const std::string& path, std::uint64_t) override {
    return fail(errc::not_found, "{}: no files here", path);
  }
  result<std::unique_ptr<storage::staged_file>> stage(const std::string& path) override {
    return fail(errc::io_failed, "{}: no files here", path);
  }
  result<void> make_folder(const std::string& path) override {
    return fail(errc::io_failed, "{}: no files here", path);
  }
  result<bool> make_secret_file(const std::string& path, std::span<const std::byte>) override {
    return fail(errc::io_failed, "{}: no files here", path);
  }
  result<std::size_t> read_secret_file(const std::string& path, std::span<std::byte>) override {
    return fail(errc::not_found, "{}: no files here", path);
  }
  std::uint64_t unix_seconds() override { return 0; }
  time_point now() override { return std::chrono::steady_clock::now(); }
  void random(std::span<std::byte>) override {}
};

/// The embedded model behind real threads.
class cluster_test : public ::testing::Test {
protected:
  cluster_test()
      : model_(test::source_file("assets/tales-q4_k_m.gguf")),
        vocabulary_(compute::tokenizer::make(model_.file()).value()),
        kernels_(compute::select_kernels(std::nullopt).value()) {}

  std::unique_ptr<local_cluster> start(const cluster_options& options) {
    auto started = local_cluster::start(model_.get(), *vocabulary_, *kernels_, env_, options);
    EXPECT_TRUE(started) << (started ? "" : started.error().message);
    return std::move(started).value();
  }
  static cluster_options patient(std::uint32_t stages, std::uint32_t threads) {
    cluster_options o;
    o.stages = stages;
    o.threads = threads;
    o.prefill_chunk = 7;
    o.restarts_max = 1'000;
    o.restart_backoff = std::chrono::milliseconds{1};
    return o;
  }
  actors::generation_request story(std::uint32_t max_tokens = 64) {
    actors::generation_request request;
    request.prompt = vocabulary_->encode("Once upon a time there was a little", {}).value();
    request.max_tokens = max_tokens;
    return request;
  }

  clock_env env_;
  loaded_model model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
  const compute::kernel_set* kernels_;
};

TEST_F(cluster_test, fifty_kills_at_random_points_change_neither_stream_nor_transcript) {
  const run_report calm = start(patient(1, 1))->run(story(), {}, nullptr).value();
  EXPECT_GE(calm.tokens.size(), 60U);
  EXPECT_FALSE(calm.text.empty());

  auto cluster = start(patient(4, 2));
  actors::generation_request drilled = story();
  drilled.kill_shards = 50;
  drilled.kill_seed = 3;
  std::string streamed;
  const auto report = cluster->run(
      drilled, [&](std::string_view text) { streamed += text; }, nullptr);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->restarts, 50U);
  EXPECT_EQ(report->tokens, calm.tokens);
  EXPECT_EQ(report->text, calm.text);
  EXPECT_EQ(streamed, calm.text);
  EXPECT_EQ(to_hex(report->transcript), to_hex(calm.transcript));
  EXPECT_GT(report->units_computed, calm.units_computed);

  const std::string tree = cluster->tree();
  EXPECT_EQ(tree.find("waiting"), std::string::npos) << tree;
  EXPECT_NE(tree.find("stage-3"), std::string::npos) << tree;
}

TEST_F(cluster_test, cuts_and_threads_do_not_show_in_the_transcript) {
  const run_report one = start(patient(1, 1))->run(story(24), {}, nullptr).value();
  for (const auto& [stages, threads] : {std::pair{2U, 3U}, {3U, 2U}, {4U, 7U}}) {
    auto cluster = start(patient(stages, threads));
    const run_report cut = cluster->run(story(24), {}, nullptr).value();
    EXPECT_EQ(to_hex(cut.transcript), to_hex(one.transcript)) << stages << " " << threads;
    EXPECT_EQ(cut.units_computed, one.units_computed);
    EXPECT_EQ(cut.stages.size(), stages);
    EXPECT_GT(cut.stages[0].kv_bytes, 0U);
    EXPECT_GT(cut.stages[0].weight_bytes, 0U);
  }
}

TEST_F(cluster_test, fails_the_request_beyond_its_restart_intensity_and_serves_the_next) {
  cluster_options o = patient(3, 2);
  o.restarts_max = 2;
  auto cluster = start(o);
  const run_report calm = cluster->run(story(32), {}, nullptr).value();
  actors::generation_request drilled = story(32);
  drilled.kill_shards = 60;
  const auto failed = cluster->run(drilled, {}, nullptr);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, errc::restarts_exhausted) << failed.error().message;
  const auto next = cluster->run(story(32), {}, nullptr);
  ASSERT_TRUE(next) << next.error().message;
  EXPECT_EQ(next->transcript, calm.transcript);
}

TEST_F(cluster_test, several_requests_at_once_give_what_each_gives_alone) {
  auto cluster = start(patient(2, 2));
  const run_report alone = cluster->run(story(16), {}, nullptr).value();
  std::vector<std::future<result<run_report>>> together;
  together.reserve(6);
  for (int i = 0; i < 6; ++i) {
    together.push_back(
        std::async(std::launch::async, [&] { return cluster->run(story(16), {}, nullptr); }));
  }
  for (auto& one : together) {
    const auto report = one.get();
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->transcript, alone.transcript);
  }
}

TEST_F(cluster_test, a_cancelled_request_ends_with_what_was_produced) {
  auto cluster = start(patient(2, 2));
  std::atomic<bool> cancel{false};
  const auto report = cluster->run(
      story(200), [&](std::string_view) { cancel.store(true); }, &cancel);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->reason, finish_reason::cancelled);
  EXPECT_GT(report->tokens.size(), 0U);
}

TEST_F(cluster_test, says_what_is_wrong_with_options_and_requests) {
  cluster_options o;
  o.stages = 99;
  const auto refused = local_cluster::start(model_.get(), *vocabulary_, *kernels_, env_, o);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::invalid_argument);
  auto cluster = start(patient(1, 1));
  actors::generation_request request = story();
  request.prompt.assign(model_.get().config.context + 1, 1);
  EXPECT_EQ(cluster->run(request, {}, nullptr).error().code, errc::over_limit);
  request.prompt = {model_.get().config.vocabulary};
  EXPECT_EQ(cluster->run(request, {}, nullptr).error().code, errc::invalid_argument);
  request.prompt.clear();
  EXPECT_EQ(cluster->run(request, {}, nullptr).error().code, errc::invalid_argument);
}

} // namespace
} // namespace ovir::supervision
