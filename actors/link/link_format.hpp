#pragma once

#include "actors/link/network.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The bytes of a link inside its TLS connection: hello, verdict, then messages with a header each
/// (docs/formats/link.md). Knows no socket. Decoders compare every claimed length with its bound
/// and with the bytes present before they allocate.
namespace ovir::actors {

/// Version of hello, verdict and framing together, and of the arithmetic (`compute::profile_name`):
/// two nodes of a path have to compute the same bits. Sides of different versions do not talk.
inline constexpr std::uint16_t link_version = 1;

/// What stands in front of a hello in every version.
struct hello_prefix {
  static constexpr std::size_t size = 8;
  std::uint16_t version{link_version};
  std::uint16_t body_bytes{0};
};

/// What one side says of itself. `binding` is there exactly when `token` is not empty.
struct link_hello {
  channel kind{channel::control};
  role_set roles;
  std::uint64_t life{0};      ///< `network_identity::life`
  std::uint64_t last_loss{0}; ///< `network_handler::last_loss`
  std::string cluster;
  std::string address; ///< empty for a client
  std::vector<std::byte> token;
  std::optional<signature> binding;

  friend bool operator==(const link_hello&, const link_hello&) = default;
};

/// Whether a side lets the other stay. Its layout is that of every version, so that the sentence
/// arrives whatever the versions are.
struct link_verdict {
  static constexpr std::size_t prefix_size = 12;
  std::optional<error> refusal; ///< empty: admitted
};

/// In front of each message.
struct message_header {
  static constexpr std::size_t size = 16;
  std::uint32_t length{0};
  std::uint16_t kind{0}; ///< a `message_kind`, or `goodbye_kind`
  std::uint32_t target{0};

  friend bool operator==(const message_header&, const message_header&) = default;
};

/// The last message of a side that closes on purpose: a verdict with the reason.
inline constexpr std::uint16_t goodbye_kind = 0xffff;

/// Why `hello` cannot be sent: a text or token over its limit, or unprintable text.
[[nodiscard]] result<void> check(const link_hello& hello);
/// Prefix and body. Precondition: `check(hello)` succeeds.
[[nodiscard]] std::vector<std::byte> encode_hello(const link_hello& hello);
/// `malformed`, or `over_limit`. Any version is accepted: `check_version` judges it.
[[nodiscard]] result<hello_prefix>
decode_hello_prefix(std::span<const std::byte, hello_prefix::size> bytes);
/// `unsupported` with a sentence that says which side is older, or success.
[[nodiscard]] result<void> check_version(std::uint16_t version, const node_id& peer,
                                         const node_id& self);
/// There is one encoding of a hello; others are `malformed`.
[[nodiscard]] result<link_hello> decode_hello_body(std::span<const std::byte> bytes);

/// The text is made printable and cut to limits::error_text_bytes_max.
[[nodiscard]] std::vector<std::byte> encode_verdict(const link_verdict& verdict);
/// Bytes of text that follow the prefix. `malformed`, or `over_limit`.
[[nodiscard]] result<std::size_t>
verdict_text_bytes(std::span<const std::byte, link_verdict::prefix_size> bytes);
/// Prefix and text. A code this build does not know becomes `unsupported`.
[[nodiscard]] result<link_verdict> decode_verdict(std::span<const std::byte> bytes);

[[nodiscard]] std::array<std::byte, message_header::size>
encode_header(const message_header& header);
/// Accepts what `message_bytes_max` allows on this channel and a goodbye. `malformed` or
/// `over_limit`.
[[nodiscard]] result<message_header>
decode_header(channel c, std::span<const std::byte, message_header::size> bytes);

/// HOST:PORT in its parts; an IPv6 address stands in brackets: [::1]:7700.
struct host_and_port {
  std::string host; ///< without brackets
  std::uint16_t port{0};
};
/// `invalid_argument` with the reason. `text` is at most limits::address_bytes_max long.
[[nodiscard]] result<host_and_port> parse_host_and_port(std::string_view text);
[[nodiscard]] std::string to_string(const host_and_port& address);

/// What `link_hello::binding` signs under `binding_domain`: the exporter value of this very TLS
/// connection, then the token.
inline constexpr std::string_view binding_domain = "ovir/link-binding/v1";
inline constexpr std::size_t exporter_bytes = 32;
[[nodiscard]] std::vector<std::byte>
binding_bytes(std::span<const std::byte, exporter_bytes> exporter,
              std::span<const std::byte> token);

} // namespace ovir::actors
