#pragma once

#include "actors/nat/punch_datagram.hpp"
#include "messages/evidence/stream_count.hpp"
#include "messages/limits/nat.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// What a member and its helper say to each other on a relay connection (docs/formats/nat.md). The
/// helper is the side that accepted the connection. Addresses are HOST:PORT with a numeric host.
namespace ovir::actors {

/// How a node's router maps ports, as far as the node knows.
enum class nat_mapping : std::uint8_t {
  unknown = 0,
  independent = 1, ///< one external port for one port of the node, whatever the other end is
  dependent = 2,   ///< another external port for each other end ("symmetric")
};

/// Member: "others can meet me here". Told again whenever it changes.
struct helper_join {
  bool reachable{false};              ///< strangers reach it directly
  std::vector<std::string> addresses; ///< that its routers map to it; others test them
  friend bool operator==(const helper_join&, const helper_join&) = default;
};

/// Helper: "I see you at this address". Signed, so that the node can show it.
struct address_seen {
  std::string address;
  signature proof{};
  bool udp{false};     ///< of the node's UDP socket, as a probe showed; else of this connection
  punch_token probe{}; ///< what a probe carries to this helper's UDP port; zeros: it takes none
  friend bool operator==(const address_seen&, const address_seen&) = default;
};

/// Member: "can this node be met at you?"
struct helper_ask {
  std::uint64_t nonce{0};
  node_id node{};
  friend bool operator==(const helper_ask&, const helper_ask&) = default;
};

struct helper_answer {
  std::uint64_t nonce{0};
  bool held{false};                   ///< the node has joined here
  bool reachable{false};              ///< as it says
  bool relays{false};                 ///< this helper passes streams
  std::vector<std::string> addresses; ///< as it says
  friend bool operator==(const helper_answer&, const helper_answer&) = default;
};

/// Both ways, passed on by the helper: "dial these, as I dial yours". The helper puts the address
/// at which it sees the sender in front, and names the sender.
struct meeting {
  std::uint64_t nonce{0};
  node_id node{};                            ///< to the helper: who is meant; from it: who says so
  bool answers{false};                       ///< the second message of the pair
  nat_mapping mapping{nat_mapping::unknown}; ///< of who says so
  std::vector<std::string> addresses;
  std::vector<std::string> udp{}; ///< likewise, of the socket of its QUIC links; may be empty
  friend bool operator==(const meeting&, const meeting&) = default;
};

/// To a relay: a stream to `node`; from it: one that `node` opened. The number is even where the
/// side that connected chose it, else odd.
struct stream_open {
  std::uint32_t stream{0};
  node_id node{};
  std::array<std::uint8_t, 16> session{}; ///< drawn by who opens it; counts name it
  friend bool operator==(const stream_open&, const stream_open&) = default;
};
struct stream_taken {
  std::uint32_t stream{0};
  friend bool operator==(const stream_taken&, const stream_taken&) = default;
};
struct stream_bytes {
  std::uint32_t stream{0};
  std::vector<std::byte> bytes; ///< at least one
  friend bool operator==(const stream_bytes&, const stream_bytes&) = default;
};
/// From who receives: it has taken so many bytes of the stream, from its beginning. `proof` is of a
/// `counted_stream`.
struct stream_count {
  std::uint32_t stream{0};
  std::uint64_t bytes{0};
  signature proof{};
  friend bool operator==(const stream_count&, const stream_count&) = default;
};
/// Why a stream is over, or never began.
enum class stream_ending : std::uint8_t {
  closed = 1,  ///< an end closed it
  absent = 2,  ///< the other node is not here, or does not take it
  full = 3,    ///< the relay or the key has as many streams or bytes as it may
  broken = 4,  ///< an end broke the rules
  refused = 5, ///< this helper is no relay
};
struct stream_end {
  std::uint32_t stream{0};
  stream_ending why{stream_ending::closed};
  friend bool operator==(const stream_end&, const stream_end&) = default;
};

/// The place in the list, from 1 on, is the kind on the wire.
using nat_message = std::variant<helper_join, address_seen, helper_ask, helper_answer, meeting,
                                 stream_open, stream_taken, stream_bytes, stream_count, stream_end>;

/// Precondition: within the bounds of limits/nat.hpp.
[[nodiscard]] std::vector<std::byte> encode(const nat_message& message);
/// A message has one encoding; others are `malformed`, or `over_limit`. Hosts of addresses are
/// numeric.
[[nodiscard]] result<nat_message> decode_nat_message(std::span<const std::byte> bytes);

/// An address as it may stand in a message: IPv4 or IPv6 in digits, and a port that is not 0.
[[nodiscard]] bool is_numeric_address(std::string_view address);

/// What `address_seen::proof` signs, by the helper.
inline constexpr std::string_view seen_domain = "ovir/address-seen/v1";
inline constexpr std::string_view seen_udp_domain = "ovir/address-seen-udp/v1"; ///< of UDP
[[nodiscard]] std::vector<std::byte> seen_statement(const node_id& node, std::string_view address);

} // namespace ovir::actors
