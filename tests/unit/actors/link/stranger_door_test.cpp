#include "actors/link/stranger_door.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace ovir::actors {
namespace {

using testing::HasSubstr;

node_id stranger_id(std::size_t n) {
  node_id node;
  node.key[0] = static_cast<std::uint8_t>(n);
  node.key[1] = static_cast<std::uint8_t>(n >> 8U);
  node.key[31] = 1;
  return node;
}

/// Machine `n` of the /24 of `site`.
address_prefix machine_at(std::uint32_t site, std::uint32_t n = 1) {
  return prefix_of(0x0a000000U + (site << 8U) + n);
}

std::string sentence(const result<void>& r) { return r ? "" : r.error().message; }

TEST(stranger_door, gives_one_network_its_part_and_no_more_however_many_keys_it_makes) {
  stranger_door door;
  std::size_t in = 0;
  for (std::size_t n = 0; n < 100; ++n) {
    const auto entered =
        door.enter(stranger_id(n), machine_at(7, static_cast<std::uint32_t>(n)), 0);
    in += entered ? 1 : 0;
    door.came(stranger_id(n));
    if (!entered) {
      EXPECT_EQ(entered.error().code, errc::busy);
      EXPECT_THAT(entered.error().message, HasSubstr("one network may have"));
    }
  }
  EXPECT_EQ(in, limits::strangers_per_site_max);
  EXPECT_EQ(door.count().here, in);
  EXPECT_EQ(door.count().refused, 100 - in);
  EXPECT_EQ(sentence(door.enter(stranger_id(200), machine_at(8), 0)), "") << "another network";
  EXPECT_EQ(sentence(door.enter(stranger_id(3), machine_at(7, 3), 0)), "") << "it is in already";
}

TEST(stranger_door, counts_a_48_of_ipv6_as_one_network) {
  stranger_door door;
  std::size_t in = 0;
  for (std::size_t n = 0; n < 40; ++n) {
    std::array<unsigned char, 16> six{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0};
    six[7] = static_cast<unsigned char>(n); // a /64 of its own
    in += door.enter(stranger_id(n), prefix_of(six), 0) ? 1 : 0;
  }
  EXPECT_EQ(in, limits::strangers_per_site_max);
}

TEST(stranger_door, keeps_a_place_for_who_is_linked_and_not_for_who_never_came) {
  stranger_door door;
  for (std::size_t n = 0; n < limits::strangers_per_site_max; ++n) {
    ASSERT_TRUE(door.enter(stranger_id(n), machine_at(7), 100));
  }
  door.came(stranger_id(0));
  EXPECT_FALSE(door.enter(stranger_id(50), machine_at(7), 100));
  const std::uint64_t late = 101 + limits::stranger_arrival_s;
  EXPECT_TRUE(door.enter(stranger_id(50), machine_at(7), late));
  EXPECT_EQ(door.count().here, 2U) << "the linked one and the new one";
  door.went(stranger_id(0));
  EXPECT_EQ(door.count().here, 1U);
}

TEST(stranger_door,
     that_is_full_takes_one_of_another_network_and_puts_out_the_last_of_the_largest) {
  stranger_door door;
  constexpr std::size_t sites = limits::strangers_linked_max / limits::strangers_per_site_max;
  for (std::size_t n = 0; n < limits::strangers_linked_max; ++n) {
    ASSERT_TRUE(door.enter(stranger_id(n), machine_at(static_cast<std::uint32_t>(n % sites)), 0));
    door.came(stranger_id(n));
  }
  EXPECT_TRUE(door.take_replaced().empty());
  ASSERT_EQ(sentence(door.enter(stranger_id(500), machine_at(99), 0)), "");
  const auto gone = door.take_replaced();
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_GE(gone.front(), stranger_id(limits::strangers_linked_max - sites));
  EXPECT_EQ(door.count().here, limits::strangers_linked_max);
  EXPECT_EQ(door.count().replaced, 1U);
}

/// Whatever comes and goes in whatever order, no bound is broken, and a network with few always
/// finds a place beside one that floods.
TEST(stranger_door, keeps_its_bounds_in_any_order_of_events) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random{seed};
    stranger_door door;
    std::map<node_id, address_prefix> in;
    std::uint64_t now = 0;
    for (int step = 0; step < 1'500; ++step) {
      now += random() % 3;
      const node_id who = stranger_id(random() % 300);
      const auto site =
          static_cast<std::uint32_t>(random() % 4 == 0 ? random() % 40 : random() % 6);
      if (random() % 4 == 0) {
        door.went(who);
        in.erase(who);
      } else if (door.enter(who, machine_at(site), now)) {
        door.came(who);
        in[who] = site_of(machine_at(site));
      }
      for (const node_id& gone : door.take_replaced()) {
        in.erase(gone);
      }
      std::map<address_prefix, std::size_t> sites;
      for (const auto& [node, at] : in) {
        ++sites[at];
      }
      ASSERT_LE(in.size(), limits::strangers_linked_max);
      for (const auto& [at, count] : sites) {
        ASSERT_LE(count, limits::strangers_per_site_max);
      }
    }
    const auto rare = machine_at(1'000);
    EXPECT_EQ(sentence(door.enter(stranger_id(999), rare, now)), "");
  }
}

} // namespace
} // namespace ovir::actors
