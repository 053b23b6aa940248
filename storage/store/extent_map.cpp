#include "storage/store/extent_map.hpp"

#include "messages/check.hpp"

#include <iterator>

namespace ovir::storage {

bool extent_map::take(extent e) {
  if (e.offset >= end_) {
    if (e.offset > end_) {
      add_free({end_, e.offset - end_});
    }
    end_ = e.offset + e.bytes;
    return true;
  }
  auto at = by_offset_.upper_bound(e.offset);
  if (at == by_offset_.begin()) {
    return false;
  }
  --at;
  const extent around{at->first, at->second};
  if (e.offset + e.bytes > around.offset + around.bytes) {
    return false;
  }
  remove_free(around);
  if (e.offset > around.offset) {
    add_free({around.offset, e.offset - around.offset});
  }
  const std::uint64_t after = e.offset + e.bytes;
  if (after < around.offset + around.bytes) {
    add_free({after, around.offset + around.bytes - after});
  }
  return true;
}

extent extent_map::allocate(std::uint64_t bytes) {
  OVIR_CHECK(bytes > 0 && bytes % unit == 0, bytes);
  extent chosen{end_, bytes};
  if (const auto best = by_size_.lower_bound({bytes, 0}); best != by_size_.end()) {
    chosen.offset = best->second;
  }
  OVIR_CHECK(take(chosen));
  return chosen;
}

void extent_map::release(extent e) {
  OVIR_CHECK(e.offset + e.bytes <= end_, e.offset, e.bytes, end_);
  const auto after = by_offset_.lower_bound(e.offset);
  if (after != by_offset_.end()) {
    OVIR_CHECK(after->first >= e.offset + e.bytes, after->first, e.offset, e.bytes);
  }
  if (after != by_offset_.begin()) {
    const auto before = std::prev(after);
    const extent b{before->first, before->second};
    OVIR_CHECK(b.offset + b.bytes <= e.offset, b.offset, b.bytes, e.offset);
    if (b.offset + b.bytes == e.offset) {
      remove_free(b);
      e = {b.offset, b.bytes + e.bytes};
    }
  }
  const auto next = by_offset_.find(e.offset + e.bytes);
  if (next != by_offset_.end()) {
    const extent n{next->first, next->second};
    remove_free(n);
    e.bytes += n.bytes;
  }
  if (e.offset + e.bytes == end_) {
    end_ = e.offset;
  } else {
    add_free(e);
  }
}

void extent_map::add_free(extent e) {
  by_offset_.emplace(e.offset, e.bytes);
  by_size_.emplace(e.bytes, e.offset);
  free_bytes_ += e.bytes;
}

void extent_map::remove_free(extent e) {
  by_offset_.erase(e.offset);
  by_size_.erase({e.bytes, e.offset});
  free_bytes_ -= e.bytes;
}

} // namespace ovir::storage
