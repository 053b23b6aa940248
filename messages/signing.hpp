#pragma once

#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// Ed25519 over canonical bytes with a domain in front (libsodium). What is signed is always
/// H(domain, bytes), so that a signature made for one purpose is none for another.
namespace ovir {

struct signature {
  std::array<std::uint8_t, 64> bytes{};
  friend bool operator==(const signature&, const signature&) = default;
};

/// A node's secret. A resource: moved, never copied, wiped when dropped, never printed.
class secret_key {
public:
  static constexpr std::size_t seed_size = 32;

  /// The key that `seed` (32 random bytes) determines.
  [[nodiscard]] static secret_key from_seed(std::span<const std::byte, seed_size> seed);
  secret_key(secret_key&& other) noexcept;
  secret_key& operator=(secret_key&& other) noexcept;
  ~secret_key();

  [[nodiscard]] const node_id& id() const noexcept { return id_; }
  [[nodiscard]] std::span<const std::uint8_t, seed_size> seed() const noexcept {
    return std::span{secret_}.first<seed_size>();
  }
  /// `domain` is a fixed string such as "ovir/join-token/v1": never built from input.
  [[nodiscard]] signature sign(std::string_view domain, std::span<const std::byte> bytes) const;

private:
  secret_key() = default;
  std::array<std::uint8_t, 64> secret_{}; ///< seed and public key, as libsodium keeps it
  node_id id_;
};

/// Overwrites what was secret, in a way the compiler may not leave out.
void wipe(std::span<std::byte> bytes) noexcept;

/// Whether `by` signed these bytes for this domain.
[[nodiscard]] bool verify(const node_id& by, std::string_view domain,
                          std::span<const std::byte> bytes, const signature& s);

/// Leave to join a cluster: signed by an admin key, for one node key, with its roles and an end.
/// Canonical bytes: docs/formats/join-token.md. Text form: "ovir-join-" and base64url.
struct join_token {
  node_id node;                  ///< who may use it
  role_set roles;                ///< what it may be at most
  std::uint64_t expires_unix{0}; ///< seconds since 1970
  std::array<std::uint8_t, 16> nonce{};
  node_id admin;
  signature proof;

  friend bool operator==(const join_token&, const join_token&) = default;
};

/// Signs everything but `admin` and `proof`, which it fills in.
[[nodiscard]] join_token issue_token(const secret_key& admin, const node_id& node, role_set roles,
                                     std::uint64_t expires_unix,
                                     std::span<const std::byte, 16> nonce);
[[nodiscard]] std::string to_text(const join_token& token);
/// `malformed`; says nothing about validity. Bytes and text have one encoding each.
[[nodiscard]] result<join_token> token_from_text(std::string_view text);
[[nodiscard]] std::vector<std::byte> to_bytes(const join_token& token);
[[nodiscard]] result<join_token> token_from_bytes(std::span<const std::byte> bytes);
/// Whether the key it names as its admin's did sign it; anybody can name a key of his own.
[[nodiscard]] bool signed_by_its_admin(const join_token& token);
/// Its signature is the admin's, and it is not over at `now_unix`. `invalid_argument` with the
/// reason.
[[nodiscard]] result<void> check(const join_token& token, const node_id& admin,
                                 std::uint64_t now_unix);

} // namespace ovir
