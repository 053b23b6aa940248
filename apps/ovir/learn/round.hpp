#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// `ovir learn round`. As the functions of command.hpp.
void add_learn_round(CLI::App& learn, chosen_command& chosen);

} // namespace ovir::apps
