#include "messages/request/request_name.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ovir {
namespace {

std::array<std::uint8_t, 32> key_of(std::uint8_t byte) {
  std::array<std::uint8_t, 32> key{};
  key.fill(byte);
  return key;
}

TEST(request_name, is_of_one_owner_one_door_and_one_id) {
  const request_owner owners[] = {{},
                                  owner_of_shell(key_of(1)),
                                  owner_of_shell(key_of(2)),
                                  owner_of_api_key(key_of(1)),
                                  owner_of_api_key(key_of(2))};
  std::set<std::uint64_t> seen;
  std::size_t made = 0;
  for (const request_owner& owner : owners) {
    for (const std::uint64_t named : {1ULL, 2ULL, ~0ULL}) {
      const request_id id{named};
      EXPECT_EQ(name_in_cluster(owner, id), name_in_cluster(owner, id));
      seen.insert(name_in_cluster(owner, id).value);
      seen.insert(seed_in_cluster(owner, id));
      seen.insert(named);
      made += 2;
    }
  }
  EXPECT_EQ(seen.size(), made + 3);
  EXPECT_EQ(seen.count(0), 0U);
}

} // namespace
} // namespace ovir
