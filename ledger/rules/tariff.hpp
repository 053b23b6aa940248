#pragma once

#include "ledger/rules/wide.hpp"
#include "messages/limits/carriage.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/result.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

/// What a token costs, and what the factors are by which a budget is divided: whole numbers only.
/// Rates are micro-credits per token; ratios are parts per million.
namespace ovir::ledger {

/// max(10^6, ceil(10^6 * model_bytes / 2^35)): one credit per token up to 32 GiB, then in
/// proportion. `over_limit` beyond `limits::ledger_rate_max`.
[[nodiscard]] result<micro_credits> model_rate(std::uint64_t model_bytes);

/// A stage of a path as far as its price goes.
struct priced_stage {
  std::uint32_t layers{0};  ///< 1 to limits::ledger_layers_max
  std::uint64_t ask_ppm{0}; ///< of the model's rate, 1 to limits::ledger_ask_ppm_max
};

/// ceil(rate * sum(layers * ask) / sum(layers) / 10^6), 0 of 0. `invalid_argument` for a path
/// without stages or a number outside its range, `over_limit` beyond `limits::ledger_rate_max`.
[[nodiscard]] result<micro_credits> path_rate(micro_credits rate,
                                              std::span<const priced_stage> stages);

/// (prompt + completion) * rate, or `over_limit`.
[[nodiscard]] result<micro_credits> token_price(std::uint64_t prompt, std::uint64_t completion,
                                                micro_credits rate);

/// Bytes of part `part` of a stream (parts of limits::relay_part_bytes, from 0 on) as far as a
/// count of `bytes` reaches; 0: not so far. All parts of a count add up to it.
[[nodiscard]] constexpr std::uint64_t bytes_of_part(std::uint64_t bytes,
                                                    std::uint32_t part) noexcept {
  const std::uint64_t begin = std::uint64_t{part} * limits::relay_part_bytes;
  return bytes > begin ? std::min(bytes - begin, limits::relay_part_bytes) : 0;
}
/// floor(bytes * fee / 2^20). Preconditions: `bytes` at most limits::relay_part_bytes and `fee`
/// limits::relay_fee_max.
[[nodiscard]] constexpr micro_credits carriage_price(std::uint64_t bytes,
                                                     micro_credits fee) noexcept {
  return bytes * fee >> 20U;
}
static_assert(limits::relay_fee_max <= ~std::uint64_t{0} / limits::relay_part_bytes);

/// Tokens that are new at a frontier: what accrues next. Deltas add up to the settlement.
struct token_delta {
  std::uint64_t prompt{0};
  std::uint64_t completion{0};
  friend bool operator==(const token_delta&, const token_delta&) = default;
};
[[nodiscard]] constexpr token_delta delta_at(std::uint64_t prompt, bool prompt_accounted,
                                             std::uint64_t frontier,
                                             std::uint64_t accounted) noexcept {
  return {prompt_accounted ? 0 : prompt, frontier > accounted ? frontier - accounted : 0};
}

// ODSI's reward factors. They redistribute one budget; they never change its size.

/// clamp(500000 + 10^6 * expected / allotted, 500000, 1500000); nothing allotted: the most.
/// `expected` is the time planned for the unit, both in the same unit of time.
[[nodiscard]] std::uint64_t deadline_factor_ppm(std::uint64_t expected, std::uint64_t allotted);
/// 10^6 + 300000 * share of the critical path; the share counts as at most 10^6.
[[nodiscard]] std::uint64_t bottleneck_factor_ppm(std::uint64_t critical_share_ppm);
/// 800000 + 400000 * reputation / 10^6; reputation counts as at most 10^6.
[[nodiscard]] std::uint64_t reputation_factor_ppm(std::uint64_t reputation_ppm);

struct reward_factors {
  std::uint64_t deadline_ppm{limits::ppm_one};
  std::uint64_t bottleneck_ppm{limits::ppm_one};
  std::uint64_t reputation_ppm{limits::ppm_one};
};

/// layers * ask * the three factors, each product divided by 10^6 and at least 1: the weight with
/// which a participant takes part in the division of a window. Never above
/// `limits::ledger_weight_max`.
[[nodiscard]] std::uint64_t stage_weight(const priced_stage& stage, const reward_factors& factors);

} // namespace ovir::ledger
