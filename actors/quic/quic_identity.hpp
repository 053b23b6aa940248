#pragma once

#include "messages/signing.hpp"

#include <gnutls/gnutls.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

namespace ovir::actors {

/// What both sides name in the handshake; another protocol is refused there.
inline constexpr std::string_view quic_protocol = "ovir/1";

struct gnutls_session_free {
  void operator()(gnutls_session_t session) const noexcept { gnutls_deinit(session); }
};
using gnutls_session_handle =
    std::unique_ptr<std::remove_pointer_t<gnutls_session_t>, gnutls_session_free>;

/// A node's key as QUIC's TLS knows it. TLS 1.3 only, AES-GCM or ChaCha20, X25519, Ed25519
/// signatures; no resumption, no early data. Both sides must show a raw public key (RFC 7250) that
/// is an Ed25519 key, 44 bytes of one form, and prove it: it names the node. There is no
/// certificate to parse. Used by one thread at a time.
class quic_identity {
public:
  /// `internal` when GnuTLS refuses a setting or the key.
  [[nodiscard]] static result<quic_identity> make(const secret_key& key);

  /// A TLS session, not yet tied to a QUIC connection.
  [[nodiscard]] result<gnutls_session_handle> session(bool accepting) const;
  [[nodiscard]] const node_id& node() const noexcept { return node_; }
  /// For tokens and resets that others cannot make. The same in every life of the node, so that a
  /// node that was started again can tell its peers that a connection is gone.
  [[nodiscard]] std::span<const std::uint8_t, 32> secret() const noexcept { return secret_; }

private:
  struct credentials_free {
    void operator()(gnutls_certificate_credentials_t c) const noexcept {
      gnutls_certificate_free_credentials(c);
    }
  };
  struct priority_free {
    void operator()(gnutls_priority_t p) const noexcept { gnutls_priority_deinit(p); }
  };
  quic_identity() = default;

  std::unique_ptr<std::remove_pointer_t<gnutls_certificate_credentials_t>, credentials_free>
      credentials_;
  std::unique_ptr<std::remove_pointer_t<gnutls_priority_t>, priority_free> priority_;
  node_id node_;
  std::array<std::uint8_t, 32> secret_{};
};

/// After the handshake: whose key the peer proved to have. `malformed` when it showed none, or one
/// of another kind.
[[nodiscard]] result<node_id> node_of_session(gnutls_session_t session);
/// The key in a raw public key's bytes, or why there is none.
[[nodiscard]] result<node_id> node_of_raw_key(std::span<const std::uint8_t> bytes);

} // namespace ovir::actors
