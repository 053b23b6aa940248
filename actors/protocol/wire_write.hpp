#pragma once

#include "actors/protocol/wire.hpp"
#include "messages/wire/wire.capnp.h"

#include <capnp/common.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

/// What writing and reading of `actors/protocol/wire.hpp` share (docs/formats/wire.md). For these
/// two files.
namespace ovir::actors {

inline constexpr std::uint16_t wire_version = 2;
inline constexpr std::size_t wire_word_bytes = sizeof(capnp::word);
inline constexpr std::size_t wire_prefix_bytes = 8;

// Bytes of one element in the lists of the schema; no element can be shorter in any message.
inline constexpr std::size_t wire_token_bytes = 4;
inline constexpr std::size_t wire_drawn_bytes = 40;
inline constexpr std::size_t wire_leaf_bytes = 48;
inline constexpr std::size_t wire_name_bytes = 32;

using bytes32 = std::array<std::uint8_t, 32>;
static_assert(digest::size == sizeof(bytes32) && node_id::size == sizeof(bytes32));

/// The one encoding of a message that is right.
[[nodiscard]] std::vector<std::byte> write_message(const wire_message& message);

} // namespace ovir::actors
