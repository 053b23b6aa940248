#include "tests/support/cluster/hostile_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace ovir::test {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t sent_kept_max = 1U << 20U;

[[noreturn]] void stop(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

struct key_free {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
struct certificate_free {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
struct context_free {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
struct ssl_free {
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};
using key_handle = std::unique_ptr<EVP_PKEY, key_free>;
using certificate_handle = std::unique_ptr<X509, certificate_free>;

std::array<std::byte, 32> seed_of(std::uint8_t key) {
  std::array<std::byte, 32> seed{};
  seed.fill(static_cast<std::byte>(key));
  return seed;
}

key_handle ed25519(std::uint8_t key) {
  const auto seed = seed_of(key);
  return key_handle{EVP_PKEY_new_raw_private_key(
      EVP_PKEY_ED25519, nullptr, reinterpret_cast<const unsigned char*>(seed.data()), seed.size())};
}

certificate_handle certificate_for(EVP_PKEY& subject, EVP_PKEY& signer) {
  certificate_handle certificate{X509_new()};
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 7);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3'600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3'600);
  X509_set_pubkey(certificate.get(), &subject);
  const bool edwards = EVP_PKEY_get_base_id(&signer) == EVP_PKEY_ED25519;
  X509_sign(certificate.get(), &signer, edwards ? nullptr : EVP_sha256());
  return certificate;
}

/// Our secret under the public key of another: OpenSSL takes it for that one's.
key_handle disguised(EVP_PKEY& looks_like, std::uint8_t key) {
  std::array<unsigned char, 32> looks{};
  std::size_t size = looks.size();
  EVP_PKEY_get_raw_public_key(&looks_like, looks.data(), &size);
  auto seed = seed_of(key);
  OSSL_PARAM parts[] = {
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, looks.data(), looks.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, seed.data(), seed.size()),
      OSSL_PARAM_construct_end()};
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "ED25519", nullptr);
  EVP_PKEY* made = nullptr;
  EVP_PKEY_fromdata_init(context);
  EVP_PKEY_fromdata(context, &made, EVP_PKEY_KEYPAIR, parts);
  EVP_PKEY_CTX_free(context);
  return key_handle{made};
}

/// Certificate and key as `tls` wants them.
void show_certificate(SSL& ssl, const hostile_tls& tls) {
  using shows = hostile_tls::shows;
  const key_handle own = ed25519(tls.key);
  const key_handle other = ed25519(static_cast<std::uint8_t>(tls.key + 1));
  switch (tls.certificate) {
  case shows::nothing: return;
  case shows::rsa: {
    const key_handle rsa{EVP_RSA_gen(2048)};
    SSL_use_certificate(&ssl, certificate_for(*rsa, *rsa).get());
    SSL_use_PrivateKey(&ssl, rsa.get());
    return;
  }
  case shows::own: SSL_use_certificate(&ssl, certificate_for(*own, *own).get()); break;
  case shows::foreign_signed: SSL_use_certificate(&ssl, certificate_for(*own, *other).get()); break;
  case shows::chain:
    SSL_use_certificate(&ssl, certificate_for(*own, *own).get());
    SSL_add1_chain_cert(&ssl, certificate_for(*other, *other).get());
    break;
  case shows::stolen: {
    const auto* der = reinterpret_cast<const unsigned char*>(tls.stolen.data());
    const certificate_handle stolen{d2i_X509(nullptr, &der, static_cast<long>(tls.stolen.size()))};
    SSL_use_certificate(&ssl, stolen.get());
    SSL_use_PrivateKey(&ssl, disguised(*X509_get0_pubkey(stolen.get()), tls.key).get());
    return;
  }
  }
  SSL_use_PrivateKey(&ssl, own.get());
}

void append(std::vector<std::byte>& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out.push_back(static_cast<std::byte>((value >> (8 * i)) & 0xffU));
  }
}

void append(std::vector<std::byte>& out, std::string_view text) {
  for (const char c : text) {
    out.push_back(static_cast<std::byte>(c));
  }
}

std::uint64_t number(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  }
  return value;
}

sockaddr_in parse(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  sockaddr_in end{};
  end.sin_family = AF_INET;
  end.sin_port = htons(static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1))));
  if (inet_pton(AF_INET, address.substr(0, colon).c_str(), &end.sin_addr) != 1) {
    throw std::runtime_error("not an IPv4 address: " + address);
  }
  return end;
}

} // namespace

struct hostile_peer::parts {
  int descriptor{-1};
  bool accepting{false};
  std::uint8_t key{0};
  std::vector<std::byte> sent;
  std::unique_ptr<SSL_CTX, context_free> context;
  std::unique_ptr<SSL, ssl_free> ssl;
  BIO* in{nullptr};
  BIO* out{nullptr};

  parts() = default;
  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;
  ~parts() { close_now(); }

  void close_now() {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    descriptor = -1;
  }

  [[nodiscard]] bool wait(short events, clock::time_point until) const {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
    pollfd one{descriptor, events, 0};
    return left > 0 && poll(&one, 1, static_cast<int>(left)) > 0;
  }

  bool write_all(std::span<const std::byte> bytes) {
    const auto until = clock::now() + default_deadline;
    while (!bytes.empty()) {
      const auto n = ::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (!wait(POLLOUT, until)) {
          return false;
        }
        continue;
      }
      if (n < 0) {
        return false;
      }
      if (sent.size() < sent_kept_max) {
        sent.insert(sent.end(), bytes.begin(), bytes.begin() + n);
      }
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }

  /// What OpenSSL wants to say.
  bool flush() {
    std::array<std::byte, 16'384> piece{};
    int n = 0;
    while ((n = BIO_read(out, piece.data(), static_cast<int>(piece.size()))) > 0) {
      if (!write_all(std::span{piece}.first(static_cast<std::size_t>(n)))) {
        return false;
      }
    }
    return true;
  }

  /// One read from the socket. False: ended, or the time passed.
  bool feed(clock::time_point until) {
    std::array<std::byte, 16'384> piece{};
    if (!wait(POLLIN, until)) {
      return false;
    }
    const auto n = ::recv(descriptor, piece.data(), piece.size(), 0);
    if (n <= 0) {
      return false;
    }
    BIO_write(in, piece.data(), static_cast<int>(n));
    return true;
  }
};

hostile_peer::hostile_peer(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
hostile_peer::hostile_peer(hostile_peer&&) noexcept = default;
hostile_peer& hostile_peer::operator=(hostile_peer&&) noexcept = default;
hostile_peer::~hostile_peer() = default;

hostile_peer::hostile_peer() : parts_(std::make_unique<parts>()) {
  parts_->descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (parts_->descriptor < 0) {
    stop("no socket");
  }
}

hostile_peer::hostile_peer(const std::string& address) : hostile_peer() { connect(address); }

// TCP

void hostile_peer::connect(const std::string& address) {
  const sockaddr_in end = parse(address);
  const int on = 1;
  setsockopt(parts_->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(parts_->descriptor, reinterpret_cast<const sockaddr*>(&end), sizeof end) != 0) {
    stop("cannot connect to " + address);
  }
}

bool hostile_peer::send_raw(std::span<const std::byte> bytes) { return parts_->write_all(bytes); }

std::size_t hostile_peer::send_raw_until_stuck(std::span<const std::byte> piece) {
  std::size_t taken = 0;
  while (true) {
    const auto n =
        ::send(parts_->descriptor, piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      taken += static_cast<std::size_t>(n);
    } else if (!parts_->wait(POLLOUT, clock::now() + std::chrono::milliseconds{300})) {
      return taken;
    } else if (errno != EAGAIN && errno != EINTR) {
      return taken;
    }
  }
}

bool hostile_peer::waits_for_close(std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  std::array<std::byte, 16'384> piece{};
  while (parts_->wait(POLLIN, until)) {
    if (::recv(parts_->descriptor, piece.data(), piece.size(), 0) <= 0) {
      return true;
    }
  }
  return false;
}

void hostile_peer::reset() {
  const linger now{1, 0};
  setsockopt(parts_->descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  parts_->close_now();
}

const std::vector<std::byte>& hostile_peer::sent() const { return parts_->sent; }

// TLS

bool hostile_peer::handshake(const hostile_tls& tls) {
  ERR_clear_error();
  parts_->key = tls.key;
  parts_->context.reset(SSL_CTX_new(TLS_method()));
  SSL_CTX* context = parts_->context.get();
  SSL_CTX_set_security_level(context, 0);
  const int version = tls.old_version ? TLS1_2_VERSION : TLS1_3_VERSION;
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
  parts_->ssl.reset(SSL_new(context));
  SSL* ssl = parts_->ssl.get();
  parts_->in = BIO_new(BIO_s_mem());
  parts_->out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, parts_->in, parts_->out);
  show_certificate(*ssl, tls);
  if (parts_->accepting) {
    SSL_set_accept_state(ssl);
  } else {
    SSL_set_connect_state(ssl);
  }
  const auto until = clock::now() + default_deadline;
  while (true) {
    const int done = SSL_do_handshake(ssl);
    const int problem = done == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, done);
    const bool flushed = parts_->flush();
    if (done == 1) {
      return flushed;
    }
    if (problem != SSL_ERROR_WANT_READ || !flushed || !parts_->feed(until)) {
      return false;
    }
  }
}

node_id hostile_peer::other() const {
  node_id node;
  std::size_t size = node.key.size();
  X509* certificate = SSL_get0_peer_certificate(parts_->ssl.get());
  if (certificate == nullptr ||
      EVP_PKEY_get_raw_public_key(X509_get0_pubkey(certificate), node.key.data(), &size) != 1) {
    throw std::runtime_error("the node shows no Ed25519 certificate");
  }
  return node;
}

std::vector<std::byte> hostile_peer::certificate_of_other() const {
  X509* certificate = SSL_get0_peer_certificate(parts_->ssl.get());
  unsigned char* der = nullptr;
  const int size = certificate == nullptr ? 0 : i2d_X509(certificate, &der);
  std::vector<std::byte> bytes(size > 0 ? static_cast<std::size_t>(size) : 0);
  std::memcpy(bytes.data(), der, bytes.size());
  OPENSSL_free(der);
  return bytes;
}

bool hostile_peer::send(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), 16'384));
    if (SSL_write(parts_->ssl.get(), piece.data(), static_cast<int>(piece.size())) <= 0 ||
        !parts_->flush()) {
      return false;
    }
    bytes = bytes.subspan(piece.size());
  }
  return true;
}

std::vector<std::byte> hostile_peer::sealed(std::span<const std::byte> bytes) {
  std::vector<std::byte> records;
  if (SSL_write(parts_->ssl.get(), bytes.data(), static_cast<int>(bytes.size())) > 0) {
    records.resize(BIO_ctrl_pending(parts_->out));
    BIO_read(parts_->out, records.data(), static_cast<int>(records.size()));
  }
  return records;
}

std::vector<std::byte> hostile_peer::receive(std::size_t bytes,
                                             std::chrono::milliseconds deadline) {
  const auto until = clock::now() + deadline;
  std::vector<std::byte> got(bytes);
  std::size_t filled = 0;
  while (filled < bytes) {
    const int n =
        SSL_read(parts_->ssl.get(), got.data() + filled, static_cast<int>(bytes - filled));
    if (n > 0) {
      filled += static_cast<std::size_t>(n);
    } else if (SSL_get_error(parts_->ssl.get(), n) != SSL_ERROR_WANT_READ || !parts_->feed(until)) {
      return {};
    }
  }
  return got;
}

// Links

signature hostile_peer::bind(std::span<const std::byte> token) const {
  constexpr std::string_view label = "EXPORTER-ovir-link";
  std::vector<std::byte> bytes(32);
  if (SSL_export_keying_material(parts_->ssl.get(), reinterpret_cast<unsigned char*>(bytes.data()),
                                 bytes.size(), label.data(), label.size(), nullptr, 0, 0) != 1) {
    throw std::runtime_error("no exporter");
  }
  bytes.insert(bytes.end(), token.begin(), token.end());
  return secret_key::from_seed(seed_of(parts_->key)).sign("ovir/link-binding/v1", bytes);
}

std::vector<std::byte> hostile_peer::hello_bytes(const hostile_hello& hello) const {
  std::vector<std::byte> body;
  append(body, hello.channel, 2);
  append(body, hello.roles, 2);
  append(body, hello.life, 8);
  append(body, hello.last_loss, 8);
  append(body, hello.cluster.size(), 1);
  append(body, hello.cluster);
  append(body, hello.address.size(), 2);
  append(body, hello.address);
  append(body, hello.token.size(), 2);
  body.insert(body.end(), hello.token.begin(), hello.token.end());
  if (!hello.token.empty()) {
    const signature proof = hello.binding ? *hello.binding : bind(hello.token);
    const auto raw = std::as_bytes(std::span{proof.bytes});
    body.insert(body.end(), raw.begin(), raw.end());
  }
  std::vector<std::byte> bytes;
  append(bytes, "OVLH");
  append(bytes, hello.version, 2);
  append(bytes, body.size(), 2);
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

std::optional<std::string> hostile_peer::introduce(const hostile_hello& hello) {
  if (!send(hello_bytes(hello))) {
    return std::nullopt;
  }
  const std::vector<std::byte> verdict = receive(12);
  if (verdict.empty()) {
    return std::nullopt;
  }
  if (verdict[6] != std::byte{0}) {
    const std::vector<std::byte> text = receive(number(std::span{verdict}.subspan(8, 4)));
    return std::string{reinterpret_cast<const char*>(text.data()), text.size()};
  }
  const std::vector<std::byte> front = receive(8);
  if (front.empty() || receive(number(std::span{front}.subspan(6, 2))).empty()) {
    return std::nullopt;
  }
  std::vector<std::byte> agreed;
  append(agreed, "OVLV");
  append(agreed, hello.version, 2);
  append(agreed, 0, 6);
  if (!send(agreed)) {
    return std::nullopt;
  }
  return std::string{};
}

std::vector<std::byte> hostile_peer::message_bytes(std::uint16_t kind, std::uint32_t length,
                                                   std::span<const std::byte> payload,
                                                   std::uint32_t target) {
  std::vector<std::byte> bytes;
  append(bytes, length, 4);
  append(bytes, kind, 4);
  append(bytes, target, 8);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

bool hostile_peer::message(std::uint16_t kind, std::uint32_t length,
                           std::span<const std::byte> payload, std::uint32_t target) {
  return send(message_bytes(kind, length, payload, target));
}

// Listener

hostile_listener::hostile_listener() {
  descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in end = parse("127.0.0.1:0");
  if (descriptor_ < 0 ||
      ::bind(descriptor_, reinterpret_cast<const sockaddr*>(&end), sizeof end) != 0 ||
      ::listen(descriptor_, 16) != 0) {
    stop("cannot listen");
  }
}

hostile_listener::~hostile_listener() { ::close(descriptor_); }

std::string hostile_listener::address() const {
  sockaddr_in end{};
  socklen_t size = sizeof end;
  if (getsockname(descriptor_, reinterpret_cast<sockaddr*>(&end), &size) != 0) {
    stop("no address");
  }
  return "127.0.0.1:" + std::to_string(ntohs(end.sin_port));
}

hostile_peer hostile_listener::accept() {
  auto parts = std::make_unique<hostile_peer::parts>();
  parts->accepting = true;
  parts->descriptor = descriptor_;
  const bool came = parts->wait(POLLIN, clock::now() + hostile_peer::default_deadline);
  parts->descriptor = came ? ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC) : -1;
  if (parts->descriptor < 0) {
    stop("nobody connected");
  }
  return hostile_peer{std::move(parts)};
}

} // namespace ovir::test
