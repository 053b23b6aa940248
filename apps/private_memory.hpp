#pragma once

#include "messages/result.hpp"

/// What a process may show of its memory, where secret keys are.
namespace ovir::apps {

/// No other process of this user may look into this one's memory, and no crash writes it to a disk:
/// called by main before a key is read. With OVIR_ALLOW_DEBUG=1, for debuggers and profilers, it
/// does nothing. `io_failed` when the system refuses.
[[nodiscard]] result<void> keep_memory_private();

} // namespace ovir::apps
