#pragma once

#include "messages/limits/nat.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Datagrams beside QUIC on a node's UDP socket (docs/formats/nat.md). None is answered because a
/// stranger sent it.
namespace ovir::actors {

using punch_token = std::array<std::uint8_t, 16>;

enum class punch_kind : std::uint8_t {
  probe = 1, ///< to a helper, with the token that it gave on the relay connection
  knock = 2, ///< between two nodes that meet, with the token of the meeting
};

struct punch_datagram {
  punch_kind kind{punch_kind::knock};
  punch_token token{};
  friend bool operator==(const punch_datagram&, const punch_datagram&) = default;
};

/// limits::punch_datagram_bytes: too few for a QUIC packet. The first byte is below 64, which that
/// of no QUIC reset is.
[[nodiscard]] std::vector<std::byte> encode(const punch_datagram& what);
/// None for anything else.
[[nodiscard]] std::optional<punch_datagram>
decode_punch_datagram(std::span<const std::byte> bytes) noexcept;

} // namespace ovir::actors
