#include "compute/parts/cut_cost.hpp"

#include "compute/kernels/formats/packed_weights.hpp"

#include <algorithm>
#include <cstddef>

namespace ovir::compute {

namespace {

constexpr std::uint64_t element = sizeof(float);

/// Adds what a block sends in a pass of `rows`; `columns`: of the member's activations.
class block_cost {
public:
  block_cost(const model_config& c, const segment_cut& cut, std::uint32_t rows, cut_cost& total)
      : config_(c), cut_(cut), rows_(rows), total_(total) {}

  void add(const block_cut& how, const weight& output, bool attention) {
    const bool floats = how.output == output_cut::rows && rows_ <= how.floats_up_to;
    for (std::size_t i = 0; i < cut_.members.size(); ++i) {
      const member_part& part = cut_.members[i];
      const std::uint64_t columns = attention
                                        ? attention_columns(config_, part).size()
                                        : std::uint64_t{part.inner.size()} * inner_rows(config_);
      std::uint64_t bytes = floats ? rows_ * (columns * element + 1) : rows_ * (element + 1);
      if (how.output == output_cut::columns) {
        bytes += 1 + rows_ * config_.dim * sum_bytes_expected;
      } else {
        bytes += rows_ * part.rows.size() * element;
        bytes += floats ? 0 : rows_ * quantised_bytes(output, columns);
      }
      total_.sent[i] += bytes;
    }
    total_.exchanges += floats || how.output == output_cut::columns ? 2 : 3;
  }
  void add_norms() {
    for (std::size_t i = 0; i < cut_.members.size(); ++i) {
      const member_part& part = cut_.members[i];
      const std::uint64_t heads = attention_columns(config_, part).size() +
                                  std::uint64_t{part.kv_heads.size()} * config_.head_dim;
      total_.sent[i] += rows_ * heads * element;
    }
    total_.exchanges += 1;
  }

private:
  static std::uint64_t quantised_bytes(const weight& output, std::uint64_t columns) {
    return form_for(output.type) == activation_form::a256
               ? columns + columns / 256 * (sizeof(std::uint16_t) + 8)
               : columns + columns / 32 * sizeof(std::uint16_t);
  }

  const model_config& config_;
  const segment_cut& cut_;
  std::uint64_t rows_;
  cut_cost& total_;
};

/// Of as many experts as the pass's rows can go to.
std::uint64_t expert_bytes(const layer_weights& w, const member_part& part, const model_config& c,
                           std::uint32_t rows) {
  if (w.experts.empty()) {
    return 0;
  }
  std::uint64_t bytes = 0;
  for (const expert_part& which : expert_parts) {
    weight mine = w.experts.front().*which.member;
    mine.rows = expert_rows_of(part, which).size();
    bytes += held_bytes(mine);
  }
  return bytes * std::min<std::uint64_t>(c.experts, std::uint64_t{rows} * c.experts_used);
}

} // namespace

std::uint32_t rows_that_fit(const model_config& config, const segment_cut& cut) {
  constexpr std::uint64_t beside = 8'192; // header, sessions
  std::uint64_t most = std::max<std::uint64_t>(config.dim * sizeof(std::int64_t), 1);
  for (const member_part& part : cut.members) {
    const std::uint64_t heads = attention_columns(config, part).size();
    const std::uint64_t kv = std::uint64_t{part.kv_heads.size()} * config.head_dim;
    for (const std::uint64_t elements :
         {heads + kv, std::uint64_t{part.inner.size()} * inner_rows(config),
          std::uint64_t{part.words.size()}}) {
      most = std::max(most, elements * element + 1);
    }
    most = std::max(most, 2 * cut.layers.size() * kv * sizeof(std::uint16_t));
  }
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
      (limits::frame_bytes_max - beside) / most, 1, limits::prefill_chunk_max));
}

cut_cost cost_of(const model& m, const segment_cut& cut, std::uint32_t rows) {
  cut_cost total;
  total.sent.resize(cut.members.size());
  total.weights.resize(cut.members.size());
  for (const member_part& part : cut.members) {
    weight words = m.output;
    words.rows = part.words.size();
    total.head.push_back(words.rows == 0 ? 0 : held_bytes(words));
  }
  block_cost blocks{m.config, cut, rows, total};
  for (layer_index l = cut.layers.first; l < cut.layers.last; ++l) {
    const layer_weights& w = m.layers[l];
    if (norms_whole_rows(m.config, w)) {
      blocks.add_norms();
    }
    blocks.add(cut.of(l).attention, w.attn_output, true);
    blocks.add(cut.of(l).feed_forward, w.ffn_down, false);
    for (std::uint32_t i = 0; i < cut.members.size(); ++i) {
      for (const weight_part& part : weight_parts(m, cut, l, i)) {
        weight mine = w.*part.member;
        mine.rows = part.rows.size();
        mine.cols = part.columns.size();
        total.weights[i] += held_bytes(mine);
      }
      total.weights[i] += expert_bytes(w, cut.members[i], m.config, rows);
    }
  }
  return total;
}

} // namespace ovir::compute
