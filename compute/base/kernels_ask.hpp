#pragma once

#include <cstddef>
#include <cstdint>

/// How tiles ask for packed weights ahead of their loads, so that these do not wait for memory.
namespace ovir::compute::x86 {

/// Tokens from which tiles ask, where the processor reads fewer at the speed of memory by itself.
inline constexpr std::uint32_t ask_tokens_self_reading = 3;

/// Where a tile asks for weights to be brought: nowhere when it does not ask. Into the first level
/// from far or, `first_level_soon`, little ahead.
enum class ask_into : std::uint8_t { nothing, first_level, second_level, first_level_soon };

/// How far ahead of its loads a tile asks for weights, in bytes: in a first level, where
/// activations and sums need room too, less far than in a second (docs/performance/zen-5.md).
template <ask_into Asks>
inline constexpr std::size_t ask_ahead = 12288;
template <>
inline constexpr std::size_t ask_ahead<ask_into::first_level> = 8192;
template <>
inline constexpr std::size_t ask_ahead<ask_into::first_level_soon> = 1024;

/// From how many tokens on tiles ask, and for which cache; `soon_alone`: a single token asks for
/// weights soon, into the first level: those of floats, and those of formats that say that this was
/// measured to help. Results do not depend on it.
struct ask_policy {
  std::uint32_t from;
  ask_into integers;
  ask_into floats;
  bool soon_alone{false};
};

enum class maker : std::uint8_t { amd, intel, other };

/// A processor by its family and model as CPUID counts them.
struct processor {
  maker made_by;
  std::uint32_t family;
  std::uint32_t model;
};

/// What was measured to be fastest on a processor.
[[nodiscard]] ask_policy asks_of(const processor& p) noexcept;

/// Whether products of floats with many tokens were measured to be faster in tiles of half as many
/// rows and twice as many tokens: weights in 16 bits are then widened half as often, where a
/// multiplication takes no longer than that. Results do not depend on it.
[[nodiscard]] bool prefers_long_tiles(const processor& p) noexcept;

/// The same of the one that runs this.
[[nodiscard]] bool prefers_long_tiles_here() noexcept;

/// `asks_of` of the one that runs this. Asks it each time, for which a virtual machine takes tens
/// of microseconds.
[[nodiscard]] ask_policy asks_here() noexcept;

/// Where a tile asks (`Asks`), asks for the cache line `ask_ahead` beyond `line`, which is about to
/// be loaded. One at a time, between the multiplications: several at once keep the loads waiting.
/// Beyond the end of memory this does nothing. Always inlined, like all that calls it: GCC takes a
/// function that does nothing else for one without effect and drops the calls.
template <ask_into Asks>
__attribute__((always_inline)) inline void ask_beyond(const unsigned char* line) {
  if constexpr (Asks == ask_into::first_level || Asks == ask_into::first_level_soon) {
    __builtin_prefetch(line + ask_ahead<Asks>, 0, 3);
  } else if constexpr (Asks == ask_into::second_level) {
    __builtin_prefetch(line + ask_ahead<Asks>, 0, 2);
  }
}

/// Where and how far ahead a tile asks, where only the program that runs knows.
struct ask_ahead_by {
  ask_into level; ///< not `first_level_soon`
  std::size_t bytes;
};

/// Where tiles of floats ask that read their weights once. Always inlined, too: without
/// optimization a kernel's file would define it for the whole program.
__attribute__((always_inline)) constexpr ask_ahead_by
asks_of_floats(const ask_policy& policy, std::uint32_t tokens) noexcept {
  if (tokens < policy.from) {
    return {ask_into::nothing, 0};
  }
  if (policy.soon_alone && tokens == 1) {
    return {ask_into::first_level, ask_ahead<ask_into::first_level_soon>};
  }
  return {policy.floats, policy.floats == ask_into::second_level
                             ? ask_ahead<ask_into::second_level>
                             : ask_ahead<ask_into::first_level>};
}

__attribute__((always_inline)) inline void ask_beyond(ask_ahead_by asks,
                                                      const unsigned char* line) {
  if (asks.level == ask_into::first_level) {
    __builtin_prefetch(line + asks.bytes, 0, 3);
  } else if (asks.level == ask_into::second_level) {
    __builtin_prefetch(line + asks.bytes, 0, 2);
  }
}

/// `ask_beyond` of `Lines` lines.
template <ask_into Asks, int Lines>
__attribute__((always_inline)) inline void ask_beyond_lines(const unsigned char* first) {
#pragma GCC unroll 8
  for (int i = 0; i < Lines; ++i) {
    ask_beyond<Asks>(first + 64 * i);
  }
}

} // namespace ovir::compute::x86
