#include "actors/members/membership_core.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

constexpr std::size_t seed_size = ovir::secret_key::seed_size;

ovir::secret_key key_of(std::byte first) {
  std::array<std::byte, seed_size> seed{};
  seed[0] = first;
  return ovir::secret_key::from_seed(seed);
}

} // namespace

// Decodes any bytes as gossip: what is accepted must encode to the very bytes it came from, since
// it is signed in parts. Then a member hears it from a peer, and must stay what it is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::actors;
  const auto bytes = std::as_bytes(std::span{data, size});
  const auto message = decode_gossip(bytes);
  if (message) {
    const auto again = encode_gossip(*message);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
      std::abort();
    }
  }
  static const ovir::secret_key mine = key_of(std::byte{1});
  static const ovir::secret_key peer = key_of(std::byte{2});
  membership_core core{
      mine, {}, 10, {}, 1, [](const ovir::node_id&) {
                         return std::optional{ovir::member_roles}; }};
  const membership_core::time_point start{std::chrono::hours{1}};
  (void)core.on_link_up(peer.id(), start);
  const auto effects = core.on_gossip(peer.id(), bytes, start);
  if (effects.has_value() != message.has_value()) {
    std::abort();
  }
  (void)core.on_tick(start + std::chrono::milliseconds{25});
  if (core.members().empty() || core.members().size() > ovir::limits::members_max ||
      core.find(mine.id())->health != member_health::alive) {
    std::abort();
  }
  return 0;
}
