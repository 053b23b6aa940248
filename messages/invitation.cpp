#include "messages/invitation.hpp"

#include "messages/check.hpp"
#include "messages/limits/invitations.hpp"

#include <sodium.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace ovir {

static_assert(std::endian::native == std::endian::little, "numbers are written in memory order");

namespace {

constexpr std::string_view invitation_domain = "ovir/invitation/v1";
constexpr std::string_view shown_prefix = "ovir-join-";
constexpr int shown_alphabet = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

// docs/formats/join-token.md:
//   invitation = signed admin[32] proof[64]
//   signed     = "OVI1" key[32] roles:u16 expires:u64 uses:u32
constexpr std::array<std::uint8_t, 4> invitation_magic{'O', 'V', 'I', '1'};
constexpr std::size_t invitation_signed = limits::invitation_bytes - 32 - 64;
static_assert(invitation_signed == 50 && limits::shown_token_bytes_max == 304);

template <class T>
void put(std::vector<std::byte>& out, const T& value) {
  const auto bytes = std::as_bytes(std::span{&value, 1});
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void get(std::span<const std::byte>& from, T& value) {
  std::memcpy(&value, from.data(), sizeof(T));
  from = from.subspan(sizeof(T));
}

std::vector<std::byte> signed_part_of(const invitation& what) {
  std::vector<std::byte> out;
  out.reserve(limits::shown_token_bytes_max);
  put(out, invitation_magic);
  put(out, what.key.key);
  put(out, what.roles.bits);
  put(out, what.expires_unix);
  put(out, what.uses);
  OVIR_CHECK(out.size() == invitation_signed, out.size());
  return out;
}

std::string encoded_token(std::span<const std::byte> bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), shown_alphabet), '\0');
  ::sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()),
                      bytes.size(), shown_alphabet);
  text.pop_back(); // the library's final zero
  return text;
}

} // namespace

invitation issue_invitation(const secret_key& admin, const node_id& key, role_set roles,
                            std::uint64_t expires_unix, std::uint32_t uses) {
  OVIR_CHECK(uses > 0 && uses <= limits::invitation_uses_max, uses);
  OVIR_CHECK(!roles.empty() && roles.within(member_roles), roles.bits);
  invitation made{key, roles, expires_unix, uses, admin.id(), {}};
  made.proof = admin.sign(invitation_domain, signed_part_of(made));
  return made;
}

std::vector<std::byte> to_bytes(const invitation& what) {
  std::vector<std::byte> out = signed_part_of(what);
  put(out, what.admin.key);
  put(out, what.proof.bytes);
  return out;
}

result<invitation> invitation_from_bytes(std::span<const std::byte> bytes) {
  std::array<std::uint8_t, 4> magic{};
  if (bytes.size() == limits::invitation_bytes) {
    get(bytes, magic);
  }
  if (magic != invitation_magic) {
    return fail(errc::malformed,
                "these bytes are no invitation of version 1; ask for one made by ovir invite");
  }
  invitation what;
  get(bytes, what.key.key);
  get(bytes, what.roles.bits);
  get(bytes, what.expires_unix);
  get(bytes, what.uses);
  get(bytes, what.admin.key);
  get(bytes, what.proof.bytes);
  if (what.roles.empty() || !what.roles.within(member_roles) || what.uses == 0 ||
      what.uses > limits::invitation_uses_max) {
    return fail(errc::malformed,
                "the invitation has the roles {:#06x} and {} uses, which this version does not "
                "know; ask for another one",
                what.roles.bits, what.uses);
  }
  return what;
}

shown_token accept_invitation(const secret_key& secret, const invitation& by, const node_id& node,
                              role_set roles, std::span<const std::byte, 16> nonce) {
  OVIR_CHECK(secret.id() == by.key, "the secret of another invitation");
  return {issue_token(secret, node, roles, by.expires_unix, nonce), by};
}

join_token issue_revocation(const secret_key& admin, const node_id& key,
                            std::span<const std::byte, 16> nonce) {
  return issue_token(admin, key, {}, std::numeric_limits<std::uint64_t>::max(), nonce);
}

bool is_revocation(const shown_token& shown) noexcept {
  return !shown.by && shown.token.roles.empty();
}

std::vector<std::byte> to_bytes(const shown_token& shown) {
  std::vector<std::byte> out = to_bytes(shown.token);
  OVIR_CHECK(out.size() == limits::join_token_bytes, out.size());
  if (shown.by) {
    const std::vector<std::byte> behind = to_bytes(*shown.by);
    out.insert(out.end(), behind.begin(), behind.end());
  }
  return out;
}

std::string to_text(const shown_token& shown) {
  return shown.by ? std::string{shown_prefix} + encoded_token(to_bytes(shown))
                  : to_text(shown.token);
}

result<shown_token> shown_token_from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() != limits::shown_token_bytes_max) {
    OVIR_ASSIGN(join_token token, token_from_bytes(bytes));
    return shown_token{token, std::nullopt};
  }
  OVIR_ASSIGN(join_token token, token_from_bytes(bytes.first(limits::join_token_bytes)));
  OVIR_ASSIGN(invitation by, invitation_from_bytes(bytes.subspan(limits::join_token_bytes)));
  return shown_token{token, by};
}

result<shown_token> shown_token_from_text(std::string_view text) {
  constexpr std::size_t whole = (limits::shown_token_bytes_max * 4 + 2) / 3;
  if (!text.starts_with(shown_prefix) || text.size() != shown_prefix.size() + whole) {
    OVIR_ASSIGN(join_token token, token_from_text(text));
    return shown_token{token, std::nullopt};
  }
  const std::string_view encoded = text.substr(shown_prefix.size());
  std::array<std::byte, limits::shown_token_bytes_max> bytes{};
  std::size_t size = 0;
  const bool read = ::sodium_base642bin(reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size(),
                                        encoded.data(), encoded.size(), nullptr, &size, nullptr,
                                        shown_alphabet) == 0;
  // libsodium takes some bytes above 127 for digits: what it read is written again.
  if (!read || size != bytes.size() || encoded_token(bytes) != encoded) {
    return fail(errc::malformed,
                "the join token is not base64url without padding after {}; copy it again",
                shown_prefix);
  }
  return shown_token_from_bytes(bytes);
}

result<void> check(const shown_token& shown, std::uint64_t now_unix) {
  if (!shown.by) {
    return check(shown.token, shown.token.admin, now_unix);
  }
  const invitation& by = *shown.by;
  if (!verify(by.admin, invitation_domain, signed_part_of(by), by.proof)) {
    return fail(errc::invalid_argument,
                "the invitation's signature is not admin key {}'s; it was changed on its way, ask "
                "for a new one",
                short_name(by.admin));
  }
  OVIR_TRY(check(shown.token, by.key, now_unix));
  if (shown.token.node == by.key) { // a member could not be revoked
    return fail(errc::invalid_argument,
                "the invitation {} is used by its own key; join with another one",
                short_name(by.key));
  }
  if (!shown.token.roles.within(by.roles)) {
    return fail(errc::invalid_argument,
                "the join token gives {} and its invitation {}; join with fewer roles",
                to_string(shown.token.roles), to_string(by.roles));
  }
  if (now_unix >= by.expires_unix) {
    return fail(errc::invalid_argument, "the invitation expired {} s ago; ask for a new one",
                now_unix - by.expires_unix);
  }
  return {};
}

} // namespace ovir
