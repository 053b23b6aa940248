#include "learning/rounds/mask_crypto.hpp"

#include <sodium.h>

#include <cstring>

namespace ovir::learning {

namespace {

static_assert(crypto_scalarmult_BYTES == 32 && crypto_scalarmult_SCALARBYTES == 32);
static_assert(crypto_stream_chacha20_KEYBYTES == 32);
static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES == 32);
static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == sealed_bytes - share_bytes);

void start_sodium() {
  static const int outcome = ::sodium_init();
  OVIR_CHECK(outcome >= 0, outcome);
}

const unsigned char* raw(const secret32& secret) {
  return reinterpret_cast<const unsigned char*>(secret.bytes.data());
}

} // namespace

secret32 drawn_secret(const random_source& random) {
  secret32 out;
  random(out.bytes);
  return out;
}

public_key public_of(const secret32& secret) {
  start_sodium();
  public_key out;
  OVIR_CHECK(::crypto_scalarmult_base(out.bytes.data(), raw(secret)) == 0);
  return out;
}

result<secret32> agreed(std::string_view domain, const secret32& own, const public_key& other,
                        const digest& context, const node_id& from, const node_id& to) {
  start_sodium();
  secret32 shared;
  if (::crypto_scalarmult(reinterpret_cast<unsigned char*>(shared.bytes.data()), raw(own),
                          other.bytes.data()) != 0) {
    return fail(errc::malformed, "a public key of the round is of low order");
  }
  digest key = hasher{domain}
                   .update(shared.bytes)
                   .update(context)
                   .update(std::as_bytes(std::span{from.key}))
                   .update(std::as_bytes(std::span{to.key}))
                   .finish();
  secret32 out;
  std::memcpy(out.bytes.data(), key.bytes.data(), digest::size);
  wipe(std::as_writable_bytes(std::span{key.bytes}));
  return out;
}

std::uint64_t keystream::next() {
  if (at_ == buffer_.size()) {
    start_sodium();
    constexpr std::array<unsigned char, crypto_stream_chacha20_NONCEBYTES> nonce{};
    auto* const out = reinterpret_cast<unsigned char*>(buffer_.data());
    std::memset(out, 0, buffer_.size());
    ::crypto_stream_chacha20_xor_ic(out, out, buffer_.size(), nonce.data(), blocks_, raw(key_));
    blocks_ += buffer_.size() / block_bytes;
    at_ = 0;
  }
  std::uint64_t value = 0; // little-endian, as this machine is (messages/wire/bytes.hpp)
  std::memcpy(&value, buffer_.data() + at_, sizeof value);
  at_ += sizeof value;
  return value;
}

void add_mask(std::span<std::uint64_t> to, const secret32& key) {
  keystream stream{key};
  for (std::uint64_t& x : to) {
    x += stream.next();
  }
}

void take_mask(std::span<std::uint64_t> to, const secret32& key) {
  keystream stream{key};
  for (std::uint64_t& x : to) {
    x -= stream.next();
  }
}

std::array<std::uint8_t, sealed_bytes> seal(const secret32& key,
                                            std::span<const std::byte, share_bytes> text) {
  start_sodium();
  constexpr std::array<unsigned char, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES> nonce{};
  std::array<std::uint8_t, sealed_bytes> out{};
  ::crypto_aead_xchacha20poly1305_ietf_encrypt(
      out.data(), nullptr, reinterpret_cast<const unsigned char*>(text.data()), text.size(),
      nullptr, 0, nullptr, nonce.data(), raw(key));
  return out;
}

result<std::array<std::byte, share_bytes>>
unseal(const secret32& key, std::span<const std::uint8_t, sealed_bytes> sealed) {
  start_sodium();
  constexpr std::array<unsigned char, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES> nonce{};
  std::array<std::byte, share_bytes> out{};
  if (::crypto_aead_xchacha20poly1305_ietf_decrypt(reinterpret_cast<unsigned char*>(out.data()),
                                                   nullptr, nullptr, sealed.data(), sealed.size(),
                                                   nullptr, 0, nonce.data(), raw(key)) != 0) {
    return fail(errc::digest_mismatch,
                "a sealed share was not sealed by its sender for this worker");
  }
  return out;
}

} // namespace ovir::learning
