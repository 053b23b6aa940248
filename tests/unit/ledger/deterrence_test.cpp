#include "ledger/rules/deterrence.hpp"
#include "ledger/rules/policy.hpp"

#include <gtest/gtest.h>

#include <charconv>

namespace ovir::ledger {
namespace {

/// The numbers of LEDGER.md's table: D = 0.8 p, and an auditor whose checks are paid.
deterrence_terms bonded() {
  deterrence_terms t;
  t.audit_rate_ppm = 133'334;
  t.unit_fee = credit;
  t.saved = 800'000;
  t.stake = 5 * credit;
  t.planted_ppm = 20'000;
  t.audit_fee = 100'000;
  t.audit_cost = 100'000;
  t.auditor_stake = 5 * credit;
  return t;
}

deterrence_terms zero_bond() {
  deterrence_terms t = bonded();
  t.mode = trust_mode::zero_bond;
  t.audit_rate_ppm = 800'000;
  t.stake = 0;
  t.auditor_stake = 0;
  t.planted_ppm = 500'000;
  t.audit_fee = 200'000;
  return t;
}

TEST(deterrence, the_needed_detection_is_that_of_the_published_table) {
  EXPECT_EQ(needed_detection_ppm(800'000, credit, 0, 0), 800'000U);
  EXPECT_EQ(needed_detection_ppm(800'000, credit, 0, credit), 400'000U);
  EXPECT_EQ(needed_detection_ppm(800'000, credit, 0, 5 * credit), 133'334U);
  EXPECT_EQ(needed_detection_ppm(800'000, credit, 0, 20 * credit), 38'096U);
  EXPECT_EQ(needed_detection_ppm(800'000, credit, 0, 100 * credit), 7'921U);
  EXPECT_GT(needed_detection_ppm(1, 0, 0, 0), 1'000'000U);
}

TEST(deterrence, accepts_both_modes_at_the_boundary_and_refuses_one_ppm_below_it) {
  for (deterrence_terms t : {bonded(), zero_bond()}) {
    EXPECT_TRUE(require_deterrence(t)) << to_string(t.mode);
    --t.audit_rate_ppm;
    EXPECT_EQ(require_deterrence(t).error().code, errc::invalid_argument) << to_string(t.mode);
  }
}

/// The number behind "raise NAME from A to ".
std::uint64_t advised(const std::string& text, const std::string& name) {
  const std::size_t at = text.find(" to ", text.find(name + " from "));
  EXPECT_NE(at, std::string::npos) << text;
  std::uint64_t value = 0;
  std::from_chars(text.data() + at + 4, text.data() + text.size(), value);
  return value;
}

TEST(deterrence, its_advice_followed_to_the_letter_is_enough_and_one_less_is_not) {
  deterrence_terms t = bonded();
  t.audit_rate_ppm = 20'000;
  t.sensitivity_ppm = 900'000;
  t.colluding_share_ppm = 300'000;
  t.auditors = 2;
  t.false_conviction_ppm = 1'000;
  t.finder_ppm = 250'000;
  const std::string text = require_deterrence(t).error().message;
  const auto with = [&](std::uint64_t deterrence_terms::*number, std::uint64_t value) {
    deterrence_terms changed = t;
    changed.*number = value;
    return require_deterrence(changed).has_value();
  };
  const std::uint64_t rate = advised(text, "audit_rate_ppm");
  EXPECT_TRUE(with(&deterrence_terms::audit_rate_ppm, rate)) << text;
  EXPECT_FALSE(with(&deterrence_terms::audit_rate_ppm, rate - 1)) << text;
  const std::uint64_t stake = advised(text, "stake");
  EXPECT_TRUE(with(&deterrence_terms::stake, stake)) << text;
  EXPECT_FALSE(with(&deterrence_terms::stake, stake - 1)) << text;
  const std::uint64_t fee = advised(text, "unit_fee");
  EXPECT_TRUE(with(&deterrence_terms::unit_fee, fee)) << text;
  EXPECT_FALSE(with(&deterrence_terms::unit_fee, fee - 1)) << text;
}

TEST(deterrence, a_lazy_auditor_is_deterred_by_planted_units_or_told_that_nothing_helps) {
  deterrence_terms t = bonded();
  t.planted_ppm = 1'000;
  const std::string text = require_deterrence(t).error().message;
  t.planted_ppm = advised(text, "planted_ppm");
  EXPECT_TRUE(require_deterrence(t)) << text;
  --t.planted_ppm;
  EXPECT_FALSE(require_deterrence(t)) << text;
  t = zero_bond();
  t.audit_fee = t.audit_cost - 1;
  EXPECT_NE(require_deterrence(t).error().message.find("raise audit_fee"), std::string::npos);
}

TEST(deterrence, auditors_in_league_lower_the_detection) {
  deterrence_terms t = bonded();
  t.audit_rate_ppm = 1'000'000;
  t.colluding_share_ppm = 500'000;
  EXPECT_EQ(detection_ppm(t), 500'000U);
  t.auditors = 3;
  EXPECT_EQ(detection_ppm(t), 875'000U);
  t.colluding_share_ppm = 1'000'000;
  EXPECT_EQ(detection_ppm(t), 0U);
  EXPECT_NE(require_deterrence(t).error().message.find("colluding_share_ppm"), std::string::npos);
}

TEST(deterrence, a_stake_counts_without_what_its_owner_could_find_himself) {
  deterrence_terms t = bonded();
  t.finder_ppm = 100'000;
  EXPECT_FALSE(require_deterrence(t)) << "docs/proofs, mutant finder";
  t.stake = t.stake * 10 / 9 + 1;
  EXPECT_TRUE(require_deterrence(t));
  policy p;
  p.deterrence = bonded();
  p.finder_ppm = 100'000;
  EXPECT_NE(check(p).error().message.find("raise audit_rate_ppm"), std::string::npos);
}

TEST(deterrence, zero_bond_with_a_stake_is_a_contradiction) {
  deterrence_terms t = zero_bond();
  t.stake = 1;
  EXPECT_NE(require_deterrence(t).error().message.find("mode to bonded"), std::string::npos);
}

TEST(deterrence, numbers_out_of_range_are_named) {
  deterrence_terms t = bonded();
  t.audit_rate_ppm = 1'000'001;
  EXPECT_NE(examine(t).error().message.find("audit_rate_ppm"), std::string::npos);
  t = bonded();
  t.auditors = 17;
  EXPECT_NE(examine(t).error().message.find("auditors"), std::string::npos);
  t = bonded();
  t.saved = ~std::uint64_t{0};
  EXPECT_NE(examine(t).error().message.find("saved"), std::string::npos);
}

TEST(deterrence, many_cheated_units_are_caught_almost_surely_and_never_overstated) {
  EXPECT_EQ(caught_ppm(500'000, 1), 500'000U);
  EXPECT_EQ(caught_ppm(500'000, 2), 750'000U);
  EXPECT_EQ(caught_ppm(10'000, 0), 0U);
  EXPECT_NEAR(static_cast<double>(caught_ppm(10'000, 100)), 633'968, 100);
  EXPECT_LE(caught_ppm(10'000, 100), 633'968U);
  EXPECT_EQ(caught_ppm(1'000'000, 5), 1'000'000U);
}

TEST(policy, refuses_numbers_out_of_range_and_a_deterrence_that_fails) {
  policy p;
  p.deterrence = bonded();
  p.deterrence.audit_rate_ppm = 200'000;
  EXPECT_TRUE(check(p));
  p.finder_ppm = 1'000'000; // who finds must not gain by cheating himself
  EXPECT_NE(check(p).error().message.find("finder_ppm"), std::string::npos);
  p.finder_ppm = 0;
  p.unlock_delay_s = p.audit_window_s - 1; // or a stake could leave before its audit
  EXPECT_NE(check(p).error().message.find("unlock_delay_s"), std::string::npos);
  p = policy{};
  p.deterrence = bonded();
  p.deterrence.audit_rate_ppm = 1;
  EXPECT_TRUE(check_ranges(p));
  EXPECT_NE(check(p).error().message.find("raise audit_rate_ppm"), std::string::npos);
}

} // namespace
} // namespace ovir::ledger
