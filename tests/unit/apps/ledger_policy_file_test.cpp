#include "apps/ovir/ledger/ledger_policy_file.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace ovir::apps {
namespace {

std::string example() {
  std::ifstream file{test::source_file("config/ledger.toml"), std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::string message(const std::string& text) {
  return parse_ledger_policy("p.toml", text).error().message;
}

std::string changed(std::string text, const std::string& from, const std::string& to) {
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(ledger_policy_file, the_example_of_config_deters_and_says_the_defaults_where_it_claims_to) {
  const ledger::policy p = parse_ledger_policy("p.toml", example()).value();
  EXPECT_TRUE(ledger::check(p));
  const ledger::policy d;
  EXPECT_EQ(p.fee_ppm, d.fee_ppm);
  EXPECT_EQ(p.cache_ppm, d.cache_ppm);
  EXPECT_EQ(p.finder_ppm, d.finder_ppm);
  EXPECT_EQ(p.audit_window_s, d.audit_window_s);
  EXPECT_EQ(p.unlock_delay_s, d.unlock_delay_s);
  EXPECT_EQ(p.reservation_s_max, d.reservation_s_max);
  EXPECT_EQ(p.actions_per_minute_max, d.actions_per_minute_max);
  EXPECT_EQ(p.admission_stake, d.admission_stake);
  EXPECT_EQ(p.newcomer_units, d.newcomer_units);
  EXPECT_EQ(p.reputation_half_life_s, d.reputation_half_life_s);
  EXPECT_EQ(p.epoch_entries, d.epoch_entries);
  EXPECT_EQ(p.epoch_s, d.epoch_s);
  EXPECT_EQ(p.refund, d.refund);
}

TEST(ledger_policy_file, refuses_what_it_does_not_know_with_line_and_column) {
  EXPECT_NE(message(changed(example(), "fee_ppm =", "fee =")).find("p.toml:"), std::string::npos);
  EXPECT_NE(message(changed(example(), "\"bonded\"\n\n", "\"bound\"\n\n")).find("zero-bond"),
            std::string::npos);
  EXPECT_NE(message(changed(example(), "refund = \"window\"", "refund = \"all\""))
                .find("window or request"),
            std::string::npos);
  EXPECT_NE(message(changed(example(), "auditors = 1", "auditors = 4294967297")).find("auditors"),
            std::string::npos);
  EXPECT_NE(message(changed(example(), "fee_ppm = 10000", "fee_ppm = 1000000")).find("fee_ppm"),
            std::string::npos);
  EXPECT_NE(message("mode = \"bonded\"\n").find("[deterrence]"), std::string::npos);
  EXPECT_FALSE(parse_ledger_policy("p.toml", ""));
}

} // namespace
} // namespace ovir::apps
