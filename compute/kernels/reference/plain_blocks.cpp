#include "compute/kernels/reference/plain_blocks.hpp"

#include <array>
#include <cmath>

namespace ovir::compute {

namespace {

/// What there is beyond plain blocks; empty where there is nothing.
std::string_view beyond_plain(const model& m) {
  const model_config& c = m.config;
  constexpr std::array<layer_part, 7> extras{{
      {"biases of queries", &layer_weights::attn_q_bias, false},
      {"biases of keys", &layer_weights::attn_k_bias, false},
      {"biases of values", &layer_weights::attn_v_bias, false},
      {"norms of queries", &layer_weights::attn_q_norm, false},
      {"norms of keys", &layer_weights::attn_k_norm, false},
      {"norms of what attention puts out", &layer_weights::attn_post_norm, false},
      {"norms of what the feed-forward block puts out", &layer_weights::ffn_post_norm, false},
  }};
  if (m.lora) {
    return "an adapter";
  }
  for (const layer_weights& layer : m.layers) {
    if (!layer.experts.empty()) {
      return "a router and experts";
    }
    for (const layer_part& extra : extras) {
      if (!(layer.*extra.member).empty()) {
        return extra.name;
      }
    }
    if (layer.attn_norm.empty() || layer.ffn_norm.empty()) {
      return "blocks that do not norm what they read";
    }
  }
  const auto by_root = static_cast<float>(1.0 / std::sqrt(static_cast<double>(c.head_dim)));
  if (c.rotary != rotary_pairs::neighbours || c.unrotated_every != 0 ||
      c.rope.how != rope_scaling::kind::none || c.window_rope_base != 0) {
    return "another rotation";
  }
  if (c.window != 0) {
    return "windows of attention";
  }
  if (c.gate != gate_function::silu) {
    return "another gate";
  }
  if (c.attention_scale != by_root || c.embedding_scale != 1 || c.residual_scale != 1 ||
      c.logit_divisor != 1) {
    return "factors of its own";
  }
  return c.attention_cap != 0 || c.logit_cap != 0 ? "caps" : "";
}

} // namespace

result<void> require_plain_blocks(const model& m, std::string_view who) {
  const std::string_view extra = beyond_plain(m);
  if (!extra.empty()) {
    return fail(errc::unsupported,
                "{} know the blocks of plain llama models only, and this {} model has {}", who,
                m.config.architecture, extra);
  }
  return {};
}

} // namespace ovir::compute
