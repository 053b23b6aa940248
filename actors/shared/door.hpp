#pragma once

#include "actors/shared/region.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Sockets between processes of this machine: whole packets, a descriptor beside one of them, and
/// bells, which are packets of one byte. Nothing here waits.
namespace ovir::actors {

/// Listens under an abstract name, which ends with the process. `io_failed` where another process
/// has the name, or the system has no such sockets.
[[nodiscard]] result<file_handle> open_door(const std::string& name);
/// The next one who connected and belongs to this process's user; empty where there is none. Others
/// are sent away.
[[nodiscard]] file_handle next_at_door(const file_handle& door);
/// Connects to the process that listens there. `peer_lost` where there is none; `invalid_argument`
/// where it belongs to another user, who then learns nothing.
[[nodiscard]] result<file_handle> knock(const std::string& name);

/// `attached`: a descriptor that goes along; -1: none. `peer_lost` where the packet does not leave.
[[nodiscard]] result<void> send_packet(const file_handle& socket, std::span<const std::byte> bytes,
                                       int attached);

struct packet {
  std::vector<std::byte> bytes; ///< empty: the other side has closed
  file_handle attached;
};
/// A packet of at most `bytes_max` bytes and at most one descriptor; others are `malformed`. Empty
/// where none is there.
[[nodiscard]] result<std::optional<packet>> receive_packet(const file_handle& socket,
                                                           std::size_t bytes_max);

/// Wakes the other side. Where bells fill the socket it is awake already.
void ring_bell(const file_handle& socket);
/// Takes a bell that rang, if one did. False: the other side has closed.
[[nodiscard]] bool take_bell(const file_handle& socket);

} // namespace ovir::actors
