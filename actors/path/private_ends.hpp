#pragma once

#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/request/path.hpp"
#include "messages/request/privacy.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Keeps the first and last layers of a request on the nodes that it names: all others count as
/// holders of what lies between alone, for plans and for repairs. Pure.
/// docs/adr/0050-ends.md.
namespace ovir::actors {

/// What of `held` a stage on `node` may have, of a model of `layers` layers: all of it on a node
/// that the rule names, else what is no end. Empty where nothing is left.
[[nodiscard]] layer_range allowed_layers(const ends_rule& rule, const node_id& node,
                                         layer_range held, std::uint32_t layers) noexcept;

/// The layers of both ends that none of the named nodes among these holds, in order; empty: the
/// ends can be computed.
[[nodiscard]] std::vector<layer_range>
lacking_ends(const ends_rule& rule, std::span<const std::pair<node_id, layer_range>> held,
             std::uint32_t layers);
/// What is told of them: `segment_missing`, with the layers as people count them.
[[nodiscard]] error no_ends(const ends_rule& rule, std::string_view model,
                            std::span<const layer_range> lacking);

/// Whether each stage of a path has allowed layers only.
[[nodiscard]] bool keeps_ends(const ends_rule& rule, const layer_places& path);

} // namespace ovir::actors
