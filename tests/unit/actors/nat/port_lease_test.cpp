#include "actors/nat/port_lease.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr port_lease::time_point lease_begun{};

TEST(port_lease, is_asked_for_at_once_and_renewed_after_half_its_time) {
  port_lease lease;
  EXPECT_TRUE(lease.is_due(lease_begun));
  lease.mapped({"203.0.113.7:7300", 3'600s, "NAT-PMP"}, lease_begun);
  EXPECT_EQ(lease.address(lease_begun), "203.0.113.7:7300");
  EXPECT_EQ(lease.finding(), "mapped to 203.0.113.7:7300 by NAT-PMP");
  EXPECT_FALSE(lease.is_due(lease_begun + 1'799s));
  EXPECT_TRUE(lease.is_due(lease_begun + 1'800s));
  EXPECT_EQ(lease.address(lease_begun + 3'600s), std::nullopt) << "it was not renewed";
  EXPECT_TRUE(lease.is_held());
}

TEST(port_lease, lasts_over_a_router_that_is_silent_once) {
  port_lease lease;
  lease.mapped({"203.0.113.7:7300", 3'600s, "UPnP"}, lease_begun);
  lease.failed({errc::not_found, "silent"}, lease_begun + 1'800s);
  EXPECT_EQ(lease.address(lease_begun + 1'801s), "203.0.113.7:7300");
  EXPECT_TRUE(lease.is_due(lease_begun + 1'800s + limits::router_retry_wait));
  lease.failed({errc::not_found, "silent"}, lease_begun + 3'600s);
  EXPECT_EQ(lease.address(lease_begun + 3'600s), std::nullopt);
  EXPECT_EQ(lease.finding(), "silent");
  EXPECT_FALSE(lease.is_held());
}

TEST(port_lease, asks_a_silent_router_less_and_less_often) {
  port_lease lease;
  auto now = lease_begun;
  auto wait = limits::router_retry_wait;
  for (int i = 0; i < 20; ++i) {
    lease.failed({errc::not_found, "silent"}, now);
    EXPECT_FALSE(lease.is_due(now + wait - 1s)) << i;
    EXPECT_TRUE(lease.is_due(now + wait)) << i;
    now += wait;
    wait = std::min(wait * 2, limits::router_retry_wait_max);
  }
}

TEST(port_lease, believes_no_router_that_tells_an_address_inside_or_none) {
  for (const char* const address :
       {"10.0.0.1:7300", "192.168.1.1:7300", "127.9.9.9:7300", "169.254.1.1:7300",
        "router.lan:7300", "203.0.113.7:0", "", "\x1b[2J"}) {
    port_lease lease;
    lease.mapped({address, 3'600s, "UPnP"}, lease_begun);
    EXPECT_EQ(lease.address(lease_begun), std::nullopt) << address;
    EXPECT_THAT(lease.finding(), HasSubstr("no public address"));
    EXPECT_EQ(lease.finding().find('\x1b'), std::string::npos);
    EXPECT_TRUE(lease.is_held()) << "it is to be taken back";
  }
}

TEST(port_lease, of_a_moment_or_for_ever_is_renewed_in_reason) {
  port_lease lease;
  lease.mapped({"203.0.113.7:7300", 1s, "NAT-PMP"}, lease_begun);
  EXPECT_FALSE(lease.is_due(lease_begun + limits::port_lease_least / 2 - 1s));
  lease.mapped({"203.0.113.7:7300", 0s, "UPnP"}, lease_begun);
  EXPECT_EQ(lease.address(lease_begun + 1'000h), "203.0.113.7:7300");
  EXPECT_TRUE(lease.is_due(lease_begun + limits::port_lease / 2));
}

} // namespace
} // namespace ovir::actors
