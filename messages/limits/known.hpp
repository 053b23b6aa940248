#pragma once

#include <cstddef>

namespace ovir::limits {

/// Signatures of each of the two generations that a process remembers
/// (messages/evidence/known_signatures.hpp).
inline constexpr std::size_t known_signatures_max = 8'192;
/// Link signatures of one request that a stage keeps without having verified them.
inline constexpr std::size_t links_unchecked_max = 32;
/// Batches of evidence of one request that wait at a stage for the next steps to be hashed.
inline constexpr std::size_t batches_held_max = 8;

} // namespace ovir::limits
