#pragma once

#include "actors/path/model_catalog.hpp"
#include "compute/gguf/piece_list.hpp"
#include "messages/result.hpp"
#include "messages/wire/fetch_frame.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// The pieces of a model that a part of the catalogue has in its mapped file. Reading them may wait
/// for the disk.
class held_pieces {
public:
  /// `spares`: layers in its file beside those it holds. `internal` where a part's manifest is not
  /// that of its file.
  [[nodiscard]] static result<held_pieces> of(model_catalog::entry part,
                                              std::vector<layer_range> spares = {});

  [[nodiscard]] const compute::piece_list& list() const noexcept { return list_; }
  [[nodiscard]] const std::vector<piece_range>& ranges() const noexcept { return ranges_; }
  /// Null for a piece it has not. The bytes live as long as this and were not verified.
  [[nodiscard]] std::span<const std::byte> find(std::uint32_t index) const;

  [[nodiscard]] const model_catalog::entry& part() const noexcept { return part_; }
  [[nodiscard]] const std::vector<layer_range>& spares() const noexcept { return spares_; }

private:
  held_pieces(model_catalog::entry part, std::vector<layer_range> spares, compute::piece_list list)
      : part_(std::move(part)), spares_(std::move(spares)), list_(std::move(list)) {}

  model_catalog::entry part_;
  std::vector<layer_range> spares_;
  compute::piece_list list_;
  std::vector<piece_range> ranges_;
  std::vector<std::span<const std::byte>> tensors_; ///< as the manifest's
  std::string tokenizer_;
};

/// Ascending ranges of these, which it sorts.
[[nodiscard]] std::vector<piece_range> ranges_of(std::vector<std::uint32_t> pieces);

/// Pieces in files of the models this node has, found by content, whatever the models' names.
class local_pieces {
public:
  explicit local_pieces(const model_catalog& models);
  /// Verified; empty where there is none. The bytes live as long as this.
  [[nodiscard]] std::span<const std::byte> find(const digest& content) const;

private:
  std::vector<std::unique_ptr<held_pieces>> parts_;
  std::multimap<digest, std::pair<const held_pieces*, std::uint32_t>> places_;
};

} // namespace ovir::actors
