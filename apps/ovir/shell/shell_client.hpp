#pragma once

#include "apps/exit_code.hpp"
#include "apps/ovir/shell/run_progress.hpp"
#include "apps/ovir/shell/shell_account.hpp"
#include "apps/ovir/shell/shell_command.hpp"
#include "apps/ovir/shell/shell_link.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>

namespace ovir::apps {

/// Why a command has no data: a code of docs/formats/admin.md, which knows more than `errc`, and a
/// sentence.
struct shell_failure {
  std::string code;
  std::string message;
  std::string node{};    ///< code `elsewhere`: who obeys such an order, hexadecimal
  std::string address{}; ///< and where; may be empty

  shell_failure(std::string_view what, std::string_view sentence) : code(what), message(sentence) {}
  shell_failure(const error& e) : code(to_string(e.code)), message(e.message) {}
};

[[nodiscard]] exit_code exit_code_of(const shell_failure& failure);

/// Data of a command's last reply, or why there is none.
using shell_outcome = std::variant<json, shell_failure>;

/// How long what may take.
struct shell_patience {
  std::chrono::milliseconds deadline{120'000}; ///< without news of a command
  std::chrono::milliseconds unknown{2'000};    ///< a request nobody knows is sent again after this
  std::chrono::milliseconds again{100};        ///< between tries
  std::chrono::milliseconds silence{3'000};    ///< of a node that owes a request's tokens
  std::chrono::milliseconds ending{5'000};     ///< for the last reply after Ctrl-C
};

/// What a command says before it ends.
struct shell_listener {
  std::function<void(std::string_view)> text; ///< the answer of `run` and `attach` grew
  /// Tokens of it that are new to the client, by index; may be empty.
  std::function<void(std::uint64_t)> token{};
  std::function<void(const json&)> event;     ///< anything else
  std::function<void(std::string_view)> note; ///< for a person: connections lost and found
  /// Tokens told at once, 1 to 1024: more where nobody reads along.
  std::uint32_t bunch{1};
};

/// Runs commands on whichever node of a target answers, and keeps a request's stream through their
/// deaths (docs/formats/admin.md, "A client that loses its node"). Blocks; one thread.
class shell_client {
public:
  /// `link` and `interrupted` outlive it. `interrupted`: Ctrl-C; ends the command under way.
  shell_client(shell_link& link, shell_patience patience, const std::atomic<bool>& interrupted)
      : link_(link), patience_(patience), interrupted_(interrupted) {}

  /// What signs where a `run` says in `pay` how many micro-credits it may cost, and the actions of
  /// `account`; outlives it.
  void use_account(shell_account& account) noexcept { account_ = &account; }

  /// `run` must have its `request` and `seed` (`complete_run`).
  [[nodiscard]] shell_outcome call(const shell_command& command, const shell_listener& listener);

private:
  using clock = shell_link::clock;
  struct followed;

  [[nodiscard]] std::optional<shell_failure> connect_once(clock::time_point until);
  [[nodiscard]] result<void> reconnect(clock::time_point until, const shell_listener& listener);
  [[nodiscard]] shell_outcome call_once(const shell_command& command,
                                        const shell_listener& listener, bool& lost);

  [[nodiscard]] shell_outcome ask(std::string_view name, const json& args, clock::time_point until);
  [[nodiscard]] shell_outcome act_on_account(const shell_command& command);
  [[nodiscard]] std::optional<shell_failure> pay(json& args, clock::time_point until);
  [[nodiscard]] shell_outcome follow(const shell_command& command, const shell_listener& listener);
  [[nodiscard]] std::optional<shell_failure> send_followed(followed& what);
  [[nodiscard]] std::optional<shell_failure> take_unsent(const followed& what,
                                                         const shell_failure& failure);
  [[nodiscard]] std::optional<shell_outcome> listen(followed& what);
  [[nodiscard]] std::optional<shell_outcome> take_last(followed& what, const json& reply);
  [[nodiscard]] std::optional<shell_outcome> take_refusal(followed& what, const json& reply);
  [[nodiscard]] result<void> take_event(followed& what, const json& event);

  [[nodiscard]] result<std::uint64_t> send(std::string_view name, const json& args);
  /// Waits a slice of time, so that Ctrl-C is noticed.
  [[nodiscard]] shell_link::event next(clock::time_point until);

  shell_link& link_;
  shell_patience patience_;
  const std::atomic<bool>& interrupted_;
  shell_account* account_{nullptr};
  std::uint64_t last_id_{0};
};

/// Gives `run` the id and, when it draws at random, the seed that make it repeatable. `random`: 16
/// bytes of chance.
void complete_run(shell_command& run, std::span<const std::byte, 16> random);

} // namespace ovir::apps
