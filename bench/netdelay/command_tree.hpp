#pragma once

#include "bench/netdelay/reactor.hpp"

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace ovir::netdelay {

/// A command and all processes that it starts, also those that outlive their parents. Passes
/// signals on to the command. When the command has ended, the others get SIGTERM, and SIGKILL after
/// `end_grace`; the reactor stops when none is left.
///
/// Takes over SIGCHLD, SIGINT, SIGTERM, SIGHUP and SIGQUIT of this process while it exists, and all
/// its children.
class command_tree {
public:
  explicit command_tree(reactor& in);
  ~command_tree();
  command_tree(const command_tree&) = delete;
  command_tree& operator=(const command_tree&) = delete;

  /// `before` runs in the new process.
  void start(const std::vector<std::string>& command, const std::function<void()>& before);

  /// The exit code, as shells give it: 128 and the signal's number where one ended the command.
  /// REQUIRES: the reactor has stopped. Throws where processes could not be ended.
  [[nodiscard]] int exit_code() const;

private:
  enum class stage : std::uint8_t { running, asked_to_end, terminating, killing, stuck };

  void on_signal();
  void pass_on(int signal, bool from_terminal);
  void reap();
  void next_stage();
  void signal_others();

  reactor& reactor_;
  sigset_t former_mask_{};
  descriptor signals_;
  timer grace_;
  stage stage_{stage::running};
  pid_t command_{-1};
  bool ended_{false}; ///< the command
  int exit_code_{0};
  std::set<pid_t> told_; ///< processes that got SIGTERM
};

} // namespace ovir::netdelay
