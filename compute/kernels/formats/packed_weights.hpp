#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/tensor/tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

/// Weights rearranged for the fast kernels: rows in panels of sixteen, so that a register holds the
/// same four elements of every row and nothing has to be shuffled while multiplying. The same
/// numbers in about the same number of bytes, read from first to last.
///
/// A panel of Q8_0 or Q4_0 is a run of groups of up to eight blocks: 8 x 16 scales (fp16, one per
/// block and row; zero beyond the last block), then of each block its dwords, [dword][row]. Q8_0's
/// weights have 128 added.
///
/// A panel of a type in superblocks that is not unpacked is a run of them (packed_superblocks.hpp).
///
/// A panel of F16, BF16 or F32 is groups of rows (`weight::group_rows`), [columns / 16][row][16];
/// zeros beyond the last column. Sums of floats have their order, by columns (exact-1, section 2),
/// so here a register holds columns of one row.
///
/// A panel of any other type is its rows one after the other, as unpacked_rows.hpp has them: more
/// bytes than in the file.
///
/// Everything stands in the order in which a product reads it: the processor then prefetches by
/// itself, and any other order was up to three times slower from memory.
namespace ovir::compute {

/// Rows of a panel.
inline constexpr std::uint32_t packed_rows = 16;
/// Blocks of a group of Q8_0 or Q4_0, and the bytes of its scales.
inline constexpr std::size_t packed_group_blocks = 8;
inline constexpr std::size_t packed_group_scales = packed_group_blocks * packed_rows * 2;

/// Rows of a group of floats that are fastest for these kernels, 4 or 16. Each group reads all
/// activations: four rows while these stay in a first-level cache beside the weights that stream
/// through it, else the whole panel, for which AVX2 has too few registers
/// (docs/adr/0002-kernels.md).
[[nodiscard]] std::uint32_t float_group_rows(isa kernels, std::uint32_t cols) noexcept;

/// Bytes of one panel, a multiple of 64.
[[nodiscard]] std::size_t packed_panel_bytes(tensor_type type, std::uint32_t cols) noexcept;

/// Bytes of all panels of a matrix.
[[nodiscard]] std::size_t packed_bytes(const weight& w) noexcept;

/// Bytes that computing with a weight needs in memory, and reads: those of its rows unpacked where
/// its type has no kernel of its own, else as many as in its file.
[[nodiscard]] std::uint64_t held_bytes(const weight& w) noexcept;
[[nodiscard]] std::uint64_t held_bytes(const layer_weights& w) noexcept;

/// Writes panel `panel`, rows [16 panel, 16 panel + 16) of `w`, to `out`. Rows beyond the last are
/// zeros.
void pack_panel(const weight& w, std::uint32_t panel, std::byte* out) noexcept;

/// Where in one stretch of memory the packed form of each product weight of some layers goes.
struct packing_plan {
  struct part {
    weight* target; ///< in the model that was planned for
    std::size_t at;
  };
  std::vector<part> parts;
  std::size_t bytes{0};
};

/// For the layers held, and the head where the last layer is among them, in the groups that are
/// fastest for `kernels`. Weights that are `wide` stay as they are, so `check_weights` comes first.
[[nodiscard]] packing_plan plan_packing(model& m, layer_range layers, isa kernels);

/// Packs `part` to its place in `memory` (aligned to 64) and lets its weight point there. The
/// memory must outlive the model's use.
void pack_weight(const packing_plan::part& part, std::byte* memory, parallel_runner& runner);

} // namespace ovir::compute
