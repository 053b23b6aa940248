#pragma once

#include "ledger/rules/command.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Two statements by one signer that contradict each other: evidence that convicts by itself
/// (docs/formats/credit.md), and how statements about a request lead to its escrow.
namespace ovir::ledger {

/// What a stage signed about one request, twice: from window 0 up to the one in dispute, so that
/// what came in is the same on both sides, and seen to be.
struct equivocation {
  evidence_terms terms;
  stage_records first;
  stage_records second;
  friend bool operator==(const equivocation&, const equivocation&) = default;
};

/// Whom evidence convicts, and from which window of the request on (32 positions each).
struct equivocation_fault {
  node_id guilty;
  std::uint32_t window{0};
};

/// The first window for which the same node, in the same layers of the same request, from the same
/// inputs and with the same software, signed different results. `invalid_argument` with what is
/// missing otherwise: signatures that do not hold, other layers, inputs or software, or no
/// difference. Times and which logits were asked for may differ: they convict nobody.
[[nodiscard]] result<equivocation_fault> find_fault(const equivocation& e);

/// H("ovir/ledger/v1/about"; request, content): what a reservation is about.
[[nodiscard]] digest about_of(const evidence_terms& terms);
/// The window of a request's accruals that pays for positions of window `window` of its
/// statements: the first one pays for all of the prompt.
[[nodiscard]] constexpr std::uint32_t accrual_window(std::uint64_t prompt,
                                                     std::uint32_t window) noexcept {
  const std::uint64_t first = prompt == 0 ? 0 : (prompt - 1) / limits::window_positions;
  return window > first ? window - static_cast<std::uint32_t>(first) : 0;
}
/// The other way round: the windows of positions that accrual `window` pays for.
struct paid_windows {
  std::uint32_t first{0};
  std::uint32_t count{0};
};
[[nodiscard]] constexpr paid_windows windows_paid(std::uint64_t prompt,
                                                  std::uint32_t window) noexcept {
  const auto end =
      static_cast<std::uint32_t>(prompt == 0 ? 0 : (prompt - 1) / limits::window_positions);
  return window == 0 ? paid_windows{0, end + 1} : paid_windows{end + window, 1};
}
/// What a share pays for (`window_share::statement`) where its node has several stages: the
/// statement of the first of them joined with those of the others, in order of layers.
[[nodiscard]] digest joined_statement(const digest& first, const digest& next);
/// H("ovir/ledger/v1/evidence"; bytes): how a conviction names its evidence.
[[nodiscard]] digest evidence_digest(std::span<const std::byte> bytes);

/// Whether `x` follows from the equivocation in `bytes` and the reservation of its request:
/// the digest, the guilty one, and the window from which on it is paid nothing. Else
/// `invalid_argument` or `malformed` with what does not fit.
[[nodiscard]] result<void> check_equivocation(const convict& x, const reserve& reservation,
                                              std::span<const std::byte> bytes);

// Canonical bytes, as of heads. Precondition: `check_records` of both.
[[nodiscard]] std::vector<std::byte> to_bytes(const equivocation& e);
[[nodiscard]] result<equivocation> equivocation_from(std::span<const std::byte> bytes);

} // namespace ovir::ledger
