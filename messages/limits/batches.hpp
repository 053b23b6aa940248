#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of files that HTTP clients leave at a gateway, and of batches (gateway/batches/).
namespace ovir::limits {

// Uploads. A form is in memory as a whole, so few that are larger than other bodies come at once.
inline constexpr std::size_t file_bytes_max = 32U << 20U;
inline constexpr std::size_t upload_bytes_max = file_bytes_max + (64U << 10U); // with its form
inline constexpr std::size_t uploads_at_once = 4;
inline constexpr std::chrono::milliseconds upload_wait{300'000}; // for the whole body of one
inline constexpr std::size_t form_parts_max = 16;
inline constexpr std::size_t form_boundary_bytes_max = 70; // RFC 2046, 5.1.1
inline constexpr std::size_t form_head_bytes_max = 4U << 10U;
inline constexpr std::size_t form_text_bytes_max = 256; // of a part that is no file

// Files that are kept
inline constexpr std::size_t file_name_bytes_max = 256;
inline constexpr std::size_t files_per_key_max = 1'000;
inline constexpr std::uint64_t file_bytes_per_key_max = std::uint64_t{1} << 30U;
inline constexpr std::size_t files_max = 16'384;
inline constexpr std::uint64_t file_bytes_all_max = std::uint64_t{16} << 30U;
inline constexpr std::uint64_t file_life_least = 3'600;      // seconds
inline constexpr std::uint64_t file_life_most = 30 * 86'400; // likewise; what one has by default
inline constexpr std::size_t file_piece_bytes = 256U << 10U; // of one being told, in memory
inline constexpr std::chrono::seconds file_look_pause{60};   // between looks for expired ones
inline constexpr std::size_t files_told_at_once = 32;
inline constexpr std::uint64_t file_list_max = 10'000; // that a page may be asked to have
inline constexpr std::size_t file_record_bytes_max = 4U << 10U;

// Batches
inline constexpr std::uint32_t batch_lines_max = 50'000;
inline constexpr std::size_t batch_line_bytes_max = 4U << 20U; // as of a request's body
inline constexpr std::size_t batch_name_bytes_max = 512;       // of a line: its custom_id
inline constexpr std::size_t batch_metadata_name_bytes_max = 64;
inline constexpr std::size_t batches_open_per_key_max = 16;
inline constexpr std::size_t batches_open_max = 64;
inline constexpr std::size_t batches_per_key_max = 1'000; // kept; the oldest that is over goes
inline constexpr std::size_t batches_max = 16'384;
inline constexpr std::uint64_t batch_list_max = 100;
inline constexpr std::uint64_t batch_list_usual = 20;
inline constexpr std::size_t batch_faults_max = 16; // of an input, that are told
/// Lines of all batches that a gateway asks at once, so that most places are other requests'.
inline constexpr std::uint32_t batch_lines_at_once = 8;
inline constexpr std::uint64_t batch_output_bytes_max = std::uint64_t{256} << 20U; // and errors
inline constexpr std::uint64_t batch_window = 86'400;      // seconds from its making to its end
inline constexpr std::size_t batch_scan_bytes = 1U << 20U; // of an input, checked in one go
inline constexpr std::size_t batch_order_bytes_max = 64U << 10U; // the body that makes one
inline constexpr std::size_t batch_record_bytes_max = 256U << 10U;
inline constexpr std::chrono::milliseconds batch_pause_least{1'000}; // before a line is asked again
inline constexpr std::chrono::milliseconds batch_pause_most{60'000};
inline constexpr std::chrono::milliseconds batch_disk_pause{5'000}; // after a write that failed

} // namespace ovir::limits
