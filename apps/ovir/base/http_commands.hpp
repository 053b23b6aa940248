#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

// The commands about clients that ask over HTTP, added as those of command.hpp are.
void add_serve(CLI::App& app, chosen_command& chosen);
void add_key(CLI::App& app, chosen_command& chosen);

} // namespace ovir::apps
