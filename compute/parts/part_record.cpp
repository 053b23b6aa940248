#include "compute/parts/part_record.hpp"

#include "compute/parts/cut_codec.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

// Grammar, also on docs/formats/parts.md:
//
//   sent = H("ovir/part/v1/sent"; part name, layer u32, window u32, (row)[positions], positions
//   u32) row  = what crossed of it, in the order of steps: maximum f32 and state u8; activations
//   f32 and
//          state; q i8[], k u16[], m u8[]; sums i64[]; output rows f32[]; queries f32[] and keys
//          f32[]
namespace ovir::compute {

namespace {

/// A run of equal elements of every row, one row behind the other.
struct run_of_rows {
  std::size_t at;    ///< in the payload
  std::size_t bytes; ///< of a row
};

/// What of a payload is of row `t`, appended to `out`.
void append_row(const crossing_place& place, activation_form form, std::size_t rows,
                std::span<const std::size_t> widths, std::span<const std::byte> payload,
                std::size_t t, std::vector<std::byte>& out) {
  const auto take = [&](const run_of_rows& run) {
    const std::byte* const from = payload.data() + run.at + t * run.bytes;
    out.insert(out.end(), from, from + run.bytes);
    return run.at + rows * run.bytes;
  };
  const std::size_t width = widths[0];
  switch (place.kind) {
  case crossing_kind::maxima: take({take({0, sizeof(float)}), 1}); break;
  case crossing_kind::floats: take({take({0, width * sizeof(float)}), 1}); break;
  case crossing_kind::quantised: {
    const bool superblocks = form == activation_form::a256;
    const std::size_t k = take({0, width});
    const std::size_t m = take({k, width / (superblocks ? 256 : 32) * sizeof(std::uint16_t)});
    if (superblocks) {
      take({m, width / 32});
    }
    break;
  }
  case crossing_kind::sums: {
    const auto each = std::to_integer<std::size_t>(payload[0]);
    // Of as many bytes as the row itself needs: eight, whatever the message took.
    for (std::size_t i = 0; i < width; ++i) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, payload.data() + 1 + (t * width + i) * each, each);
      const auto unused = static_cast<unsigned>(8 * (sizeof bits - each));
      const auto sum = static_cast<std::int64_t>(bits << unused) >> unused;
      const auto bytes = std::as_bytes(std::span{&sum, 1});
      out.insert(out.end(), bytes.begin(), bytes.end());
    }
    break;
  }
  case crossing_kind::queries_keys:
    take({take({0, width * sizeof(float)}), widths[1] * sizeof(float)});
    break;
  case crossing_kind::rows: take({0, width * sizeof(float)}); break;
  case crossing_kind::logits: break;
  }
}

bool is_fixed(const block_cut& how) {
  return how.output == output_cut::columns || how.floats_up_to == 0 || how.floats_up_to == always;
}

bool ends_layer(const crossing_place& place) {
  return place.block == layer_block::feed_forward &&
         (place.kind == crossing_kind::rows || place.kind == crossing_kind::sums);
}

} // namespace

part_record::part_record(const model_config& config, const segment_cut& cut, const digest& model)
    : config_(config), cut_(cut), open_(cut.layers.size() * cut.members.size()) {
  for (layer_index l = cut.layers.first; l < cut.layers.last; ++l) {
    for (std::uint32_t i = 0; i < cut.members.size(); ++i) {
      names_.push_back(part_name(model, cut, l, i));
    }
  }
}

result<part_record> part_record::make(const model_config& config, const segment_cut& cut,
                                      const digest& model) {
  for (const layer_cut& layer : cut.blocks) {
    if (!is_fixed(layer.attention) || !is_fixed(layer.feed_forward)) {
      return fail(
          errc::unsupported,
          "what crosses by this cut depends on the rows of a pass, so there is no record of "
          "it; let activations cross as floats always or never");
    }
  }
  return part_record{config, cut, model};
}

void part_record::add(const crossing_place& place, activation_form form, std::uint32_t rows,
                      std::uint32_t row, std::uint32_t count,
                      std::span<const std::span<const std::byte>> all) {
  const std::size_t members = cut_.members.size();
  OVIR_CHECK(all.size() == members && row + count <= rows, all.size(), row, count);
  begun_step& step = begun_.emplace_back(members * count);
  for (std::uint32_t i = 0; i < members; ++i) {
    const part_range heads = attention_columns(config_, cut_.members[i]);
    const bool norms = place.kind == crossing_kind::queries_keys;
    const std::size_t keys = std::size_t{cut_.members[i].kv_heads.size()} * config_.head_dim;
    const std::size_t widths[] = {norms ? heads.size() : crossing_width(config_, cut_, i, place),
                                  keys};
    for (std::uint32_t t = 0; t < count; ++t) {
      append_row(place, form, rows, widths, all[i], row + t, step[i * count + t]);
    }
  }
  if (ends_layer(place)) {
    end_layer(place.layer, count);
  }
}

part_leaf part_record::leaf_of(layer_index layer, std::uint32_t member) const {
  const std::size_t at = (layer - cut_.layers.first) * cut_.members.size() + member;
  const open_part& open = open_[at];
  part_leaf leaf{open.window, layer, member, open.positions, names_[at], {}};
  for (const hasher& step : open.steps) {
    hasher state = step;
    leaf.sent.push_back(state.update_u32(open.positions).finish());
  }
  return leaf;
}

void part_record::end_layer(layer_index layer, std::uint32_t count) {
  for (std::uint32_t i = 0; i < cut_.members.size(); ++i) {
    const std::size_t at = (layer - cut_.layers.first) * cut_.members.size() + i;
    open_part& open = open_[at];
    for (std::uint32_t t = 0; t < count; ++t) {
      if (open.positions == 0) {
        open.steps.assign(begun_.size(), hasher{"ovir/part/v1/sent"});
        for (std::uint32_t step = 0; step < open.steps.size(); ++step) {
          open.steps[step].update(names_[at]).update_u32(layer).update_u32(open.window);
          open.steps[step].update_u32(step);
        }
      }
      for (std::size_t step = 0; step < open.steps.size(); ++step) {
        open.steps[step].update(begun_[step][i * count + t]);
      }
      if (++open.positions == limits::window_positions) {
        leaves_.push_back(leaf_of(layer, i));
        ++open.window;
        open.positions = 0;
      }
    }
  }
  begun_.clear();
}

std::vector<part_leaf> part_record::take_leaves() { return std::exchange(leaves_, {}); }

std::vector<part_leaf> part_record::open_leaves() const {
  std::vector<part_leaf> leaves;
  for (layer_index l = cut_.layers.first; l < cut_.layers.last; ++l) {
    for (std::uint32_t i = 0; i < cut_.members.size(); ++i) {
      if (open_[(l - cut_.layers.first) * cut_.members.size() + i].positions > 0) {
        leaves.push_back(leaf_of(l, i));
      }
    }
  }
  return leaves;
}

std::optional<part_difference> first_difference(std::span<const part_leaf> stated,
                                                std::span<const part_leaf> computed) {
  const auto unit = [](const part_leaf& leaf) {
    return std::tuple{leaf.window, leaf.layer, leaf.member, leaf.part};
  };
  std::map<decltype(unit(stated.front())), const part_leaf*> known;
  for (const part_leaf& leaf : computed) {
    known[unit(leaf)] = &leaf;
  }
  std::optional<part_difference> first;
  const auto place = [](const part_difference& d) {
    return std::tuple{d.stated.window, d.stated.layer, d.step, d.stated.member};
  };
  for (const part_leaf& leaf : stated) {
    const auto found = known.find(unit(leaf));
    if (found == known.end() || leaf == *found->second) {
      continue;
    }
    const std::vector<digest>& wanted = found->second->sent;
    const auto wrong =
        std::mismatch(leaf.sent.begin(), leaf.sent.end(), wanted.begin(), wanted.end()).first;
    const part_difference here{leaf, static_cast<std::uint32_t>(wrong - leaf.sent.begin())};
    if (!first || place(here) < place(*first)) {
      first = here;
    }
  }
  return first;
}

} // namespace ovir::compute
