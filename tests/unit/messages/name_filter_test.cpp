#include "messages/limits/blocks.hpp"
#include "messages/name_filter.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

digest name(std::uint64_t number) { return hasher{"ovir/test/name"}.update_u64(number).finish(); }

TEST(name_filter, has_all_that_was_added_and_little_else) {
  for (const std::size_t names : {std::size_t{1}, std::size_t{500}, limits::blocks_claimed_max}) {
    name_filter filter{names};
    for (std::uint64_t i = 0; i < names; ++i) {
      filter.add(name(i));
    }
    for (std::uint64_t i = 0; i < names; ++i) {
      ASSERT_TRUE(filter.may_have(name(i))) << i << " of " << names;
    }
    std::size_t wrong = 0;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
      wrong += filter.may_have(name(1'000'000 + i)) ? 1U : 0U;
    }
    EXPECT_LT(wrong, 150U) << names; // 0.8 % at 10 bits a name and 7 probes
  }
}

TEST(name_filter, its_size_is_a_power_of_two_within_its_bounds) {
  EXPECT_EQ(name_filter{0}.bytes().size(), limits::block_filter_bytes_min);
  EXPECT_EQ(name_filter{500}.bytes().size(), 1'024U);
  EXPECT_EQ(name_filter{limits::blocks_claimed_max}.bytes().size(), limits::block_filter_bytes_max);
  EXPECT_EQ(name_filter{100'000'000}.bytes().size(), limits::block_filter_bytes_max);
}

TEST(name_filter, is_read_from_bytes_of_a_size_that_filters_have) {
  name_filter filter{500};
  filter.add(name(7));
  const auto read = name_filter::from(filter.bytes());
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->may_have(name(7)));
  EXPECT_FALSE(read->may_have(name(8)));
  const std::vector<std::byte> bytes(2 * limits::block_filter_bytes_max);
  for (const std::size_t size : {std::size_t{0}, std::size_t{32}, std::size_t{96}, bytes.size()}) {
    EXPECT_EQ(name_filter::from(std::span{bytes}.first(size)).error().code, errc::malformed);
  }
}

} // namespace
} // namespace ovir
