#pragma once

#include "compute/text/json_rules.hpp"
#include "messages/result.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <set>
#include <string>

namespace ovir::compute {

using ordered_json = nlohmann::ordered_json;

/// Rules for values that a JSON schema describes (docs/formats/constraint.md): every text of them
/// fits the schema, though not every text that fits is one of them. What cannot be kept is
/// `unsupported`, naming keyword and place.
class schema_rules {
public:
  /// `root` outlives this.
  schema_rules(byte_automaton& out, json_rules& parts, const ordered_json& root)
      : out_(out), parts_(parts), root_(root) {}

  /// The rule of the whole schema.
  [[nodiscard]] result<rule_index> whole() { return rule_of(root_, "#", 0); }

private:
  [[nodiscard]] result<rule_index> rule_of(const ordered_json& schema, const std::string& where,
                                           std::size_t depth);
  [[nodiscard]] result<void> fill(rule_index rule, const ordered_json& schema,
                                  const std::string& where, std::size_t depth);
  [[nodiscard]] result<void> fill_type(rule_index rule, const ordered_json& schema,
                                       const std::string& type, const std::string& where,
                                       std::size_t depth);
  [[nodiscard]] result<void> fill_values(rule_index rule, const ordered_json& schema,
                                         const std::string& where);
  [[nodiscard]] result<void> fill_object(rule_index rule, const ordered_json& schema,
                                         const std::string& where, std::size_t depth);
  [[nodiscard]] result<void> fill_members(rule_index rule, const ordered_json& properties,
                                          const std::set<std::string>& required,
                                          std::optional<rule_index> other, const std::string& where,
                                          std::size_t depth);
  [[nodiscard]] result<void> fill_array(rule_index rule, const ordered_json& schema,
                                        const std::string& where, std::size_t depth);
  [[nodiscard]] result<void> fill_string(rule_index rule, const ordered_json& schema,
                                         const std::string& where);
  [[nodiscard]] result<void> fill_number(rule_index rule, const ordered_json& schema, bool whole,
                                         const std::string& where);
  [[nodiscard]] result<rule_index> referred(const ordered_json& schema, const std::string& where,
                                            std::size_t depth);

  byte_automaton& out_;
  json_rules& parts_;
  const ordered_json& root_;
  std::map<std::string, rule_index> referred_; ///< by pointer
};

} // namespace ovir::compute
