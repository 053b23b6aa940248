#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::supervision {

/// Layers of one model that a node held last, and of which it had spare copies on its disk.
struct held_part {
  std::vector<layer_range> held;
  std::vector<layer_range> spares;

  friend bool operator==(const held_part&, const held_part&) = default;
};

/// By model: what a node holds again after a restart.
using held_list = std::map<digest, held_part>;

/// JSON: for each model, by its name in hexadecimal digits, "held" and "spares": pairs of a first
/// layer and the one behind the last.
[[nodiscard]] std::string to_text(const held_list& list);
/// `malformed` for any other text, empty ranges and layers above limits::layers_max among them.
[[nodiscard]] result<held_list> held_list_from(std::string_view text);

} // namespace ovir::supervision
