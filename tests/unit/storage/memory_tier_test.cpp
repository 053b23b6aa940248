#include "storage/store/memory_tier.hpp"

#include <gtest/gtest.h>

namespace ovir::storage {
namespace {

digest key(std::uint8_t n) {
  digest d;
  d.bytes[0] = n;
  return d;
}
memory_tier::bytes_pointer bytes(std::size_t size) {
  return std::make_shared<const std::vector<std::byte>>(size);
}

TEST(memory_tier, the_least_recently_used_goes_first) {
  memory_tier tier{300};
  tier.add(key(1), bytes(100));
  tier.add(key(2), bytes(100));
  tier.add(key(3), bytes(100));
  EXPECT_NE(tier.find(key(1)), nullptr); // now 2 is the oldest
  tier.add(key(4), bytes(50));
  EXPECT_EQ(tier.find(key(2)), nullptr);
  EXPECT_NE(tier.find(key(1)), nullptr);
  EXPECT_NE(tier.find(key(3)), nullptr);
  EXPECT_EQ(tier.bytes(), 250U);
  EXPECT_EQ(tier.evicted(), 1U);
}

TEST(memory_tier, never_holds_more_than_its_limit) {
  memory_tier tier{1'000};
  for (std::uint8_t n = 0; n < 200; ++n) {
    tier.add(key(n % 50), bytes(std::size_t{37} * (n % 31)));
    EXPECT_LE(tier.bytes(), 1'000U);
  }
}

TEST(memory_tier, content_larger_than_itself_is_not_kept_and_drives_nobody_out) {
  memory_tier tier{100};
  tier.add(key(1), bytes(100));
  tier.add(key(2), bytes(101));
  EXPECT_NE(tier.find(key(1)), nullptr);
  EXPECT_EQ(tier.find(key(2)), nullptr);
}

TEST(memory_tier, without_room_keeps_nothing) {
  memory_tier tier{0};
  tier.add(key(1), bytes(1));
  EXPECT_EQ(tier.find(key(1)), nullptr);
  EXPECT_EQ(tier.entries(), 0U);
}

TEST(memory_tier, what_is_added_again_takes_the_place_of_the_old) {
  memory_tier tier{100};
  tier.add(key(1), bytes(60));
  tier.add(key(1), bytes(80));
  EXPECT_EQ(tier.bytes(), 80U);
  EXPECT_EQ(tier.find(key(1))->size(), 80U);
  tier.remove(key(1));
  EXPECT_EQ(tier.bytes(), 0U);
  tier.remove(key(1));
}

TEST(memory_tier, bytes_in_use_outlive_their_eviction) {
  memory_tier tier{100};
  tier.add(key(1), bytes(100));
  const auto held = tier.find(key(1));
  tier.add(key(2), bytes(100));
  EXPECT_EQ(held->size(), 100U);
}

} // namespace
} // namespace ovir::storage
