#pragma once

#include "messages/limits/raft.hpp"

#include <cstddef>
#include <cstdint>

/// The bounds of the ledger, beside those of `messages/limits/general.hpp`.
namespace ovir::limits {

/// One million: ratios are whole numbers of parts per million.
inline constexpr std::uint64_t ppm_one = 1'000'000;

inline constexpr std::uint64_t ledger_supply_max = std::uint64_t{1} << 62U; // micro-credits, all
inline constexpr std::size_t ledger_participants_max = 64;                  // of one path
inline constexpr std::uint64_t ledger_rate_max = 1'000'000'000'000'000; // micro-credits per token
inline constexpr std::uint64_t free_audit_rate_ppm = 100'000;           // of a free policy
inline constexpr std::uint64_t free_planted_ppm = 50'000;               // likewise
inline constexpr std::uint64_t free_audit_window_s = 300;               // likewise
inline constexpr std::uint64_t free_epoch_s = 5;                        // likewise
inline constexpr std::uint64_t free_actions_per_minute = 60'000;        // likewise
inline constexpr std::uint64_t ledger_ask_ppm_max = 1'000'000'000;      // 1000 times the rate
/// What a scheduler takes unless it is told otherwise: a node that asks more is not planned, so one
/// that asks any price gains nothing where it alone is left.
inline constexpr std::uint64_t ledger_ask_ppm_usual_max = 4'000'000;
inline constexpr std::uint64_t ledger_tokens_max = 1'000'000'000; // of a prompt or completion
inline constexpr std::uint64_t ledger_weight_max = std::uint64_t{1} << 62U; // of a participant
inline constexpr std::uint32_t ledger_layers_max = 65'536;

inline constexpr std::size_t ledger_mint_keys_max = 16;
inline constexpr std::size_t ledger_keepers_max = raft_servers_max;
inline constexpr std::size_t ledger_verdicts_max = 4;          // of one conviction
inline constexpr std::size_t ledger_unlockings_max = 8;        // of one account at a time
inline constexpr std::size_t ledger_open_requests_max = 1'024; // of one payer
inline constexpr std::size_t ledger_path_nodes_max = 256;      // of one request, with reroutes
inline constexpr std::size_t ledger_windows_max = 65'536;      // of one request
inline constexpr std::uint64_t ledger_claims_wait_s = 60; // what an ended request left, for claims
inline constexpr std::size_t ledger_memo_bytes_max = 64;
inline constexpr std::size_t voucher_schedulers_max = 16; // of one voucher
inline constexpr std::size_t vouchers_max = 256;          // of one account, without those over

inline constexpr std::size_t ledger_entry_bytes_max = 16U << 10U;
inline constexpr std::size_t ledger_batch_entries_max = 16'384;
inline constexpr std::size_t ledger_batch_bytes_max = 16U << 20U;
inline constexpr std::uint64_t ledger_log_bytes_max = std::uint64_t{1} << 42U;
inline constexpr std::uint64_t ledger_log_step_bytes = 16U << 20U; // prepared at a time
inline constexpr std::uint64_t ledger_entries_max = std::uint64_t{1} << 32U;
inline constexpr std::size_t ledger_proof_nodes_max = 66;       // of a consistency proof
inline constexpr std::size_t ledger_index_lines_max = 65'536;   // movements not in the index yet
inline constexpr std::uint64_t ledger_index_behind_max = 1'024; // entries, after opening a ledger
inline constexpr std::size_t ledger_due_max = 1'024;            // commands proposed at a time

inline constexpr std::uint64_t ledger_policy_file_bytes_max = 16U << 20U;
inline constexpr std::uint64_t ledger_seconds_max = 4'102'444'800; // the year 2100

} // namespace ovir::limits
