#pragma once

#include "bench/netdelay/world.hpp"

#include <sys/types.h>

#include <span>
#include <string>
#include <vector>

/// What a process in a world knows of it, by variables of its environment:
///
///   OVIR_NETDELAY_NODES     the number of machines
///   OVIR_NETDELAY_NODE      the number of its own
///   OVIR_NETDELAY_NETWORKS  a path for each machine's network namespace, for nsenter --net=PATH;
///                           with spaces between, the first machine's first
///   OVIR_NETDELAY_BIN       this program
///   OVIR_NETDELAY_ON        what runs a command elsewhere: $OVIR_NETDELAY_ON 2 COMMAND...
namespace ovir::netdelay {

/// Sets the variables for processes of machine 1. `holder` is the process that made the machines.
void set_environment(std::span<const machine> machines, pid_t holder);

/// Opens the network of a machine of the world that this process is in. Throws std::runtime_error
/// where there is none, std::invalid_argument where it has no such machine.
[[nodiscard]] descriptor network_of(std::size_t node);

/// Moves this process, which must have one thread, into the network of `node`.
void enter(const descriptor& network, std::size_t node);

/// Replaces this process. Prints one sentence and returns the exit code 126 or 127 where it fails.
[[nodiscard]] int execute(const std::vector<std::string>& command);

/// The path of this program.
[[nodiscard]] std::string own_program();

} // namespace ovir::netdelay
