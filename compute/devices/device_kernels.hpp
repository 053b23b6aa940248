#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ovir::compute {

/// The kernels of compute/devices/source, in the order of `device_kernel_rows`.
enum class device_kernel : std::uint8_t {
  quantize,
  second_term,
  q4_k_1,
  q4_k_4,
  q4_k_8,
  q5_k_1,
  q5_k_4,
  q5_k_8,
  q6_k_1,
  q6_k_4,
  q6_k_8,
  q8_0_1,
  q8_0_4,
  q8_0_8,
  q4_0_1,
  q4_0_4,
  q4_0_8,
  rows_256_1,
  rows_256_4,
  rows_256_8,
  rows_32_1,
  rows_32_4,
  rows_32_8,
  f16_1,
  f16_8,
  bf16_1,
  bf16_8,
  f32_1,
  f32_8,
  rms_norm,
  rope,
  swiglu,
  geglu,
  add_rows,
  add_bias,
  add_terms,
  scale_by,
  gather_rows,
  highest,
  arithmetic,
  store_kv,
  attend_scores,
  attend_highest,
  attend_chunks,
  attend_join,
  boundary_chunks,
  boundary_parents,
};

/// A kernel's name in the source, and the work-items of its groups.
struct device_kernel_row {
  std::string_view name;
  std::uint32_t items;
};

inline constexpr std::array<device_kernel_row, 47> device_kernel_rows{{
    {"quantize", 256},
    {"second_term", 256},
    {"q4_k_1", 128},
    {"q4_k_4", 128},
    {"q4_k_8", 128},
    {"q5_k_1", 128},
    {"q5_k_4", 128},
    {"q5_k_8", 128},
    {"q6_k_1", 128},
    {"q6_k_4", 128},
    {"q6_k_8", 128},
    {"q8_0_1", 128},
    {"q8_0_4", 128},
    {"q8_0_8", 128},
    {"q4_0_1", 128},
    {"q4_0_4", 128},
    {"q4_0_8", 128},
    {"rows_256_1", 128},
    {"rows_256_4", 128},
    {"rows_256_8", 128},
    {"rows_32_1", 128},
    {"rows_32_4", 128},
    {"rows_32_8", 128},
    {"f16_1", 256},
    {"f16_8", 256},
    {"bf16_1", 256},
    {"bf16_8", 256},
    {"f32_1", 256},
    {"f32_8", 256},
    {"rms_norm", 256},
    {"rope", 64},
    {"swiglu", 256},
    {"geglu", 256},
    {"add_rows", 256},
    {"add_bias", 256},
    {"add_terms", 256},
    {"scale_by", 256},
    {"gather_rows", 256},
    {"highest", 256},
    {"arithmetic", 64},
    {"store_kv", 64},
    {"attend_scores", 256},
    {"attend_highest", 256},
    {"attend_chunks", 256},
    {"attend_join", 64},
    {"boundary_chunks", 64},
    {"boundary_parents", 256},
}};
static_assert(device_kernel_rows.size() ==
              static_cast<std::size_t>(device_kernel::boundary_parents) + 1);

[[nodiscard]] constexpr const device_kernel_row& row_of(device_kernel kernel) noexcept {
  return device_kernel_rows[static_cast<std::size_t>(kernel)];
}

} // namespace ovir::compute
