#pragma once

#include "apps/ovir/base/command.hpp"

namespace ovir::apps {

/// `chat`: a conversation, a line per message.
void add_chat(CLI::App& app, chosen_command& chosen);

} // namespace ovir::apps
