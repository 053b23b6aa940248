#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of adapters and of their training.
namespace ovir::limits {

inline constexpr std::uint32_t adapter_rank_max = 256; // one chunk of learn-1
inline constexpr std::uint32_t adapter_targets = 7;    // matrices of a layer that may have a pair
inline constexpr std::size_t adapter_text_bytes_max = 1'024; // of a text in its metadata
inline constexpr float adapter_alpha_max = 65'536;

inline constexpr std::uint32_t learn_examples_max = 1U << 20U;
inline constexpr std::uint32_t learn_steps_max = 1U << 20U;
inline constexpr std::uint32_t learn_batch_max = 4'096;
inline constexpr std::uint32_t learn_epochs_max = 10'000;
inline constexpr std::uint64_t learn_tokens_max = 1U << 28U; // of all examples together
inline constexpr std::size_t learn_line_bytes_max = 1U << 20U;
inline constexpr std::uint32_t learn_turns_max = 1'024; // messages of a conversation
// Logits of so many bytes are in memory at once; rows beyond follow.
inline constexpr std::size_t learn_logit_bytes = 32U << 20U;

} // namespace ovir::limits
