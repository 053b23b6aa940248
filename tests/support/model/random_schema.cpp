#include "tests/support/model/random_schema.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace ovir::test {

namespace {

std::uint64_t below(std::mt19937_64& random, std::uint64_t n) { return random() % n; }

std::string random_name(std::mt19937_64& random) {
  static const std::vector<std::string> names{"a",    "ab",   "id",    "name",  "größe",
                                              "x\"y", "tags", "a b",   "value", "\\",
                                              "line", "日本", "index", "ids",   "Name"};
  return names[below(random, names.size())];
}

ordered_json random_value(std::mt19937_64& random) {
  switch (below(random, 6)) {
  case 0: return static_cast<std::int64_t>(below(random, 2000)) - 1000;
  case 1: return random_name(random);
  case 2: return nullptr;
  case 3: return below(random, 2) == 0;
  case 4: return ordered_json::array({1, "two", 3.5});
  default: return ordered_json{{"k", random_name(random)}};
  }
}

ordered_json random_object(std::mt19937_64& random, int depth) {
  ordered_json schema{{"type", "object"}};
  ordered_json required = ordered_json::array();
  ordered_json properties = ordered_json::object();
  for (std::uint64_t i = below(random, 5); i > 0; --i) {
    const std::string name = random_name(random);
    if (!properties.contains(name)) {
      properties[name] = random_schema(random, depth - 1);
      if (below(random, 2) == 0) {
        required.push_back(name);
      }
    }
  }
  schema["properties"] = properties;
  if (below(random, 2) == 0) {
    schema["required"] = required;
  }
  switch (below(random, 4)) {
  case 0: schema["additionalProperties"] = false; break;
  case 1: schema["additionalProperties"] = true; break;
  case 2: schema["additionalProperties"] = random_schema(random, depth - 1); break;
  default: break;
  }
  return schema;
}

bool is_type(const nlohmann::json& v, const std::string& type) {
  return type == "string"    ? v.is_string()
         : type == "number"  ? v.is_number()
         : type == "integer" ? v.is_number() && v.get<double>() == std::floor(v.get<double>())
         : type == "boolean" ? v.is_boolean()
         : type == "null"    ? v.is_null()
         : type == "object"  ? v.is_object()
                             : v.is_array();
}

std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6U) != 2; }));
}

bool object_fits(const ordered_json& schema, const ordered_json& root, const nlohmann::json& v) {
  const ordered_json properties = schema.value("properties", ordered_json::object());
  for (const auto& name : schema.value("required", ordered_json::array())) {
    if (!v.contains(name.get<std::string>())) {
      return false;
    }
  }
  for (const auto& [key, value] : v.items()) {
    if (properties.contains(key)) {
      if (!fits(properties[key], root, value)) {
        return false;
      }
    } else if (schema.contains("additionalProperties")) {
      if (!fits(schema["additionalProperties"], root, value)) {
        return false;
      }
    }
  }
  return true;
}

} // namespace

ordered_json random_schema(std::mt19937_64& random, int depth) {
  const std::uint64_t kinds = depth > 0 ? 12 : 8;
  switch (below(random, kinds)) {
  case 0: return {{"type", "string"}};
  case 1: return {{"type", "integer"}};
  case 2: return {{"type", "number"}, {"description", "any"}};
  case 3: return {{"type", ordered_json::array({"boolean", "null"})}};
  case 4: {
    ordered_json values = ordered_json::array();
    for (std::uint64_t i = 1 + below(random, 4); i > 0; --i) {
      values.push_back(random_value(random));
    }
    return {{"enum", values}};
  }
  case 5: {
    const std::uint64_t least = below(random, 4);
    return {{"type", "string"}, {"minLength", least}, {"maxLength", least + below(random, 5)}};
  }
  case 6: return {{"type", "integer"}, {"minimum", -3}, {"maximum", 40}};
  case 7: return {{"const", random_value(random)}};
  case 8: {
    ordered_json schema{{"type", "array"}, {"items", random_schema(random, depth - 1)}};
    if (below(random, 2) == 0) {
      schema["minItems"] = below(random, 3);
    }
    if (below(random, 2) == 0) {
      schema["maxItems"] = 2 + below(random, 3);
    }
    return schema;
  }
  case 9:
    return {{"anyOf", ordered_json::array(
                          {random_schema(random, depth - 1), random_schema(random, depth - 1)})}};
  default: return random_object(random, depth);
  }
}

bool fits(const ordered_json& schema, const ordered_json& root, const nlohmann::json& v) {
  if (schema.is_boolean()) {
    return schema.get<bool>();
  }
  if (schema.contains("$ref")) {
    const auto pointer = schema["$ref"].get<std::string>().substr(1);
    return fits(root.at(ordered_json::json_pointer{pointer}), root, v);
  }
  if (schema.contains("anyOf")) {
    return std::any_of(schema["anyOf"].begin(), schema["anyOf"].end(),
                       [&](const auto& one) { return fits(one, root, v); });
  }
  const auto same = [&](const ordered_json& value) {
    return nlohmann::json::parse(value.dump()) == v;
  };
  if (schema.contains("enum") && std::none_of(schema["enum"].begin(), schema["enum"].end(), same)) {
    return false;
  }
  if (schema.contains("const") && !same(schema["const"])) {
    return false;
  }
  if (schema.contains("type")) {
    const ordered_json types =
        schema["type"].is_array() ? schema["type"] : ordered_json::array({schema["type"]});
    if (std::none_of(types.begin(), types.end(),
                     [&](const auto& t) { return is_type(v, t.template get<std::string>()); })) {
      return false;
    }
  }
  if (v.is_string()) {
    const std::size_t n = characters(v.get<std::string>());
    return n >= schema.value("minLength", 0U) && n <= schema.value("maxLength", 1U << 30U);
  }
  if (v.is_number()) {
    return v.get<double>() >= schema.value("minimum", -1e300) &&
           v.get<double>() <= schema.value("maximum", 1e300);
  }
  if (v.is_array()) {
    return v.size() >= schema.value("minItems", 0U) &&
           v.size() <= schema.value("maxItems", 1U << 30U) &&
           (!schema.contains("items") || std::all_of(v.begin(), v.end(), [&](const auto& item) {
             return fits(schema["items"], root, item);
           }));
  }
  return !v.is_object() || object_fits(schema, root, v);
}

} // namespace ovir::test
