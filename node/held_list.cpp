#include "node/held_list.hpp"

#include "messages/limits/general.hpp"

#include <nlohmann/json.hpp>

namespace ovir::supervision {

using nlohmann::json;

namespace {

json ranges_json(const std::vector<layer_range>& ranges) {
  json list = json::array();
  for (const layer_range& range : ranges) {
    list.push_back({range.first, range.last});
  }
  return list;
}

result<std::vector<layer_range>> ranges_from(const json& model, const char* key) {
  const error wrong = fail(errc::malformed, "this is no list of layers that a node held");
  if (!model.is_object() || !model.contains(key) || !model[key].is_array()) {
    return wrong;
  }
  std::vector<layer_range> ranges;
  for (const json& pair : model[key]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
        !pair[1].is_number_unsigned()) {
      return wrong;
    }
    const auto first = pair[0].get<std::uint64_t>();
    const auto last = pair[1].get<std::uint64_t>();
    if (first >= last || last > limits::layers_max) {
      return wrong;
    }
    ranges.push_back({static_cast<layer_index>(first), static_cast<layer_index>(last)});
  }
  return ranges;
}

} // namespace

std::string to_text(const held_list& list) {
  json models = json::object();
  for (const auto& [model, part] : list) {
    models[to_hex(model)] = {{"held", ranges_json(part.held)},
                             {"spares", ranges_json(part.spares)}};
  }
  return models.dump() + "\n";
}

result<held_list> held_list_from(std::string_view text) {
  const json models = json::parse(text, nullptr, false);
  if (!models.is_object()) {
    return fail(errc::malformed, "this is no list of layers that a node held");
  }
  held_list list;
  for (const auto& [name, part] : models.items()) {
    const auto model = digest_from_hex(name);
    if (!model) {
      return fail(errc::malformed, "a list of layers that a node held names no model");
    }
    held_part& here = list[*model];
    OVIR_ASSIGN(here.held, ranges_from(part, "held"));
    OVIR_ASSIGN(here.spares, ranges_from(part, "spares"));
  }
  return list;
}

} // namespace ovir::supervision
