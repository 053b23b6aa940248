#include "compute/model/transcript.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <bit>

// Grammar, also on docs/formats/transcript.md. Integers are little-endian; H(domain; fields) is
// BLAKE3 with the domain as key-derivation context.
//
//   boundary = H("ovir/transcript/v1/boundary"; layer u32, window u32, dim u32,
//                rows f32[positions][dim], positions u32)
//   unit     = H("ovir/transcript/v1/unit"; window u32, layer u32, positions u32, boundary)
//   logits   = H("ovir/transcript/v1/logits"; position u32, count u32, f32[count])
//   draw     = H("ovir/transcript/v1/draw"; position u32, logits)
//   node     = H("ovir/transcript/v1/node"; left, right)
//   tokens   = H("ovir/transcript/v1/tokens"; count u32, ids u32[count])
//   root     = H("ovir/transcript/v1/root"; profile text, hashed layers u32, positions u32,
//                units u32, tree(units), draws u32, tree(draws), tokens)
namespace ovir::compute {

namespace {

constexpr std::uint32_t window_size = limits::window_positions;

hasher begin_boundary(layer_index layer, std::uint32_t window, std::uint32_t dim) {
  hasher state{boundary_domain};
  state.update_u32(layer).update_u32(window).update_u32(dim);
  return state;
}

unit_leaf close_unit(layer_index layer, std::uint32_t window, std::uint32_t positions,
                     hasher state) {
  state.update_u32(positions);
  return {{window, layer}, positions, state.finish()};
}

digest unit_digest(const unit_leaf& leaf) {
  return hasher{"ovir/transcript/v1/unit"}
      .update_u32(leaf.unit.window)
      .update_u32(leaf.unit.layer)
      .update_u32(leaf.positions)
      .update(leaf.boundary)
      .finish();
}

} // namespace

unit_digests::unit_digests(layer_range hashed_layers) : layers_(hashed_layers) {
  for (std::uint32_t i = 0; i < layers_.size(); ++i) {
    open_.push_back({hasher{""}, 0, 0});
  }
}

void unit_digests::add(layer_index layer, position first, std::uint32_t count,
                       std::span<const float> rows, std::uint32_t dim,
                       std::vector<unit_leaf>& done) {
  OVIR_CHECK(layer >= layers_.first && layer < layers_.last, layer);
  OVIR_CHECK(rows.size() == std::size_t{count} * dim, rows.size(), count, dim);
  open_unit& open = open_[layer - layers_.first];
  OVIR_CHECK(open.window * window_size + open.positions == first, open.window, open.positions,
             first);
  while (count > 0) {
    if (open.positions == 0) {
      open.state = begin_boundary(layer, open.window, dim);
    }
    const std::uint32_t taken = std::min(count, window_size - open.positions);
    open.state.update(std::as_bytes(rows.first(std::size_t{taken} * dim)));
    rows = rows.subspan(std::size_t{taken} * dim);
    count -= taken;
    open.positions += taken;
    if (open.positions == window_size) {
      done.push_back(close_unit(layer, open.window, open.positions, open.state));
      ++open.window;
      open.positions = 0;
    }
  }
}

void unit_digests::add_window(layer_index layer, const digest& boundary,
                              std::vector<unit_leaf>& done) {
  OVIR_CHECK(layer >= layers_.first && layer < layers_.last, layer);
  open_unit& open = open_[layer - layers_.first];
  OVIR_CHECK(open.positions == 0, open.window, open.positions);
  done.push_back({{open.window, layer}, window_size, boundary});
  ++open.window;
}

void unit_digests::skip_to(std::uint32_t window) {
  for (open_unit& open : open_) {
    OVIR_CHECK(open.positions == 0 && open.window <= window, open.positions, open.window, window);
    open.window = window;
  }
}

std::vector<unit_leaf> unit_digests::open_leaves() const {
  std::vector<unit_leaf> leaves;
  for (std::uint32_t i = 0; i < open_.size(); ++i) {
    if (open_[i].positions > 0) {
      leaves.push_back(
          close_unit(layers_.first + i, open_[i].window, open_[i].positions, open_[i].state));
    }
  }
  return leaves;
}

digest logits_digest(position p, std::span<const float> logits) {
  return hasher{"ovir/transcript/v1/logits"}
      .update_u32(p)
      .update_u32(static_cast<std::uint32_t>(logits.size()))
      .update(std::as_bytes(logits))
      .finish();
}

result<void> transcript::add_unit(const unit_leaf& leaf) {
  const auto [known, is_new] = units_.try_emplace(leaf.unit, leaf);
  if (!is_new && known->second != leaf) {
    return fail(errc::digest_mismatch,
                "layer {} over window {} was computed twice with different results: {} and {}",
                leaf.unit.layer, leaf.unit.window, to_hex(known->second.boundary),
                to_hex(leaf.boundary));
  }
  return {};
}

result<void> transcript::add_logits(position p, const digest& d) {
  const auto [known, is_new] = logits_.try_emplace(p, d);
  if (!is_new && known->second != d) {
    return fail(errc::digest_mismatch,
                "the logits of position {} were computed twice with different results: {} and {}",
                p, to_hex(known->second), to_hex(d));
  }
  return {};
}

std::vector<unit_leaf> transcript::units() const {
  std::vector<unit_leaf> leaves;
  leaves.reserve(units_.size());
  for (const auto& [name, leaf] : units_) {
    leaves.push_back(leaf);
  }
  return leaves;
}

std::vector<std::pair<position, digest>> transcript::logits() const {
  return {logits_.begin(), logits_.end()};
}

const unit_leaf* transcript::unit(const unit_name& name) const {
  const auto known = units_.find(name);
  return known == units_.end() ? nullptr : &known->second;
}

result<digest> transcript::root(std::uint32_t hashed_layers, std::uint32_t positions,
                                std::span<const token_id> tokens) const {
  const std::uint32_t windows = (positions + window_size - 1) / window_size;
  std::vector<digest> units;
  units.reserve(units_.size());
  auto leaf = units_.begin();
  for (std::uint32_t w = 0; w < windows; ++w) {
    const std::uint32_t expected = std::min(window_size, positions - w * window_size);
    for (layer_index l = 0; l < hashed_layers; ++l, ++leaf) {
      if (leaf == units_.end() || leaf->first != unit_name{w, l} ||
          leaf->second.positions != expected) {
        return fail(errc::internal, "the transcript lacks layer {} over window {}", l, w);
      }
      units.push_back(unit_digest(leaf->second));
    }
  }
  if (leaf != units_.end()) {
    return fail(errc::internal, "the transcript has layer {} over window {}, beyond its end",
                leaf->first.layer, leaf->first.window);
  }
  std::vector<digest> draws;
  draws.reserve(logits_.size());
  for (const auto& [p, logits] : logits_) {
    draws.push_back(hasher{"ovir/transcript/v1/draw"}.update_u32(p).update(logits).finish());
  }
  const digest token_digest = hasher{"ovir/transcript/v1/tokens"}
                                  .update_u32(static_cast<std::uint32_t>(tokens.size()))
                                  .update(std::as_bytes(tokens))
                                  .finish();
  return hasher{"ovir/transcript/v1/root"}
      .update_text(profile_name)
      .update_u32(hashed_layers)
      .update_u32(positions)
      .update_u32(static_cast<std::uint32_t>(units.size()))
      .update(merkle_root(units))
      .update_u32(static_cast<std::uint32_t>(draws.size()))
      .update(merkle_root(draws))
      .update(token_digest)
      .finish();
}

digest merkle_root(std::span<const digest> leaves) {
  if (leaves.empty()) {
    return hash("ovir/transcript/v1/empty", {});
  }
  if (leaves.size() == 1) {
    return leaves.front();
  }
  // RFC 6962: the left subtree holds the largest power of two below the count. Depth is at most 64.
  const std::size_t left = std::bit_floor(leaves.size() - 1);
  return hasher{"ovir/transcript/v1/node"}
      .update(merkle_root(leaves.first(left)))
      .update(merkle_root(leaves.subspan(left)))
      .finish();
}

} // namespace ovir::compute
