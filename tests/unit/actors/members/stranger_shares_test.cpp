#include "actors/members/stranger_shares.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace ovir::actors {
namespace {

node_id share_id(std::size_t n) {
  node_id node;
  node.key[0] = static_cast<std::uint8_t>(n);
  node.key[1] = static_cast<std::uint8_t>(n >> 8U);
  node.key[31] = 2;
  return node;
}

address_prefix site_numbered(std::uint32_t n) {
  return site_of(prefix_of(0x0b000000U + (n << 8U)));
}

stranger_origin told_by(std::size_t introducer, std::uint32_t site) {
  return {share_id(introducer), false, {}, site_numbered(site), false};
}

TEST(stranger_shares, take_a_24_a_48_or_a_name_as_one_site) {
  EXPECT_EQ(claimed_site("10.1.2.3:7300"), claimed_site("10.1.2.250:1"));
  EXPECT_NE(claimed_site("10.1.2.3:7300"), claimed_site("10.1.3.3:7300"));
  EXPECT_EQ(claimed_site("10.1.2.3:7300"), site_of(prefix_of(0x0a010203U)));
  EXPECT_EQ(claimed_site("[2001:db8:7::1]:1"), claimed_site("[2001:DB8:7:ff00::2]:1"));
  EXPECT_EQ(claimed_site("[2001:db8::1]:1"), claimed_site("[2001:db8:0:5::1]:1"));
  EXPECT_NE(claimed_site("[2001:db8:7::1]:1"), claimed_site("[2001:db8:8::1]:1"));
  EXPECT_EQ(claimed_site("Node.example:1"), claimed_site("node.EXAMPLE:2"));
  EXPECT_NE(claimed_site("node.example:1"), claimed_site("other.example:1"));
  for (const char* odd : {"", ":", "[]:1", "[", "1.2.3:4", "1.2.3.4.5:6", "300.1.1.1:1", "[:::1",
                          "[zzzz::]:1", "1..2.3:4", "."}) {
    (void)claimed_site(odd);
  }
}

TEST(stranger_shares, let_no_introducer_fill_the_table) {
  stranger_shares shares;
  std::size_t in = 0;
  for (std::uint32_t n = 0; n < 2'000; ++n) {
    const stranger_origin from = told_by(60'000, n);
    if (shares.has_room(from)) {
      shares.enter(share_id(n), from);
      ++in;
    }
  }
  EXPECT_EQ(in, limits::stranger_entries_per_introducer);
  EXPECT_TRUE(shares.has_room(told_by(60'001, 5'000)));
}

TEST(stranger_shares, count_all_strangers_of_one_site_as_one_introducer) {
  stranger_shares shares;
  std::size_t in = 0;
  for (std::uint32_t n = 0; n < 2'000; ++n) { // a new key tells of each
    const stranger_origin from{share_id(10'000 + n), true, site_numbered(900'000), site_numbered(n),
                               false};
    if (shares.has_room(from)) {
      shares.enter(share_id(n), from);
      ++in;
    }
  }
  EXPECT_EQ(in, limits::stranger_entries_per_introducer);
}

TEST(stranger_shares, let_no_site_fill_the_table_and_follow_where_a_node_was_seen) {
  stranger_shares shares;
  std::size_t in = 0;
  for (std::size_t n = 0; n < 200; ++n) {
    if (shares.has_room(told_by(50'000 + n, 7))) {
      shares.enter(share_id(n), told_by(50'000 + n, 7));
      ++in;
    }
  }
  EXPECT_EQ(in, limits::stranger_entries_per_site);
  EXPECT_FALSE(shares.has_room(told_by(1, 7)));
  shares.seen_at(share_id(0), site_numbered(8)); // it had said another address
  EXPECT_TRUE(shares.has_room(told_by(1, 7)));
  EXPECT_EQ(shares.of_site(site_numbered(8)), 1U);
  EXPECT_TRUE(shares.of(share_id(0))->seen);
  EXPECT_EQ(shares.of(share_id(0))->introducer, share_id(50'000)) << "who told of it is kept";
}

TEST(stranger_shares, leave_a_quarter_of_the_table_to_those_with_leave) {
  stranger_shares shares;
  std::size_t in = 0;
  for (std::uint32_t n = 0; n < limits::members_max; ++n) {
    const stranger_origin from = told_by(40'000 + n / 100, n);
    if (shares.has_room(from)) {
      shares.enter(share_id(n), from);
      ++in;
    }
  }
  EXPECT_EQ(in, limits::stranger_entries_max);
}

/// Against a plain list of what is in, in any order of events.
TEST(stranger_shares, count_right_whatever_comes_moves_and_goes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random{seed};
    stranger_shares shares;
    std::map<node_id, stranger_origin> plain;
    for (int step = 0; step < 3'000; ++step) {
      const node_id who = share_id(random() % 500);
      const auto site = static_cast<std::uint32_t>(random() % 9);
      switch (random() % 4) {
      case 0:
        shares.leave(who);
        plain.erase(who);
        break;
      case 1:
        shares.seen_at(who, site_numbered(site));
        if (const auto at = plain.find(who); at != plain.end()) {
          at->second.site = site_numbered(site);
          at->second.seen = true;
        }
        break;
      default: {
        const stranger_origin from{share_id(random() % 20), random() % 2 == 0,
                                   site_numbered(static_cast<std::uint32_t>(random() % 4)),
                                   site_numbered(site), false};
        if (shares.has_room(from)) {
          shares.enter(who, from);
          plain[who] = from;
        }
      }
      }
    }
    ASSERT_EQ(shares.size(), plain.size());
    std::map<address_prefix, std::size_t> sites;
    std::map<stranger_shares::account, std::size_t> told;
    for (const auto& [node, from] : plain) {
      EXPECT_EQ(*shares.of(node), from);
      ++sites[from.site];
      ++told[stranger_shares::account_of(from)];
    }
    for (const auto& [site, count] : sites) {
      EXPECT_EQ(shares.of_site(site), count);
    }
    for (const auto& [who, count] : told) {
      EXPECT_LE(count, limits::stranger_entries_per_introducer);
    }
  }
}

} // namespace
} // namespace ovir::actors
