#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds on chat templates, which come with a stranger's file, and on rendering them.
namespace ovir::limits {

inline constexpr std::size_t template_bytes_max = 256U << 10U; // the longest published: 20 KiB
inline constexpr std::size_t template_tokens_max = 100'000;
inline constexpr std::size_t template_depth_max = 64;    // of brackets and blocks in its text
inline constexpr std::size_t template_tree_max = 160;    // of operators, "a + b + ..." is deep too
inline constexpr std::size_t template_nesting_max = 400; // of evaluation, calls of macros included
inline constexpr std::uint64_t template_steps_max = 1U << 19U; // operations of one rendering
inline constexpr std::int64_t template_slice_step_max = 1 << 20;
inline constexpr std::uint64_t template_bytes_made_max = 64U << 20U; // text and lists it makes
inline constexpr std::size_t template_output_max = 8U << 20U; // and any one text on the way there
inline constexpr std::size_t template_value_depth_max = 32;   // of lists in lists
inline constexpr std::uint64_t template_value_weight_max = 8U << 20U; // written out, in bytes

} // namespace ovir::limits
