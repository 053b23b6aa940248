#pragma once

#include "actors/quic/quic_session.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ovir::actors {

/// What is done with datagrams of no connection. Holds nothing for an address before that has shown
/// a token which was sent there: a datagram with a forged address costs one answer, never larger
/// than what came, and those have a rate. Pure.
class quic_door {
public:
  /// Both outlive it.
  quic_door(const quic_identity& identity, const quic_chance& chance)
      : identity_(identity), chance_(chance) {}

  struct verdict {
    std::vector<std::byte> answer;         ///< to where the datagram came from; may be empty
    std::optional<quic_opening> opening{}; ///< a connection may begin
  };
  [[nodiscard]] verdict judge(const udp_address& from, std::span<const std::byte> datagram,
                              quic_time now);

  /// Whether it has the form of a stateless reset (RFC 9000, 10.3): only who knows the token can
  /// say.
  [[nodiscard]] static bool may_be_reset(std::span<const std::byte> datagram);
  /// Whose connection a datagram claims to be of; nothing for one that is no QUIC, or names another
  /// kind of id than ours.
  [[nodiscard]] static std::optional<quic_id> name_in(std::span<const std::byte> datagram);

private:
  [[nodiscard]] bool may_answer(quic_time now);
  [[nodiscard]] std::vector<std::byte> retry(const udp_address& from, const ngtcp2_pkt_hd& head,
                                             quic_time now);
  [[nodiscard]] std::vector<std::byte> reset(std::span<const std::byte> datagram);
  [[nodiscard]] verdict meet(const udp_address& from, std::span<const std::byte> datagram,
                             quic_time now);

  const quic_identity& identity_;
  const quic_chance& chance_;
  std::optional<quic_time> full_again_; ///< when no answer is spent
};

} // namespace ovir::actors
