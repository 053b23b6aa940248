#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// `model manifest`.
void add_model_manifest(CLI::App& model, chosen_command& chosen);
/// `model verify`.
void add_model_verify(CLI::App& model, chosen_command& chosen);
/// `model commit`.
void add_model_commit(CLI::App& model, chosen_command& chosen);

} // namespace ovir::apps
