#pragma once

#include "ledger/rules/policy.hpp"
#include "node/node_options.hpp"
#include "tests/swarm/plan.hpp"

#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

/// A market of whole nodes: who has which role and layers, which rules hold, and how one operator
/// may play (docs/SIMULATION.md, "Markets"). All others are honest.
namespace ovir::swarm {

/// How the operator of one seat plays from `cheats_begin` on, once it has its standing.
enum class market_play : std::uint8_t {
  honest,
  lazy,      ///< makes up one window in five
  lying,     ///< makes up all windows
  impatient, ///< as lying, from its first window on
  colluding, ///< as lying, and one of three verifiers is in league with it
  sybil,     ///< as impatient; convicted, it comes back under a new key, stake and all
  keys,      ///< computes, under four keys without stake
  late,      ///< computes, on a processor that stands still in a quarter of the time
  hoarding,  ///< holds its layers and asks the most that schedulers take for computing them
  unpaying,  ///< a scheduler that pays for no window and settles no request
  settling,  ///< a scheduler that pays for no window and settles each request at its end
};
inline constexpr std::size_t market_plays = 11;
[[nodiscard]] std::string_view to_string(market_play p) noexcept;
/// Of these, whose seat is a scheduler's.
[[nodiscard]] bool schedules(market_play p) noexcept;
/// Who makes up what it states.
[[nodiscard]] bool states_wrongly(market_play p) noexcept;

// Two schedulers, three verifiers, a path of four places of two layers each; the worker of the last
// place is the keeper, too. The seat is at the second place, beside one other node; further keys of
// its operator are there, too.
inline constexpr std::size_t market_nodes = 11;
inline constexpr std::size_t market_scheduler = 1; ///< that cheats
inline constexpr std::size_t market_colluder = 4;  ///< a verifier
inline constexpr std::size_t market_seat = 6;
inline constexpr std::size_t market_rival = 7; ///< at the same place, slower
inline constexpr std::size_t market_further_keys = 3;

/// Requests begin, few until all have their standing, which takes an audit window.
inline constexpr nanoseconds market_begins = std::chrono::seconds{10};
inline constexpr nanoseconds cheats_begin = std::chrono::seconds{85};

/// Those of config/ledger.toml, whose times are shorter here; or of one that audits far too seldom
/// and releases earnings soon, which the ledger takes only because the policy understates what
/// computing costs.
[[nodiscard]] ledger::policy market_rules(const market_terms& terms);
/// What computing one layer at one position costs, whatever a policy says of it: D of
/// config/ledger.toml, a layer's and position's part. Micro-credits.
inline constexpr std::uint64_t row_layer_cost = 100'000;

[[nodiscard]] role_set market_roles(std::size_t number, bool keeper_alone = false);
/// What is different from other runs: layers, stake, the price asked.
void arrange_market(std::size_t number, const market_terms& terms, supervision::node_options& o);

/// Those that are honest.
[[nodiscard]] std::set<std::size_t> market_verifiers(market_play p);
/// Hosts of the operator whose play is compared.
[[nodiscard]] std::set<std::size_t> market_operator(market_play p);

} // namespace ovir::swarm
