#pragma once

#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

/// Key agreement, masks and sealed shares of a round, all from libsodium.
namespace ovir::learning {

/// Fills with what others must not guess; tests give a seeded one.
using random_source = std::function<void(std::span<std::byte>)>;

/// 32 secret bytes, wiped when dropped.
struct secret32 {
  std::array<std::byte, 32> bytes{};

  secret32() = default;
  secret32(const secret32&) = default;
  secret32& operator=(const secret32&) = default;
  ~secret32() { wipe(bytes); }
  friend bool operator==(const secret32&, const secret32&) = default;
};

/// Of X25519.
struct public_key {
  std::array<std::uint8_t, 32> bytes{};
  friend bool operator==(const public_key&, const public_key&) = default;
};

[[nodiscard]] secret32 drawn_secret(const random_source& random);
[[nodiscard]] public_key public_of(const secret32& secret);

/// What both ends of a pair derive for one use: H(`domain`; X25519 of the keys, context, from, to).
/// `malformed` for a public key of low order.
[[nodiscard]] result<secret32> agreed(std::string_view domain, const secret32& own,
                                      const public_key& other, const digest& context,
                                      const node_id& from, const node_id& to);

/// The key stream of ChaCha20 under `key`, with nonce 0: each key is used for one stream.
class keystream {
public:
  explicit keystream(const secret32& key) : key_(key) {}
  ~keystream() { wipe(buffer_); }
  keystream(const keystream&) = delete;
  keystream& operator=(const keystream&) = delete;

  [[nodiscard]] std::uint64_t next();

private:
  static constexpr std::size_t block_bytes = 64; // of ChaCha20

  secret32 key_;
  std::array<std::byte, 64 * block_bytes> buffer_{};
  std::size_t at_{64 * block_bytes};
  std::uint64_t blocks_{0};
};

/// Adds the stream of `key` to the numbers, modulo 2^64, or takes it away.
void add_mask(std::span<std::uint64_t> to, const secret32& key);
void take_mask(std::span<std::uint64_t> to, const secret32& key);

inline constexpr std::size_t share_bytes = 80; // two shares of five numbers
inline constexpr std::size_t sealed_bytes = share_bytes + 16;

/// XChaCha20-Poly1305 with nonce 0: `key` seals one text.
[[nodiscard]] std::array<std::uint8_t, sealed_bytes>
seal(const secret32& key, std::span<const std::byte, share_bytes> text);
/// `digest_mismatch` for anything else than what was sealed with this key.
[[nodiscard]] result<std::array<std::byte, share_bytes>>
unseal(const secret32& key, std::span<const std::uint8_t, sealed_bytes> sealed);

} // namespace ovir::learning
