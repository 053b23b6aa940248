#include "actors/link/tls_identity.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <array>

namespace ovir::actors {

namespace {

struct key_free {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
struct certificate_free {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using key_handle = std::unique_ptr<EVP_PKEY, key_free>;
using certificate_handle = std::unique_ptr<X509, certificate_free>;

/// Most bytes of a peer's certificate message; ours has about 300.
constexpr long certificate_bytes_max = 4'096;

constexpr const char* cipher_suites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/// A certificate is only the envelope the protocol wants around a key: names and dates say nothing.
certificate_handle make_certificate(EVP_PKEY& key) {
  certificate_handle certificate{X509_new()};
  if (!certificate) {
    return nullptr;
  }
  X509_NAME* name = X509_get_subject_name(certificate.get());
  const std::array<unsigned char, 4> text{'o', 'v', 'i', 'r'};
  const bool made =
      X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1) == 1 &&
      ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "20000101000000Z") == 1 &&
      ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "99991231235959Z") == 1 &&
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text.data(),
                                 static_cast<int>(text.size()), -1, 0) == 1 &&
      X509_set_issuer_name(certificate.get(), name) == 1 &&
      X509_set_pubkey(certificate.get(), &key) == 1 &&
      X509_sign(certificate.get(), &key, nullptr) > 0;
  return made ? std::move(certificate) : nullptr;
}

/// Takes the place of OpenSSL's search for authorities: there are none.
int verify_peer(X509_STORE_CTX* store, void* /*unused*/) {
  X509* certificate = X509_STORE_CTX_get0_cert(store);
  const STACK_OF(X509)* shown = X509_STORE_CTX_get0_untrusted(store);
  const bool alone = shown == nullptr || sk_X509_num(shown) == 1;
  if (certificate == nullptr || !alone || !node_of_certificate(*certificate)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
  }
  X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

bool configure(SSL_CTX& context) {
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(&context, verify_peer, nullptr);
  SSL_CTX_set_max_cert_list(&context, certificate_bytes_max);
  return SSL_CTX_set_min_proto_version(&context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(&context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_ciphersuites(&context, cipher_suites) == 1 &&
         SSL_CTX_set1_groups_list(&context, "X25519") == 1 &&
         SSL_CTX_set1_sigalgs_list(&context, "ed25519") == 1 &&
         SSL_CTX_set1_client_sigalgs_list(&context, "ed25519") == 1 &&
         SSL_CTX_set_num_tickets(&context, 0) == 1 && SSL_CTX_set_max_early_data(&context, 0) == 1;
}

} // namespace

std::string openssl_problem() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) {
    return "no reason given";
  }
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? fmt::format("OpenSSL error {:x}", code) : std::string{reason};
}

result<node_id> node_of_certificate(X509& certificate) {
  EVP_PKEY* key = X509_get0_pubkey(&certificate);
  node_id node;
  std::size_t size = node.key.size();
  const bool readable = key != nullptr && EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 &&
                        EVP_PKEY_get_raw_public_key(key, node.key.data(), &size) == 1 &&
                        size == node.key.size();
  const bool signed_itself = readable && X509_verify(&certificate, key) == 1;
  ERR_clear_error();
  if (!readable || node.empty()) {
    return fail(errc::malformed, "the peer's certificate has no Ed25519 key");
  }
  if (!signed_itself) {
    return fail(errc::malformed, "the peer's certificate is not signed by its own key");
  }
  return node;
}

result<tls_identity> tls_identity::make(const secret_key& key) {
  ERR_clear_error();
  const auto seed = key.seed();
  const key_handle pair{
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size())};
  const certificate_handle certificate = pair ? make_certificate(*pair) : nullptr;
  tls_identity identity;
  identity.node_ = key.id();
  identity.context_.reset(SSL_CTX_new(TLS_method()));
  if (!certificate || !identity.context_ || !configure(*identity.context_) ||
      SSL_CTX_use_certificate(identity.context_.get(), certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(identity.context_.get(), pair.get()) != 1) {
    return fail(errc::internal, "TLS cannot be set up with this node's key: {}", openssl_problem());
  }
  return identity;
}

} // namespace ovir::actors
