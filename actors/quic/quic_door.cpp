#include "actors/quic/quic_door.hpp"

#include "messages/limits/quic.hpp"

#include <algorithm>
#include <array>

namespace ovir::actors {

namespace {

/// A datagram shorter than this gets no reset: two nodes that know each other no more would go on
/// for ever (RFC 9000, 10.3.3).
constexpr std::size_t reset_bytes_min = 43;
constexpr std::byte long_form{0x80};

ngtcp2_tstamp door_stamp(quic_time t) { return static_cast<ngtcp2_tstamp>(t.count()); }

const std::uint8_t* octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

std::vector<std::byte> bytes_written(std::span<const std::uint8_t> buffer, ngtcp2_ssize count) {
  if (count <= 0) {
    return {};
  }
  const auto bytes = std::as_bytes(buffer.first(static_cast<std::size_t>(count)));
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::optional<quic_id> quic_door::name_in(std::span<const std::byte> datagram) {
  if (datagram.empty()) {
    return std::nullopt; // ngtcp2 takes that for a mistake of its caller
  }
  ngtcp2_version_cid head{};
  const int problem =
      ngtcp2_pkt_decode_version_cid(&head, octets(datagram), datagram.size(), quic_id_bytes);
  if (problem != 0 || head.dcidlen != quic_id_bytes) {
    return std::nullopt;
  }
  quic_id id{};
  std::copy_n(head.dcid, quic_id_bytes, id.begin());
  return id;
}

bool quic_door::may_be_reset(std::span<const std::byte> datagram) {
  return datagram.size() >= NGTCP2_STATELESS_RESET_TOKENLEN + NGTCP2_MIN_STATELESS_RESET_RANDLEN &&
         (datagram[0] & long_form) == std::byte{0};
}

bool quic_door::may_answer(quic_time now) {
  const quic_time most = limits::quic_answer_interval * limits::quic_answers_burst;
  const quic_time full = std::max(full_again_.value_or(now), now) + limits::quic_answer_interval;
  if (full - now > most) {
    return false;
  }
  full_again_ = full;
  return true;
}

quic_door::verdict quic_door::judge(const udp_address& from, std::span<const std::byte> datagram,
                                    quic_time now) {
  ngtcp2_version_cid head{};
  const int problem =
      datagram.empty()
          ? NGTCP2_ERR_INVALID_ARGUMENT
          : ngtcp2_pkt_decode_version_cid(&head, octets(datagram), datagram.size(), quic_id_bytes);
  if (problem == NGTCP2_ERR_VERSION_NEGOTIATION) {
    if (datagram.size() < NGTCP2_MAX_UDP_PAYLOAD_SIZE || !may_answer(now)) {
      return {};
    }
    std::array<std::uint8_t, NGTCP2_MAX_UDP_PAYLOAD_SIZE> out{};
    const std::array<std::uint32_t, 1> ours{NGTCP2_PROTO_VER_V1};
    std::uint8_t drawn = 0;
    chance_(std::as_writable_bytes(std::span{&drawn, 1}));
    return {bytes_written(out, ngtcp2_pkt_write_version_negotiation(
                                   out.data(), out.size(), drawn, head.scid, head.scidlen,
                                   head.dcid, head.dcidlen, ours.data(), ours.size()))};
  }
  if (problem != 0) {
    return {};
  }
  if ((datagram[0] & long_form) == std::byte{0}) {
    return may_answer(now) ? verdict{reset(datagram)} : verdict{};
  }
  return meet(from, datagram, now);
}

quic_door::verdict quic_door::meet(const udp_address& from, std::span<const std::byte> datagram,
                                   quic_time now) {
  ngtcp2_pkt_hd head{};
  const int taken = ngtcp2_accept(&head, octets(datagram), datagram.size());
  if ((taken != 0 && taken != NGTCP2_ERR_RETRY) || head.type != NGTCP2_PKT_INITIAL ||
      head.version != NGTCP2_PROTO_VER_V1) {
    return {};
  }
  if (head.token.len == 0) {
    return may_answer(now) ? verdict{retry(from, head, now)} : verdict{};
  }
  sockaddr_storage address{};
  const socklen_t size = to_system(from, address);
  const auto secret = identity_.secret();
  quic_opening opening;
  const quic_time lifetime = limits::quic_retry_token_lifetime;
  const int valid = ngtcp2_crypto_verify_retry_token(
      &opening.original, head.token.base, head.token.len, secret.data(), secret.size(),
      head.version, reinterpret_cast<const sockaddr*>(&address), size, &head.dcid,
      door_stamp(lifetime), door_stamp(now));
  if (valid != 0 || head.dcid.datalen != quic_id_bytes) {
    if (!may_answer(now)) {
      return {};
    }
    std::array<std::uint8_t, NGTCP2_MAX_UDP_PAYLOAD_SIZE> out{};
    return {bytes_written(
        out, ngtcp2_crypto_write_connection_close(out.data(), out.size(), head.version, &head.scid,
                                                  &head.dcid, NGTCP2_INVALID_TOKEN, nullptr, 0))};
  }
  opening.retried = head.dcid;
  opening.client = head.scid;
  opening.version = head.version;
  opening.token.assign(head.token.base, head.token.base + head.token.len);
  return {{}, std::move(opening)};
}

std::vector<std::byte> quic_door::retry(const udp_address& from, const ngtcp2_pkt_hd& head,
                                        quic_time now) {
  quic_id drawn{};
  chance_(std::as_writable_bytes(std::span{drawn}));
  ngtcp2_cid next{};
  ngtcp2_cid_init(&next, drawn.data(), drawn.size());
  sockaddr_storage address{};
  const socklen_t size = to_system(from, address);
  const auto secret = identity_.secret();
  std::array<std::uint8_t, NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN> token{};
  const ngtcp2_ssize bytes = ngtcp2_crypto_generate_retry_token(
      token.data(), secret.data(), secret.size(), head.version,
      reinterpret_cast<const sockaddr*>(&address), size, &next, &head.dcid, door_stamp(now));
  if (bytes <= 0) {
    return {};
  }
  std::array<std::uint8_t, NGTCP2_MAX_UDP_PAYLOAD_SIZE> out{};
  return bytes_written(out, ngtcp2_crypto_write_retry(out.data(), out.size(), head.version,
                                                      &head.scid, &next, &head.dcid, token.data(),
                                                      static_cast<std::size_t>(bytes)));
}

std::vector<std::byte> quic_door::reset(std::span<const std::byte> datagram) {
  const auto name = name_in(datagram);
  if (!name || datagram.size() <= reset_bytes_min) {
    return {};
  }
  ngtcp2_cid cid{};
  ngtcp2_cid_init(&cid, name->data(), name->size());
  std::array<std::uint8_t, NGTCP2_STATELESS_RESET_TOKENLEN> token{};
  const auto secret = identity_.secret();
  if (ngtcp2_crypto_generate_stateless_reset_token(token.data(), secret.data(), secret.size(),
                                                   &cid) != 0) {
    return {};
  }
  std::array<std::uint8_t, reset_bytes_min - NGTCP2_STATELESS_RESET_TOKENLEN> noise{};
  chance_(std::as_writable_bytes(std::span{noise}));
  std::array<std::uint8_t, reset_bytes_min> out{};
  return bytes_written(out, ngtcp2_pkt_write_stateless_reset(out.data(), out.size(), token.data(),
                                                             noise.data(), noise.size()));
}

} // namespace ovir::actors
