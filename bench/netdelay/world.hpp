#pragma once

#include "bench/netdelay/descriptor.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::netdelay {

/// One machine of a world: a network namespace with `lo` and a TUN device.
struct machine {
  descriptor network; ///< the namespace, for setns
  descriptor device;  ///< reads what the machine sends; what is written to it arrives there
  descriptor counts;  ///< /proc/net/dev of the namespace
};

/// Makes machines 1 to `nodes`. The calling process, which must have one thread, is in the last
/// one's network afterwards; without root's rights it also is in a user namespace where it has
/// them. Closing the descriptors, also by the end of the process, removes everything that no other
/// process uses. Throws std::runtime_error with one sentence: what, where, what to do.
[[nodiscard]] std::vector<machine> make_world(std::size_t nodes);

/// "10.77.0.K".
[[nodiscard]] std::string address_of(std::size_t node);
/// The machine of an address in network byte order, from 1; 0: none of `nodes`.
[[nodiscard]] std::size_t node_of(const unsigned char* address, std::size_t nodes);

/// Packets that the kernel dropped because the forwarder was too slow, of one machine's device.
[[nodiscard]] std::uint64_t dropped_by_device(const machine& from);

} // namespace ovir::netdelay
