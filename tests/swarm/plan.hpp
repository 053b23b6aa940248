#pragma once

#include "tests/swarm/chance.hpp"
#include "tests/swarm/event_queue.hpp"
#include "tests/swarm/tiny_model.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::swarm {

/// What goes wrong. `who` is a node, `other` another one, `length` how long it lasts.
enum class fault_kind : std::uint8_t {
  crash,     ///< the process ends; it starts again after `length`, and, with an amount, ends once
             ///< more as many milliseconds later, for a moment
  power,     ///< the machine's power goes; likewise
  freeze,    ///< no handler runs
  cut,       ///< between `who` and `other`, both ways
  cut_one,   ///< from `who` to `other` alone
  isolate,   ///< `who` from everybody
  divide,    ///< those whose bit `amount` has from all others
  reset,     ///< one connection ends
  delay,     ///< `amount` milliseconds more between `who` and `other`
  narrow,    ///< `amount` bytes a second between `who` and `other`
  full_disk, ///< nothing can be written
  sick_disk, ///< nothing can be synced
  slow_disk, ///< a sync takes `amount` milliseconds
  slow_node, ///< a step takes `amount` times as long
  drift,     ///< its clocks run `amount` - 500 ppm fast
  jump,      ///< its date moves by `amount` - 3600 seconds
  drain,     ///< it takes nothing new, ends soon, and comes back after `length`
  flip,      ///< its power goes; a bit of its request logs or its store is wrong afterwards
  actor,     ///< one of its actors ends as after an exception; its supervisor starts it again
  fork,      ///< after `length` its ledger is again what it was; drawn only for a keeper that forks
  far,       ///< `amount` milliseconds more between `who` and everybody, and at first more than
             ///< that; drawn only with `apart`
  forget,    ///< a node loses its connections with another, which is not answered for `amount`
             ///< milliseconds and takes them for alive; one of two resets in a storm
  lose_disk, ///< its power goes, and it comes back with nothing but its key
  jitter,    ///< up to `amount` milliseconds more from `who` to `other`, drawn for each message
};
inline constexpr std::size_t fault_kinds = 24;
inline constexpr std::size_t fault_kinds_drawn = 19; ///< in a storm
[[nodiscard]] std::string_view to_string(fault_kind kind) noexcept;
[[nodiscard]] result<fault_kind> fault_kind_from(std::string_view name);

struct fault {
  nanoseconds at{0};
  fault_kind what{fault_kind::crash};
  std::size_t who{0};
  std::size_t other{0};
  nanoseconds length{0};
  std::uint64_t amount{0};
};

/// In which requests go on whose scheduler ended.
inline constexpr std::chrono::seconds takeover_bound{75};

/// A client's request and what it does about it.
struct ask {
  nanoseconds at{0};
  std::size_t client{0};
  std::size_t gateway{0}; ///< which it asks first
  wanted_answer wanted;
  bool stream{true};
  bool receipt{false};
  std::uint32_t hang_up_after{0}; ///< events; 0: never. It comes back for the rest.
  std::uint32_t cancel_after{0};  ///< events; 0: never
  nanoseconds comes_back{0};      ///< after a lost connection it asks again then, and not before
  bool reveal_after{false};       ///< it is to be told only what two paths computed
};

/// Of a market (tests/swarm/economy/market.hpp).
struct market_terms {
  bool seldom{false};       ///< audits are far too rare
  bool keys{false};         ///< the operator of the seat has keys without stake
  bool dear{false};         ///< it asks for more than others
  bool keeper_alone{false}; ///< the keeper is no worker, and another has its layers
};

/// Keys without leave, which are workers (tests/swarm/liars/newcomers_trial.hpp).
struct newcomer_terms {
  std::size_t honest{0};         ///< hosts; who runs the trial starts them
  std::size_t liars{0};          ///< likewise, behind these
  std::uint32_t twice_tokens{0}; ///< `audit.twice_tokens` of the schedulers
};

/// How hard a run is.
struct intensity {
  std::size_t nodes{5};
  std::size_t requests{20};
  std::size_t faults{12};
  nanoseconds length{std::chrono::seconds{20}}; ///< in which all of it begins
  bool ledger{true};                            ///< the last node keeps one
  bool free{false};                             ///< whose policy charges nothing
  bool audits{true};                            ///< nodes sign; two verifiers audit
  std::size_t hostile{0};                       ///< 1: a member that repeats and spoils messages
  std::size_t liars{0};                         ///< that many of the workers lie about results
  std::size_t newcomers{0}; ///< workers that join by a token while the others are at work
  std::size_t strangers{0}; ///< hostile keys that nobody gave leave; the cluster is open
  bool fork{false};         ///< the only fault is a keeper that forgets what it signed
  bool aimed{true};         ///< half of the requests begin shortly before a fault
  bool takeover{false}; ///< the only fault ends a scheduler, and its clients do not ask again soon
  bool reuse{true};     ///< half of the requests want no receipt: only
                        ///< those use what is kept
  bool calm{false};     ///< hours, in which what nodes keep grows
  bool cancels{false};  ///< streams are cancelled, and a fault meets each cancellation
  bool apart{false};    ///< the only fault: two nodes do not hear each other, or one is far away
  bool placed{false};   ///< workers hold what placers order, and have room for a part of the model
  bool counted{false};  ///< a step takes as long as what it computes
  bool escapes{
      false}; ///< the liar has standing, and lies a few times (tests/swarm/liars/escapes.hpp)
  std::size_t colluders{0};             ///< verifiers in league with it; with `escapes`
  std::size_t lost_disks{0};            ///< further faults of this kind; with `escapes`
  std::vector<fault_kind> only{};       ///< of these kinds are all faults; empty: of any
  std::optional<market_terms> market{}; ///< then its layout and rules; in no plan's text
  std::optional<newcomer_terms> open{}; ///< an open cluster; in no plan's text
};

/// Everything of a run but what its seed draws while it runs. Parts may be left out of it, which
/// is how a failing run is made short.
struct plan {
  std::uint64_t seed{0};
  intensity how;
  std::vector<fault> faults;
  std::vector<ask> asks;
};

[[nodiscard]] plan draw_plan(std::uint64_t seed, const intensity& how);

/// One of few different requests, so that what one process answers is computed once for many runs.
[[nodiscard]] wanted_answer draw_wanted(chance& draws);
[[nodiscard]] fault draw_fault(chance& draws, const intensity& how);
/// What meets a cancellation that is sent to node `who`.
[[nodiscard]] fault draw_fault_of_cancel(chance& draws, std::size_t who);

/// One fault a line; for people and for `plan_from`.
[[nodiscard]] std::string to_text(const plan& all);
[[nodiscard]] result<plan> plan_from(std::string_view text);

} // namespace ovir::swarm
