#pragma once

#include "messages/limits/audit.hpp"
#include "messages/limits/general.hpp"

/// Bounds of what a node remembers of other keys. Admissions and convictions are counted apart, so
/// that a full book of the one never blocks the other.
namespace ovir::limits {

/// The file of admissions: a line for each token of a key, with the token's bytes.
inline constexpr std::uint64_t admissions_bytes_max = std::uint64_t{16} << 20U;
inline constexpr std::size_t admission_line_bytes_max = 768;

static_assert((admissions_max + audit_convicted_max + access_entries_max) *
                      admission_line_bytes_max <=
                  admissions_bytes_max,
              "what may be remembered can be read again");
/// Every member can be convicted: convictions are of keys that are listed or were admitted.
static_assert(audit_convicted_max >= access_entries_max + admissions_max);

} // namespace ovir::limits
