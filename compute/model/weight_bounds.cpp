#include "compute/model/weight_bounds.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace ovir::compute {

namespace {

/// From which L1 of a row int64 sums may overflow, and from which scale a 32-bit factor would: D
/// itself for A32, D * k for A256, whose kernels form that product first.
struct form_limits {
  std::int64_t l1;
  std::int64_t scale;
};
constexpr form_limits limits_a32{std::int64_t{1} << 44U, std::int64_t{1} << 31U};
constexpr form_limits limits_a256{std::int64_t{1} << 38U, std::int64_t{1} << 19U};

form_limits limits_of(tensor_type type) {
  return form_for(type) == activation_form::a32 ? limits_a32 : limits_a256;
}

constexpr std::uint16_t magnitude_bits = 0x7FFF;
constexpr std::uint16_t infinity_bits = 0x7C00;

// Why no row is refused for its size: the largest finite fp16 is below 2^40 in units of 2^-24, and
// |sc * w| and 32 * mn / 32 are at most 2^12 per element, so L1 < 2 * 2^52 * cols. With q <= 2^7,
// k < 2^12, m < 2^6 and cols <= 2^18 every sum stays below 2^96, far inside the 128-bit path.
constexpr unsigned sum_bits_max = 1 + 40 + 12 + 7 + 12 + 6 + 18;
static_assert(sum_bits_max < 127);
static_assert(limits::feed_forward_max <= 1U << 18U && limits::embedding_max <= 1U << 18U);

/// L1 of a row, exactly. Precondition: |D| and |M| below the form's limit, so int64 holds it.
std::int64_t exact_l1(const weight& w, const std::byte* row) {
  const tensor_layout layout = layout_of(w.type);
  std::int64_t l1 = 0;
  for (std::size_t b = 0; b < w.cols / layout.block_elements; ++b) {
    const integer_block block = decode_block(w.type, row + b * layout.block_bytes);
    const std::size_t group = layout.block_elements / block.groups;
    std::int64_t weights = 0;
    std::int64_t mins = 0;
    for (std::size_t g = 0; g < block.groups; ++g) {
      std::int64_t sum = 0;
      for (std::size_t i = 0; i < group; ++i) {
        sum += std::abs(block.w[g * group + i]);
      }
      weights += std::abs(block.scale[g]) * sum;
      mins += std::abs(block.min[g]);
    }
    l1 += std::abs(block.block_scale) * weights + 32 * std::abs(block.min_scale) * mins;
  }
  return l1;
}

/// The largest scales of a row as fp16 magnitudes, which order like the numbers they stand for.
block_scales largest_scales(const weight& w, const std::byte* row) {
  const tensor_layout layout = layout_of(w.type);
  block_scales most{0, 0};
  for (std::size_t b = 0; b < w.cols / layout.block_elements; ++b) {
    const block_scales s = scales_of(w.type, row + b * layout.block_bytes);
    most.d = std::max(most.d, static_cast<std::uint16_t>(s.d & magnitude_bits));
    most.dmin = std::max(most.dmin, static_cast<std::uint16_t>(s.dmin & magnitude_bits));
  }
  return most;
}

/// D and M of a row at most.
struct largest_fixed {
  std::int64_t d;
  std::int64_t dmin;
};

/// Of scales that are exponents; empty where some block's exponent cannot be computed with.
std::optional<largest_fixed> largest_powers(const weight& w, const std::byte* row) {
  const std::size_t block_bytes = layout_of(w.type).block_bytes;
  constexpr std::byte magnitudes{0x77}; // without the signs of two nibbles
  largest_fixed most{0, 0};
  for (const std::byte* block = row; block < row + w.row_bytes(); block += block_bytes) {
    const auto exponent = std::to_integer<std::uint8_t>(block[0]);
    const bool zeros = std::all_of(block + 1, block + block_bytes,
                                   [](std::byte b) { return (b & magnitudes) == std::byte{0}; });
    if (exponent > mxfp4_exponent_max || (exponent < mxfp4_exponent_min && !zeros)) {
      return std::nullopt;
    }
    most.d = std::max(most.d, decode_block(w.type, block).block_scale);
  }
  return most;
}

/// Of the other types; empty where a scale is an infinity or a NaN.
std::optional<largest_fixed> largest_halves(const weight& w, const std::byte* row) {
  const block_scales most = largest_scales(w, row);
  if (most.d >= infinity_bits || most.dmin >= infinity_bits) {
    return std::nullopt;
  }
  return largest_fixed{half_to_fixed24(most.d), half_to_fixed24(most.dmin)};
}

bool needs_wide(const weight& w, const std::byte* row, const largest_fixed& most) {
  const std::int64_t d = most.d;
  const std::int64_t dmin = most.dmin;
  const form_limits limit = limits_of(w.type);
  if (d >= limit.scale || dmin >= limit.scale) {
    return true;
  }
  const block_worst worst = row_of(w.type)->worst;
  const auto blocks = static_cast<std::int64_t>(w.cols / layout_of(w.type).block_elements);
  // At most 2^10 blocks of 2^20 times 2^19, twice, or 2^13 of 2^12 times 2^31: fits.
  const std::int64_t at_most = blocks * (worst.per_scale * d + worst.per_min * dmin);
  return at_most >= limit.l1 && exact_l1(w, row) >= limit.l1;
}

} // namespace

row_bounds bounds_of_rows(const weight& w, std::uint32_t first, std::uint32_t last) {
  row_bounds out;
  for (std::uint32_t r = first; r < last; ++r) {
    const std::byte* row = w.row(r);
    const std::optional<largest_fixed> most =
        row_of(w.type)->half_scales ? largest_halves(w, row) : largest_powers(w, row);
    if (!most) {
      out.nonfinite = r;
      return out;
    }
    out.wide = out.wide || needs_wide(w, row, *most);
  }
  return out;
}

} // namespace ovir::compute
