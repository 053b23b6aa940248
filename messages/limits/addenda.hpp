#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of what verifiers say about receipts, and of what is kept of it
/// (docs/formats/addenda.md).
namespace ovir::limits {

inline constexpr std::size_t addendum_units_max = 4'096;         ///< findings in one addendum
inline constexpr std::size_t addenda_per_receipt_max = 64;       ///< kept, and in a file
inline constexpr std::size_t addenda_per_verifier_max = 16;      ///< of these
inline constexpr std::size_t addenda_bytes_max = 4U << 20U;      ///< of a file
inline constexpr std::size_t addenda_receipts_max = 1'024;       ///< whose addenda are kept on disk
inline constexpr std::size_t kept_answers_bytes_max = 2U << 20U; ///< receipts, for addenda to come
inline constexpr std::size_t kept_answers_max = 4'096;           ///< likewise
/// A larger receipt is for `ovir-verify`: no endpoint checks it.
inline constexpr std::size_t answer_check_bytes_max = 4U << 20U;
inline constexpr std::size_t answer_checks_max = 4; ///< at a time

} // namespace ovir::limits
