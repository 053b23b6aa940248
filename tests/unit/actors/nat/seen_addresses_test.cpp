#include "actors/nat/address_rules.hpp"
#include "actors/nat/seen_addresses.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using test::key_of;

constexpr seen_addresses::time_point seen_begun{};

class seen_by_members : public ::testing::Test {
protected:
  result<void> tell(std::uint8_t by, const std::string& from, const std::string& address,
                    seen_addresses::time_point now = seen_begun) {
    const secret_key key = key_of(by);
    return seen_.told(key.id(), *prefix_of_address(from),
                      {address, key.sign(seen_domain, seen_statement(self_, address))}, now);
  }

  node_id self_ = key_of(200).id();
  seen_addresses seen_{self_};
};

TEST_F(seen_by_members, one_member_is_not_believed) {
  ASSERT_TRUE(tell(1, "198.51.100.1:7300", "203.0.113.7:40000"));
  EXPECT_EQ(seen_.host(seen_begun), std::nullopt);
  EXPECT_EQ(seen_.mapping(seen_begun), nat_mapping::unknown);
  ASSERT_TRUE(tell(1, "192.0.2.1:7300", "203.0.113.7:40000"));
  EXPECT_EQ(seen_.host(seen_begun), std::nullopt) << "the same member again";
}

TEST_F(seen_by_members, many_members_of_one_site_count_as_one) {
  for (std::uint8_t by = 1; by <= 10; ++by) {
    ASSERT_TRUE(tell(by, "198.51.100." + std::to_string(by) + ":7300", "203.0.113.7:40000"));
  }
  EXPECT_EQ(seen_.host(seen_begun), std::nullopt);
}

TEST_F(seen_by_members, two_sites_are_believed_and_tell_how_ports_are_mapped) {
  ASSERT_TRUE(tell(1, "198.51.100.1:7300", "203.0.113.7:40000"));
  ASSERT_TRUE(tell(2, "192.0.2.1:7300", "203.0.113.7:40000"));
  EXPECT_EQ(seen_.host(seen_begun), "203.0.113.7");
  EXPECT_EQ(seen_.address(seen_begun), "203.0.113.7:40000");
  EXPECT_EQ(seen_.mapping(seen_begun), nat_mapping::independent);
  ASSERT_TRUE(tell(2, "192.0.2.1:7300", "203.0.113.7:40001"));
  EXPECT_EQ(seen_.host(seen_begun), "203.0.113.7");
  EXPECT_EQ(seen_.address(seen_begun), std::nullopt);
  EXPECT_EQ(seen_.mapping(seen_begun), nat_mapping::dependent);
}

TEST_F(seen_by_members, those_who_say_something_else_take_away_and_give_nothing) {
  ASSERT_TRUE(tell(1, "198.51.100.1:7300", "203.0.113.7:40000"));
  ASSERT_TRUE(tell(2, "192.0.2.1:7300", "203.0.113.7:40000"));
  ASSERT_TRUE(tell(3, "8.8.8.8:7300", "10.9.9.9:1"));
  EXPECT_EQ(seen_.host(seen_begun), "203.0.113.7");
  ASSERT_TRUE(tell(4, "9.9.9.9:7300", "10.9.9.9:2"));
  EXPECT_EQ(seen_.host(seen_begun), std::nullopt) << "as many say one as the other";
}

TEST_F(seen_by_members, a_word_that_its_member_did_not_sign_is_refused) {
  const secret_key liar = key_of(1);
  const std::string address = "203.0.113.7:40000";
  const auto forged =
      seen_.told(key_of(2).id(), *prefix_of_address("192.0.2.1:1"),
                 {address, liar.sign(seen_domain, seen_statement(self_, address))}, seen_begun);
  ASSERT_FALSE(forged);
  EXPECT_EQ(forged.error().code, errc::digest_mismatch);
  const node_id other = key_of(9).id();
  EXPECT_FALSE(seen_.told(liar.id(), *prefix_of_address("192.0.2.1:1"),
                          {address, liar.sign(seen_domain, seen_statement(other, address))},
                          seen_begun))
      << "said of another node";
  EXPECT_EQ(seen_.size(), 0U);
}

TEST_F(seen_by_members, words_grow_old_and_are_few) {
  ASSERT_TRUE(tell(1, "198.51.100.1:7300", "203.0.113.7:40000"));
  ASSERT_TRUE(tell(2, "192.0.2.1:7300", "203.0.113.7:40000"));
  EXPECT_EQ(seen_.host(seen_begun + limits::seen_lifetime - 1s), "203.0.113.7");
  EXPECT_EQ(seen_.host(seen_begun + limits::seen_lifetime), std::nullopt);
  for (std::uint8_t by = 1; by <= 100; ++by) {
    ASSERT_TRUE(
        tell(by, "192.0.2.1:7300", "203.0.113.7:40000", seen_begun + std::chrono::seconds{by}));
  }
  EXPECT_EQ(seen_.size(), limits::seen_told_max);
}

} // namespace
} // namespace ovir::actors
