#include "messages/address_prefix.hpp"
#include "messages/limits/links.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t ten = 10U << 24U | 7U;

TEST(address_prefix, an_ipv6_network_of_64_bits_is_one_address) {
  const std::array<unsigned char, 16> one{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2,
                                          0,    0,    0,    0,    0, 0, 0, 1};
  std::array<unsigned char, 16> beside = one;
  beside[15] = 9;
  beside[8] = 0xff;
  std::array<unsigned char, 16> other = one;
  other[7] = 3;
  EXPECT_EQ(prefix_of(one), prefix_of(beside));
  EXPECT_NE(prefix_of(one), prefix_of(other));
  EXPECT_FALSE(is_this_machine(prefix_of(one)));
}

TEST(address_prefix, an_ipv4_address_is_the_same_however_it_is_written) {
  const std::array<unsigned char, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 7};
  EXPECT_EQ(prefix_of(mapped), prefix_of(ten));
  EXPECT_NE(prefix_of(ten), prefix_of(ten + 1));
}

TEST(address_prefix, knows_what_leads_back_to_this_machine) {
  std::array<unsigned char, 16> six{};
  EXPECT_TRUE(is_this_machine(prefix_of(six)));
  six[15] = 1;
  EXPECT_TRUE(is_this_machine(prefix_of(six)));
  EXPECT_TRUE(is_this_machine(prefix_of(127U << 24U | 0x010203U)));
  EXPECT_TRUE(is_this_machine(prefix_of(0U)));
  EXPECT_FALSE(is_this_machine(prefix_of(ten)));
  std::array<unsigned char, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  EXPECT_TRUE(is_this_machine(prefix_of(mapped)));
}

TEST(prefix_budget, one_address_has_so_many_at_once_and_then_one_an_interval) {
  prefix_budget budget;
  const prefix_budget::time_point start{std::chrono::hours{1}};
  for (std::uint32_t i = 0; i < limits::handshakes_burst; ++i) {
    ASSERT_TRUE(budget.spend(prefix_of(ten), start)) << i;
  }
  EXPECT_FALSE(budget.spend(prefix_of(ten), start));
  EXPECT_TRUE(budget.spend(prefix_of(ten + 1), start));
  EXPECT_TRUE(budget.spend(prefix_of(ten), start + limits::handshake_interval));
  EXPECT_FALSE(budget.spend(prefix_of(ten), start + limits::handshake_interval));
  const auto later = start + (limits::handshakes_burst + 1) * limits::handshake_interval;
  for (std::uint32_t i = 0; i < limits::handshakes_burst; ++i) {
    ASSERT_TRUE(budget.spend(prefix_of(ten), later)) << i;
  }
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(budget.spend(prefix_of(127U << 24U | 1U), start));
  }
}

} // namespace
} // namespace ovir
