#include "actors/path/private_ends.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace ovir::actors {

namespace {

/// The layers that are no end, [first, last); empty where the ends meet.
layer_range middle_of(const ends_rule& rule, std::uint32_t layers) noexcept {
  const std::uint32_t first = std::min(rule.first, layers);
  const std::uint32_t last = layers - std::min(rule.last, layers);
  return {first, std::max(first, last)};
}

} // namespace

layer_range allowed_layers(const ends_rule& rule, const node_id& node, layer_range held,
                           std::uint32_t layers) noexcept {
  if (is_named(rule, node)) {
    return held;
  }
  const layer_range middle = middle_of(rule, layers);
  const layer_index first = std::max(held.first, middle.first);
  return {first, std::max(first, std::min(held.last, middle.last))};
}

std::vector<layer_range> lacking_ends(const ends_rule& rule,
                                      std::span<const std::pair<node_id, layer_range>> held,
                                      std::uint32_t layers) {
  const layer_range middle = middle_of(rule, layers);
  std::vector<layer_range> lacking;
  for (layer_index l = 0; l < layers; ++l) {
    const bool end = l < middle.first || l >= middle.last;
    const bool there = std::any_of(held.begin(), held.end(), [&](const auto& one) {
      return is_named(rule, one.first) && one.second.first <= l && l < one.second.last;
    });
    if (!end || there) {
      continue;
    }
    if (!lacking.empty() && lacking.back().last == l) {
      lacking.back().last = l + 1;
    } else {
      lacking.push_back({l, l + 1});
    }
  }
  return lacking;
}

error no_ends(const ends_rule& rule, std::string_view model, std::span<const layer_range> lacking) {
  std::string which;
  for (const layer_range& run : lacking) {
    which += which.empty() ? "" : " and ";
    which += run.size() == 1 ? fmt::format("{}", run.first)
                             : fmt::format("{}-{}", run.first, run.last - 1);
  }
  return fail(errc::segment_missing,
              "privacy ends: of {}, no node that may compute the ends holds layers {} ({} named); "
              "let one hold them, name others by privacy.nodes, or ask without it",
              model, which, rule.nodes.size());
}

bool keeps_ends(const ends_rule& rule, const layer_places& path) {
  if (path.empty()) {
    return true;
  }
  const std::uint32_t layers = path.back().second.last;
  return std::all_of(path.begin(), path.end(), [&](const auto& stage) {
    return allowed_layers(rule, stage.first, stage.second, layers) == stage.second;
  });
}

} // namespace ovir::actors
