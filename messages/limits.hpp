#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every bound of OVIR, in one place. A number a file, frame, request or peer claims is compared
/// with one of these before memory is allocated for it.
namespace ovir::limits {

// Model files
inline constexpr std::uint64_t metadata_entries_max = 65'536;
inline constexpr std::uint64_t tensors_max = 65'536;
inline constexpr std::uint64_t key_bytes_max = 65'535;
inline constexpr std::uint64_t string_bytes_max = 16U << 20U;
inline constexpr std::uint64_t array_elements_max = 16U << 20U;
inline constexpr std::uint64_t array_copied_elements_max = 1U << 20U; // array made into a vector
inline constexpr std::uint32_t tensor_dims_max = 4;
inline constexpr std::uint32_t alignment_max = 1U << 16U;
inline constexpr std::uint32_t layers_max = 1'024;
inline constexpr std::uint32_t embedding_max = 32'768;
inline constexpr std::uint32_t feed_forward_max = 262'144;
inline constexpr std::uint32_t heads_max = 1'024;
inline constexpr std::uint32_t head_dim_max = 1'024;
inline constexpr std::uint32_t vocabulary_max = 1U << 20U;
inline constexpr std::uint32_t context_max = 1U << 20U;
inline constexpr double rope_base_max = 1e30; // exact_pow needs results within 2^-1000

// Text
inline constexpr std::size_t prompt_bytes_max = 16U << 20U;
inline constexpr std::size_t stop_strings_max = 16;
inline constexpr std::size_t stop_string_bytes_max = 256;
inline constexpr std::uint32_t pcre_match_limit = 1'000'000;
inline constexpr std::size_t special_token_bytes_max = 512;
inline constexpr std::uint64_t merges_max = 1U << 20U;

// Runtime
inline constexpr std::uint32_t threads_max = 256;
inline constexpr std::uint32_t stages_max = 256;
inline constexpr std::uint32_t prefill_chunk_max = 4'096;
inline constexpr std::size_t activation_bytes_max = std::size_t{256} << 20U; // one tensor of a step
inline constexpr std::uint32_t window_positions = 32;    // DESIGN: the grain of units
inline constexpr std::uint32_t requests_active_max = 64; // per scheduler
inline constexpr std::uint32_t requests_waiting_max = 256;
inline constexpr std::uint32_t frames_in_flight_max = 8; // credit per request and stage
inline constexpr std::uint32_t recoveries_max = 16; // epochs begun because a stage lacked a frame
inline constexpr std::size_t frame_bytes_max = 64U << 20U;
inline constexpr std::chrono::seconds step_deadline{600};
inline constexpr std::chrono::seconds shutdown_wait{10};

// Planning
inline constexpr std::uint32_t plan_nodes_max = 16;             // a set of nodes is a 16-bit mask
inline constexpr std::uint64_t plan_states_max = 800'000;       // stages tried per plan
inline constexpr std::uint64_t node_memory_mib_max = 1U << 24U; // 16 TiB
inline constexpr std::size_t node_name_bytes_max = 64;

// Commands
inline constexpr std::uint64_t text_file_bytes_max = 256U << 20U;
inline constexpr std::uint64_t transcript_file_bytes_max = 32U << 20U;
inline constexpr std::uint32_t drill_kills_max = 1'000;
inline constexpr std::uint32_t bench_runs_max = 1'000;
inline constexpr std::uint64_t config_file_bytes_max = 1U << 20U;

} // namespace ovir::limits
