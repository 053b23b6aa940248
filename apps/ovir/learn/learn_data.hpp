#pragma once

#include "apps/open_model.hpp"
#include "learning/gradient/example.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// What a file of examples holds: docs/formats/learn-data.md.
struct learn_examples {
  std::vector<learning::example> examples;
  std::uint32_t cut{0};     ///< that were longer
  std::uint32_t dropped{0}; ///< of which nothing counted within their length
};

struct learn_data_options {
  std::uint32_t length{512}; ///< tokens of an example at most
  bool train_prompts{false}; ///< prompts count, too
};

/// Reads one JSON object in each line: a conversation, a prompt with its completion, or a text.
/// Errors name the line.
[[nodiscard]] result<learn_examples> examples_from(std::string_view file, const ready_model& model,
                                                   const learn_data_options& how);

} // namespace ovir::apps
