#pragma once

#include "messages/limits/general.hpp"

#include <chrono>

/// Bounds of audits and convictions (docs/formats/audit.md).
namespace ovir::limits {

inline constexpr std::size_t audit_message_bytes_max = std::size_t{8} << 20U; ///< with its receipt
inline constexpr std::size_t audit_receipt_bytes_max = std::size_t{4} << 20U; ///< two in a message
inline constexpr std::size_t audit_cases_max = 256;    ///< mismatches that wait for a second host
inline constexpr std::size_t audit_planted_max = 8;    ///< of these, whose answer is known
inline constexpr std::size_t audit_open_kept_max = 32; ///< receipts of these, kept over a crash
inline constexpr std::size_t audit_convicted_max = 5'120; ///< identities remembered: every member
inline constexpr std::size_t audit_verdicts_max = 16;     ///< in a conviction
inline constexpr std::size_t audit_taken_max = 3;         ///< kernels that a question rules out
inline constexpr std::size_t audit_log_entries_max = 1'000'000;   ///< then old ones are folded
inline constexpr std::size_t audit_equivocation_kept_max = 4'096; ///< receipts compared with others
inline constexpr std::uint32_t audit_chain_links_max = 1U << 20U; ///< of one hash chain
/// Links in a row that a verifier may owe: behind more its hash chain does not count any more.
inline constexpr std::uint64_t audit_links_behind_max = 64;
inline constexpr std::size_t epoch_verifiers_max = 1'024; ///< that have a hash chain at a time
inline constexpr std::uint64_t epoch_weight_max = std::uint64_t{1} << 48U; ///< of one verifier
inline constexpr std::uint64_t epoch_units_max = std::uint64_t{1} << 20U;  ///< accrued in one epoch
inline constexpr std::size_t watched_requests_max = 65'536; ///< whose escrows a node knows
inline constexpr std::size_t audit_duties_max = 262'144;    ///< drawn units that wait, of one node
/// Receipts that a scheduler holds on its disk until their units are drawn and audited.
inline constexpr std::size_t held_receipts_bytes_max = std::size_t{1} << 30U;
inline constexpr std::size_t held_receipts_max = 65'536;
inline constexpr std::size_t held_receipts_same_max =
    5; ///< about one request, its parts among them
inline constexpr std::size_t held_receipts_memory_max = std::size_t{64} << 20U; ///< disk is full
inline constexpr std::chrono::seconds held_receipt_lasts{86'400};
/// Likewise for those alone who were drawn and have not the layers.
inline constexpr std::chrono::seconds audit_lacking_lasts{600};
/// More than so many are looked at only now and then.
inline constexpr std::size_t held_receipts_few = 1'024;
inline constexpr std::chrono::milliseconds held_receipts_look_pause{500};
/// What no accrual says within this time is offered as where there is no ledger.
inline constexpr std::chrono::seconds audit_entry_wait{60};
/// An offer whose audit is not in the log is made again after this time.
inline constexpr std::chrono::seconds audit_offer_again{10};
inline constexpr std::uint32_t audit_offer_doublings_max = 6; ///< of this time
inline constexpr std::size_t audit_offers_at_once = 32;       ///< to one verifier
inline constexpr std::chrono::seconds audit_chain_again{3};   ///< to commit to one that was refused
inline constexpr std::size_t audits_said_at_once = 256;       ///< to the ledger
/// Links of a verifier's hash chain, and how many are left when it commits to the next.
inline constexpr std::uint32_t audit_chain_links = 1U << 16U;
inline constexpr std::uint32_t audit_chain_links_least = 1U << 10U;
/// What a verifier tells the ledger is said again after this time.
inline constexpr std::chrono::seconds audit_say_again{15};
inline constexpr std::size_t audit_reason_bytes_max = 256;
/// How long a second host may take before another is asked.
inline constexpr std::chrono::seconds second_opinion_wait{60};
inline constexpr std::uint32_t second_opinions_asked_max = 4;
/// How long a host remembers what it answered, to be shown what was stated; and of how many.
inline constexpr std::chrono::seconds audit_answer_lasts{180};
inline constexpr std::size_t audit_answers_kept_max = 256;
/// After how long it is looked again for one, where none was there, and how often.
inline constexpr std::chrono::seconds second_opinion_again{30};
inline constexpr std::uint32_t second_opinion_rounds_max = 120;
/// How long an accused node has to answer before it is convicted.
inline constexpr std::chrono::seconds hearing_wait{10};
inline constexpr std::size_t hearings_max = 64;                   ///< under way at one verifier
inline constexpr std::size_t accusations_max = 16;                ///< that wait at an accused node
inline constexpr std::size_t audit_capsule_bytes_max = 3U << 20U; ///< in an accusation
/// How often a node tells one other, by lot, whom it holds for convicted.
inline constexpr std::chrono::seconds convictions_told_every{5};
/// How often a verifier tells schedulers what its log says of those it audited.
inline constexpr std::chrono::seconds standing_told_every{5};
inline constexpr std::size_t convictions_sent_max = 8; ///< for one such message
/// The same conviction is not sent to the same node again before.
inline constexpr std::chrono::seconds conviction_sent_again{60};

/// Receipts and questions whose inputs a verifier fetches or computes with.
inline constexpr std::size_t audits_under_way_max = 8;
inline constexpr std::size_t audit_layer_fetches_max = 4; ///< for what it was drawn for
/// What it fetches for the drawn windows of one stage; more is not audited by inputs.
inline constexpr std::size_t audit_fetch_bytes_max = std::size_t{256} << 20U;
inline constexpr std::size_t audited_ranges_max = 64; ///< of layers that it knows to be good
inline constexpr std::size_t audit_sources_max = 8;   ///< asked for them, in turn
inline constexpr std::size_t audits_fetch_bytes_max = 2 * audit_fetch_bytes_max; ///< at one time
/// Until one has sent them, or gives up.
inline constexpr std::chrono::seconds audit_fetch_wait{60};

} // namespace ovir::limits
