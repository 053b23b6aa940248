#pragma once

#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace ovir::test {

/// A request under way: a shell in a thread of its own that runs it and follows it from node to
/// node. Ends it when dropped.
class asked_request {
public:
  /// `arguments` of the admin command `run`; `places` are the nodes asked, in turn; tokens are told
  /// `bunch` at a time.
  asked_request(const test_cluster& cluster, const std::vector<std::size_t>& places,
                apps::json arguments, std::uint32_t bunch = 1);
  ~asked_request();
  asked_request(const asked_request&) = delete;
  asked_request& operator=(const asked_request&) = delete;

  /// False when it ended before.
  [[nodiscard]] bool wait_for_tokens(std::uint64_t count);
  [[nodiscard]] bool over();
  /// Waits for the end. The data, or null and `failure`.
  [[nodiscard]] apps::json answer();
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  /// What the shell was told about the path.
  [[nodiscard]] const std::string& notes() const noexcept { return notes_; }

private:
  void ask(const apps::json& arguments);

  std::uint32_t bunch_;
  std::mutex guard_; ///< for tokens_ and over_
  std::condition_variable changed_;
  std::uint64_t tokens_{0};
  bool over_{false};
  apps::json data_;
  std::string failure_;
  std::string notes_;
  cluster_shell shell_;
  std::thread thread_;
};

} // namespace ovir::test
