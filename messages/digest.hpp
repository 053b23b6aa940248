#pragma once

#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ovir {

/// A BLAKE3-256 digest: a value. Ordered bytewise so that it can key sorted containers.
struct digest {
  static constexpr std::size_t size = 32;
  std::array<std::uint8_t, size> bytes{};

  friend bool operator==(const digest&, const digest&) = default;
  friend auto operator<=>(const digest&, const digest&) = default;
};

/// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(const digest& d);

/// Inverse of `to_hex`; anything else is `malformed`.
[[nodiscard]] result<digest> digest_from_hex(std::string_view text);

/// CIDv1: raw codec, blake3 multihash, base32 lower case ("bafkr4i..."), so that other tools can
/// name the same bytes. See docs/formats/digest.md.
[[nodiscard]] std::string to_cid(const digest& d);

/// Incremental BLAKE3 with a domain. The domain string is BLAKE3's key-derivation context, so
/// digests of different domains never collide by construction. Copyable: a copy continues on its
/// own. About 2 KiB; no allocation.
class hasher {
public:
  /// `domain` is a fixed string such as "ovir/transcript/v1/unit": never built from input.
  explicit hasher(std::string_view domain);

  hasher& update(std::span<const std::byte> bytes);
  hasher& update(const digest& d);
  /// Little-endian, fixed width.
  hasher& update_u32(std::uint32_t value);
  hasher& update_u64(std::uint64_t value);
  /// Length (u64) and bytes, so that neighbouring strings cannot be confused.
  hasher& update_text(std::string_view text);

  [[nodiscard]] digest finish() const;
  /// Fills `out` from the extendable output; `finish()` is its first 32 bytes.
  void finish_into(std::span<std::uint8_t> out) const;

private:
  // blake3_hasher lives in here, so that the C header stays in digest.cpp (size asserted there).
  alignas(8) std::array<std::byte, 1920> state_;
};

/// One-shot `hasher{domain}.update(bytes).finish()`.
[[nodiscard]] digest hash(std::string_view domain, std::span<const std::byte> bytes);

/// Plain BLAKE3 without a domain, as other tools compute it for a file.
[[nodiscard]] digest hash_plain(std::span<const std::byte> bytes);

} // namespace ovir
