#pragma once

#include <chrono>
#include <cstdint>

/// Bounds of what a shell may have a ledger's keeper prove and check
/// (actors/operator/admin_proofs_actor.cpp).
namespace ovir::limits {

/// Of a log that is checked for a shell; a longer one is for `ovir ledger verify`.
inline constexpr std::uint64_t ledger_check_entries_max = 200'000;
inline constexpr std::chrono::seconds ledger_check_wait{100};

} // namespace ovir::limits
