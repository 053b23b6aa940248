#pragma once

#include "messages/result.hpp"

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ovir {

/// A node's name: its Ed25519 public key. Whoever signs or connects under it proves that it has the
/// secret key, so a name cannot be taken by another.
struct node_id {
  static constexpr std::size_t size = 32;
  std::array<std::uint8_t, size> key{};

  /// All zero: no node.
  [[nodiscard]] bool empty() const noexcept { return *this == node_id{}; }

  friend bool operator==(const node_id&, const node_id&) = default;
  friend auto operator<=>(const node_id&, const node_id&) = default;
};

/// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(const node_id& id);
/// The first 8 digits, for tables and logs where the whole name is known from elsewhere.
[[nodiscard]] std::string short_name(const node_id& id);
/// Inverse of `to_hex`; anything else is `malformed`.
[[nodiscard]] result<node_id> node_id_from_hex(std::string_view text);

/// What a peer may do. A set of bits; what travels between machines keeps its value for ever.
enum class role : std::uint16_t {
  worker = 1U << 0U,    ///< computes segments
  scheduler = 1U << 1U, ///< drives requests
  store = 1U << 2U,     ///< keeps results for others
  verifier = 1U << 3U,  ///< audits
  ledger = 1U << 4U,    ///< keeps accounts
  relay = 1U << 5U,     ///< passes sealed bytes between members that cannot reach each other
  reader = 1U << 8U,    ///< admin shell: may look
  operate = 1U << 9U,   ///< admin shell: may change things
};

struct role_set {
  std::uint16_t bits{0};

  [[nodiscard]] constexpr bool has(role r) const noexcept {
    return (bits & static_cast<std::uint16_t>(r)) != 0;
  }
  constexpr role_set& add(role r) noexcept {
    bits = static_cast<std::uint16_t>(bits | static_cast<std::uint16_t>(r));
    return *this;
  }
  [[nodiscard]] constexpr bool within(role_set other) const noexcept {
    return (bits & static_cast<std::uint16_t>(~other.bits)) == 0;
  }
  [[nodiscard]] constexpr bool empty() const noexcept { return bits == 0; }

  friend bool operator==(role_set, role_set) = default;
};

/// Every role a cluster member may have; the admin ones are for people.
inline constexpr role_set member_roles{0x3f};
inline constexpr role_set admin_roles{0x300};

/// "worker", "operator", ...; `invalid_argument` for other words, naming those that exist.
[[nodiscard]] result<role> role_from_text(std::string_view text);
/// "worker, scheduler"; "none" for the empty set.
[[nodiscard]] std::string to_string(role_set roles);

} // namespace ovir
