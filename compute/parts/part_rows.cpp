#include "compute/parts/part_rows.hpp"

#include "messages/check.hpp"

#include <array>
#include <cstring>
#include <vector>

// Grammar, also on docs/formats/parts.md:
//
//   row   = H("ovir/part/v1/row"; what crossed of it, as in the message; sums as i64)
//   chain = H("ovir/part/v1/chain"; chain of the row before, row)
namespace ovir::compute {

namespace {

/// A run of equal elements of every row, one row behind the other.
struct run_of_rows {
  std::size_t at;    ///< in the payload
  std::size_t bytes; ///< of a row
};

/// One member's bytes of a crossing.
struct sent_rows {
  crossing_kind kind;
  activation_form form;
  std::size_t rows;
  std::array<std::size_t, 2> widths; ///< of queries and keys; else the first alone
  std::span<const std::byte> bytes;
};

// Of as many bytes as an i64 has, whatever the message took.
void append_sums(const sent_rows& sent, std::size_t t, std::vector<std::byte>& out) {
  const auto each = std::to_integer<std::size_t>(sent.bytes[0]);
  const std::size_t width = sent.widths[0];
  for (std::size_t i = 0; i < width; ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, sent.bytes.data() + 1 + (t * width + i) * each, each);
    const auto unused = static_cast<unsigned>(8 * (sizeof bits - each));
    const auto sum = static_cast<std::int64_t>(bits << unused) >> unused;
    const auto bytes = std::as_bytes(std::span{&sum, 1});
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
}

/// What is of row `t`, appended to `out`.
void append_row(const sent_rows& sent, std::size_t t, std::vector<std::byte>& out) {
  const auto take = [&](const run_of_rows& run) {
    const std::byte* const from = sent.bytes.data() + run.at + t * run.bytes;
    out.insert(out.end(), from, from + run.bytes);
    return run.at + sent.rows * run.bytes;
  };
  const std::size_t width = sent.widths[0];
  switch (sent.kind) {
  case crossing_kind::maxima: take({take({0, sizeof(float)}), 1}); break;
  case crossing_kind::floats: take({take({0, width * sizeof(float)}), 1}); break;
  case crossing_kind::quantised: {
    const bool superblocks = sent.form == activation_form::a256;
    const std::size_t k = take({0, width});
    const std::size_t m = take({k, width / (superblocks ? 256 : 32) * sizeof(std::uint16_t)});
    if (superblocks) {
      take({m, width / 32});
    }
    break;
  }
  case crossing_kind::sums: append_sums(sent, t, out); break;
  case crossing_kind::queries_keys:
    take({take({0, width * sizeof(float)}), sent.widths[1] * sizeof(float)});
    break;
  case crossing_kind::rows: take({0, width * sizeof(float)}); break;
  case crossing_kind::logits: break;
  }
}

} // namespace

part_lane lane_of(const crossing_place& place) {
  const bool attention = place.block == layer_block::attention;
  switch (place.kind) {
  case crossing_kind::queries_keys: return part_lane::queries_keys;
  case crossing_kind::maxima:
    return attention ? part_lane::attention_maxima : part_lane::inner_maxima;
  case crossing_kind::floats:
    return attention ? part_lane::attention_floats : part_lane::inner_floats;
  case crossing_kind::quantised:
    return attention ? part_lane::attention_quantised : part_lane::inner_quantised;
  case crossing_kind::sums:
  case crossing_kind::rows:
    return attention ? part_lane::attention_output : part_lane::inner_output;
  case crossing_kind::logits: break;
  }
  OVIR_CHECK(false, static_cast<int>(place.kind));
  return part_lane::kv;
}

std::string_view words_for(part_lane lane) noexcept {
  switch (lane) {
  case part_lane::kv: return "keys and values";
  case part_lane::queries_keys: return "queries and keys";
  case part_lane::attention_maxima: return "the largest magnitudes of the attention";
  case part_lane::attention_floats: return "activations of the attention";
  case part_lane::attention_quantised: return "quantised activations of the attention";
  case part_lane::attention_output: return "the attention's output";
  case part_lane::inner_maxima: return "the largest magnitudes of the feed-forward block";
  case part_lane::inner_floats: return "activations of the feed-forward block";
  case part_lane::inner_quantised: return "quantised activations of the feed-forward block";
  case part_lane::inner_output: return "the feed-forward block's output";
  case part_lane::logits: return "logits";
  }
  return "";
}

digest chained(const digest& prev, const digest& row) {
  return hasher{"ovir/part/v1/chain"}.update(prev).update(row).finish();
}

digest row_digest(std::span<const std::byte> bytes) { return hash("ovir/part/v1/row", bytes); }

void digest_rows(
    const model_config& config, const segment_cut& cut, const crossing_place& place,
    activation_form form, std::uint32_t rows, std::span<const std::span<const std::byte>> all,
    const std::function<void(std::uint32_t row, std::uint32_t member, const digest&)>& each) {
  OVIR_CHECK(all.size() == cut.members.size(), all.size());
  std::vector<std::byte> row;
  for (std::uint32_t i = 0; i < all.size(); ++i) {
    const member_part& part = cut.members[i];
    const bool norms = place.kind == crossing_kind::queries_keys;
    const sent_rows sent{
        place.kind,
        form,
        rows,
        {norms ? attention_columns(config, part).size() : crossing_width(config, cut, i, place),
         std::size_t{part.kv_heads.size()} * config.head_dim},
        all[i]};
    for (std::uint32_t t = 0; t < rows; ++t) {
      row.clear();
      append_row(sent, t, row);
      each(t, i, row_digest(row));
    }
  }
}

} // namespace ovir::compute
