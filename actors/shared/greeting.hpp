#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// What two processes say to each other before they share memory (docs/formats/shared.md). Knows no
/// socket.
namespace ovir::actors {

inline constexpr std::uint16_t shared_version = 1;

/// The opener of a connection to the other side, beside the memory.
struct shared_greeting {
  static constexpr std::size_t size = 48;
  std::uint64_t region_bytes{0};
  digest pass; ///< of the connection that the memory is for (`tls_network::pass`)

  friend bool operator==(const shared_greeting&, const shared_greeting&) = default;
};

[[nodiscard]] std::vector<std::byte> encode_greeting(const shared_greeting& greeting);
/// `malformed`; `unsupported` for another version or another size of memory.
[[nodiscard]] result<shared_greeting> decode_greeting(std::span<const std::byte> bytes);

/// The answer: that the other side knows the same connection, and reads the memory from now on.
struct shared_answer {
  static constexpr std::size_t size = 40;
};
[[nodiscard]] std::vector<std::byte> encode_answer(const digest& pass);
/// `malformed` unless it is the answer to a greeting with this pass.
[[nodiscard]] result<void> check_answer(std::span<const std::byte> bytes, const digest& pass);

/// The abstract address of a node's process, without its leading zero byte.
[[nodiscard]] std::string door_name(const node_id& node, std::uint64_t life);

} // namespace ovir::actors
