#include "compute/text/schema_rules.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/constraint.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace ovir::compute {

namespace {

/// Keywords that say nothing about which values fit.
constexpr std::array<std::string_view, 11> annotations{
    "title",    "description", "default",  "examples",  "$schema", "$id",
    "$comment", "deprecated",  "readOnly", "writeOnly", "$defs"};

bool is_annotation(std::string_view key) {
  return key == "definitions" ||
         std::find(annotations.begin(), annotations.end(), key) != annotations.end();
}

error unsupported(std::string_view where, std::string_view key, std::string_view why) {
  return fail(errc::unsupported, "the schema at {}: '{}' {}", printable(where), printable(key),
              why);
}

error malformed(std::string_view where, std::string_view what) {
  return fail(errc::malformed, "the schema at {}: {}", printable(where), what);
}

/// The names in 'required', all of them members of `properties`.
result<std::set<std::string>>
required_of(const ordered_json& schema, const ordered_json& properties, const std::string& where) {
  std::set<std::string> required;
  if (!schema.contains("required")) {
    return required;
  }
  if (!schema["required"].is_array()) {
    return malformed(where, "'required' must be a list of names");
  }
  for (const ordered_json& name : schema["required"]) {
    if (!name.is_string() || !properties.contains(name.get_ref<const std::string&>())) {
      return unsupported(where, "required", "must name members of 'properties'");
    }
    required.insert(name.get<std::string>());
  }
  return required;
}

/// Refuses keywords other than `known` and annotations.
result<void> only(const ordered_json& schema, const std::string& where,
                  std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : schema.items()) {
    if (!is_annotation(key) && std::find(known.begin(), known.end(), key) == known.end()) {
      return unsupported(where, key, "cannot be kept here; leave it out");
    }
  }
  return {};
}

result<std::optional<std::uint32_t>> count_at(const ordered_json& schema, const std::string& where,
                                              std::string_view key) {
  const auto found = schema.find(key);
  if (found == schema.end()) {
    return std::optional<std::uint32_t>{};
  }
  if (!found->is_number_unsigned() || found->get<std::uint64_t>() > limits::constraint_count_max) {
    return unsupported(
        where, key, fmt::format("must be a whole number up to {}", limits::constraint_count_max));
  }
  return std::optional{found->get<std::uint32_t>()};
}

bool is_whole(const ordered_json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && value.get<double>() == std::floor(value.get<double>()));
}

bool is_of(const ordered_json& value, const std::string& type) {
  return type == "string"    ? value.is_string()
         : type == "number"  ? value.is_number()
         : type == "integer" ? value.is_number() && is_whole(value)
         : type == "boolean" ? value.is_boolean()
         : type == "null"    ? value.is_null()
         : type == "object"  ? value.is_object()
                             : type == "array" && value.is_array();
}

/// The types that `schema` says or means.
result<std::vector<std::string>> types_of(const ordered_json& schema, const std::string& where) {
  const auto found = schema.find("type");
  if (found == schema.end()) {
    const auto has = [&](std::string_view key) { return schema.contains(key); };
    if (has("properties") || has("required") || has("additionalProperties")) {
      return std::vector<std::string>{"object"};
    }
    if (has("items") || has("minItems") || has("maxItems")) {
      return std::vector<std::string>{"array"};
    }
    if (has("minLength") || has("maxLength")) {
      return std::vector<std::string>{"string"};
    }
    return has("minimum") || has("maximum") ? std::vector<std::string>{"number"}
                                            : std::vector<std::string>{};
  }
  std::vector<std::string> types;
  for (const ordered_json& one : found->is_array() ? *found : ordered_json::array({*found})) {
    if (!one.is_string()) {
      return malformed(where, "'type' must be a text or a list of texts");
    }
    types.push_back(one.get<std::string>());
  }
  if (types.empty()) {
    return malformed(where, "'type' is an empty list");
  }
  return types;
}

} // namespace

result<rule_index> schema_rules::rule_of(const ordered_json& schema, const std::string& where,
                                         std::size_t depth) {
  if (schema.is_object() && schema.contains("$ref")) {
    return referred(schema, where, depth);
  }
  if (where == "#") { // what "#" refers to
    const rule_index rule = out_.add_rule();
    referred_.emplace(where, rule);
    OVIR_TRY(fill(rule, schema, where, depth));
    return rule;
  }
  const rule_index rule = out_.add_rule();
  OVIR_TRY(fill(rule, schema, where, depth));
  return rule;
}

result<rule_index> schema_rules::referred(const ordered_json& schema, const std::string& where,
                                          std::size_t depth) {
  OVIR_TRY(only(schema, where, {"$ref"}));
  if (depth > limits::constraint_depth_max) {
    return fail(errc::over_limit, "the schema is nested more than {} deep",
                limits::constraint_depth_max);
  }
  const ordered_json& name = schema["$ref"];
  if (!name.is_string() || !name.get_ref<const std::string&>().starts_with('#')) {
    return unsupported(where, "$ref", "must refer to a part of the same schema: \"#/...\"");
  }
  const auto& pointer = name.get_ref<const std::string&>();
  if (const auto known = referred_.find(pointer); known != referred_.end()) {
    return known->second;
  }
  const ordered_json* target = nullptr;
  try {
    target = &root_.at(ordered_json::json_pointer{pointer.substr(1)});
  } catch (const nlohmann::json::exception&) { // the one way it has to say so
    return malformed(where, fmt::format("'$ref' {} refers to nothing", printable(pointer)));
  }
  const rule_index rule = out_.add_rule();
  referred_.emplace(pointer, rule);
  if (target->is_object() && target->contains("$ref")) {
    OVIR_ASSIGN(const rule_index further, referred(*target, pointer, depth + 1));
    out_.call(out_.rules[rule].first, further, out_.rules[rule].last);
    return rule;
  }
  OVIR_TRY(fill(rule, *target, pointer, depth + 1));
  return rule;
}

result<void> schema_rules::fill(rule_index rule, const ordered_json& schema,
                                const std::string& where, std::size_t depth) {
  if (depth > limits::constraint_depth_max) {
    return fail(errc::over_limit, "the schema is nested more than {} deep",
                limits::constraint_depth_max);
  }
  if (out_.states.size() > limits::constraint_states_max) {
    return fail(errc::over_limit, "the schema needs more than {} states; make it smaller",
                limits::constraint_states_max);
  }
  const state_index first = out_.rules[rule].first;
  const state_index last = out_.rules[rule].last;
  if (schema.is_boolean() && schema.get<bool>()) {
    out_.call(first, parts_.any_value(), last);
    return {};
  }
  if (!schema.is_object()) {
    return malformed(where, "a schema must be an object");
  }
  if (schema.contains("enum") || schema.contains("const")) {
    return fill_values(rule, schema, where);
  }
  if (schema.contains("anyOf")) {
    OVIR_TRY(only(schema, where, {"anyOf"}));
    const ordered_json& choices = schema["anyOf"];
    if (!choices.is_array() || choices.empty() || choices.size() > limits::constraint_values_max) {
      return malformed(where, "'anyOf' must be a list of schemas");
    }
    for (std::size_t i = 0; i < choices.size(); ++i) {
      OVIR_ASSIGN(const rule_index choice,
                  rule_of(choices[i], fmt::format("{}/anyOf/{}", where, i), depth + 1));
      out_.call(first, choice, last);
    }
    return {};
  }
  OVIR_ASSIGN(const auto types, types_of(schema, where));
  if (types.empty()) {
    OVIR_TRY(only(schema, where, {}));
    out_.call(first, parts_.any_value(), last);
    return {};
  }
  OVIR_TRY(only(schema, where,
                {"type", "properties", "required", "additionalProperties", "items", "minItems",
                 "maxItems", "minLength", "maxLength", "minimum", "maximum"}));
  for (const std::string& type : types) {
    OVIR_TRY(fill_type(rule, schema, type, where, depth));
  }
  return {};
}

result<void> schema_rules::fill_type(rule_index rule, const ordered_json& schema,
                                     const std::string& type, const std::string& where,
                                     std::size_t depth) {
  const state_index first = out_.rules[rule].first;
  const state_index last = out_.rules[rule].last;
  if (type == "string") {
    return fill_string(rule, schema, where);
  }
  if (type == "number" || type == "integer") {
    return fill_number(rule, schema, type == "integer", where);
  }
  if (type == "boolean") {
    out_.literal(first, "true", last);
    out_.literal(first, "false", last);
    return {};
  }
  if (type == "null") {
    out_.literal(first, "null", last);
    return {};
  }
  if (type == "object") {
    return fill_object(rule, schema, where, depth);
  }
  if (type == "array") {
    return fill_array(rule, schema, where, depth);
  }
  return malformed(where, fmt::format("there is no type '{}'", printable(type)));
}

result<void> schema_rules::fill_values(rule_index rule, const ordered_json& schema,
                                       const std::string& where) {
  OVIR_TRY(only(schema, where, {"enum", "const", "type"}));
  OVIR_ASSIGN(const auto types, types_of(schema, where));
  if (schema.contains("enum") && schema.contains("const")) {
    return unsupported(where, "const", "cannot be kept beside 'enum'");
  }
  const ordered_json values =
      schema.contains("enum") ? schema["enum"] : ordered_json::array({schema["const"]});
  if (!values.is_array() || values.empty() || values.size() > limits::constraint_values_max) {
    return malformed(where, fmt::format("'enum' must be a list of 1 to {} values",
                                        limits::constraint_values_max));
  }
  const auto [first, last] = out_.rules[rule];
  bool any = false;
  for (const ordered_json& value : values) {
    const bool fits = types.empty() || std::any_of(types.begin(), types.end(),
                                                   [&](const auto& t) { return is_of(value, t); });
    if (fits) {
      any = true;
      out_.literal(first, value.dump(), last);
    }
  }
  return any ? result<void>{} : malformed(where, "no value of 'enum' has the 'type'");
}

result<void> schema_rules::fill_string(rule_index rule, const ordered_json& schema,
                                       const std::string& where) {
  OVIR_ASSIGN(const auto least, count_at(schema, where, "minLength"));
  OVIR_ASSIGN(const auto most, count_at(schema, where, "maxLength"));
  const auto [first, last] = out_.rules[rule];
  if (!least && !most) {
    out_.call(first, parts_.any_string(), last);
    return {};
  }
  if (most && *most < least.value_or(0)) {
    return malformed(where, "'maxLength' is less than 'minLength'");
  }
  parts_.string(first, last, least.value_or(0), most);
  return {};
}

result<void> schema_rules::fill_number(rule_index rule, const ordered_json& schema, bool whole,
                                       const std::string& where) {
  const auto [first, last] = out_.rules[rule];
  const auto bound = [&](std::string_view key) -> const ordered_json* {
    const auto found = schema.find(key);
    return found == schema.end() ? nullptr : &*found;
  };
  const ordered_json* const least = bound("minimum");
  const ordered_json* const most = bound("maximum");
  constexpr double far = 1e15; // what is beyond is not written anyway
  for (const auto* const one : {least, most}) {
    if (one != nullptr && (!one->is_number() || !(std::abs(one->get<double>()) <= far))) {
      return malformed(where, "'minimum' and 'maximum' must be numbers up to 1e15");
    }
  }
  if (whole && least != nullptr && most != nullptr) {
    const auto low = static_cast<std::int64_t>(std::ceil(least->get<double>()));
    const auto high = static_cast<std::int64_t>(std::floor(most->get<double>()));
    if (high < low) {
      return malformed(where, "'maximum' is less than 'minimum'");
    }
    if (high - low < static_cast<std::int64_t>(limits::constraint_values_max)) {
      for (std::int64_t value = low; value <= high; ++value) {
        out_.literal(first, std::to_string(value), last);
      }
      return {};
    }
  }
  if (most != nullptr) {
    return unsupported(where, "maximum",
                       fmt::format("can be kept for integers with a 'minimum', of which there are "
                                   "at most {}",
                                   limits::constraint_values_max));
  }
  const double lowest = least == nullptr ? 0 : least->get<double>();
  if (least != nullptr && lowest != 0 && !(whole && lowest == 1)) {
    return unsupported(where, "minimum", "without 'maximum' can be 0, and 1 for integers");
  }
  const auto sign =
      least == nullptr ? std::nullopt : std::optional{static_cast<std::uint32_t>(lowest)};
  if (whole) {
    parts_.integer(first, last, sign);
  } else {
    parts_.number(first, last, least == nullptr);
  }
  return {};
}

result<void> schema_rules::fill_array(rule_index rule, const ordered_json& schema,
                                      const std::string& where, std::size_t depth) {
  OVIR_ASSIGN(const auto least, count_at(schema, where, "minItems"));
  OVIR_ASSIGN(const auto most, count_at(schema, where, "maxItems"));
  if (most && *most < least.value_or(0)) {
    return malformed(where, "'maxItems' is less than 'minItems'");
  }
  rule_index item = 0;
  if (schema.contains("items")) {
    OVIR_ASSIGN(item, rule_of(schema["items"], where + "/items", depth + 1));
  } else {
    item = parts_.any_value();
  }
  const auto [first, last] = out_.rules[rule];
  const state_index open = out_.add_state();
  const state_index close = out_.add_state();
  out_.byte(first, '[', open);
  out_.byte(close, ']', last);
  // From `behind`, `count` items are written.
  state_index behind = open;
  const auto one_more = [&](state_index from, bool is_first, state_index to) {
    const state_index before = out_.add_state();
    state_index spaced = from;
    if (!is_first) {
      spaced = out_.add_state();
      out_.byte(from, ',', spaced);
    }
    parts_.white_space(spaced, before);
    out_.call(before, item, to);
  };
  std::uint32_t count = 0;
  const std::uint32_t counted = most ? *most : std::max(least.value_or(0), 1U);
  for (; count < counted; ++count) {
    if (count >= least.value_or(0)) {
      parts_.white_space(behind, close);
    }
    const state_index next = out_.add_state();
    one_more(behind, count == 0, next);
    behind = next;
  }
  parts_.white_space(behind, close);
  if (!most) {
    one_more(behind, false, behind);
  }
  return {};
}

result<void> schema_rules::fill_object(rule_index rule, const ordered_json& schema,
                                       const std::string& where, std::size_t depth) {
  const state_index first = out_.rules[rule].first;
  const state_index last = out_.rules[rule].last;
  const ordered_json none = ordered_json::object();
  const ordered_json& properties = schema.contains("properties") ? schema["properties"] : none;
  if (!properties.is_object()) {
    return malformed(where, "'properties' must be an object");
  }
  OVIR_ASSIGN(const std::set<std::string> required, required_of(schema, properties, where));
  // Members that no property names: as the schema says; where it says nothing, only in an object
  // without properties.
  std::optional<rule_index> other;
  const bool says = schema.contains("additionalProperties");
  if (says && schema["additionalProperties"].is_object()) {
    OVIR_ASSIGN(
        other, rule_of(schema["additionalProperties"], where + "/additionalProperties", depth + 1));
  } else if (says ? schema["additionalProperties"] == true : properties.empty()) {
    if (properties.empty()) {
      out_.call(first, parts_.any_object(), last);
      return {};
    }
    other = parts_.any_value();
  } else if (says && !schema["additionalProperties"].is_boolean()) {
    return malformed(where, "'additionalProperties' must be true, false or a schema");
  }

  return fill_members(rule, properties, required, other, where, depth);
}

result<void> schema_rules::fill_members(rule_index rule, const ordered_json& properties,
                                        const std::set<std::string>& required,
                                        std::optional<rule_index> other, const std::string& where,
                                        std::size_t depth) {
  state_index empty = out_.add_state();  // nothing was written yet
  state_index filled = out_.add_state(); // something was
  const state_index close = out_.add_state();
  out_.byte(out_.rules[rule].first, '{', empty);
  out_.byte(close, '}', out_.rules[rule].last);
  const auto start_member = [&](state_index at_empty, state_index at_filled) {
    const state_index name = out_.add_state();
    const state_index comma = out_.add_state();
    parts_.white_space(at_empty, name);
    out_.byte(at_filled, ',', comma);
    parts_.white_space(comma, name);
    return name;
  };
  const auto value_behind = [&](state_index colon, rule_index value, state_index to) {
    const state_index spaced = out_.add_state();
    const state_index before = out_.add_state();
    out_.byte(colon, ':', spaced);
    parts_.white_space(spaced, before);
    out_.call(before, value, to);
  };
  std::vector<std::string> names;
  for (const auto& [name, value] : properties.items()) {
    names.push_back(name);
    OVIR_ASSIGN(const rule_index inner,
                rule_of(value, fmt::format("{}/properties/{}", where, name), depth + 1));
    const state_index next_empty = out_.add_state();
    const state_index next_filled = out_.add_state();
    const state_index begun = start_member(empty, filled);
    value_behind(out_.literal(begun, ordered_json(name).dump()), inner, next_filled);
    if (!required.contains(name)) {
      out_.skip(empty, next_empty);
      out_.skip(filled, next_filled);
    }
    empty = next_empty;
    filled = next_filled;
  }
  parts_.white_space(empty, close);
  parts_.white_space(filled, close);
  if (other) {
    const state_index colon = out_.add_state();
    const state_index behind = out_.add_state();
    const state_index begun = start_member(empty, filled);
    if (names.empty()) {
      out_.call(begun, parts_.any_string(), colon);
    } else {
      parts_.other_name(begun, colon, names);
    }
    value_behind(colon, *other, behind);
    out_.skip(behind, filled);
  }
  return {};
}

} // namespace ovir::compute
