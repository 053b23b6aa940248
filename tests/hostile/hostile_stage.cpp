#include "tests/hostile/hostile_stage.hpp"

#include "storage/env/env.hpp"

#include <fmt/format.h>

#include <array>
#include <cstring>

namespace ovir::test {

using namespace actors;

namespace {

constexpr std::uint16_t kind_tensor = 1;
constexpr std::uint16_t kind_wire = 2;
constexpr std::uint16_t kind_gossip = 3;
/// How long a thread listens before it looks whether it is to end.
constexpr std::chrono::milliseconds look_up{50};

} // namespace

hostile_stage::hostile_stage(hostile_member links, secret_key key, node_advert advert,
                             orders take_order, frames take_frame)
    : links_(std::move(links)), key_(std::move(key)), take_order_(std::move(take_order)),
      take_frame_(std::move(take_frame)) {
  (void)links_.gossip(encode_gossip({news{}, {sign_advert(key_, 1'000, std::move(advert))}}));
  control_ = std::thread{[this] { read_control(); }};
  data_ = std::thread{[this] { read_data(); }};
}

hostile_stage::~hostile_stage() {
  stopping_.store(true);
  control_.join();
  data_.join();
}

std::uint16_t hostile_stage::next_message(hostile_peer& peer, std::vector<std::byte>& body) {
  std::vector<std::byte> header = peer.receive(1, look_up);
  if (header.empty()) {
    return 0;
  }
  const std::vector<std::byte> rest = peer.receive(15);
  header.insert(header.end(), rest.begin(), rest.end());
  if (header.size() != 16) {
    return 0;
  }
  std::uint32_t size = 0;
  std::uint16_t kind = 0;
  std::memcpy(&size, header.data(), sizeof size);
  std::memcpy(&kind, header.data() + 4, sizeof kind);
  body = size == 0 ? std::vector<std::byte>{} : peer.receive(size);
  return body.size() == size ? kind : 0;
}

void hostile_stage::take_gossip(std::span<const std::byte> bytes) {
  const auto message = decode_gossip(bytes);
  if (!message) {
    return;
  }
  if (const auto* asked = std::get_if<ping>(&message->body)) {
    (void)links_.gossip(encode_gossip({ping_answer{asked->nonce}, {}}));
  } else if (const auto* relayed = std::get_if<relayed_ping>(&message->body)) {
    (void)links_.gossip(encode_gossip({sign_life(key_, relayed->requester, relayed->nonce), {}}));
  }
}

void hostile_stage::read_control() {
  std::vector<std::byte> body;
  while (!stopping_.load()) {
    const std::uint16_t kind = next_message(links_.control, body);
    if (kind == kind_gossip) {
      take_gossip(body);
    } else if (kind == kind_wire) {
      const auto message = decode_wire(body);
      if (message && std::holds_alternative<wire_open>(message->body)) {
        const std::lock_guard lock{guard_};
        opened_.insert(message->request.value);
      }
      if (message && take_order_) {
        take_order_(*this, *message);
      }
    }
  }
}

void hostile_stage::read_data() {
  std::vector<std::byte> body;
  while (!stopping_.load()) {
    if (next_message(links_.data, body) != kind_tensor) {
      continue;
    }
    frames_taken_.fetch_add(1);
    const auto view = decode_frame(body);
    if (view && take_frame_) {
      take_frame_(*this, *view);
    }
  }
}

void hostile_stage::answer(const wire_message& order, wire_body body) {
  (void)links_.wire({order.request, order.driver, order.stage, std::move(body)});
}

std::set<std::uint64_t> hostile_stage::opened() const {
  const std::lock_guard lock{guard_};
  return opened_;
}

hostile_member hostile_stages::guest(std::size_t node, std::uint8_t key) {
  const auto with_token = [&](std::uint16_t channel) {
    std::array<std::byte, 16> nonce{};
    nonce.fill(static_cast<std::byte>(++nonces_));
    hostile_hello hello = hello_as(channel, 1);
    hello.token = to_bytes(issue_token(attacker_key(attacker::issuer), attacker_key(key).id(),
                                       role_set{}.add(role::worker),
                                       storage::make_env_posix()->unix_seconds() + 600, nonce));
    return hello;
  };
  hostile_member made{shaken(listen(node), key), shaken(listen(node), key)};
  EXPECT_EQ(made.control.introduce(with_token(1)), std::string{});
  EXPECT_EQ(made.data.introduce(with_token(2)), std::string{});
  return made;
}

node_advert hostile_stages::praise(std::uint8_t key) const {
  node_advert advert;
  advert.name = fmt::format("praise-{:02x}", key);
  advert.address = "nobody.invalid:1";
  advert.roles.add(role::worker);
  advert.held.push_back({model_, {0, layers}, layers});
  advert.memory_bytes = advert.memory_free = 1ULL << 40U;
  advert.decode_bytes_per_second = advert.prefill_bytes_per_second = 1ULL << 50U;
  return advert;
}

std::unique_ptr<hostile_stage> hostile_stages::stage(std::uint8_t key, hostile_stage::orders orders,
                                                     hostile_stage::frames frames) {
  return std::make_unique<hostile_stage>(guest(head, key), attacker_key(key), praise(key),
                                         std::move(orders), std::move(frames));
}

} // namespace ovir::test
