#pragma once

#include <atomic>

namespace ovir::apps {

/// Makes Ctrl-C, SIGTERM and SIGHUP ask for a clean end: the flag returned becomes true, and the
/// work under way stops at its next step with what it has. A second signal ends the program at
/// once. Also ignores SIGPIPE and SIGXFSZ, whose causes are reported as write errors. Called once,
/// by main.
[[nodiscard]] const std::atomic<bool>& watch_for_interrupts();

/// What the signal asked for was done and the program goes on, as a shell does after Ctrl-C: the
/// flag is false again, and the next signal counts as the first.
void forget_interrupts() noexcept;

/// The last signal was not Ctrl-C but one that means the program itself.
[[nodiscard]] bool asked_to_end() noexcept;

/// From now on SIGHUP does not end the program but makes this flag true: read the configuration
/// again.
[[nodiscard]] const std::atomic<bool>& watch_for_hang_up();
/// Whether the flag is true; makes it false.
[[nodiscard]] bool take_hang_up(const std::atomic<bool>& flag) noexcept;

} // namespace ovir::apps
