#pragma once

#include "messages/node_id.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

/// What a relay carried, as the node that received it signed (docs/formats/nat.md).
namespace ovir {

/// What `stream_count::proof` signs, by the node that received. Names every party, so that it
/// proves to others how much the relay carried.
inline constexpr std::string_view count_domain = "ovir/stream-count/v1";
struct counted_stream {
  node_id relay{};
  node_id sender{};
  node_id receiver{};
  std::array<std::uint8_t, 16> session{}; ///< of the stream, drawn by who opened it
  std::uint64_t bytes{0};                 ///< of this direction, from the stream's beginning
  friend bool operator==(const counted_stream&, const counted_stream&) = default;
};
[[nodiscard]] std::vector<std::byte> count_statement(const counted_stream& what);

/// What a relay asks to be paid for: one part of limits::relay_part_bytes of a direction of a
/// stream, from 0 on, as far as the count reaches. Each part is paid once.
struct carried_part {
  counted_stream what{};
  std::uint32_t part{0};
  signature proof{}; ///< of `what.receiver`
  friend bool operator==(const carried_part&, const carried_part&) = default;
};

} // namespace ovir
