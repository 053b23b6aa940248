#include "actors/link/tls_engine.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>

namespace ovir::actors {

namespace {

/// One record with its overhead, and a little: what a connection holds until it is admitted.
constexpr std::size_t input_bytes_min = 17U << 10U;

constexpr std::string_view exporter_label = "EXPORTER-ovir-link";

struct method_free {
  void operator()(BIO_METHOD* method) const noexcept { BIO_meth_free(method); }
};

} // namespace

int tls_engine::read_channel(BIO* bio, char* out, int size) {
  auto& channel = *static_cast<byte_channel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const std::size_t present = channel.last - channel.first;
  if (present == 0 || size <= 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t taken = std::min(present, static_cast<std::size_t>(size));
  std::memcpy(out, channel.input.data() + channel.first, taken);
  channel.first += taken;
  if (channel.first == channel.last) {
    channel.first = 0;
    channel.last = 0;
  }
  return static_cast<int>(taken);
}

int tls_engine::write_channel(BIO* bio, const char* bytes, int size) {
  auto& channel = *static_cast<byte_channel*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto* begin = reinterpret_cast<const std::byte*>(bytes);
  channel.output.insert(channel.output.end(), begin, begin + std::max(size, 0));
  return size;
}

long tls_engine::control_channel(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* tls_engine::methods() {
  static const std::unique_ptr<BIO_METHOD, method_free> method = [] {
    std::unique_ptr<BIO_METHOD, method_free> made{
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ovir link")};
    if (made) {
      BIO_meth_set_read(made.get(), read_channel);
      BIO_meth_set_write(made.get(), write_channel);
      BIO_meth_set_ctrl(made.get(), control_channel);
    }
    return made;
  }();
  return method.get();
}

result<std::unique_ptr<tls_engine>> tls_engine::make(const tls_identity& identity, side role) {
  ERR_clear_error();
  std::unique_ptr<tls_engine> engine{new tls_engine};
  engine->channel_.input.resize(input_bytes_min);
  engine->ssl_.reset(SSL_new(&identity.context()));
  BIO* bio = methods() == nullptr ? nullptr : BIO_new(methods());
  if (!engine->ssl_ || bio == nullptr) {
    BIO_free(bio);
    return fail(errc::internal, "TLS cannot begin a connection: {}", openssl_problem());
  }
  BIO_set_data(bio, &engine->channel_);
  BIO_set_init(bio, 1);
  SSL_set_bio(engine->ssl_.get(), bio, bio);
  if (role == side::accepting) {
    SSL_set_accept_state(engine->ssl_.get());
  } else {
    SSL_set_connect_state(engine->ssl_.get());
  }
  return engine;
}

std::span<std::byte> tls_engine::input_space() {
  return std::span{channel_.input}.subspan(channel_.last);
}

void tls_engine::received(std::size_t bytes) {
  channel_.last += bytes;
  OVIR_CHECK(channel_.last <= channel_.input.size(), channel_.last);
}

void tls_engine::reserve_input(std::size_t bytes) {
  if (bytes > channel_.input.size()) {
    channel_.input.resize(bytes);
  }
}

tls_engine::status tls_engine::judge(int returned) {
  switch (SSL_get_error(ssl_.get(), returned)) {
  case SSL_ERROR_WANT_READ: return status::want_input;
  case SSL_ERROR_ZERO_RETURN: return status::closed;
  default: problem_ = openssl_problem(); return status::failed;
  }
}

tls_engine::status tls_engine::handshake() {
  ERR_clear_error();
  const int returned = SSL_do_handshake(ssl_.get());
  return returned == 1 ? status::done : judge(returned);
}

tls_engine::status tls_engine::read(std::span<std::byte> out, std::size_t& bytes) {
  ERR_clear_error();
  bytes = 0;
  const int returned = SSL_read_ex(ssl_.get(), out.data(), out.size(), &bytes);
  return returned == 1 ? status::done : judge(returned);
}

tls_engine::status tls_engine::write(std::span<const std::byte> bytes) {
  ERR_clear_error();
  std::size_t written = 0;
  const int returned = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
  if (returned == 1 && written == bytes.size()) {
    return status::done;
  }
  problem_ = openssl_problem();
  return status::failed;
}

void tls_engine::close() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_.get()) == 1) {
    (void)SSL_shutdown(ssl_.get());
  }
  ERR_clear_error();
}

result<node_id> tls_engine::peer() const {
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) {
    return fail(errc::malformed, "the peer showed no certificate");
  }
  return node_of_certificate(*certificate);
}

result<std::array<std::byte, exporter_bytes>> tls_engine::exporter() const {
  std::array<std::byte, exporter_bytes> secret{};
  ERR_clear_error();
  if (SSL_export_keying_material(ssl_.get(), reinterpret_cast<unsigned char*>(secret.data()),
                                 secret.size(), exporter_label.data(), exporter_label.size(),
                                 nullptr, 0, 0) != 1) {
    return fail(errc::internal, "TLS exports no secret of a connection: {}", openssl_problem());
  }
  return secret;
}

} // namespace ovir::actors
