#include "compute/parts/crossing.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

// Grammar, also on docs/formats/parts.md. Numbers are little-endian.
//
//   maxima       = f32[rows] state[rows]          state: u8
//   queries_keys = f32[rows][q] f32[rows][k]
//   floats       = f32[rows][width] state[rows]
//   quantised    = i8[rows][width] u16[rows][width / block] (u8[rows][width / 32], of A256)
//   sums         = bytes:u8 (i of so many bytes)[rows][dim]
//   rows, logits = f32[rows][width]
namespace ovir::compute {

static_assert(std::endian::native == std::endian::little, "numbers are sent in memory order");

namespace {

constexpr std::size_t group_elements = 32; ///< that share a sum, and an m
constexpr std::int32_t k_max = 4095;
constexpr std::int32_t m_max = 63;
constexpr std::size_t sum_bytes_max = sizeof(std::int64_t);

result<void> check_size(std::string_view what, std::size_t got, std::size_t wanted) {
  if (got != wanted) {
    return fail(errc::malformed, "{} of {} bytes; the pass needs {}", what, got, wanted);
  }
  return {};
}

result<row_state> state_of(std::byte byte, layer_block block) {
  const auto state = static_cast<row_state>(byte);
  if (state > row_state::bad_activation ||
      (state == row_state::bad_key_or_value && block != layer_block::attention)) {
    return fail(errc::malformed, "a row in the state {}, which does not exist there",
                std::to_integer<unsigned>(byte));
  }
  return state;
}

template <class T>
void append(std::span<const T> values, std::vector<std::byte>& out) {
  const auto bytes = std::as_bytes(values);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// The fewest bytes that hold a number in two's complement.
std::size_t bytes_for(std::int64_t sum) {
  const auto bits = static_cast<std::uint64_t>(sum < 0 ? ~sum : sum);
  return (static_cast<std::size_t>(std::bit_width(bits)) + 8) / 8;
}

std::int64_t sum_at(const std::byte* at, std::size_t bytes) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, bytes);
  const auto unused = static_cast<unsigned>(8 * (sum_bytes_max - bytes));
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

/// Where the parts of a quantised crossing begin.
struct quantised_layout {
  std::size_t rows;
  std::size_t width;
  std::size_t scales; ///< of a row
  std::size_t groups; ///< of a row, with an m each; 0 where all are 1

  quantised_layout(const quantized_batch& b, std::size_t columns)
      : rows(b.tokens), width(columns), scales(columns / b.scale_block()),
        groups(b.form == activation_form::a256 ? columns / group_elements : 0) {}
  [[nodiscard]] std::size_t k_at() const { return rows * width; }
  [[nodiscard]] std::size_t m_at() const { return k_at() + rows * scales * sizeof(std::uint16_t); }
  [[nodiscard]] std::size_t bytes() const { return m_at() + rows * groups; }
};

result<void> read_scales(std::span<const std::byte> bytes, const quantised_layout& l,
                         const part_range& columns, quantized_batch& to) {
  const std::byte* k = bytes.data() + l.k_at();
  const std::byte* m = bytes.data() + l.m_at();
  for (std::size_t t = 0; t < l.rows; ++t) {
    std::int32_t* const to_k =
        &to.k[t * (to.cols / to.scale_block())] + columns.first / to.scale_block();
    for (std::size_t i = 0; i < l.scales; ++i, k += sizeof(std::uint16_t)) {
      std::uint16_t value = 0;
      std::memcpy(&value, k, sizeof value);
      if (value < 1 || value > k_max) {
        return fail(errc::malformed, "a scale of {}; it is from 1 to {}", value, k_max);
      }
      to_k[i] = value;
    }
    std::int32_t* const to_m =
        &to.m[t * (to.cols / group_elements)] + columns.first / group_elements;
    std::fill_n(to_m, l.width / group_elements, 1);
    for (std::size_t i = 0; i < l.groups; ++i, ++m) {
      to_m[i] = std::to_integer<std::int32_t>(*m);
      if (to_m[i] < 1 || to_m[i] > m_max) {
        return fail(errc::malformed, "a factor of {} in a scale; it is from 1 to {}", to_m[i],
                    m_max);
      }
    }
  }
  return {};
}

} // namespace

std::uint32_t crossing_width(const model_config& config, const segment_cut& cut,
                             std::uint32_t member, const crossing_place& place) noexcept {
  const member_part& part = cut.members[member];
  const std::uint32_t heads = attention_columns(config, part).size();
  switch (place.kind) {
  case crossing_kind::queries_keys: return heads + part.kv_heads.size() * config.head_dim;
  case crossing_kind::floats:
  case crossing_kind::quantised:
    return place.block == layer_block::attention ? heads : part.inner.size() * inner_rows(config);
  case crossing_kind::sums: return config.dim;
  case crossing_kind::rows: return part.rows.size();
  case crossing_kind::logits: return part.words.size();
  case crossing_kind::maxima: break;
  }
  return 0;
}

void joined_rows::clear(std::size_t rows) {
  states.assign(rows, row_state::good);
  most.assign(rows, 0.0F);
}

std::vector<std::byte> encode_maxima(std::span<const float> most,
                                     std::span<const row_state> states) {
  OVIR_CHECK(most.size() == states.size(), most.size(), states.size());
  std::vector<std::byte> out;
  out.reserve(most.size() * (sizeof(float) + 1));
  append(most, out);
  append_states(states, out);
  return out;
}

result<void> join_maxima(std::span<const std::byte> bytes, layer_block block, joined_rows& joined) {
  const std::size_t rows = joined.states.size();
  OVIR_TRY(check_size("maxima", bytes.size(), rows * (sizeof(float) + 1)));
  for (std::size_t t = 0; t < rows; ++t) {
    float value = 0;
    std::memcpy(&value, bytes.data() + t * sizeof value, sizeof value);
    if (!std::isfinite(value) || std::signbit(value)) {
      return fail(errc::malformed, "a largest magnitude of {}; it is finite and not below +0",
                  value);
    }
    joined.most[t] = std::max(joined.most[t], value);
  }
  return join_states(bytes.subspan(rows * sizeof(float)), block, joined.states);
}

void append_floats(const float* values, std::size_t rows, std::size_t width, std::size_t stride,
                   std::vector<std::byte>& out) {
  const std::size_t at = out.size();
  out.resize(at + rows * width * sizeof(float));
  for (std::size_t t = 0; t < rows && width > 0; ++t) {
    std::memcpy(out.data() + at + t * width * sizeof(float), values + t * stride,
                width * sizeof(float));
  }
}

result<void> read_floats(std::span<const std::byte> bytes, std::size_t rows, std::size_t width,
                         std::size_t stride, float* to) {
  OVIR_TRY(check_size("rows of numbers", bytes.size(), rows * width * sizeof(float)));
  for (std::size_t t = 0; t < rows && width > 0; ++t) {
    std::memcpy(to + t * stride, bytes.data() + t * width * sizeof(float), width * sizeof(float));
  }
  return {};
}

void append_states(std::span<const row_state> states, std::vector<std::byte>& out) {
  append(states, out);
}

result<void> join_states(std::span<const std::byte> bytes, layer_block block,
                         std::span<row_state> joined) {
  OVIR_TRY(check_size("states of rows", bytes.size(), joined.size()));
  for (std::size_t t = 0; t < joined.size(); ++t) {
    OVIR_ASSIGN(const row_state state, state_of(bytes[t], block));
    joined[t] = worse(joined[t], state);
  }
  return {};
}

std::vector<std::byte> encode_quantised(const quantized_batch& from, std::uint32_t width) {
  OVIR_CHECK(width <= from.cols && width % from.scale_block() == 0, width, from.cols);
  const quantised_layout l{from, width};
  std::vector<std::byte> out(l.bytes());
  std::byte* k = out.data() + l.k_at();
  std::byte* m = out.data() + l.m_at();
  for (std::size_t t = 0; t < l.rows && width > 0; ++t) {
    std::memcpy(out.data() + t * width, from.q_row(t), width);
    for (std::size_t i = 0; i < l.scales; ++i, k += sizeof(std::uint16_t)) {
      const auto value = static_cast<std::uint16_t>(from.k_row(t)[i]);
      std::memcpy(k, &value, sizeof value);
    }
    for (std::size_t i = 0; i < l.groups; ++i, ++m) {
      *m = static_cast<std::byte>(from.m_row(t)[i]);
    }
  }
  return out;
}

result<void> read_quantised(std::span<const std::byte> bytes, const part_range& columns,
                            quantized_batch& to) {
  const quantised_layout l{to, columns.size()};
  OVIR_TRY(check_size("quantised activations", bytes.size(), l.bytes()));
  OVIR_TRY(read_scales(bytes, l, columns, to));
  constexpr std::byte most_negative{0x80}; // -128, which no activation is
  if (std::find(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(l.k_at()),
                most_negative) != bytes.begin() + static_cast<std::ptrdiff_t>(l.k_at())) {
    return fail(errc::malformed, "a quantised activation of -128; it is from -127 to 127");
  }
  for (std::size_t t = 0; t < l.rows && l.width > 0; ++t) {
    std::int8_t* const q = &to.q[t * to.cols] + columns.first;
    std::memcpy(q, bytes.data() + t * l.width, l.width);
    std::int32_t* const sums =
        &to.sum[t * (to.cols / group_elements)] + columns.first / group_elements;
    for (std::size_t g = 0; g < l.width / group_elements; ++g) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < group_elements; ++i) {
        sum += q[g * group_elements + i];
      }
      sums[g] = sum;
    }
  }
  return {};
}

std::vector<std::byte> encode_sums(std::span<const std::int64_t> sums) {
  std::size_t bytes = 1;
  for (const std::int64_t sum : sums) {
    bytes = std::max(bytes, bytes_for(sum));
  }
  std::vector<std::byte> out(1 + sums.size() * bytes);
  out[0] = static_cast<std::byte>(bytes);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    std::memcpy(out.data() + 1 + i * bytes, &sums[i], bytes);
  }
  return out;
}

float rounded_total(int128 total) noexcept {
  constexpr int128 most = std::numeric_limits<std::int64_t>::max();
  return total <= most && total >= -most ? round_to_float(static_cast<std::int64_t>(total))
                                         : round_to_float_wide(total);
}

result<void> add_sums(std::span<const std::byte> bytes, std::span<int128> totals) {
  const std::size_t each = bytes.empty() ? 0 : std::to_integer<std::size_t>(bytes[0]);
  if (each < 1 || each > sum_bytes_max) {
    return fail(errc::malformed, "partial sums of {} bytes each; 1 to {} are possible", each,
                sum_bytes_max);
  }
  OVIR_TRY(check_size("partial sums", bytes.size() - 1, totals.size() * each));
  bool needed = each == 1;
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const std::int64_t sum = sum_at(bytes.data() + 1 + i * each, each);
    needed = needed || bytes_for(sum) == each;
    totals[i] += sum;
  }
  if (!needed) {
    return fail(errc::malformed, "partial sums of {} bytes each, of which fewer hold all", each);
  }
  return {};
}

} // namespace ovir::compute
