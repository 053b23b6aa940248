#include "actors/nat/nat_message.hpp"
#include "actors/nat/relay_book.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

// Decodes any bytes as messages to a helper, each behind its length (two bytes). What is accepted
// must encode to the very bytes it came from, and a helper with two guests lives through it,
// from either guest.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::actors;
  std::array<std::byte, ovir::secret_key::seed_size> seed{};
  const ovir::secret_key self = ovir::secret_key::from_seed(seed);
  relay_book book{self, true};
  relay_book::time_point now{};
  std::array<ovir::node_id, 2> nodes{};
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].key.fill(static_cast<std::uint8_t>(i + 1));
    (void)book.connected(connection_id{i}, nodes[i], "203.0.113.7:1", now);
    (void)book.received(connection_id{i}, helper_join{}, now);
  }
  std::size_t turn = 0;
  for (std::size_t at = 0; at + 2 <= size; ++turn) {
    const std::size_t length = std::min<std::size_t>(data[at] + 256U * data[at + 1], size - at - 2);
    std::vector<std::byte> bytes(length);
    if (length > 0) {
      std::memcpy(bytes.data(), data + at + 2, length);
    }
    at += 2 + length;
    const auto message = decode_nat_message(bytes);
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
