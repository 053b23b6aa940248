#pragma once

namespace ovir::netdelay {

/// Lets this process run as soon as there is something to do, whatever else computes. Processes
/// that it starts do not inherit this. Returns in words what the system granted.
const char* take_priority();

} // namespace ovir::netdelay
