#pragma once

#include "messages/signing.hpp"

#include <openssl/ssl.h>

#include <memory>

namespace ovir::actors {

/// A node's key as TLS knows it: the settings of every connection and the certificate made from the
/// key. TLS 1.3 only, AES-GCM or ChaCha20, X25519, Ed25519 signatures; no resumption, no early
/// data. Both sides must show exactly one self-signed Ed25519 certificate, of which nothing but the
/// public key counts. Used by several threads at once once made.
class tls_identity {
public:
  /// `internal` when OpenSSL refuses a setting or the key.
  [[nodiscard]] static result<tls_identity> make(const secret_key& key);

  [[nodiscard]] SSL_CTX& context() const noexcept { return *context_; }
  [[nodiscard]] const node_id& node() const noexcept { return node_; }

private:
  struct context_free {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  };
  tls_identity() = default;

  std::unique_ptr<SSL_CTX, context_free> context_;
  node_id node_;
};

/// The public key of a certificate as described above, or why it is none.
[[nodiscard]] result<node_id> node_of_certificate(X509& certificate);

/// What OpenSSL says went wrong last on this thread; empties its queue.
[[nodiscard]] std::string openssl_problem();

} // namespace ovir::actors
