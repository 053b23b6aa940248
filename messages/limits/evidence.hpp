#pragma once

#include "messages/limits/general.hpp"

/// Bounds of signed statements and receipts (docs/formats/receipt.md).
namespace ovir::limits {

inline constexpr std::uint32_t link_signature_positions =
    8; ///< sent between two signatures, at most
inline constexpr std::uint32_t windows_max = context_max / window_positions;
inline constexpr std::size_t evidence_batch_bytes_max = std::size_t{16} << 20U;
inline constexpr std::size_t statements_per_batch_max = 128;
inline constexpr std::size_t receipt_bytes_max = std::size_t{64} << 20U;
inline constexpr std::size_t compact_receipt_bytes_max = std::size_t{128} << 10U;
inline constexpr std::size_t opening_bytes_max = std::size_t{64} << 10U;
inline constexpr std::size_t logits_file_bytes_max = std::size_t{2} << 30U;
inline constexpr std::size_t software_bytes_max = 128; ///< how a signer describes its program
inline constexpr std::size_t evidence_senders_max =
    64; ///< a stage took input from, beside the last
inline constexpr std::size_t profile_bytes_max = 64;
inline constexpr std::size_t signers_max = 4'096; ///< keys in a file of signers
inline constexpr std::size_t tree_depth_max = 32; ///< digests of an inclusion proof
/// How far the clocks of two machines are taken to drift apart.
inline constexpr std::uint64_t clock_drift_ppm = 200;
/// What a stage may say of a step's time beside what its neighbours saw, before that is named.
inline constexpr std::uint64_t times_differ_us = 250'000;
inline constexpr std::uint32_t receipt_parts_max = 4; ///< of a request, beside its receipt
/// How long a lead waits, after the last token, for the last statements.
inline constexpr std::chrono::seconds statement_wait{10};
/// What is due and not signed for so long changes the path.
inline constexpr std::chrono::seconds statement_patience{3};
/// It asks for them again as often: evidence is sent once, and a link that is being made drops it.
inline constexpr std::chrono::seconds statement_ask_again{1};

} // namespace ovir::limits
