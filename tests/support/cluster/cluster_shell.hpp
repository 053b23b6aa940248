#pragma once

#include "apps/ovir/shell/shell_client.hpp"
#include "messages/signing.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// The admin shell of `ovir shell`, in this process: its own client and connection, so that a test
/// sees each token when it comes. One thread at a time, but for `interrupt`.
class cluster_shell {
public:
  struct options {
    std::string key_file;
    std::vector<std::string> addresses;         ///< HOST:PORT of nodes, asked in turn
    std::chrono::milliseconds deadline{30'000}; ///< without news of a command
    /// Microseconds since 1970, for the nonces of what it signs.
    std::uint64_t (*clock)() = [] {
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                            std::chrono::system_clock::now().time_since_epoch())
                                            .count());
    };
  };
  /// Throws when there is no such key.
  explicit cluster_shell(options given);
  ~cluster_shell();
  cluster_shell(const cluster_shell&) = delete;
  cluster_shell& operator=(const cluster_shell&) = delete;

  /// A line as typed. A `run` gets an id and, where it draws at random, a seed.
  [[nodiscard]] apps::shell_outcome call(const std::string& line,
                                         const apps::shell_listener& listener = {});
  [[nodiscard]] apps::shell_outcome call(const std::string& command, const apps::json& args,
                                         const apps::shell_listener& listener = {});
  /// The data of a command that must succeed; throws with what the node said.
  [[nodiscard]] apps::json data(const std::string& line);

  /// Ctrl-C: ends the command under way; from any thread.
  void interrupt() { interrupted_.store(true); }

private:
  std::atomic<bool> interrupted_{false};
  secret_key key_;
  std::unique_ptr<apps::shell_link> link_;
  std::unique_ptr<apps::shell_client> client_;
  std::unique_ptr<apps::shell_account> account_;
};

/// Why a command has no data, or empty.
[[nodiscard]] std::string failure_text(const apps::shell_outcome& outcome);

} // namespace ovir::test
