#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// `model pull`.
void add_model_pull(CLI::App& model, chosen_command& chosen);
/// `model list`.
void add_model_list(CLI::App& model, chosen_command& chosen);

} // namespace ovir::apps
