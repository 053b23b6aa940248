// Runs the market of tests/support/ledger/economy.hpp under one policy and prints what came of it
// as JSON. bench/economy_tables makes docs/performance/economy.md of it.
#include "tests/support/ledger/economy.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdio>

int main(int argc, char** argv) {
  using namespace ovir;
  test::economy_options o;
  std::string policy{"bonded"};
  CLI::App app{"A market of honest and cheating providers over the ledger's rules"};
  app.add_option("--policy", policy, "Rules")
      ->check(CLI::IsMember({"bonded", "zero-bond", "bonded-seldom", "zero-bond-seldom"}));
  app.add_option("--requests", o.requests, "How many")->check(CLI::Range(100, 10'000'000));
  app.add_option("--seed", o.seed, "Chance");
  CLI11_PARSE(app, argc, argv);
  o.rules = policy.starts_with("bonded") ? test::bonded_policy() : test::zero_bond_policy();
  if (policy.ends_with("seldom")) {
    o.rules = test::seldom_audited(o.rules);
  }
  const auto accepted = ledger::check(o.rules);
  const test::economy_result found = test::run_economy(o);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const test::strategy_earnings& e : found.by_strategy) {
    rows.push_back({{"strategy", std::string{test::to_string(e.what)}},
                    {"operators", e.operators},
                    {"units", e.units},
                    {"cheated", e.cheated},
                    {"convictions", e.convictions},
                    {"identities", e.identities},
                    {"mean", e.mean},
                    {"most", e.most},
                    {"course", e.course}});
  }
  const nlohmann::ordered_json document{
      {"policy", policy},
      {"accepted", accepted.has_value()},
      {"why", accepted ? std::string{} : accepted.error().message},
      {"audit_rate_ppm", o.rules.deterrence.audit_rate_ppm},
      {"detection_ppm", ledger::detection_ppm(o.rules.deterrence)},
      {"stake", o.rules.deterrence.stake},
      {"requests", o.requests},
      {"seed", o.seed},
      {"entries", found.entries},
      {"honest_convicted", found.honest_convicted},
      {"burnt", found.burnt},
      {"strategies", std::move(rows)}};
  std::printf("%s\n", document.dump().c_str());
  return 0;
}
