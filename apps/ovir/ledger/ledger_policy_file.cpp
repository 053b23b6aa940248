#include "apps/ovir/ledger/ledger_policy_file.hpp"

#include "apps/ovir/base/config_table.hpp"
#include "messages/limits/ledger.hpp"

#include <array>
#include <limits>

namespace ovir::apps {

namespace {

constexpr std::array<std::string_view, 3> file_keys{"mode", "rules", "deterrence"};
constexpr std::array<std::string_view, 13> rule_keys{"fee_ppm",
                                                     "cache_ppm",
                                                     "finder_ppm",
                                                     "audit_window_s",
                                                     "unlock_delay_s",
                                                     "reservation_s_max",
                                                     "actions_per_minute_max",
                                                     "admission_stake",
                                                     "newcomer_units",
                                                     "reputation_half_life_s",
                                                     "epoch_entries",
                                                     "epoch_s",
                                                     "refund"};
constexpr std::array<std::string_view, 13> deterrence_keys{"audit_rate_ppm",
                                                           "sensitivity_ppm",
                                                           "false_conviction_ppm",
                                                           "colluding_share_ppm",
                                                           "auditors",
                                                           "unit_fee",
                                                           "saved",
                                                           "staying_value",
                                                           "stake",
                                                           "planted_ppm",
                                                           "audit_fee",
                                                           "audit_cost",
                                                           "auditor_stake"};

/// TOML's whole numbers end here; the ranges proper are the policy's.
constexpr whole_range any{0, std::numeric_limits<std::int64_t>::max()};
constexpr text_rule word{"word", 16};

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
    OVIR_TRY(read_deterrence(root, p.deterrence));
    if (const auto checked = ledger::check_ranges(p); !checked) {
      return in_context(in_.path(), checked.error());
    }
    return p;
  }

private:
  struct field {
    std::string_view key;
    std::uint64_t* value;
  };

  template <std::size_t N>
  result<void> read_numbers(const toml::table& table, const std::array<field, N>& fields) const {
    for (const field& f : fields) {
      OVIR_ASSIGN(*f.value, in_.whole(table, f.key, any, *f.value));
    }
    return {};
  }

  result<void> read_rules(const toml::table& root, ledger::policy& p) const {
    OVIR_ASSIGN(const toml::table* const rules, in_.section(root, "rules"));
    if (rules == nullptr) {
      return {};
    }
    OVIR_TRY(in_.known_keys(*rules, "[rules]", rule_keys));
    OVIR_TRY(read_numbers(
        *rules,
        std::array{field{"fee_ppm", &p.fee_ppm}, field{"cache_ppm", &p.cache_ppm},
                   field{"finder_ppm", &p.finder_ppm}, field{"audit_window_s", &p.audit_window_s},
                   field{"unlock_delay_s", &p.unlock_delay_s},
                   field{"reservation_s_max", &p.reservation_s_max},
                   field{"actions_per_minute_max", &p.actions_per_minute_max},
                   field{"admission_stake", &p.admission_stake},
                   field{"newcomer_units", &p.newcomer_units},
                   field{"reputation_half_life_s", &p.reputation_half_life_s},
                   field{"epoch_entries", &p.epoch_entries}, field{"epoch_s", &p.epoch_s}}));
    OVIR_ASSIGN(const std::string refund, in_.text(*rules, "refund", word, "window"));
    if (refund != "window" && refund != "request") {
      return in_.refuse(rules->get("refund")->source(), "'refund' is {}; it is window or request",
                        refund);
    }
    p.refund = refund == "window" ? ledger::refund_rule::window : ledger::refund_rule::request;
    return {};
  }

  result<void> read_deterrence(const toml::table& root, ledger::deterrence_terms& t) const {
    OVIR_ASSIGN(const toml::table* const table, in_.section(root, "deterrence"));
    if (table == nullptr && t.mode == ledger::trust_mode::free) {
      return {};
    }
    if (table == nullptr) {
      return in_.refuse(root.source(),
                        "there is no [deterrence]; without its numbers nobody can tell whether "
                        "cheating pays");
    }
    OVIR_TRY(in_.known_keys(*table, "[deterrence]", deterrence_keys));
    std::uint64_t auditors = t.auditors;
    OVIR_TRY(read_numbers(
        *table, std::array{field{"audit_rate_ppm", &t.audit_rate_ppm},
                           field{"sensitivity_ppm", &t.sensitivity_ppm},
                           field{"false_conviction_ppm", &t.false_conviction_ppm},
                           field{"colluding_share_ppm", &t.colluding_share_ppm},
                           field{"auditors", &auditors}, field{"unit_fee", &t.unit_fee},
                           field{"saved", &t.saved}, field{"staying_value", &t.staying_value},
                           field{"stake", &t.stake}, field{"planted_ppm", &t.planted_ppm},
                           field{"audit_fee", &t.audit_fee}, field{"audit_cost", &t.audit_cost},
                           field{"auditor_stake", &t.auditor_stake}}));
    t.auditors = auditors > 255 ? 255 : static_cast<std::uint32_t>(auditors); // 16 at most anyway
    return {};
  }

  config_reader in_;
};

} // namespace

result<ledger::policy> parse_ledger_policy(const std::string& path, std::string_view text) {
  return reader{path}.read(text);
}

} // namespace ovir::apps
