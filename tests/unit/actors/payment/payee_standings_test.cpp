// Who may be planned and paid: what a thousand keys of one address get is what one gets.
#include "actors/payment/payee_standings.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr std::uint64_t part_of_one = 64; ///< what one newcomer may have
constexpr std::uint8_t payees = 100;

node_id payee_key(std::uint8_t number) {
  node_id id;
  id.key[0] = number;
  return id;
}

class newcomers : public ::testing::Test {
protected:
  /// Each has so many windows pending.
  void all_have(std::uint64_t windows) {
    for (std::uint8_t n = 1; n <= payees; ++n) {
      payees_.of[payee_key(n)].newcomer = true;
      payees_.of[payee_key(n)].pending_windows = windows;
    }
  }
  void at(std::uint8_t number, std::uint32_t ipv4) {
    payees_.sites[payee_key(number)] = site_of(prefix_of(ipv4));
  }

  payee_standings payees_;
};

TEST_F(newcomers, of_one_address_have_together_what_one_may_have) {
  for (std::uint8_t n = 1; n <= payees; ++n) {
    at(n, 0x0a000000U + n); // hosts of one /24
  }
  all_have(0);
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  payees_.of[payee_key(7)].pending_windows = part_of_one - 1;
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  payees_.of[payee_key(9)].pending_windows = 1;
  EXPECT_EQ(payees_.lacking(part_of_one).size(), payees) << "whichever of them has worked";
  payees_.of[payee_key(7)].newcomer = false; // its first windows are through
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
}

TEST_F(newcomers, of_other_addresses_are_not_in_their_way) {
  for (std::uint8_t n = 1; n <= payees; ++n) {
    at(n, 0x0a000000U + n * 256U); // a /24 each
  }
  all_have(part_of_one - 1);
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  payees_.of[payee_key(3)].pending_windows = part_of_one;
  EXPECT_EQ(payees_.lacking(part_of_one), std::set<node_id>{payee_key(3)});
}

TEST_F(newcomers, that_were_never_linked_count_as_one_address) {
  all_have(1);
  EXPECT_EQ(payees_.lacking(part_of_one).size(), payees);
  at(1, 0x0a000001U);
  EXPECT_FALSE(payees_.lacking(part_of_one).contains(payee_key(1)));
}

TEST_F(newcomers, do_not_count_once_they_are_known_and_who_is_refused_lacks_admission) {
  all_have(1);
  for (std::uint8_t n = 1; n <= payees; ++n) {
    payees_.of[payee_key(n)].newcomer = false;
  }
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  payees_.of[payee_key(5)].admitted = false;
  EXPECT_EQ(payees_.lacking(part_of_one), std::set<node_id>{payee_key(5)});
}

TEST_F(newcomers,
       are_those_without_leave_also_where_nothing_is_paid_until_they_have_history_or_stake) {
  ledger::account_report report;
  report.who = payee_key(1);
  report.admitted = true; // as a keeper says under free rules, which know no newcomers
  report.pending_windows = part_of_one;
  payees_.note(report, true);
  EXPECT_TRUE(payees_.of.empty()) << "it was not planned";
  payees_.of[payee_key(1)] = {};
  payees_.note(report, false);
  EXPECT_TRUE(payees_.lacking(part_of_one).empty()) << "it has leave";
  payees_.note(report, true);
  EXPECT_EQ(payees_.lacking(part_of_one), std::set<node_id>{payee_key(1)});
  report.reputation_ppm = 1;
  payees_.note(report, true);
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  report.reputation_ppm = 0;
  report.stake = 5;
  payees_.note(report, true);
  EXPECT_TRUE(payees_.lacking(part_of_one).empty());
  report.leaving = 5;
  payees_.note(report, true);
  EXPECT_EQ(payees_.lacking(part_of_one).size(), 1U);
}

TEST(sites, are_the_24_bits_of_an_ipv4_address_and_the_48_of_an_ipv6_one) {
  EXPECT_EQ(site_of(prefix_of(0x0a0b0c0dU)), site_of(prefix_of(0x0a0b0cffU)));
  EXPECT_NE(site_of(prefix_of(0x0a0b0c0dU)), site_of(prefix_of(0x0a0b0d0dU)));
  std::array<unsigned char, 16> one{0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4};
  std::array<unsigned char, 16> two = one;
  two[7] = 9;
  EXPECT_EQ(site_of(prefix_of(one)), site_of(prefix_of(two)));
  two[5] = 9;
  EXPECT_NE(site_of(prefix_of(one)), site_of(prefix_of(two)));
}

} // namespace
} // namespace ovir::actors
