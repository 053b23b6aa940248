#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of who keeps the ledger of a cluster and of who pays by it, beside those of
/// `messages/limits/ledger.hpp`.
namespace ovir::limits {

inline constexpr std::size_t credit_message_bytes_max = 256U << 10U;
inline constexpr std::size_t credit_evidence_bytes_max = 192U << 10U; // of a conviction
inline constexpr std::size_t credit_entries_max = 1'024;              // in one message
inline constexpr std::size_t credit_entries_bytes_max = 192U << 10U;  // in one message
inline constexpr std::size_t credit_ejected_max = 1'024;              // told at once
inline constexpr std::size_t statement_lines_max = 512;               // in one message

// Of the keeper.
inline constexpr std::size_t ledger_waiting_max = 4'096;        // commands for the next batch
inline constexpr std::size_t ledger_waiting_per_node_max = 512; // of one sender
inline constexpr std::size_t ledger_vouched_max = 256; // convictions with one verdict of two
inline constexpr std::size_t ledger_vouched_per_verifier_max = 32; // of these, then its oldest goes
inline constexpr std::uint64_t ledger_vouch_lasts_s = 900;         // without being said again
inline constexpr std::chrono::milliseconds ledger_tick{500};       // what time makes due, heads
inline constexpr std::size_t ledger_head_file_bytes_max = 1'024;   // a kept head
inline constexpr std::chrono::seconds ledger_absorb_every{5};      // the index, behind the log
inline constexpr std::chrono::seconds ledger_index_retry{30};      // a lost one; doubled each time,
inline constexpr std::chrono::seconds ledger_index_retry_max{3'600}; // up to this

// Of who follows.
inline constexpr std::size_t credit_catch_up_bytes_max = 256U << 20U; // not yet under a head
inline constexpr std::size_t promises_kept_max = 1'024; // until the copy shows whether they hold

// Of who pays.
inline constexpr std::size_t payments_open_max = 1'024; // requests reserved and not yet settled
inline constexpr std::chrono::milliseconds payment_tick{250};
inline constexpr std::chrono::milliseconds payment_retry{2'000}; // an unanswered command is resent
inline constexpr std::size_t sendings_kept_max = 64; // of one command, whose promises still count
inline constexpr std::chrono::milliseconds reserve_wait{5'000}; // then the request is refused
inline constexpr std::chrono::seconds payment_orphan_wait{120}; // for its lead to come back
inline constexpr std::size_t voucher_page_max = 64;             // requests in one page of a voucher
inline constexpr std::size_t voucher_page_reads_max = 4'096;    // entries read for one
inline constexpr std::size_t payment_quotes_max = 1'024; // offered to clients, not yet signed
inline constexpr std::chrono::seconds payment_quote_lasts{60};
inline constexpr std::uint64_t offer_lasts_s_max = 172'800; // that a client lets its credits rest
inline constexpr std::chrono::milliseconds admission_every{2'000}; // a planned node is asked about
inline constexpr std::uint64_t reserve_beyond_s = 900;      // a reservation outlives its request by
inline constexpr std::uint64_t reserve_clock_s = 60;        // that the keeper's clock may be behind
inline constexpr std::chrono::seconds reputation_every{60}; // of a planned node, asked again
inline constexpr std::size_t standings_max = 4'096;         // nodes whose standing is remembered
inline constexpr std::size_t keeper_askers_max = 4'096;     // nodes that a keeper tells of its log
inline constexpr std::size_t payment_actions_max = 64;      // of shells, under way
inline constexpr std::chrono::milliseconds payment_action_wait{10'000};
inline constexpr std::chrono::seconds conviction_report_wait{600}; // for the ledger to take it

// Of stages that are not paid, and of the keeper that they tell (docs/adr/0028-claims.md).
inline constexpr std::chrono::seconds claim_wait{10};      // behind a stage, for its scheduler
inline constexpr std::chrono::seconds claim_again{15};     // until the request is settled
inline constexpr std::chrono::seconds claim_lasts{7'200};  // said no more afterwards
inline constexpr std::size_t unsettled_claims_max = 4'096; // of stages of one node
inline constexpr std::size_t unsettled_claims_bytes_max = std::size_t{64} << 20U;
inline constexpr std::size_t claim_bytes_max = 192U << 10U; // of evidence in one message
inline constexpr std::size_t claimed_requests_max = 256;    // that a keeper knows of
inline constexpr std::size_t claimed_stages_max = 64;       // of one of them
inline constexpr std::size_t claimed_request_bytes_max = std::size_t{16} << 20U;
inline constexpr std::size_t claimed_bytes_max = std::size_t{128} << 20U; // of all of them
inline constexpr std::chrono::seconds claim_quiet{20}; // nothing accrued before claims are paid
inline constexpr std::chrono::seconds claim_quiet_ended{5}; // where the scheduler ended the request
// ... nor before such a request is settled, whose scheduler is linked to the keeper, or is not.
inline constexpr std::chrono::seconds claim_ends{900};
inline constexpr std::chrono::seconds claim_ends_away{60};
inline constexpr std::uint32_t claim_windows_at_once = 256; // paid in one batch

} // namespace ovir::limits
