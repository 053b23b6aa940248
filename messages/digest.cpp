#include "messages/digest.hpp"

#include "messages/check.hpp"
#include "messages/domain_key.hpp"
#include "messages/hash_pieces.hpp"
#include "messages/short_hash.hpp"

#include <blake3.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

namespace ovir {

static_assert(std::endian::native == std::endian::little, "digests are fed in memory order");

namespace {

template <class State>
blake3_hasher* native(State& state) {
  static_assert(sizeof(State) >= sizeof(blake3_hasher));
  return reinterpret_cast<blake3_hasher*>(state.data());
}

template <class State>
const blake3_hasher* native(const State& state) {
  return reinterpret_cast<const blake3_hasher*>(state.data());
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

} // namespace

hasher::hasher(std::string_view domain) {
  blake3_hasher_init_derive_key_raw(native(state_), domain.data(), domain.size());
}

hasher& hasher::update(std::span<const std::byte> bytes) {
  blake3_hasher_update(native(state_), bytes.data(), bytes.size());
  return *this;
}

hasher& hasher::update(const digest& d) { return update(std::as_bytes(std::span{d.bytes})); }

hasher& hasher::update_u32(std::uint32_t value) {
  return update(std::as_bytes(std::span{&value, 1}));
}

hasher& hasher::update_u64(std::uint64_t value) {
  return update(std::as_bytes(std::span{&value, 1}));
}

hasher& hasher::update_text(std::string_view text) {
  update_u64(text.size());
  return update(std::as_bytes(std::span{text}));
}

digest hasher::finish() const {
  digest d;
  finish_into(d.bytes);
  return d;
}

void hasher::finish_into(std::span<std::uint8_t> out) const {
  blake3_hasher_finalize(native(state_), out.data(), out.size());
}

std::array<std::uint32_t, 8> domain_key(std::string_view domain) {
  blake3_hasher fresh;
  blake3_hasher_init_derive_key_raw(&fresh, domain.data(), domain.size());
  std::array<std::uint32_t, 8> key{};
  static_assert(sizeof key == sizeof fresh.key);
  std::memcpy(key.data(), fresh.key, sizeof key);
  return key;
}

short_hasher::short_hasher(std::string_view domain) {
  blake3_hasher_init_derive_key_raw(native(state_), domain.data(), domain.size());
}

digest short_hasher::operator()(std::span<const std::byte> bytes) {
  blake3_hasher_reset(native(state_)); // keeps the domain's key
  blake3_hasher_update(native(state_), bytes.data(), bytes.size());
  digest d;
  blake3_hasher_finalize(native(state_), d.bytes.data(), d.bytes.size());
  return d;
}

digest hash(std::string_view domain, std::span<const std::byte> bytes) {
  return hasher{domain}.update(bytes).finish();
}

digest hash_plain(std::span<const std::byte> bytes) {
  return hash_plain_in_order({&bytes, 1}, [] {});
}

digest hash_plain_in_pieces(std::span<const std::byte> bytes, std::size_t piece,
                            const std::function<void()>& after) {
  OVIR_CHECK(piece > 0);
  std::vector<std::span<const std::byte>> pieces;
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(piece, bytes.size()))) {
    pieces.push_back(bytes.first(std::min(piece, bytes.size())));
  }
  return hash_plain_in_order(pieces, after);
}

digest hash_plain_in_order(std::span<const std::span<const std::byte>> stretches,
                           const std::function<void()>& after) {
  blake3_hasher state;
  blake3_hasher_init(&state);
  for (const std::span<const std::byte> next : stretches) {
    blake3_hasher_update(&state, next.data(), next.size());
    after();
  }
  digest d;
  blake3_hasher_finalize(&state, d.bytes.data(), d.bytes.size());
  return d;
}

std::string to_hex(const digest& d) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * digest::size);
  for (const std::uint8_t byte : d.bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

result<digest> digest_from_hex(std::string_view text) {
  if (text.size() != 2 * digest::size) {
    return fail(errc::malformed, "a digest has {} hexadecimal digits, this has {}",
                2 * digest::size, text.size());
  }
  digest d;
  for (std::size_t i = 0; i < digest::size; ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      return fail(errc::malformed, "digit {} of the digest is not lower-case hexadecimal", 2 * i);
    }
    d.bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return d;
}

std::string to_cid(const digest& d) {
  // version 1, codec 0x55 (raw), multihash 0x1e (blake3), length 32; base32 with prefix 'b'.
  constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::array<std::uint8_t, 4 + digest::size> bytes{0x01, 0x55, 0x1e, 0x20};
  std::memcpy(bytes.data() + 4, d.bytes.data(), digest::size);
  std::string text{"b"};
  std::uint32_t buffer = 0;
  unsigned bits = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = (buffer << 8U) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet[(buffer >> bits) & 31U];
    }
  }
  if (bits > 0) {
    text += alphabet[(buffer << (5 - bits)) & 31U];
  }
  return text;
}

} // namespace ovir
