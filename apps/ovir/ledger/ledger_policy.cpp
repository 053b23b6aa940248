#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_policy_file.hpp"
#include "apps/policy_vectors.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"

#include <array>
#include <memory>

namespace ovir::apps {

namespace {

struct policy_options {
  std::string file;
  bool as_json{false};
};

result<exit_code> evaluate(const policy_options& given, surroundings& around) {
  if (given.file.empty()) {
    return fail(errc::invalid_argument,
                "ovir ledger policy needs a FILE with cases, or 'check'; see --help");
  }
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.file, limits::ledger_policy_file_bytes_max));
  OVIR_ASSIGN(const json answer, evaluate_policy_vectors(given.file, text));
  OVIR_TRY(write_document(answer));
  return exit_code::done;
}

double units_of(ledger::wide millionths) {
  return static_cast<double>(millionths) / static_cast<double>(limits::ppm_one);
}

/// LEDGER.md's table, for this policy's own fee and saving: q by the stake.
json needed_table(const ledger::deterrence_terms& t) {
  json rows = json::array();
  constexpr std::array<std::uint64_t, 5> stakes{0, 1, 5, 20, 100}; // in fees
  for (const std::uint64_t times : stakes) {
    const ledger::wide stake = ledger::wide{t.unit_fee} * times;
    if (stake <= limits::ledger_supply_max) {
      rows.push_back({{"stake_per_fee", times},
                      {"needed_ppm",
                       ledger::needed_detection_ppm(t.saved, t.unit_fee, t.staying_value,
                                                    static_cast<ledger::micro_credits>(stake))}});
    }
  }
  return rows;
}

result<exit_code> check_policy(const policy_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string text,
              around.environment.read(given.file, limits::config_file_bytes_max));
  OVIR_ASSIGN(const ledger::policy policy, parse_ledger_policy(given.file, text));
  OVIR_ASSIGN(const auto findings, ledger::examine(terms_of(policy)));
  const auto accepted = ledger::check(policy);
  json theorems = json::array();
  std::string lines;
  for (const ledger::deterrence_finding& f : findings) {
    theorems.push_back({{"theorem", f.theorem},
                        {"holds", f.holds},
                        {"at_risk", units_of(f.at_risk)},
                        {"saved", units_of(f.saved)},
                        {"advice", f.advice}});
    lines += fmt::format("{:<9} {}: risks {:.0f}, saves {:.0f} micro-credits per unit{}{}\n",
                         f.theorem, f.holds ? "deterred" : "NOT DETERRED", units_of(f.at_risk),
                         units_of(f.saved), f.holds ? "" : "; ", f.advice);
  }
  if (given.as_json) {
    OVIR_TRY(write_document(
        json{{"mode", std::string{to_string(policy.deterrence.mode)}},
             {"accepted", accepted.has_value()},
             {"detection_ppm", ledger::detection_ppm(policy.deterrence)},
             {"theorems", std::move(theorems)},
             {"needed", needed_table(policy.deterrence)},
             {"message", accepted ? json(nullptr) : json(accepted.error().message)}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} policy, a cheated unit is detected with {} ppm\n{}",
                                      to_string(policy.deterrence.mode),
                                      ledger::detection_ppm(policy.deterrence), lines)));
  }
  return accepted ? exit_code::done : exit_code::wrong;
}

} // namespace

void add_ledger_policy(CLI::App& ledger, chosen_command& chosen) {
  CLI::App* const command = ledger.add_subcommand(
      "policy", "What the policy makes of cases in a file, or whether a policy deters");
  const auto given = std::make_shared<policy_options>();
  command->footer(
      "FILE is JSON: {\"cases\": [{\"input\": {...}}]} with Divy's inputs. The answer has its "
      "floating-point\nresults and, as \"exact\", those the ledger counts by.\n\n"
      "Examples:\n  ovir ledger policy cases.json\n"
      "  ovir ledger policy check config/ledger.toml\n"
      "Exit code of check: 0 when cheating does not pay, 1 when it does.");
  command->add_option("FILE", given->file, "Cases in JSON");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    if (!chosen.run) { // or `check` was chosen
      chosen.as_json = given->as_json;
      chosen.run = [given](surroundings& around) { return evaluate(*given, around); };
    }
  });
  CLI::App* const checking =
      command->add_subcommand("check", "Whether cheating pays under a policy, and what to change");
  const auto checked = std::make_shared<policy_options>();
  checking->add_option("FILE", checked->file, "The policy, such as config/ledger.toml")->required();
  add_json(*checking, checked->as_json);
  checking->callback([checked, &chosen] {
    chosen.as_json = checked->as_json;
    chosen.run = [checked](surroundings& around) { return check_policy(*checked, around); };
  });
}

} // namespace ovir::apps
