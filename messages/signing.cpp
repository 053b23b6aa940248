#include "messages/signing.hpp"

#include "messages/digest.hpp"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace ovir {

static_assert(crypto_sign_PUBLICKEYBYTES == node_id::size);
static_assert(crypto_sign_SEEDBYTES == secret_key::seed_size);
static_assert(crypto_sign_SECRETKEYBYTES == 64);
static_assert(crypto_sign_BYTES == sizeof(signature));
static_assert(std::endian::native == std::endian::little, "tokens are written in memory order");

namespace {

constexpr std::string_view token_domain = "ovir/join-token/v1";
constexpr std::string_view token_prefix = "ovir-join-";
constexpr int token_alphabet = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

// docs/formats/join-token.md:
//   token  = signed admin[32] proof[64]
//   signed = "OVJ1" node[32] roles:u16 expires:u64 nonce[16]
constexpr std::array<std::uint8_t, 4> token_magic{'O', 'V', 'J', '1'};
constexpr std::size_t signed_size = 4 + 32 + 2 + 8 + 16;
constexpr std::size_t token_size = signed_size + 32 + 64;
// Four characters per three bytes, rounded up to what the last bytes need.
constexpr std::size_t token_text_size = token_prefix.size() + (token_size * 4 + 2) / 3;
static_assert(token_size == 158 && token_text_size == 221);

/// Before anything else of libsodium. It may be called by several threads at once.
void make_ready() {
  static const int outcome = ::sodium_init();
  OVIR_CHECK(outcome >= 0, outcome);
}

const std::uint8_t* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

template <class T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto bytes = std::as_bytes(std::span{&value, 1});
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void take(std::span<const std::byte>& from, T& value) {
  std::memcpy(&value, from.data(), sizeof(T));
  from = from.subspan(sizeof(T));
}

std::vector<std::byte> signed_part(const join_token& token) {
  std::vector<std::byte> out;
  out.reserve(token_size);
  append(out, token_magic);
  append(out, token.node.key);
  append(out, token.roles.bits);
  append(out, token.expires_unix);
  append(out, token.nonce);
  OVIR_CHECK(out.size() == signed_size, out.size());
  return out;
}

std::string text_of(std::span<const std::byte> token) {
  OVIR_CHECK(token.size() == token_size, token.size());
  make_ready();
  std::string encoded(sodium_base64_ENCODED_LEN(token_size, token_alphabet), '\0');
  ::sodium_bin2base64(encoded.data(), encoded.size(), raw(token), token.size(), token_alphabet);
  encoded.pop_back(); // the library's final zero
  OVIR_CHECK(token_prefix.size() + encoded.size() == token_text_size, encoded.size());
  return std::string{token_prefix} + encoded;
}

/// Bits that mean something in this version.
bool known(role_set roles) {
  return roles.within(role_set{static_cast<std::uint16_t>(member_roles.bits | admin_roles.bits)});
}

} // namespace

void wipe(std::span<std::byte> bytes) noexcept { ::sodium_memzero(bytes.data(), bytes.size()); }

secret_key secret_key::from_seed(std::span<const std::byte, seed_size> seed) {
  make_ready();
  secret_key key;
  const int outcome = ::crypto_sign_seed_keypair(key.id_.key.data(), key.secret_.data(), raw(seed));
  OVIR_CHECK(outcome == 0, outcome);
  return key;
}

secret_key::secret_key(secret_key&& other) noexcept : secret_(other.secret_), id_(other.id_) {
  wipe(std::as_writable_bytes(std::span{other.secret_}));
  other.id_ = {};
}

secret_key& secret_key::operator=(secret_key&& other) noexcept {
  if (this != &other) {
    secret_ = other.secret_;
    id_ = other.id_;
    wipe(std::as_writable_bytes(std::span{other.secret_}));
    other.id_ = {};
  }
  return *this;
}

secret_key::~secret_key() { wipe(std::as_writable_bytes(std::span{secret_})); }

signature secret_key::sign(std::string_view domain, std::span<const std::byte> bytes) const {
  OVIR_CHECK(!id_.empty(), "a key that was moved away signs");
  const digest d = hash(domain, bytes);
  signature s;
  const int outcome = ::crypto_sign_detached(s.bytes.data(), nullptr, d.bytes.data(),
                                             d.bytes.size(), secret_.data());
  OVIR_CHECK(outcome == 0, outcome);
  return s;
}

bool verify(const node_id& by, std::string_view domain, std::span<const std::byte> bytes,
            const signature& s) {
  make_ready();
  const digest d = hash(domain, bytes);
  return ::crypto_sign_verify_detached(s.bytes.data(), d.bytes.data(), d.bytes.size(),
                                       by.key.data()) == 0;
}

join_token issue_token(const secret_key& admin, const node_id& node, role_set roles,
                       std::uint64_t expires_unix, std::span<const std::byte, 16> nonce) {
  OVIR_CHECK(known(roles), roles.bits);
  join_token token;
  token.node = node;
  token.roles = roles;
  token.expires_unix = expires_unix;
  std::memcpy(token.nonce.data(), nonce.data(), nonce.size());
  token.admin = admin.id();
  token.proof = admin.sign(token_domain, signed_part(token));
  return token;
}

std::vector<std::byte> to_bytes(const join_token& token) {
  std::vector<std::byte> out = signed_part(token);
  append(out, token.admin.key);
  append(out, token.proof.bytes);
  OVIR_CHECK(out.size() == token_size, out.size());
  return out;
}

result<join_token> token_from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() != token_size) {
    return fail(errc::malformed, "a join token has {} bytes, this has {}; ask for a new one",
                token_size, bytes.size());
  }
  std::array<std::uint8_t, 4> magic{};
  take(bytes, magic);
  if (magic != token_magic) {
    return fail(errc::malformed,
                "these bytes are not a join token of version 1; ask for one made by ovir token");
  }
  join_token token;
  take(bytes, token.node.key);
  take(bytes, token.roles.bits);
  take(bytes, token.expires_unix);
  take(bytes, token.nonce);
  take(bytes, token.admin.key);
  take(bytes, token.proof.bytes);
  if (!known(token.roles)) {
    return fail(errc::malformed,
                "the join token names roles that this version does not know (bits {:#06x}); ask "
                "for one with fewer roles",
                token.roles.bits);
  }
  return token;
}

std::string to_text(const join_token& token) { return text_of(to_bytes(token)); }

result<join_token> token_from_text(std::string_view text) {
  make_ready();
  if (!text.starts_with(token_prefix)) {
    return fail(errc::malformed, "a join token begins with {}; copy all of what ovir token printed",
                token_prefix);
  }
  if (text.size() != token_text_size) {
    return fail(errc::malformed,
                "a join token has {} characters, this has {}; copy all of what ovir token printed",
                token_text_size, text.size());
  }
  const std::string_view encoded = text.substr(token_prefix.size());
  std::array<std::uint8_t, token_size> bytes{};
  std::size_t size = 0;
  // libsodium 1.0.18 takes some bytes above 127 for digits, so what it read is written again: a
  // token has one text.
  const bool read = ::sodium_base642bin(bytes.data(), bytes.size(), encoded.data(), encoded.size(),
                                        nullptr, &size, nullptr, token_alphabet) == 0;
  if (!read || size != bytes.size() || text_of(std::as_bytes(std::span{bytes})) != text) {
    return fail(errc::malformed,
                "the join token is not base64url without padding after {}; copy "
                "it again",
                token_prefix);
  }
  return token_from_bytes(std::as_bytes(std::span{bytes}));
}

bool signed_by_its_admin(const join_token& token) {
  return verify(token.admin, token_domain, signed_part(token), token.proof);
}

result<void> check(const join_token& token, const node_id& admin, std::uint64_t now_unix) {
  if (token.admin != admin) {
    return fail(errc::invalid_argument,
                "the join token is from admin key {}, not from {}; ask an admin of this cluster "
                "for one",
                short_name(token.admin), short_name(admin));
  }
  if (!signed_by_its_admin(token)) {
    return fail(errc::invalid_argument,
                "the join token's signature is not admin key {}'s; it was changed on its way, ask "
                "for a new one",
                short_name(admin));
  }
  if (now_unix >= token.expires_unix) {
    return fail(errc::invalid_argument,
                "the join token for node {} expired {} s ago; ask an admin for a new one",
                short_name(token.node), now_unix - token.expires_unix);
  }
  return {};
}

} // namespace ovir
