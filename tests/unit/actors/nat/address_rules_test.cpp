#include "actors/link/link_format.hpp"
#include "actors/nat/address_rules.hpp"
#include "messages/limits/nat.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(address_rules, know_which_networks_routers_do_not_pass_on) {
  for (const char* const one : {"10.255.0.1:1", "172.16.0.1:1", "172.31.255.255:1", "192.168.1.1:1",
                                "100.64.0.1:1", "100.127.9.9:1", "169.254.1.1:1", "[fc00::1]:1",
                                "[fdff::1]:1", "[fe80::1]:1", "[::ffff:10.0.0.1]:1"}) {
    EXPECT_TRUE(is_private(*prefix_of_address(one))) << one;
    EXPECT_FALSE(is_public(*prefix_of_address(one))) << one;
  }
  for (const char* const one : {"11.0.0.1:1", "172.32.0.1:1", "172.15.0.1:1", "192.169.0.1:1",
                                "100.128.0.1:1", "8.8.8.8:1", "[2001:db8::1]:1", "[fec0::1]:1"}) {
    EXPECT_TRUE(is_public(*prefix_of_address(one))) << one;
  }
  EXPECT_FALSE(is_public(*prefix_of_address("127.9.9.9:1")));
  EXPECT_FALSE(prefix_of_address("a.example:1"));
}

TEST(address_rules, take_an_address_of_the_host_that_the_helper_sees) {
  EXPECT_THAT(usable_addresses({"203.0.113.7:40001", "203.0.113.7:7300", "203.0.113.7:40001"},
                               "198.51.100.9:1"),
              ElementsAre("203.0.113.7:40001", "203.0.113.7:7300"));
}

TEST(address_rules, let_no_member_make_a_node_dial_a_third_party) {
  const std::string own = "198.51.100.9:1";
  EXPECT_THAT(usable_addresses({"203.0.113.7:1", "8.8.8.8:53", "10.0.0.1:22", "127.9.9.9:7310",
                                to_string(host_and_port{"::1", 7310}),
                                to_string(host_and_port{"0.0.0.0", 1})},
                               own),
              ElementsAre("203.0.113.7:1"));
  EXPECT_THAT(usable_addresses({"127.9.9.9:7310", "127.9.9.9:22"}, own), IsEmpty());
  EXPECT_THAT(usable_addresses({"203.0.113.7:1"}, ""), IsEmpty());
  EXPECT_THAT(usable_addresses({}, own), IsEmpty());
}

TEST(address_rules, let_no_member_make_a_node_knock_at_a_third_party) {
  const std::vector<std::string> told{"203.0.113.7:40001"};
  const std::string own = "198.51.100.9:1";
  EXPECT_THAT(usable_udp_addresses(
                  told, {"8.8.8.8:53", "203.0.113.7:7300", "10.0.0.1:7300", "127.9.9.9:7300"}, own),
              ElementsAre("203.0.113.7:7300"));
  EXPECT_THAT(usable_udp_addresses(told, {"10.0.0.1:7300"}, "203.0.113.7:2"),
              ElementsAre("10.0.0.1:7300"));
  EXPECT_THAT(usable_udp_addresses({}, {"8.8.8.8:53"}, own), IsEmpty());
  EXPECT_THAT(usable_udp_addresses(told, {"203.0.113.7:7300"}, ""), IsEmpty());
}

TEST(address_rules, take_a_private_address_behind_the_same_router_alone) {
  const std::vector<std::string> told{"203.0.113.7:1", "192.168.1.5:1", "8.8.8.8:1"};
  EXPECT_THAT(usable_addresses(told, "203.0.113.7:2"),
              ElementsAre("203.0.113.7:1", "192.168.1.5:1"));
  EXPECT_THAT(usable_addresses(told, "203.0.113.8:2"), ElementsAre("203.0.113.7:1"));
}

TEST(address_rules, take_so_many_and_no_more) {
  std::vector<std::string> told;
  for (int port = 1; port <= 50; ++port) {
    told.push_back("203.0.113.7:" + std::to_string(port));
  }
  EXPECT_EQ(usable_addresses(told, "198.51.100.9:1").size(), limits::nat_addresses_max);
}

} // namespace
} // namespace ovir::actors
