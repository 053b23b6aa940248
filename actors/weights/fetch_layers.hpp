#pragma once

#include "compute/gguf/piece_list.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Which layers of a model a fetch is for, and which of them are there already.
namespace ovir::actors {

/// From the first as many layers as fit four fifths of `memory` bytes; may be none.
[[nodiscard]] result<layer_range> fitting_layers(const compute::piece_list& pieces,
                                                 std::uint64_t memory);

/// The pieces of these layers; of none the tokenizer, which requests need.
[[nodiscard]] result<std::vector<std::uint32_t>> wanted_pieces(const compute::piece_list& pieces,
                                                               layer_range layers);
/// For people: "layers 0-3", or "the tokenizer" where there are none.
[[nodiscard]] std::string words_of(layer_range layers);

/// The first layers of a segment that is being fetched, as soon as every piece of them was
/// verified: they can serve while the rest is on its way. Told at one layer, then at twice as many
/// as the last time, so that a segment of n layers is bound at most log2(n) times before it is
/// whole. The whole segment is not told.
///
/// A value: knows no file and no clock.
class first_layers {
public:
  /// `wanted`: pieces of `layers`, as `compute::piece_list::of_segment` has them; `missing`: those
  /// of them that are not here.
  [[nodiscard]] static result<first_layers> of(const compute::piece_list& pieces,
                                               layer_range layers,
                                               const std::vector<std::uint32_t>& wanted,
                                               const std::vector<std::uint32_t>& missing);

  /// This piece was verified and written. One that was here before, or is of no layer, changes
  /// nothing.
  void arrived(std::uint32_t piece);
  /// Layers to serve now, more than were told before; nothing otherwise.
  [[nodiscard]] std::optional<layer_range> take();

private:
  struct step {
    layer_index last{0};   ///< layers up to here, this one not included, ...
    std::size_t pieces{0}; ///< ... are so many of the first of the pieces wanted
  };

  layer_range layers_;
  std::vector<step> steps_;                                    ///< those not told yet
  std::vector<std::pair<std::uint32_t, std::uint32_t>> turns_; ///< piece, its place; sorted
  std::vector<bool> here_;                                     ///< by place
  std::size_t first_missing_{0};
};

} // namespace ovir::actors
