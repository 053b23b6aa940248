#include "storage/store/extent_map.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace ovir::storage {
namespace {

constexpr std::uint64_t unit = extent_map::unit;

TEST(extent_map, fills_the_smallest_gap_that_is_large_enough) {
  extent_map map;
  for (const std::uint64_t offset : {0U, 3U, 5U, 9U}) {
    EXPECT_TRUE(map.take({offset * unit, unit}));
  }
  EXPECT_EQ(map.allocate(unit), (extent{4 * unit, unit}));
  EXPECT_EQ(map.allocate(2 * unit), (extent{unit, 2 * unit}));
  EXPECT_EQ(map.allocate(4 * unit), (extent{10 * unit, 4 * unit}));
  EXPECT_EQ(map.free_bytes(), 3 * unit);
}

TEST(extent_map, refuses_what_overlaps) {
  extent_map map;
  EXPECT_TRUE(map.take({4 * unit, 2 * unit}));
  EXPECT_FALSE(map.take({5 * unit, unit}));
  EXPECT_FALSE(map.take({3 * unit, 2 * unit}));
  EXPECT_FALSE(map.take({5 * unit, 4 * unit}));
  EXPECT_TRUE(map.take({2 * unit, 2 * unit}));
}

TEST(extent_map, what_is_released_joins_its_neighbours_and_the_end_recedes) {
  extent_map map;
  const extent a = map.allocate(unit);
  const extent b = map.allocate(unit);
  const extent c = map.allocate(unit);
  const extent d = map.allocate(unit);
  map.release(a);
  map.release(c);
  map.release(b);
  EXPECT_EQ(map.free_runs().size(), 1U);
  EXPECT_EQ(map.free_bytes(), 3 * unit);
  map.release(d);
  EXPECT_EQ(map.end(), 0U);
  EXPECT_EQ(map.free_bytes(), 0U);
}

TEST(extent_map, never_gives_the_same_bytes_twice) {
  std::mt19937_64 random{3};
  extent_map map;
  std::map<std::uint64_t, std::uint64_t> taken;
  std::uint64_t bytes = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random() % 2 == 0 || taken.empty()) {
      const extent e = map.allocate((1 + random() % 20) * unit);
      const auto after = taken.lower_bound(e.offset);
      ASSERT_TRUE(after == taken.end() || after->first >= e.offset + e.bytes);
      ASSERT_TRUE(after == taken.begin() ||
                  std::prev(after)->first + std::prev(after)->second <= e.offset);
      taken.emplace(e.offset, e.bytes);
      bytes += e.bytes;
    } else {
      const auto chosen = std::next(taken.begin(), static_cast<long>(random() % taken.size()));
      map.release({chosen->first, chosen->second});
      bytes -= chosen->second;
      taken.erase(chosen);
    }
    ASSERT_EQ(map.end() - map.free_bytes(), bytes);
  }
}

} // namespace
} // namespace ovir::storage
