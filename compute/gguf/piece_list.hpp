#pragma once

#include "compute/gguf/manifest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

namespace ovir::compute {

/// What is fetched, verified and kept as one: a chunk of a tensor, or the tokenizer.
struct model_piece {
  static constexpr std::uint32_t tokenizer = std::numeric_limits<std::uint32_t>::max();

  digest content;          ///< plain BLAKE3
  std::uint64_t bytes{0};  ///< at most `manifest_chunk_bytes`, but for the tokenizer
  std::uint32_t tensor{0}; ///< of the manifest's, or `tokenizer`
  std::uint64_t offset{0}; ///< within the tensor
};

/// The pieces of a model by number, the same on every machine: 0 is the tokenizer (also where it
/// has no bytes), then the chunks of each tensor in the manifest's order.
class piece_list {
public:
  /// `over_limit` beyond limits::fetch_pieces_max or for a tokenizer too large for one piece.
  [[nodiscard]] static result<piece_list> of(std::shared_ptr<const model_manifest> manifest);

  [[nodiscard]] const model_manifest& manifest() const noexcept { return *manifest_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return first_.back(); }
  /// Precondition: `index < size()`. Logarithmic in the number of tensors.
  [[nodiscard]] model_piece at(std::uint32_t index) const;
  /// The first piece of a tensor; of the number of tensors: `size()`.
  [[nodiscard]] std::uint32_t first_of(std::size_t tensor) const { return first_.at(tensor); }

  /// Transformer blocks, by the names of the tensors.
  [[nodiscard]] std::uint32_t layers() const noexcept { return layers_; }
  /// Every piece a segment needs, in the order in which they are of use: the tokenizer and what
  /// belongs to no block, with the first layer the embedding, the blocks one after another, with
  /// the last final norm and head (where tied, the embedding). `invalid_argument` for layers the
  /// model has not.
  [[nodiscard]] result<std::vector<std::uint32_t>> of_segment(layer_range layers) const;
  /// Bytes of these pieces.
  [[nodiscard]] std::uint64_t bytes_of(const std::vector<std::uint32_t>& pieces) const;

private:
  explicit piece_list(std::shared_ptr<const model_manifest> manifest)
      : manifest_(std::move(manifest)) {}

  std::shared_ptr<const model_manifest> manifest_;
  std::vector<std::uint32_t> first_; ///< by tensor, and the number of pieces at the end
  std::uint32_t layers_{0};
};

} // namespace ovir::compute
