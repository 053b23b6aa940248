#include "compute/parts/segment_cut.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace ovir::compute {

namespace {

/// Rows of a panel of packed weights: bounds between them would cost a panel twice.
constexpr std::uint32_t panel_grain = 16;

std::uint32_t block_elements(const weight& w) { return layout_of(w.type).block_elements; }

/// Query elements of a K/V head.
std::uint32_t head_columns(const model_config& c) { return c.heads / c.kv_heads * c.head_dim; }

/// [0, total) in whole grains, as near to the shares as these allow.
std::vector<part_range> share_out(std::uint32_t total, std::uint32_t grain,
                                  std::span<const std::uint32_t> shares) {
  const std::uint64_t grains = (std::uint64_t{total} + grain - 1) / grain;
  const std::uint64_t all = std::accumulate(shares.begin(), shares.end(), std::uint64_t{0});
  std::vector<part_range> ranges;
  std::uint64_t before = 0;
  std::uint32_t first = 0;
  for (const std::uint32_t share : shares) {
    before += share;
    const std::uint64_t bound = (grains * before + all / 2) / all * grain;
    const auto last = static_cast<std::uint32_t>(std::min<std::uint64_t>(bound, total));
    ranges.push_back({first, last});
    first = last;
  }
  return ranges;
}

/// `wanted`, where [0, total) has so many of it that each member can have one.
std::uint32_t grain_for(std::uint32_t total, std::uint32_t wanted, std::uint32_t otherwise,
                        std::size_t members) {
  return total / wanted >= members ? wanted : otherwise;
}

bool at_blocks(const weight& w, std::span<const part_range> columns) {
  const std::uint32_t block = block_elements(w);
  return std::all_of(columns.begin(), columns.end(), [&](const part_range& r) {
    return r.first % block == 0 && r.last % block == 0;
  });
}

bool is_float(const weight& w) { return form_for(w.type) == activation_form::floats; }

block_cut possible(const weight& output, std::span<const part_range> columns, output_cut wanted,
                   std::uint32_t floats_up_to) {
  if (is_float(output) || !at_blocks(output, columns)) {
    return {output_cut::rows, always};
  }
  if (wanted == output_cut::columns && !output.wide) {
    return {output_cut::columns, 0};
  }
  return {output_cut::rows, floats_up_to};
}

/// Elements between the matrices of a feed-forward block, or of an expert.
std::uint32_t inner_length(const model_config& c) {
  return c.experts == 0 ? c.ffn_dim : c.expert_ffn_dim;
}

std::vector<part_range> columns_of(const model_config& c, std::span<const member_part> members,
                                   bool attention) {
  std::vector<part_range> columns;
  for (const member_part& m : members) {
    columns.push_back(attention ? attention_columns(c, m) : m.inner);
  }
  return columns;
}

result<void> check_range(const model& m, layer_range layers) {
  if (layers.first >= layers.last || layers.last > m.config.layers) {
    return fail(errc::invalid_argument,
                "a segment of layers [{}, {}) does not exist in a model of "
                "{} layers",
                layers.first, layers.last, m.config.layers);
  }
  return {};
}

/// `of`: the range of a member's part.
result<void> check_tiles(const segment_cut& cut, part_range member_part::*of, std::uint32_t total,
                         std::string_view what) {
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < cut.members.size(); ++i) {
    const part_range& r = cut.members[i].*of;
    if (r.first != at || r.last < r.first || r.last > total) {
      return fail(errc::malformed,
                  "member {} of the group has {} [{}, {}), where [{}, {}) is left to have; the "
                  "parts of a cut follow each other without gaps",
                  i, what, r.first, r.last, at, total);
    }
    at = r.last;
  }
  if (at != total) {
    return fail(errc::malformed, "the group has {} [0, {}) of {}; all must be held", what, at,
                total);
  }
  return {};
}

result<void> check_block(const segment_cut& cut, const block_cut& block, const weight& output,
                         std::span<const part_range> columns, const std::string& name) {
  if (block.output != output_cut::rows && block.output != output_cut::columns) {
    return fail(errc::malformed, "{} is cut in a way that does not exist", name);
  }
  if (block.floats_up_to > always) {
    return fail(errc::over_limit,
                "activations of {} cross as floats up to {} rows; a pass has at "
                "most {}",
                name, block.floats_up_to, always);
  }
  if (block.output == output_cut::rows && block.floats_up_to == always) {
    return {};
  }
  if (is_float(output)) {
    return fail(errc::unsupported,
                "{} is {}, whose sums have an order: it is cut by rows, with activations as floats",
                name, name_of(output.type));
  }
  if (block.output == output_cut::columns && output.wide) {
    return fail(errc::unsupported,
                "{} has sums beyond 64 bits, which do not cross: it is cut by rows", name);
  }
  for (std::size_t i = 0; i < cut.members.size(); ++i) {
    if (!at_blocks(output, columns.subspan(i, 1))) {
      return fail(errc::malformed,
                  "member {} of the group has elements [{}, {}) of the input of {}, whose blocks "
                  "are of {}; bounds stand between blocks",
                  i, columns[i].first, columns[i].last, name, block_elements(output));
    }
  }
  return {};
}

} // namespace

part_range attention_columns(const model_config& config, const member_part& part) {
  const std::uint32_t each = head_columns(config);
  return {part.kv_heads.first * each, part.kv_heads.last * each};
}

bool norms_whole_rows(const model_config& config, const layer_weights& layer) noexcept {
  return (!layer.attn_q_norm.empty() && layer.attn_q_norm.cols != config.head_dim) ||
         (!layer.attn_k_norm.empty() && layer.attn_k_norm.cols != config.head_dim);
}

part_range expert_rows_of(const member_part& part, const expert_part& which) noexcept {
  return which.member == &expert_weights::down ? part.rows : part.inner;
}

result<void> check_for_parts(const model& m, layer_range layers) {
  OVIR_TRY(check_range(m, layers));
  if (m.lora) {
    return fail(errc::unsupported, "the model has an adapter, which groups of nodes do not "
                                   "compute; use stages of whole layers");
  }
  if (std::uint64_t{inner_rows(m.config)} * inner_length(m.config) > limits::feed_forward_max) {
    return fail(errc::over_limit,
                "{} experts of {} elements for each row; groups of nodes exchange up to {} "
                "elements of a row; use stages of whole layers",
                m.config.experts_used, m.config.expert_ffn_dim, limits::feed_forward_max);
  }
  for (layer_index l = layers.first; l < layers.last; ++l) {
    if (norms_whole_rows(m.config, m.layers[l]) && !m.layers[l].attn_q_bias.empty()) {
      return fail(errc::unsupported,
                  "layer {} norms queries over all heads behind a bias, which groups of nodes do "
                  "not compute; use stages of whole layers",
                  l);
    }
  }
  return {};
}

result<segment_cut> cut_segment(const model& m, layer_range layers,
                                std::span<const std::uint32_t> shares, const cut_wish& wish) {
  OVIR_TRY(check_for_parts(m, layers));
  if (shares.empty() || shares.size() > limits::group_members_max) {
    return fail(errc::invalid_argument, "a group of {} members; 1 to {} can hold a segment",
                shares.size(), limits::group_members_max);
  }
  for (const std::uint32_t share : shares) {
    if (share == 0 || share > limits::group_share_max) {
      return fail(errc::invalid_argument, "a member's share is {}; it is from 1 to {}", share,
                  limits::group_share_max);
    }
  }
  const model_config& c = m.config;
  std::uint32_t heads = 1;
  std::uint32_t inner = panel_grain;
  for (layer_index l = layers.first; l < layers.last; ++l) {
    const std::uint32_t block = block_elements(m.layers[l].attn_output);
    heads = std::lcm(heads, block / std::gcd(block, head_columns(c)));
    inner = std::lcm(inner, m.layers[l].experts.empty() ? block_elements(m.layers[l].ffn_down) : 1);
  }
  const std::size_t n = shares.size();
  const auto kv_heads = share_out(c.kv_heads, grain_for(c.kv_heads, heads, 1, n), shares);
  const std::uint32_t length = inner_length(c);
  const auto inners = share_out(length, grain_for(length, inner, panel_grain, n), shares);
  const auto rows = share_out(c.dim, grain_for(c.dim, panel_grain, 1, n), shares);
  const std::uint32_t words = layers.last == c.layers ? c.vocabulary : 0;
  const auto word_rows = share_out(words, panel_grain, shares);
  segment_cut cut{layers, {}, {}};
  for (std::size_t i = 0; i < n; ++i) {
    cut.members.push_back({kv_heads[i], inners[i], rows[i], word_rows[i]});
  }
  const auto attention = columns_of(c, cut.members, true);
  for (layer_index l = layers.first; l < layers.last; ++l) {
    const layer_weights& w = m.layers[l];
    cut.blocks.push_back({possible(w.attn_output, attention, wish.attention, wish.floats_up_to),
                          w.experts.empty()
                              ? possible(w.ffn_down, inners, wish.feed_forward, wish.floats_up_to)
                              : block_cut{output_cut::rows, always}});
  }
  return cut;
}

result<void> check_cut(const model& m, const segment_cut& cut) {
  OVIR_TRY(check_for_parts(m, cut.layers));
  const model_config& c = m.config;
  if (cut.members.empty() || cut.members.size() > limits::group_members_max) {
    return fail(errc::over_limit, "a group of {} members; 1 to {} can hold a segment",
                cut.members.size(), limits::group_members_max);
  }
  if (cut.blocks.size() != cut.layers.size()) {
    return fail(errc::malformed, "the cut of {} layers says how {} are cut", cut.layers.size(),
                cut.blocks.size());
  }
  OVIR_TRY(check_tiles(cut, &member_part::kv_heads, c.kv_heads, "K/V heads"));
  OVIR_TRY(check_tiles(cut, &member_part::inner, inner_length(c), "feed-forward rows"));
  OVIR_TRY(check_tiles(cut, &member_part::rows, c.dim, "output rows"));
  OVIR_TRY(check_tiles(cut, &member_part::words, cut.layers.last == c.layers ? c.vocabulary : 0,
                       "rows of the head"));
  const auto attention = columns_of(c, cut.members, true);
  const auto inner = columns_of(c, cut.members, false);
  for (layer_index l = cut.layers.first; l < cut.layers.last; ++l) {
    const layer_weights& w = m.layers[l];
    const layer_cut& layer = cut.of(l);
    OVIR_TRY(check_block(cut, layer.attention, w.attn_output, attention,
                         fmt::format("blk.{}.attn_output", l)));
    if (w.experts.empty()) {
      OVIR_TRY(check_block(cut, layer.feed_forward, w.ffn_down, inner,
                           fmt::format("blk.{}.ffn_down", l)));
    } else if (layer.feed_forward != block_cut{output_cut::rows, always}) {
      return fail(errc::unsupported,
                  "layer {} is a mixture of experts: it is cut by rows, with activations as floats",
                  l);
    }
  }
  return {};
}

std::vector<weight_part> weight_parts(const model& m, const segment_cut& cut, layer_index layer,
                                      std::uint32_t member) {
  const model_config& c = m.config;
  const member_part& mine = cut.members[member];
  const part_range q = attention_columns(c, mine);
  const part_range kv{mine.kv_heads.first * c.head_dim, mine.kv_heads.last * c.head_dim};
  const layer_cut& how = cut.of(layer);
  std::vector<weight_part> parts;
  for (const layer_part& one : layer_parts) {
    const weight& w = m.layers[layer].*one.member;
    if (w.empty()) {
      continue;
    }
    weight_part part{one.name, one.member, {0, w.rows}, {0, w.cols}};
    if (one.member == &layer_weights::attn_q) {
      part.rows = q;
    } else if (one.member == &layer_weights::attn_k || one.member == &layer_weights::attn_v) {
      part.rows = kv;
    } else if (one.member == &layer_weights::attn_q_bias) {
      part.columns = q;
    } else if (one.member == &layer_weights::attn_k_bias ||
               one.member == &layer_weights::attn_v_bias) {
      part.columns = kv;
    } else if (one.member == &layer_weights::ffn_gate || one.member == &layer_weights::ffn_up) {
      part.rows = mine.inner;
    } else if (one.member == &layer_weights::attn_output) {
      (how.attention.output == output_cut::rows ? part.rows : part.columns) =
          how.attention.output == output_cut::rows ? mine.rows : q;
    } else if (one.member == &layer_weights::ffn_down) {
      (how.feed_forward.output == output_cut::rows ? part.rows : part.columns) =
          how.feed_forward.output == output_cut::rows ? mine.rows : mine.inner;
    } else if (one.member == &layer_weights::ffn_shared_down) {
      part.rows = mine.rows;
    }
    parts.push_back(part);
  }
  return parts;
}

} // namespace ovir::compute
