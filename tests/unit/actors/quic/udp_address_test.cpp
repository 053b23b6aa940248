#include "actors/quic/udp_address.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

TEST(udp_address, goes_to_the_system_and_back) {
  udp_address four;
  four.bytes = {10, 1, 2, 3};
  four.port = 7'400;
  udp_address six;
  six.six = true;
  six.bytes = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  six.port = 65'535;
  for (const udp_address& one : {four, six}) {
    sockaddr_storage there{};
    EXPECT_GT(to_system(one, there), 0U);
    EXPECT_EQ(from_system(there), one);
  }
  EXPECT_EQ(to_string(four), "10.1.2.3:7400");
  EXPECT_EQ(to_string(six), "[fd00::1]:65535");
  EXPECT_EQ(host_of(six), "fd00::1");
  sockaddr_storage other{};
  other.ss_family = AF_UNIX;
  EXPECT_FALSE(from_system(other));
}

TEST(udp_address, of_ipv4_written_as_ipv6_counts_as_ipv4) {
  udp_address four;
  four.bytes = {10, 1, 2, 3};
  udp_address mapped;
  mapped.six = true;
  mapped.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
  EXPECT_EQ(prefix_of(mapped), prefix_of(four));
}

} // namespace
} // namespace ovir::actors
