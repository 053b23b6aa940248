#pragma once

namespace ovir::storage {

/// For threads of the program's parts: Ctrl-C and its kin belong to the main thread. Faults still
/// end the program where they happened.
void leave_signals_to_main() noexcept;

} // namespace ovir::storage
