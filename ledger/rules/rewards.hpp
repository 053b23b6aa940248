#pragma once

#include "ledger/rules/tariff.hpp"
#include "messages/limits/ledger.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

/// How what a window pays is divided among its stages: whole numbers only.
namespace ovir::ledger {

enum class reward_rule : std::uint8_t {
  work,    ///< layers and asks
  factors, ///< times ODSI's factors
  divy,    ///< Divy's weights, times asks
};

/// "work", "factors", "divy".
[[nodiscard]] std::string_view to_string(reward_rule rule) noexcept;
[[nodiscard]] std::optional<reward_rule> reward_rule_from(std::string_view text) noexcept;

/// A stage's part of one window. No number in it is the stage's own word but `memory_bytes`.
struct stage_part {
  priced_stage work;
  /// For how long it held the window's steps, as the others saw it, in microseconds; 0: they did
  /// not.
  std::uint64_t took_us{0};
  std::uint64_t bytes{0};        ///< of the weights of its layers
  std::uint64_t memory_bytes{0}; ///< that its node says it may use; 0: unknown, full pressure
};

/// Divy's weights, times asks, in the order of `parts`: share of the work * clamp(rate / median
/// rate, 0.5, 1.5) * (0.85 + 0.30 * memory pressure), with rate = layers / max(1 ms, time). They
/// stand in the same ratios as `reference::realtime_delta` has them, for a capacity of 1 each, to a
/// millionth each product. Where the time of a part was not seen, all rates count as the median.
/// Parts without a layer count for nothing.
[[nodiscard]] std::vector<std::uint64_t> divy_weights(std::span<const stage_part> parts);

/// What the plan says of a stage, for `odsi_weights`.
struct stage_terms {
  std::uint64_t planned_us{0};     ///< for a step
  std::uint64_t allotted_us{0};    ///< for a step, by the request's deadline; 0: none
  std::uint64_t reputation_ppm{0}; ///< in the ledger
};
/// `stage_weight` of each, with factors from the times that others saw of `steps` steps, and from
/// the plan where they saw none. Precondition: as many terms as parts.
[[nodiscard]] std::vector<std::uint64_t> odsi_weights(std::span<const stage_part> parts,
                                                      std::span<const stage_terms> terms,
                                                      std::uint64_t steps);

} // namespace ovir::ledger
