#pragma once

#include "compute/model/model.hpp"
#include "compute/parts/segment_cut.hpp"

#include <cstdint>
#include <vector>

namespace ovir::compute {

/// Bytes of a partial sum, as they are of real models: what a cost counts, where what crosses takes
/// the fewest that do.
inline constexpr std::uint64_t sum_bytes_expected = 6;

/// What a pass costs the members of a group: exact, but for the bytes of partial sums.
struct cut_cost {
  std::uint32_t exchanges{0};         ///< one after another
  std::vector<std::uint64_t> sent;    ///< payload bytes of each member to each other one
  std::vector<std::uint64_t> weights; ///< bytes of its layers that each member reads
  std::vector<std::uint64_t> head;    ///< bytes of its rows of the head, in the last segment
};

/// Rows of a pass of which every message of a member fits limits::frame_bytes_max, whatever
/// crosses; at least 1, at most limits::prefill_chunk_max. Precondition: a cut of such a model.
[[nodiscard]] std::uint32_t rows_that_fit(const model_config& config, const segment_cut& cut);

/// Of a pass of `rows` rows. Precondition: `check_cut`.
[[nodiscard]] cut_cost cost_of(const model& m, const segment_cut& cut, std::uint32_t rows);

} // namespace ovir::compute
