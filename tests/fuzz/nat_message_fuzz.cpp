#include "actors/nat/hole_punch.hpp"
#include "actors/nat/nat_message.hpp"
#include "actors/nat/relay_book.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

// Decodes any bytes as messages to a helper, each behind its length (two bytes). What is accepted
// must encode to the very bytes it came from, and a helper with two guests lives through it,
// from either guest. Bytes that are a datagram come to its UDP socket, and to an end of a meeting:
// it knocks at no host that was not named, and not too often.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::actors;
  namespace limits = ovir::limits;
  std::array<std::byte, ovir::secret_key::seed_size> seed{};
  const ovir::secret_key self = ovir::secret_key::from_seed(seed);
  relay_book book{self, true};
  relay_book::time_point now{};
  std::array<ovir::node_id, 2> nodes{};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].key.fill(static_cast<std::uint8_t>(i + 1));
    punch_token probe{};
    probe.fill(static_cast<std::uint8_t>(i + 1));
    (void)book.connected(connection_id{i}, nodes[i], "203.0.113.7:1", now, probe);
    (void)book.received(connection_id{i}, helper_join{}, now);
  }
  punch_token token{};
  token.fill(1);
  hole_punch holes{token, {"203.0.113.7:2"}};
  std::size_t turn = 0;
  for (std::size_t at = 0; at + 2 <= size; ++turn) {
    const std::size_t length = std::min<std::size_t>(data[at] + 256U * data[at + 1], size - at - 2);
    std::vector<std::byte> bytes(length);
    if (length > 0) {
      std::memcpy(bytes.data(), data + at + 2, length);
    }
    at += 2 + length;
    const auto message = decode_nat_message(bytes);
    if (const auto datagram = decode_punch_datagram(bytes)) {
      if (message || encode(*datagram) != bytes) {
        std::abort();
      }
      const std::string from =
          turn % 3 == 0 ? "198.51.100.9:5" : "203.0.113.7:" + std::to_string(turn + 3);
      const bool counts = holes.heard(from, datagram->token).counts;
      if ((counts && turn % 3 == 0) || holes.sent() > limits::punch_datagrams_max) {
        std::abort();
      }
      if (turn % 3 == 0 && !book.probed(datagram->token, from, now).empty()) {
        std::abort();
      }
      (void)book.probed(datagram->token, from, now);
    }
    if (!message) {
      continue;
    }
    if (encode(*message) != bytes) {
      std::abort();
    }
    now += std::chrono::milliseconds{100};
    for (const helper_effect& e : book.received(connection_id{turn % 2}, *message, now)) {
      if (e.say && !decode_nat_message(encode(*e.say))) {
        std::abort();
      }
    }
    (void)book.tick(now);
  }
  return 0;
}
