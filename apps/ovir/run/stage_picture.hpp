#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// Stages drawn as boxes with arrows, as `ovir run` and `ovir plan` show a cut.
namespace ovir::apps {

/// The lines of one box; ASCII but for node names, shortened to the width of a box.
using picture_box = std::vector<std::string>;

/// Boxes of as many lines each, in rows; beyond a dozen one line of text per stage.
[[nodiscard]] std::string picture_of(const std::vector<picture_box>& boxes);

/// "layer 3", "layers 0 to 5".
[[nodiscard]] std::string layers_text(const layer_range& layers);
/// What a stage holds besides layers: "embedding", "norm, head", both or nothing.
[[nodiscard]] std::string ends_text(const layer_range& layers, std::uint32_t layer_count);

} // namespace ovir::apps
