#include "actors/quic/quic_identity.hpp"

#include "messages/digest.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

/// What stands before the 32 bytes of an Ed25519 key: SubjectPublicKeyInfo (RFC 8410).
constexpr std::array<std::uint8_t, 12> public_front{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                    0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
/// And before the 32 bytes of its seed: PKCS #8.
constexpr std::array<std::uint8_t, 16> secret_front{0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                                    0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

constexpr const char* quic_priorities =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:"
    "-GROUP-ALL:+GROUP-X25519:-SIGN-ALL:+SIGN-EDDSA-ED25519:-CTYPE-ALL:+CTYPE-CLI-RAWPK:"
    "+CTYPE-SRV-RAWPK:%DISABLE_TLS13_COMPAT_MODE";

/// A handshake message; ours have less than 600 bytes.
constexpr std::size_t handshake_bytes_max = 4'096;

/// Takes the place of a search for authorities: there are none.
int judge_raw_key(gnutls_session_t session) {
  return node_of_session(session) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

gnutls_datum_t datum_of(std::span<std::uint8_t> bytes) {
  return {bytes.data(), static_cast<unsigned>(bytes.size())};
}

} // namespace

result<node_id> node_of_raw_key(std::span<const std::uint8_t> bytes) {
  node_id node;
  if (bytes.size() != public_front.size() + node.key.size() ||
      !std::equal(public_front.begin(), public_front.end(), bytes.begin())) {
    return fail(errc::malformed, "the peer's raw public key is no Ed25519 key");
  }
  const auto key = bytes.subspan(public_front.size());
  std::copy(key.begin(), key.end(), node.key.begin());
  if (node.empty()) {
    return fail(errc::malformed, "the peer's raw public key is empty");
  }
  return node;
}

result<node_id> node_of_session(gnutls_session_t session) {
  unsigned count = 0;
  const gnutls_datum_t* const shown = gnutls_certificate_get_peers(session, &count);
  if (shown == nullptr || count != 1 ||
      gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_RAWPK) {
    return fail(errc::malformed, "the peer showed no raw public key");
  }
  return node_of_raw_key({shown->data, shown->size});
}

result<quic_identity> quic_identity::make(const secret_key& key) {
  quic_identity identity;
  identity.node_ = key.id();
  gnutls_certificate_credentials_t credentials = nullptr;
  if (gnutls_certificate_allocate_credentials(&credentials) != 0) {
    return fail(errc::internal, "QUIC has no memory for this node's key");
  }
  identity.credentials_.reset(credentials);
  std::array<std::uint8_t, public_front.size() + 32> shown{};
  std::array<std::uint8_t, secret_front.size() + 32> held{};
  std::copy(public_front.begin(), public_front.end(), shown.begin());
  std::copy(key.id().key.begin(), key.id().key.end(), shown.begin() + public_front.size());
  std::copy(secret_front.begin(), secret_front.end(), held.begin());
  const auto seed = key.seed();
  std::copy(seed.begin(), seed.end(), held.begin() + secret_front.size());
  const gnutls_datum_t shown_datum = datum_of(shown);
  const gnutls_datum_t held_datum = datum_of(held);
  const int taken = gnutls_certificate_set_rawpk_key_mem(
      credentials, &shown_datum, &held_datum, GNUTLS_X509_FMT_DER, nullptr,
      GNUTLS_KEY_DIGITAL_SIGNATURE, nullptr, 0, 0);
  const digest secret = hash("ovir/quic-secret/v1", std::as_bytes(seed));
  std::copy(secret.bytes.begin(), secret.bytes.end(), identity.secret_.begin());
  wipe(std::as_writable_bytes(std::span{held}));
  gnutls_certificate_set_verify_function(credentials, judge_raw_key);
  gnutls_priority_t priority = nullptr;
  const int known = gnutls_priority_init(&priority, quic_priorities, nullptr);
  identity.priority_.reset(priority);
  if (taken < 0 || known != 0) {
    return fail(errc::internal, "QUIC cannot be set up with this node's key: {}",
                gnutls_strerror(taken < 0 ? taken : known));
  }
  return identity;
}

result<gnutls_session_handle> quic_identity::session(bool accepting) const {
  gnutls_session_t made = nullptr;
  const unsigned flags =
      static_cast<unsigned>(GNUTLS_ENABLE_RAWPK) | static_cast<unsigned>(GNUTLS_NO_TICKETS) |
      static_cast<unsigned>(GNUTLS_NO_AUTO_SEND_TICKET) |
      (accepting ? static_cast<unsigned>(GNUTLS_SERVER) : static_cast<unsigned>(GNUTLS_CLIENT));
  int problem = gnutls_init(&made, flags);
  gnutls_session_handle session{made};
  std::string protocol{quic_protocol};
  const gnutls_datum_t name{reinterpret_cast<unsigned char*>(protocol.data()),
                            static_cast<unsigned>(protocol.size())};
  if (problem == 0) {
    problem = gnutls_priority_set(made, priority_.get());
  }
  if (problem == 0) {
    problem = gnutls_credentials_set(made, GNUTLS_CRD_CERTIFICATE, credentials_.get());
  }
  if (problem == 0) {
    problem = gnutls_alpn_set_protocols(made, &name, 1, GNUTLS_ALPN_MANDATORY);
  }
  if (problem != 0) {
    return fail(errc::internal, "QUIC cannot begin a connection: {}", gnutls_strerror(problem));
  }
  gnutls_handshake_set_max_packet_length(made, handshake_bytes_max);
  if (accepting) {
    gnutls_certificate_server_set_request(made, GNUTLS_CERT_REQUIRE);
  }
  return session;
}

} // namespace ovir::actors
