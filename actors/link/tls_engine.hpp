#pragma once

#include "actors/link/link_format.hpp"
#include "actors/link/tls_identity.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// One TLS connection as a function of bytes: ciphertext in, plaintext out, and back. No socket, no
/// thread; one caller at a time.
class tls_engine {
public:
  enum class side : std::uint8_t { connecting, accepting };
  enum class status : std::uint8_t {
    done,
    want_input, ///< everything that came is used up
    closed,     ///< the peer said goodbye, as TLS has it
    failed,     ///< `problem` says why; what waits in the output may still be sent
  };

  /// `internal` when OpenSSL has no memory.
  [[nodiscard]] static result<std::unique_ptr<tls_engine>> make(const tls_identity& identity,
                                                                side role);
  tls_engine(const tls_engine&) = delete;
  tls_engine& operator=(const tls_engine&) = delete;
  ~tls_engine() = default;

  /// Room for ciphertext from the peer, never empty once `want_input` was returned.
  [[nodiscard]] std::span<std::byte> input_space();
  void received(std::size_t bytes);
  /// How much is read from the socket at once. At least one TLS record.
  void reserve_input(std::size_t bytes);

  /// Ciphertext for the peer. The caller swaps it away and sends it.
  [[nodiscard]] std::vector<std::byte>& output() noexcept { return channel_.output; }

  [[nodiscard]] status handshake();
  /// After the handshake. Fills as much of `out` as one record holds.
  [[nodiscard]] status read(std::span<std::byte> out, std::size_t& bytes);
  /// After the handshake. Takes all of `bytes`; `done` or `failed`.
  [[nodiscard]] status write(std::span<const std::byte> bytes);
  /// Says goodbye in the output.
  void close();

  [[nodiscard]] const std::string& problem() const noexcept { return problem_; }
  /// After the handshake: whose key the peer proved to have.
  [[nodiscard]] result<node_id> peer() const;
  /// After the handshake: a secret of this connection that both sides can compute.
  [[nodiscard]] result<std::array<std::byte, exporter_bytes>> exporter() const;

private:
  struct ssl_free {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };
  /// The bytes between OpenSSL and the socket. OpenSSL keeps a pointer to it.
  struct byte_channel {
    std::vector<std::byte> input;
    std::size_t first{0}; ///< of input: not yet read by OpenSSL
    std::size_t last{0};
    std::vector<std::byte> output;
  };

  tls_engine() = default;
  static const BIO_METHOD* methods();
  static int read_channel(BIO* bio, char* out, int size);
  static int write_channel(BIO* bio, const char* bytes, int size);
  static long control_channel(BIO* bio, int command, long number, void* pointer);
  status judge(int returned);

  byte_channel channel_;
  std::unique_ptr<SSL, ssl_free> ssl_;
  std::string problem_;
};

} // namespace ovir::actors
