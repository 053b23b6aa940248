#pragma once

#include "storage/store/store_record.hpp"

#include <algorithm>
#include <cstdint>

namespace ovir::storage {

/// What keeping an entry is worth, per byte: cost to compute it again, times how often it was asked
/// for per second of its life so far, divided by its size. The entry of the least value goes first.
///
/// This is hyperbolic caching (Blankstein, Sen, Freedman: "Hyperbolic Caching: Flexible Caching for
/// Web Applications", USENIX ATC 2017) with its cost and size classes: uses over the time since it
/// was stored stand for the likelihood of another one. Unlike what comes of recency alone, an
/// entry's value falls by itself while nobody asks, and one of many uses outlives a scan of new
/// ones. Storing counts as the first use. Values fall over time at different speeds, so no order of
/// all entries is kept: as in that paper the least of a random sample goes.
[[nodiscard]] inline double retention_value(const entry& e, std::uint64_t now) noexcept {
  const std::uint64_t age = now > e.stored ? now - e.stored : 0;
  const double uses_per_second = (static_cast<double>(e.uses) + 1) / (static_cast<double>(age) + 1);
  const auto bytes = static_cast<double>(std::max<std::uint64_t>(e.where().bytes, 1));
  return (static_cast<double>(e.cost_us) + 1) * uses_per_second / bytes;
}

} // namespace ovir::storage
