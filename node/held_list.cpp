#include "node/held_list.hpp"

#include "messages/limits/general.hpp"

#include <nlohmann/json.hpp>

namespace ovir::supervision {

using nlohmann::json;

std::string to_text(const held_list& held) {
  json models = json::object();
  for (const auto& [model, ranges] : held) {
    json list = json::array();
    for (const layer_range& range : ranges) {
      list.push_back({range.first, range.last});
    }
    models[to_hex(model)] = std::move(list);
  }
  return models.dump() + "\n";
}

result<held_list> held_list_from(std::string_view text) {
  const error wrong = fail(errc::malformed, "this is no list of layers that a node held");
  const json models = json::parse(text, nullptr, false);
  if (!models.is_object()) {
    return wrong;
  }
  held_list held;
  for (const auto& [name, list] : models.items()) {
    const auto model = digest_from_hex(name);
    if (!model || !list.is_array()) {
      return wrong;
    }
    for (const json& pair : list) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
          !pair[1].is_number_unsigned()) {
        return wrong;
      }
      const auto first = pair[0].get<std::uint64_t>();
      const auto last = pair[1].get<std::uint64_t>();
      if (first >= last || last > limits::layers_max) {
        return wrong;
      }
      held[*model].push_back({static_cast<layer_index>(first), static_cast<layer_index>(last)});
    }
  }
  return held;
}

} // namespace ovir::supervision
