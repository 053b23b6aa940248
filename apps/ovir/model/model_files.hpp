#pragma once

#include "apps/ovir/base/command.hpp"

#include <string>
#include <string_view>

namespace ovir::apps {

/// `model pull`.
void add_model_pull(CLI::App& model, chosen_command& chosen);
/// `model list`.
void add_model_list(CLI::App& model, chosen_command& chosen);

/// "hf:OWNER/REPO/FILE" or "https://...": what `pulled_model` fetches.
[[nodiscard]] bool is_model_url(std::string_view text);
/// A model's first file in the folder of models: fetched as `ovir model pull` does, unless it is
/// there. `invalid_argument` without TLS; else what `download` says.
[[nodiscard]] result<std::string> pulled_model(const std::string& from, surroundings& around);

} // namespace ovir::apps
