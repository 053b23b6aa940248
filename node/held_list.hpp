#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::supervision {

/// Layers that a node held last, by model: what it holds again after a restart.
using held_list = std::map<digest, std::vector<layer_range>>;

/// JSON: for each model, by its name in hexadecimal digits, pairs of a first layer and the one
/// behind the last.
[[nodiscard]] std::string to_text(const held_list& held);
/// `malformed` for any other text, empty ranges and layers above limits::layers_max among them.
[[nodiscard]] result<held_list> held_list_from(std::string_view text);

} // namespace ovir::supervision
