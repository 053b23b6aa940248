#pragma once

#include <cstddef>

/// Bounds of a ledger's keeper about evidence (docs/formats/credit.md).
namespace ovir::limits {

/// Evidence of convictions that wait for the next batch, together.
inline constexpr std::size_t ledger_evidence_waiting_bytes_max = std::size_t{64} << 20U;

} // namespace ovir::limits
