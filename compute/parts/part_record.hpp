#pragma once

#include "compute/model/model_config.hpp"
#include "compute/parts/crossing.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Digests of what each member of a group sent, by layer and window: what statements about parts
/// are of (docs/formats/parts.md). They do not depend on how positions came together in passes, so
/// those who compute the window again find the same, and a member that sent another number, by one
/// in the last place of one partial sum, has another digest.
namespace ovir::compute {

/// What a member sent in a layer over a window, or over the positions of one that are there.
struct part_leaf {
  std::uint32_t window{0};
  layer_index layer{0};
  std::uint32_t member{0};
  std::uint32_t positions{0};
  digest part;              ///< `part_name`: exact rows, columns and heads
  std::vector<digest> sent; ///< of each step of the layer
  friend bool operator==(const part_leaf&, const part_leaf&) = default;
};

/// One request's record of a group.
class part_record {
public:
  /// `model`: digest of the manifest. `unsupported` for a cut by which what crosses depends on how
  /// many rows a pass has: then a record would, too.
  [[nodiscard]] static result<part_record> make(const model_config& config, const segment_cut& cut,
                                                const digest& model);

  /// What crossed at a place, as `segment_part::take` accepted it; the request's rows are
  /// [row, row + count) of `rows`, its positions follow those that were added before. `quantised`:
  /// the form of the block's activations. The layer counts once its last crossing was added.
  void add(const crossing_place& place, activation_form form, std::uint32_t rows, std::uint32_t row,
           std::uint32_t count, std::span<const std::span<const std::byte>> all);
  /// Whatever was added of a layer that did not end is of no use: the pass failed.
  void drop_begun() { begun_.clear(); }

  /// Leaves of windows that became complete, in no order that matters.
  [[nodiscard]] std::vector<part_leaf> take_leaves();
  /// Of windows that are begun.
  [[nodiscard]] std::vector<part_leaf> open_leaves() const;

private:
  struct open_part {
    std::vector<hasher> steps;
    std::uint32_t window{0};
    std::uint32_t positions{0};
  };
  /// Of a step, by member and row of the request.
  using begun_step = std::vector<std::vector<std::byte>>;

  part_record(const model_config& config, const segment_cut& cut, const digest& model);
  [[nodiscard]] part_leaf leaf_of(layer_index layer, std::uint32_t member) const;
  void end_layer(layer_index layer, std::uint32_t count);

  model_config config_;
  segment_cut cut_;
  std::vector<digest> names_;       ///< [layers][members]
  std::vector<open_part> open_;     ///< [layers][members]
  std::vector<begun_step> begun_{}; ///< of the layer under way
  std::vector<part_leaf> leaves_;
};

/// Who sent, at which step, what a group does not compute.
struct part_difference {
  part_leaf stated;
  std::uint32_t step{0};
};
/// The first of two records of the same work, in the order of windows, layers and steps: until
/// there all members had the same, so it is that member and no other who was wrong. Units that one
/// of the records does not have are passed over.
[[nodiscard]] std::optional<part_difference> first_difference(std::span<const part_leaf> stated,
                                                              std::span<const part_leaf> computed);

} // namespace ovir::compute
