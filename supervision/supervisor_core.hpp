#pragma once

#include "messages/ids.hpp"
#include "supervision/restart_policy.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What a supervisor decides, as a value: events in, effects out. No CAF, no clock. The semantics
/// are OTP's (docs/adr/0006-supervision.md).
namespace ovir::supervision {

/// Which other children a crash takes along.
enum class strategy : std::uint8_t {
  one_for_one,  ///< none
  one_for_all,  ///< all
  rest_for_one, ///< those started after it
};

enum class restart_kind : std::uint8_t {
  permanent, ///< always restarted
  transient, ///< restarted after a crash, not after a normal end
  temporary, ///< never restarted, and forgotten when it ends
};

/// How one child is kept. `shutdown_wait` is how long it may take to end when asked; none: it is
/// killed at once.
struct child_rules {
  std::string id; ///< unique within its supervisor
  restart_kind restart{restart_kind::permanent};
  std::optional<std::chrono::milliseconds> shutdown_wait{std::chrono::milliseconds{5'000}};
};

enum class child_state : std::uint8_t {
  waiting,  ///< to be started: at first, or when its back-off is over
  starting, ///< the shell was asked to start it and has not answered yet
  running,
  stopping, ///< was asked to end, or killed, and has not ended yet
  exited,   ///< ended normally and stays so
};

[[nodiscard]] std::string_view to_string(child_state state) noexcept;
[[nodiscard]] std::string_view to_string(strategy s) noexcept;
[[nodiscard]] std::string_view to_string(restart_kind kind) noexcept;

/// Names a child within its supervisor for the supervisor's life; never reused.
using child_key = strong_id<struct child_key_tag, std::uint32_t>;

/// Answer with `started` or `start_failed`.
struct start_effect {
  child_key child;
};
/// Ask it to end.
struct stop_effect {
  child_key child;
};
/// End it unconditionally.
struct kill_effect {
  child_key child;
};
/// Call `timer(child, generation)` after `delay`.
struct timer_effect {
  child_key child;
  std::uint32_t generation;
  std::chrono::nanoseconds delay;
};
/// The child is gone for good; its key means nothing any more.
struct forget_effect {
  child_key child;
};
/// All children have ended. `exhausted`: because crashes came too often, else because of `close`.
struct quit_effect {
  bool exhausted{false};
};
using supervisor_effect =
    std::variant<start_effect, stop_effect, kill_effect, timer_effect, forget_effect, quit_effect>;

class supervisor_core {
public:
  using time_point = restart_policy::time_point;

  struct child {
    child_key key;
    child_rules rules;
    child_state state{child_state::waiting};
    std::uint32_t restarts{0};
    std::uint32_t generation{0}; ///< of the timer that counts
    bool backing_off{false};     ///< waiting: the timer has not fired yet
    bool stop_queued{false};     ///< will be stopped, its turn has not come
    bool comes_back{false};      ///< stopped only to be started again
  };

  supervisor_core(strategy s, restart_policy policy);

  /// Appends a child; it starts when its turn comes. Precondition: the id is free.
  child_key add(child_rules rules);

  /// Performs what is due. The shell calls it after `add` and loops over the effects it and the
  /// events return.
  [[nodiscard]] std::vector<supervisor_effect> advance();

  [[nodiscard]] std::vector<supervisor_effect> started(child_key key);
  /// The first start of a child failed: the supervisor closes. A restart that failed is a crash.
  [[nodiscard]] std::vector<supervisor_effect> start_failed(child_key key, time_point now);
  [[nodiscard]] std::vector<supervisor_effect> down(child_key key, bool normal, time_point now);
  [[nodiscard]] std::vector<supervisor_effect> timer(child_key key, std::uint32_t generation);
  /// Stops all children in reverse order of their start, then quits.
  [[nodiscard]] std::vector<supervisor_effect> close();

  /// In order of start.
  [[nodiscard]] std::span<const child> children() const noexcept { return children_; }
  [[nodiscard]] const child* find(std::string_view id) const noexcept;
  [[nodiscard]] bool closing() const noexcept { return closing_; }
  [[nodiscard]] strategy how() const noexcept { return strategy_; }

private:
  using effects = std::vector<supervisor_effect>;

  child* find(child_key key) noexcept;
  void crash(child_key key, time_point now, effects& out);
  void take_along(const child& crashed);
  void begin_close(bool exhausted);
  void ended(child& c, effects& out);
  void forget(child_key key, effects& out);
  [[nodiscard]] bool stop_next(effects& out);
  void start_next(effects& out);
  void step(effects& out);

  strategy strategy_;
  restart_policy policy_;
  std::vector<child> children_;
  std::uint32_t next_key_{0};
  bool closing_{false};
  bool exhausted_{false};
  bool quit_{false};
};

} // namespace ovir::supervision
