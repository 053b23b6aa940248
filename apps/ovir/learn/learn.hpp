#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// `ovir learn`. As the functions of command.hpp.
void add_learn(CLI::App& app, chosen_command& chosen);

} // namespace ovir::apps
