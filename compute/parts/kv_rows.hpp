#pragma once

#include "compute/forward/kv_cache.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// K and V of some heads as they go between members of a group (docs/formats/parts.md): of each
/// position [layers][heads][K, then V][head_dim], binary16.
namespace ovir::compute {

/// Where in a cache they are.
struct kv_place {
  layer_range layers;
  part_range heads; ///< as the cache counts them
  position first{0};
  std::uint32_t count{0};
};

/// Elements of a position.
[[nodiscard]] std::size_t kv_width(const kv_place& at, std::uint32_t head_dim) noexcept;

/// Appends the rows of `at` to `out`.
void read_kv_rows(const kv_cache& from, const kv_place& at, std::vector<std::uint16_t>& out);
/// Precondition: `rows` are those of `at`, for which `to` has room.
void write_kv_rows(std::span<const std::uint16_t> rows, const kv_place& at, kv_cache& to);

} // namespace ovir::compute
