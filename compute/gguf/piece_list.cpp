#include "compute/gguf/piece_list.hpp"

#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

namespace ovir::compute {

namespace {

/// What a tensor belongs to.
enum class place : std::uint8_t { everywhere, embedding, head, block };

struct tensor_place {
  place kind{place::everywhere};
  std::uint32_t layer{0}; ///< of a block
};

/// "blk.7.attn_q.weight": 7.
std::optional<std::uint32_t> block_of(std::string_view name) {
  constexpr std::string_view begin = "blk.";
  if (!name.starts_with(begin)) {
    return std::nullopt;
  }
  name.remove_prefix(begin.size());
  std::uint32_t layer = 0;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const auto digits = static_cast<std::size_t>(end - name.data());
  const bool plain = digits == 1 || (digits > 1 && name.front() != '0');
  if (problem != std::errc{} || !plain || digits >= name.size() || name[digits] != '.' ||
      layer >= limits::layers_max) {
    return std::nullopt;
  }
  return layer;
}

tensor_place place_of(std::string_view name) {
  if (const auto layer = block_of(name)) {
    return {place::block, *layer};
  }
  if (name.starts_with("token_embd.")) {
    return {place::embedding, 0};
  }
  return {name.starts_with("output_norm.") || name.starts_with("output.") ? place::head
                                                                          : place::everywhere,
          0};
}

} // namespace

result<piece_list> piece_list::of(std::shared_ptr<const model_manifest> manifest) {
  if (manifest->tokenizer_bytes > limits::fetch_piece_bytes_max) {
    return fail(errc::over_limit, "the model's tokenizer has {} bytes, more than the {} allowed",
                manifest->tokenizer_bytes, limits::fetch_piece_bytes_max);
  }
  piece_list list{std::move(manifest)};
  std::uint64_t next = 1;
  for (const tensor_manifest& tensor : list.manifest_->tensors) {
    list.first_.push_back(static_cast<std::uint32_t>(next));
    next += tensor.chunks.size();
    if (next > limits::fetch_pieces_max) {
      return fail(errc::over_limit, "the model has more than the {} pieces allowed",
                  limits::fetch_pieces_max);
    }
    if (const auto layer = block_of(tensor.name)) {
      list.layers_ = std::max(list.layers_, *layer + 1);
    }
  }
  list.first_.push_back(static_cast<std::uint32_t>(next));
  return list;
}

model_piece piece_list::at(std::uint32_t index) const {
  OVIR_CHECK(index < size(), index);
  if (index == 0) {
    return {manifest_->tokenizer, manifest_->tokenizer_bytes, model_piece::tokenizer, 0};
  }
  // The last tensor that begins at or before it; those without bytes have no pieces.
  const auto behind = std::upper_bound(first_.begin(), first_.end(), index);
  const auto tensor = static_cast<std::uint32_t>(behind - first_.begin() - 1);
  const tensor_manifest& t = manifest_->tensors[tensor];
  const std::uint64_t chunk = index - first_[tensor];
  const std::uint64_t offset = chunk * manifest_chunk_bytes;
  return {t.chunks[chunk], std::min(manifest_chunk_bytes, t.bytes - offset), tensor, offset};
}

result<std::vector<std::uint32_t>> piece_list::of_segment(layer_range layers) const {
  if (layers.first >= layers.last || layers.last > layers_) {
    return fail(errc::invalid_argument, "layers {}-{} cannot be held: the model has {}",
                layers.first, layers.last == 0 ? 0 : layers.last - 1, layers_);
  }
  const auto& tensors = manifest_->tensors;
  const bool tied = std::none_of(tensors.begin(), tensors.end(), [](const tensor_manifest& t) {
    return t.name.starts_with("output.");
  });
  // By when a tensor is of use: 0 everywhere, 1 embedding, 2 + layer, then the head.
  std::vector<std::vector<std::uint32_t>> turns(std::size_t{layers_} + 3);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const tensor_place where = place_of(tensors[i].name);
    const bool ends = layers.last == layers_;
    std::optional<std::size_t> turn;
    switch (where.kind) {
    case place::everywhere: turn = 0; break;
    case place::embedding:
      if (layers.first == 0) {
        turn = 1;
      } else if (ends && tied) {
        turn = std::size_t{layers_} + 2;
      }
      break;
    case place::head:
      if (ends) {
        turn = std::size_t{layers_} + 2;
      }
      break;
    case place::block:
      if (layers.first <= where.layer && where.layer < layers.last) {
        turn = std::size_t{where.layer} + 2;
      }
      break;
    }
    for (std::uint32_t piece = first_[i]; turn && piece < first_[i + 1]; ++piece) {
      turns[*turn].push_back(piece);
    }
  }
  std::vector<std::uint32_t> pieces;
  if (manifest_->tokenizer_bytes > 0) {
    pieces.push_back(0);
  }
  for (const auto& turn : turns) {
    pieces.insert(pieces.end(), turn.begin(), turn.end());
  }
  return pieces;
}

std::uint64_t piece_list::bytes_of(const std::vector<std::uint32_t>& pieces) const {
  std::uint64_t bytes = 0;
  for (const std::uint32_t piece : pieces) {
    bytes += at(piece).bytes;
  }
  return bytes;
}

} // namespace ovir::compute
