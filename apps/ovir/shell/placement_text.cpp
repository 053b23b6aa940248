#include "apps/ovir/shell/placement_text.hpp"

#include "compute/base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::size_t placed_cells_max = 64;
constexpr std::size_t placed_name_cells = 16;
constexpr std::uint64_t placed_layers_max = 1'024;
constexpr std::size_t placed_orders_max = 16;

std::string placed_word(const json& from, const char* key) {
  return from.is_object() && from.contains(key) && from[key].is_string()
             ? compute::printable(from[key].get_ref<const std::string&>(), 4 * placed_name_cells)
             : std::string{"-"};
}

std::uint64_t placed_number(const json& from, const char* key) {
  return from.is_object() && from.contains(key) && from[key].is_number_unsigned()
             ? from[key].get<std::uint64_t>()
             : 0;
}

const json& placed_list(const json& from, const char* key) {
  static const json empty = json::array();
  return from.is_object() && from.contains(key) && from[key].is_array() ? from[key] : empty;
}

bool is_true(const json& from, const char* key) {
  return from.is_object() && from.contains(key) && from[key] == true;
}

std::vector<bool> placed_marks(const json& ranges, std::size_t layers) {
  std::vector<bool> held(layers);
  for (const json& range : ranges) {
    for (std::uint64_t i = placed_number(range, "first_layer");
         i <= placed_number(range, "last_layer") && i < layers; ++i) {
      held[i] = true;
    }
  }
  return held;
}

/// One cell for a layer, or for several where the model has many: what the first of them is.
std::string node_row(const json& node, std::size_t layers) {
  const std::vector<bool> held = placed_marks(placed_list(node, "held"), layers);
  const std::vector<bool> spare = placed_marks(placed_list(node, "spares"), layers);
  const bool placed = node.is_object() && node.contains("aim") && node["aim"].is_array();
  const std::vector<bool> aim = placed ? placed_marks(node["aim"], layers) : held;
  const std::size_t cells = std::min(layers, placed_cells_max);
  std::string out;
  for (std::size_t c = 0; c < cells; ++c) {
    const std::size_t i = c * layers / cells;
    out += held[i] ? (aim[i] ? "█" : "▒") : aim[i] ? "+" : spare[i] ? "░" : "·";
  }
  return out;
}

std::string placed_model_text(const json& model) {
  const auto layers =
      static_cast<std::size_t>(std::min(placed_number(model, "layers"), placed_layers_max));
  const bool here = is_true(model, "here");
  std::string out =
      fmt::format("{}  {} layers, {} positions a request, ", placed_word(model, "name"), layers,
                  placed_number(model, "context"));
  if (here) {
    out += is_true(model, "served") ? "placed by this node so that it is served\n"
                                    : "placed by this node; the nodes have no room for all of it\n";
  } else {
    out += fmt::format("placed by {}, shells on {}\n", placed_word(model, "placer_name"),
                       placed_word(model, "placer_address"));
  }
  for (const json& node : placed_list(model, "nodes")) {
    const bool fixed =
        node.is_object() && node.contains("takes_orders") && node["takes_orders"] == false;
    out += fmt::format("  {:<{}} {}{}\n", placed_word(node, "name").substr(0, placed_name_cells),
                       placed_name_cells, node_row(node, layers), fixed ? "  takes no orders" : "");
  }
  return out;
}

std::string_view order_word(std::string_view order) {
  return order == "fetch" ? "fetches" : order == "spare" ? "keeps a copy of" : "drops";
}

std::string placed_order_text(const json& order, std::string_view when) {
  return fmt::format("{} {} {} layers {}-{} of {}: {}\n", when, placed_word(order, "name"),
                     order_word(placed_word(order, "order")), placed_number(order, "first_layer"),
                     placed_number(order, "last_layer"), placed_word(order, "model").substr(0, 8),
                     placed_word(order, "reason"));
}

} // namespace

std::string placement_text(const json& data) {
  std::string out;
  for (const json& model : placed_list(data, "models")) {
    out += placed_model_text(model);
  }
  if (out.empty()) {
    return "this node knows no model\n";
  }
  out += "█ held  + to be fetched  ▒ to be dropped  ░ on its disk  · not here\n";
  if (data.contains("calm") && !is_true(data, "calm")) {
    out += "second copies are made once no node has come or gone for a while\n";
  }
  std::size_t shown = 0;
  for (const auto& [key, when] : {std::pair{"under_way", "now  "}, std::pair{"next", "next "}}) {
    for (const json& order : placed_list(data, key)) {
      if (++shown <= placed_orders_max) {
        out += placed_order_text(order, when);
      }
    }
  }
  const std::uint64_t waiting =
      placed_number(data, "waiting") + (shown > placed_orders_max ? shown - placed_orders_max : 0);
  if (waiting > 0) {
    out += fmt::format("and {} after these\n", waiting);
  }
  return out;
}

} // namespace ovir::apps
