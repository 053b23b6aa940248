#pragma once

#include "actors/protocol/protocol_actor.hpp"
#include "actors/reuse/cache_actor.hpp"
#include "actors/reuse/cache_protocol_actor.hpp"
#include "actors/runtime/simulated_executor_actor.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/digest.hpp"
#include "node/cut.hpp"
#include "node/node_tree_actor.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::test {

/// A clock that moves one microsecond with every look at it, and no files.
class counting_env final : public storage::env {
public:
  result<std::unique_ptr<storage::mapped_file>> map(const std::string& path) override;
  result<std::string> read(const std::string& path, std::uint64_t bytes_max) override;
  result<std::unique_ptr<storage::staged_file>> stage(const std::string& path) override;
  result<void> make_folder(const std::string& path) override;
  result<bool> make_secret_file(const std::string& path, std::span<const std::byte>) override;
  result<std::size_t> read_secret_file(const std::string& path, std::span<std::byte>) override;
  std::uint64_t unix_seconds() override { return 0; }
  time_point now() override { return now_ += std::chrono::microseconds{1}; }
  void random(std::span<std::byte> out) override;

private:
  time_point now_{};
};

/// Runs nothing before it is told to: what it is given waits.
class held_executor final : public actors::compute_executor {
public:
  void post(job work) override { jobs_.push_back(std::move(work)); }
  /// Runs all that waits, and what that posts.
  void run_all();
  [[nodiscard]] std::size_t waiting() const { return jobs_.size(); }

private:
  std::deque<job> jobs_;
};

/// A whole node, its tree and its computations as messages of CAF's deterministic scheduler: the
/// next actor to run is drawn from a seed, and time passes only when nothing else can happen. With
/// a desk every request is signed for.
class simulated_node {
public:
  simulated_node(const compute::model& m, const compute::tokenizer& vocabulary,
                 const supervision::cluster_options& options, std::uint64_t seed,
                 std::shared_ptr<actors::cache_tiers> tiers = nullptr,
                 const actors::signing_desk* desk = nullptr);
  ~simulated_node();
  simulated_node(const simulated_node&) = delete;
  simulated_node& operator=(const simulated_node&) = delete;

  struct answer {
    std::string text; ///< as streamed
    std::optional<result<actors::generation_report>> outcome;
  };

  /// Hands a request to the scheduler; `answers()` grows while `run` runs.
  void submit(const actors::generation_request& request);
  void cancel(std::size_t index);
  /// Steps until every request is answered; false when `steps_max` were not enough.
  [[nodiscard]] bool run(std::size_t steps_max = 10'000'000);
  /// Steps until `condition`.
  [[nodiscard]] bool run_until(const std::function<bool()>& condition, std::size_t steps_max);
  /// Steps until nothing is left to do for the next `time`.
  void settle(caf::timespan time);

  [[nodiscard]] const std::vector<std::unique_ptr<answer>>& answers() const { return answers_; }
  [[nodiscard]] supervision::tree_node tree();
  [[nodiscard]] actors::cache_report cache_report();
  /// The actor at a path of the tree, asked for while everything else goes on; empty when there is
  /// none.
  [[nodiscard]] caf::actor find(const std::string& path);
  /// Digest of every choice made so far.
  [[nodiscard]] digest trace() const { return trace_.finish(); }

private:
  bool step();
  std::uint64_t draw();

  counting_env env_;
  system_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::unique_ptr<actors::simulated_executor> executor_;
  std::unique_ptr<actors::simulated_executor> front_; ///< of the cache, and ...
  std::unique_ptr<actors::simulated_executor> back_;
  actors::cache_access cache_;
  bool signs_;
  caf::actor root_;
  std::vector<caf::actor> requesters_;
  std::vector<std::unique_ptr<answer>> answers_;
  std::uint64_t random_;
  std::uint64_t next_request_{1};
  hasher trace_{"ovir/test/trace"};
};

/// True when every child of the tree runs.
[[nodiscard]] bool is_whole(const supervision::tree_node& node, bool root = true);

} // namespace ovir::test
