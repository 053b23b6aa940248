#include "apps/ovir/ledger/ledger_policy_file.hpp"

#include "apps/ovir/base/config_table.hpp"
#include "ledger/rules/policy_numbers.hpp"
#include "messages/limits/ledger.hpp"

#include <array>
#include <limits>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::array<std::string_view, 3> file_keys{"mode", "rules", "deterrence"};
/// TOML's whole numbers end here; the ranges proper are the policy's.
constexpr whole_range any{0, std::numeric_limits<std::int64_t>::max()};
constexpr text_rule word{"word", 16};

std::vector<std::string_view> keys_of(std::span<const ledger::policy_number> numbers) {
  std::vector<std::string_view> keys;
  for (const ledger::policy_number& n : numbers) {
    keys.push_back(n.key);
  }
  return keys;
}

class reader {
public:
  explicit reader(const std::string& path) : in_(path) {}

  result<ledger::policy> read(std::string_view text) {
    OVIR_ASSIGN(const toml::table root, in_.parse(text));
    OVIR_TRY(in_.known_keys(root, "the file", file_keys));
    OVIR_ASSIGN(const std::string mode, in_.text(root, "mode", word));
    ledger::policy p;
    if (mode == to_string(ledger::trust_mode::free)) {
      p = ledger::free_policy();
    } else if (mode == to_string(ledger::trust_mode::zero_bond)) {
      p.deterrence.mode = ledger::trust_mode::zero_bond;
    } else if (mode == to_string(ledger::trust_mode::bonded)) {
      p.deterrence.mode = ledger::trust_mode::bonded;
    } else {
      return in_.refuse(root.get("mode")->source(), "'mode' is {}; it is bonded, zero-bond or free",
                        mode);
    }
    OVIR_TRY(read_rules(root, p));
    OVIR_TRY(read_deterrence(root, p));
    if (const auto checked = ledger::check_ranges(p); !checked) {
      return in_context(in_.path(), checked.error());
    }
    return p;
  }

private:
  result<void> read_numbers(const toml::table& table,
                            std::span<const ledger::policy_number> numbers,
                            ledger::policy& to) const {
    for (const ledger::policy_number& n : numbers) {
      OVIR_ASSIGN(const std::uint64_t value, in_.whole(table, n.key, any, n.get(to)));
      n.set(to, value);
    }
    return {};
  }

  result<void> read_rules(const toml::table& root, ledger::policy& p) const {
    OVIR_ASSIGN(const toml::table* const rules, in_.section(root, "rules"));
    if (rules == nullptr) {
      return {};
    }
    std::vector<std::string_view> keys = keys_of(ledger::rule_numbers());
    keys.emplace_back("refund");
    OVIR_TRY(in_.known_keys(*rules, "[rules]", keys));
    OVIR_TRY(read_numbers(*rules, ledger::rule_numbers(), p));
    OVIR_ASSIGN(const std::string refund, in_.text(*rules, "refund", word, "window"));
    if (refund != "window" && refund != "request") {
      return in_.refuse(rules->get("refund")->source(), "'refund' is {}; it is window or request",
                        refund);
    }
    p.refund = refund == "window" ? ledger::refund_rule::window : ledger::refund_rule::request;
    return {};
  }

  result<void> read_deterrence(const toml::table& root, ledger::policy& p) const {
    OVIR_ASSIGN(const toml::table* const table, in_.section(root, "deterrence"));
    if (table == nullptr && p.deterrence.mode == ledger::trust_mode::free) {
      return {};
    }
    if (table == nullptr) {
      return in_.refuse(root.source(),
                        "there is no [deterrence]; without its numbers nobody can tell whether "
                        "cheating pays");
    }
    OVIR_TRY(in_.known_keys(*table, "[deterrence]", keys_of(ledger::deterrence_numbers())));
    return read_numbers(*table, ledger::deterrence_numbers(), p);
  }

  config_reader in_;
};

} // namespace

result<ledger::policy> parse_ledger_policy(const std::string& path, std::string_view text) {
  return reader{path}.read(text);
}

} // namespace ovir::apps
