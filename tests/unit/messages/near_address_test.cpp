#include "messages/near_address.hpp"

#include <gtest/gtest.h>

namespace ovir {
namespace {

constexpr std::uint32_t four(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
  return a << 24U | b << 16U | c << 8U | d;
}

std::array<unsigned char, 16> six(unsigned char first, unsigned char second) {
  return {first, second, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7};
}

TEST(near_address, is_of_this_machine_or_of_a_network_of_ones_own) {
  for (const std::uint32_t address :
       {four(127, 0, 0, 1), four(10, 0, 0, 1), four(10, 255, 255, 255), four(172, 16, 0, 1),
        four(172, 31, 255, 255), four(192, 168, 0, 1), four(169, 254, 7, 7)}) {
    EXPECT_TRUE(is_near(prefix_of(address))) << address;
  }
  for (const std::uint32_t address :
       {four(9, 255, 255, 255), four(11, 0, 0, 0), four(172, 15, 255, 255), four(172, 32, 0, 0),
        four(192, 167, 255, 255), four(192, 169, 0, 0), four(169, 253, 0, 1), four(100, 64, 0, 1),
        four(203, 0, 113, 5)}) {
    EXPECT_FALSE(is_near(prefix_of(address))) << address;
  }
  EXPECT_TRUE(is_near(prefix_of(std::array<unsigned char, 16>{}))); // ::, as ::1
  EXPECT_TRUE(is_near(prefix_of(six(0xfc, 0))));
  EXPECT_TRUE(is_near(prefix_of(six(0xfd, 0xff))));
  EXPECT_TRUE(is_near(prefix_of(six(0xfe, 0x80))));
  EXPECT_TRUE(is_near(prefix_of(six(0xfe, 0xbf))));
  EXPECT_FALSE(is_near(prefix_of(six(0xfe, 0xc0))));
  EXPECT_FALSE(is_near(prefix_of(six(0xfb, 0xff))));
  EXPECT_FALSE(is_near(prefix_of(six(0x20, 0x01))));
}

} // namespace
} // namespace ovir
