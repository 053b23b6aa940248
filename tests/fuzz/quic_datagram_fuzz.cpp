#include "actors/quic/quic_door.hpp"
#include "actors/quic/quic_endpoint.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

// Any bytes as datagrams to a node that speaks QUIC: of an address that it does not know, and of a
// peer whose handshake is under way. Each piece of the input is a length of two bytes and a
// datagram. Whatever comes, nothing is kept for an address without a token, and no answer to it is
// larger than what came.

namespace {

using namespace ovir;
using namespace ovir::actors;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

class deaf final : public network_handler {
public:
  result<role_set> admit(const peer_hello& hello) override { return hello.roles; }
  void connected(const peer_info& /*peer*/) override {}
  void received(const peer_info& /*peer*/, message_kind /*kind*/, std::uint32_t /*target*/,
                received_bytes /*bytes*/) override {}
  void closed(const peer_info& /*peer*/, const error& /*reason*/) override {}
};

secret_key fuzzed_key(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

struct fuzzed_node {
  explicit fuzzed_node(std::uint8_t seed)
      : key(fuzzed_key(seed)), identity(quic_identity::make(key).value()) {
    quic_link_parts parts{key, handler, lanes, {}, {}, [](connection_id) {}};
    parts.self.cluster = "fuzz";
    endpoint = std::make_unique<quic_endpoint>(
        identity, std::move(parts),
        [this](std::span<std::byte> out) {
          for (std::byte& b : out) {
            b = static_cast<std::byte>(++drawn * 37);
          }
        },
        [this] { return connection_id{++ids}; }, connection_slots::pool_sizes{16, 16, 16});
  }
  secret_key key;
  deaf handler;
  quic_identity identity;
  quic_lanes lanes;
  std::uint64_t drawn{0};
  std::uint64_t ids{0};
  std::unique_ptr<quic_endpoint> endpoint;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzzed_node near{1};
  fuzzed_node far{2};
  udp_address stranger;
  stranger.bytes = {10, 0, 0, 9};
  udp_address friendly;
  friendly.bytes = {10, 0, 0, 2};
  quic_time now{std::chrono::seconds{1}};
  peer_info what;
  what.connection = connection_id{1'000};
  far.endpoint->connect(what, friendly, now);
  std::array<std::byte, 2'048> out{};
  std::span<const std::byte> rest = std::as_bytes(std::span{data, size});
  while (rest.size() > 2) {
    const std::size_t wanted =
        std::to_integer<std::size_t>(rest[0]) | (std::to_integer<std::size_t>(rest[1]) << 8U);
    rest = rest.subspan(2);
    const auto datagram = rest.first(std::min(wanted, rest.size()));
    rest = rest.subspan(datagram.size());
    now += std::chrono::milliseconds{1};
    near.endpoint->receive(stranger, datagram, now);
    std::size_t answered = 0;
    while (const auto sent = near.endpoint->write(out, now)) {
      answered += sent->bytes;
    }
    require(answered <= datagram.size());
    require(near.endpoint->size() == 0);
    far.endpoint->receive(friendly, datagram, now);
    while (far.endpoint->write(out, now)) {
    }
    if (const auto due = far.endpoint->deadline(); due && *due <= now) {
      far.endpoint->on_time(now);
    }
    require(far.endpoint->size() <= 1);
  }
  return 0;
}
