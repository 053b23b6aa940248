#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

// The commands that packages and new users begin with, added as those of command.hpp are.
void add_up(CLI::App& app, chosen_command& chosen);
/// `attest`, `attest show`.
void add_attest(CLI::App& app, chosen_command& chosen);
void add_invite(CLI::App& app, chosen_command& chosen);
void add_init(CLI::App& app, chosen_command& chosen);
void add_manual(CLI::App& app, chosen_command& chosen);

} // namespace ovir::apps
