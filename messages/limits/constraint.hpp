#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of what an answer may be constrained to (compute/text/constraint.hpp).
namespace ovir::limits {

inline constexpr std::size_t constraint_bytes_max = 64U << 10U; // of its text
inline constexpr std::size_t constraint_states_max = 1U << 17U; // of its automaton
inline constexpr std::size_t constraint_depth_max = 32;         // of a schema's own nesting
inline constexpr std::size_t constraint_tools_max = 128;
inline constexpr std::size_t constraint_calls_max = 8;       // of tools, in one answer
inline constexpr std::size_t constraint_name_bytes_max = 64; // of a tool
inline constexpr std::size_t constraint_values_max = 1'000;  // of an enum
inline constexpr std::size_t constraint_count_max = 4'096;   // minItems, maxLength and their like
inline constexpr std::uint32_t constraint_free_depth = 16;   // of JSON that no schema describes
inline constexpr std::size_t constraint_stacks_max = 1U << 16U;  // kept for speed, of one request
inline constexpr std::size_t constraint_configs_max = 1U << 14U; // likewise
inline constexpr std::size_t constraint_masks_max = 64;          // likewise

} // namespace ovir::limits
