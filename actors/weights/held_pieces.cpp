#include "actors/weights/held_pieces.hpp"

#include <algorithm>

namespace ovir::actors {

std::vector<piece_range> ranges_of(std::vector<std::uint32_t> pieces) {
  std::sort(pieces.begin(), pieces.end());
  std::vector<piece_range> ranges;
  for (const std::uint32_t piece : pieces) {
    if (!ranges.empty() && ranges.back().last >= piece) {
      ranges.back().last = std::max(ranges.back().last, piece + 1);
    } else {
      ranges.push_back({piece, piece + 1});
    }
  }
  return ranges;
}

result<held_pieces> held_pieces::of(model_catalog::entry part, std::vector<layer_range> spares) {
  OVIR_ASSIGN(compute::piece_list list, compute::piece_list::of(part->manifest));
  held_pieces held{std::move(part), std::move(spares), std::move(list)};
  for (const compute::tensor_manifest& tensor : held.list_.manifest().tensors) {
    const compute::gguf_tensor* const found = held.part_->metadata.find_tensor(tensor.name);
    if (found == nullptr || found->data.size() != tensor.bytes) {
      return fail(errc::internal, "the file of model {} is not that of its manifest",
                  held.part_->name);
    }
    held.tensors_.push_back(found->data);
  }
  held.tokenizer_ = compute::tokenizer_bytes_of(held.part_->metadata);
  if (held.part_->whole) {
    held.ranges_ = {{0, held.list_.size()}};
  } else {
    std::vector<std::uint32_t> pieces;
    if (held.list_.manifest().tokenizer_bytes > 0) {
      pieces.push_back(0);
    }
    std::vector<layer_range> here = held.spares_;
    if (held.part_->held.size() > 0) {
      here.push_back(held.part_->held);
    }
    for (const layer_range& layers : here) {
      OVIR_ASSIGN(const std::vector<std::uint32_t> more, held.list_.of_segment(layers));
      pieces.insert(pieces.end(), more.begin(), more.end());
    }
    held.ranges_ = ranges_of(std::move(pieces));
  }
  return held;
}

std::span<const std::byte> held_pieces::find(std::uint32_t index) const {
  const bool here = std::any_of(ranges_.begin(), ranges_.end(), [&](const piece_range& range) {
    return range.first <= index && index < range.last;
  });
  if (!here) {
    return {};
  }
  const compute::model_piece piece = list_.at(index);
  if (piece.tensor == compute::model_piece::tokenizer) {
    return std::as_bytes(std::span{tokenizer_});
  }
  return tensors_[piece.tensor].subspan(piece.offset, piece.bytes);
}

local_pieces::local_pieces(const model_catalog& models) {
  for (const model_catalog::entry& part : models.all()) {
    if (!part->manifest || !part->file) {
      continue;
    }
    auto made = held_pieces::of(part);
    if (!made) {
      continue; // a file that is not that of its manifest helps nobody
    }
    parts_.push_back(std::make_unique<held_pieces>(std::move(*made)));
    const held_pieces& held = *parts_.back();
    for (const piece_range& range : held.ranges()) {
      for (std::uint32_t piece = range.first; piece < range.last; ++piece) {
        places_.emplace(held.list().at(piece).content, std::pair{&held, piece});
      }
    }
  }
}

std::span<const std::byte> local_pieces::find(const digest& content) const {
  const auto [begin, end] = places_.equal_range(content);
  for (auto it = begin; it != end; ++it) {
    const std::span<const std::byte> bytes = it->second.first->find(it->second.second);
    if (!bytes.empty() && hash_plain(bytes) == content) {
      return bytes;
    }
  }
  return {};
}

} // namespace ovir::actors
