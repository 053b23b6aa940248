#include "compute/parts/kv_rows.hpp"

#include "messages/check.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

/// Calls `each(head's K or V at the position)` in the order of a message.
template <class Cache, class Each>
void for_kv(Cache& cache, const kv_place& at, position p, const Each& each) {
  const std::size_t offset = std::size_t{p} * cache.head_dim();
  for (layer_index l = at.layers.first; l < at.layers.last; ++l) {
    for (std::uint32_t h = at.heads.first; h < at.heads.last; ++h) {
      each(cache.keys(l, h) + offset);
      each(cache.values(l, h) + offset);
    }
  }
}

} // namespace

std::size_t kv_width(const kv_place& at, std::uint32_t head_dim) noexcept {
  return std::size_t{2} * at.layers.size() * at.heads.size() * head_dim;
}

void read_kv_rows(const kv_cache& from, const kv_place& at, std::vector<std::uint16_t>& out) {
  for (std::uint32_t i = 0; i < at.count; ++i) {
    for_kv(from, at, at.first + i, [&](const std::uint16_t* values) {
      out.insert(out.end(), values, values + from.head_dim());
    });
  }
}

void write_kv_rows(std::span<const std::uint16_t> rows, const kv_place& at, kv_cache& to) {
  OVIR_CHECK(rows.size() == at.count * kv_width(at, to.head_dim()), rows.size(), at.count);
  for (std::uint32_t i = 0; i < at.count; ++i) {
    for_kv(to, at, at.first + i, [&](std::uint16_t* values) {
      std::copy_n(rows.data(), to.head_dim(), values);
      rows = rows.subspan(to.head_dim());
    });
  }
}

} // namespace ovir::compute
