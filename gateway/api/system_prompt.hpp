#pragma once

#include "gateway/api/chat_format.hpp"
#include "gateway/api/completion_request.hpp"

#include <optional>
#include <span>
#include <vector>

/// System messages for models whose conversations have no place for them.
namespace ovir::gateway {

/// What a system message says becomes the beginning of the user's message behind it, or the end of
/// the last one where none follows. Nothing where there is no system message, or no user's.
[[nodiscard]] std::optional<std::vector<chat_message>>
with_system_folded(std::span<const chat_message> messages);

/// Whether the written conversation leaves out what a system message says, as templates do that
/// know no such role.
[[nodiscard]] bool leaves_out_system(std::span<const chat_message> messages,
                                     std::span<const prompt_part> written);

} // namespace ovir::gateway
