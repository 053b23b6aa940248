#pragma once

#include "messages/signing.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::test {

/// How a hostile peer introduces itself to TLS.
struct hostile_tls {
  enum class shows : std::uint8_t {
    own,            ///< what an honest node shows
    nothing,        ///< no certificate
    rsa,            ///< a self-signed RSA certificate
    foreign_signed, ///< an Ed25519 certificate that another key signed
    chain,          ///< two certificates
    stolen,         ///< a certificate of somebody else, whose secret we do not have
  };
  std::uint8_t key{1}; ///< every byte of the node key's seed
  shows certificate{shows::own};
  std::vector<std::byte> stolen{}; ///< DER
  bool old_version{false};         ///< TLS 1.2
};

/// What an honest hello says. The defaults are a member's of the cluster "test".
struct hostile_hello {
  std::uint16_t version{1};
  std::uint16_t channel{1}; ///< 1 control, 2 data, 3 admin
  std::uint16_t roles{1};
  std::uint64_t life{1};
  std::uint64_t last_loss{0};
  std::string cluster{"test"};
  std::string address;
  std::vector<std::byte> token;
  std::optional<signature> binding; ///< absent with a token: the right one
};

/// A peer that does what it likes with a node's port, byte by byte: no code in common with the
/// node's own, so that it also checks docs/formats/link.md. Blocking, with a deadline for every
/// wait; throws std::runtime_error where the test cannot go on. One thread.
class hostile_peer {
public:
  /// Connects to HOST:PORT.
  explicit hostile_peer(const std::string& address);
  /// Has a socket that is not connected yet.
  hostile_peer();
  hostile_peer(hostile_peer&&) noexcept;
  hostile_peer& operator=(hostile_peer&&) noexcept;
  ~hostile_peer();

  // TCP
  void connect(const std::string& address);
  /// False when the peer took it back (closed, reset).
  bool send_raw(std::span<const std::byte> bytes);
  /// Fills the peer's buffers until it takes no more for a moment; returns how much it took.
  std::size_t send_raw_until_stuck(std::span<const std::byte> piece);
  /// Waits until the other side closes or resets, throwing away what comes; false: the time
  /// passed.
  [[nodiscard]] bool waits_for_close(std::chrono::milliseconds deadline = default_deadline);
  /// Drops the connection now: a reset.
  void reset();
  /// What was sent so far, as it was on the wire: its first mebibyte.
  [[nodiscard]] const std::vector<std::byte>& sent() const;

  // TLS
  /// False when the handshake failed on our side. TLS 1.3 has the other side judge our certificate
  /// afterwards: it then closes.
  [[nodiscard]] bool handshake(const hostile_tls& tls);
  /// Whose key the other side has.
  [[nodiscard]] node_id other() const;
  /// Its certificate, DER.
  [[nodiscard]] std::vector<std::byte> certificate_of_other() const;
  /// False when the connection is gone.
  bool send(std::span<const std::byte> bytes);
  /// The records that `send` would write, kept back: the next ones follow on them.
  [[nodiscard]] std::vector<std::byte> sealed(std::span<const std::byte> bytes);
  /// Exactly so many bytes, or empty when the connection ended or the time passed.
  [[nodiscard]] std::vector<std::byte>
  receive(std::size_t bytes, std::chrono::milliseconds deadline = default_deadline);

  // Links
  /// The bytes of a hello.
  [[nodiscard]] std::vector<std::byte> hello_bytes(const hostile_hello& hello) const;
  /// Sends a hello and reads the verdict: empty text when admitted (the node's hello is then read
  /// and our own agreement sent), the node's reason when refused; nothing when it just closed.
  [[nodiscard]] std::optional<std::string> introduce(const hostile_hello& hello);
  /// The header of a message, and its payload as far as it is given.
  [[nodiscard]] static std::vector<std::byte> message_bytes(std::uint16_t kind,
                                                            std::uint32_t length,
                                                            std::span<const std::byte> payload,
                                                            std::uint32_t target = 0);
  bool message(std::uint16_t kind, std::uint32_t length, std::span<const std::byte> payload,
               std::uint32_t target = 0);
  /// What the exporter says of this connection followed by `token`, signed by our key.
  [[nodiscard]] signature bind(std::span<const std::byte> token) const;

  static constexpr std::chrono::milliseconds default_deadline{20'000};

private:
  friend class hostile_listener;
  struct parts;
  explicit hostile_peer(std::unique_ptr<parts> p);
  std::unique_ptr<parts> parts_;
};

/// A port that nodes are made to connect to.
class hostile_listener {
public:
  hostile_listener();
  hostile_listener(const hostile_listener&) = delete;
  hostile_listener& operator=(const hostile_listener&) = delete;
  ~hostile_listener();

  [[nodiscard]] std::string address() const;
  /// Waits for the next connection. Its handshake is the accepting one.
  [[nodiscard]] hostile_peer accept();

private:
  int descriptor_{-1};
};

} // namespace ovir::test
