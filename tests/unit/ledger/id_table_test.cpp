#include "ledger/rules/id_table.hpp"
#include "messages/short_hash.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

digest id_for(std::uint64_t n) { return hash("ovir/test/v1/id", std::as_bytes(std::span{&n, 1})); }

TEST(id_table, finds_what_was_appended_and_nothing_else_at_every_size) {
  for (const std::uint64_t seed : {0ULL, 77ULL}) {
    id_table table{seed};
    for (std::uint64_t n = 0; n < 10'000; ++n) {
      ASSERT_FALSE(table.find(id_for(n))) << n;
      table.append({id_for(n), n * 3});
      ASSERT_EQ(table.size(), n + 1);
    }
    for (std::uint64_t n = 0; n < 10'000; ++n) {
      const auto found = table.find(id_for(n));
      ASSERT_TRUE(found) << n;
      ASSERT_EQ(found->index, n);
      ASSERT_EQ(found->content, n * 3);
      ASSERT_FALSE(table.find(id_for(n + 10'000)));
    }
  }
}

TEST(id_table, ids_that_share_all_but_their_last_byte_stay_apart) {
  id_table table{5};
  digest id;
  for (int n = 0; n < 256; ++n) {
    id.bytes[31] = static_cast<std::uint8_t>(n);
    ASSERT_FALSE(table.find(id));
    table.append({id, 1});
  }
  id.bytes[31] = 200;
  EXPECT_EQ(table.find(id)->index, 200U);
}

TEST(id_table, a_copy_goes_its_own_way) {
  id_table table{1};
  for (std::uint64_t n = 0; n < 5'000; ++n) {
    table.append({id_for(n), n});
  }
  id_table copy = table;
  copy.append({id_for(5'000), 0});
  EXPECT_FALSE(table.find(id_for(5'000)));
  EXPECT_EQ(copy.find(id_for(4'999))->index, 4'999U);
}

TEST(short_hasher, gives_what_a_fresh_hasher_gives_whatever_came_before) {
  short_hasher quick{"ovir/test/v1/short"};
  for (const std::size_t size : {0U, 1U, 63U, 64U, 65U, 153U, 1'024U, 1'025U, 5'000U, 3U}) {
    const std::vector<std::byte> bytes(size, std::byte{7});
    EXPECT_EQ(quick(bytes), hash("ovir/test/v1/short", bytes)) << size;
  }
}

} // namespace
} // namespace ovir::ledger
