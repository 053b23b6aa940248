#pragma once

#include <atomic>

namespace ovir::apps {

/// Makes Ctrl-C, SIGTERM and SIGHUP ask for a clean end: the flag returned becomes true, and the
/// work under way stops at its next step with what it has. A second signal ends the program at
/// once. Also ignores SIGPIPE and SIGXFSZ, whose causes are reported as write errors. Called once,
/// by main.
[[nodiscard]] const std::atomic<bool>& watch_for_interrupts();

} // namespace ovir::apps
