#include "tests/support/cluster/fake_node.hpp"

#include <array>
#include <stdexcept>

namespace ovir::test {

secret_key key_of(std::uint8_t seed) {
  std::array<std::byte, secret_key::seed_size> bytes{};
  bytes.fill(std::byte{seed});
  return secret_key::from_seed(bytes);
}

fake_node::fake_node(std::uint8_t key_seed, script answers)
    : key_(key_of(key_seed)), answers_(std::move(answers)) {
  actors::tls_options options;
  options.identity.cluster = "fake";
  options.admin_listen = "127.0.0.1:0";
  auto network = actors::tls_network::start(key_, options, *this);
  if (!network) {
    throw std::runtime_error(network.error().message);
  }
  network_ = std::move(*network);
}

// Its threads may be in `say`, and end before `delete` does: until then the pointer stays.
fake_node::~fake_node() {
  delete network_.get();
  static_cast<void>(network_.release());
}

std::vector<fake_node::json> fake_node::requests() const {
  const std::lock_guard lock{guard_};
  return requests_;
}

std::vector<std::string> fake_node::commands() const {
  std::vector<std::string> names;
  for (const json& request : requests()) {
    names.push_back(request.at("command").get<std::string>());
  }
  return names;
}

void fake_node::say(const std::string& bytes) {
  actors::connection_id to;
  {
    const std::lock_guard lock{guard_};
    to = latest_;
  }
  const auto* const begin = reinterpret_cast<const std::byte*>(bytes.data());
  auto message = std::make_shared<const std::vector<std::byte>>(begin, begin + bytes.size());
  static_cast<void>(network_->send(to, actors::message_kind::reply, 0, std::move(message)));
}

void fake_node::event(const json& command, json event) {
  say(json{{"id", command.at("id")}, {"event", std::move(event)}}.dump());
}

void fake_node::token(const json& command, std::uint64_t index, std::uint32_t token,
                      std::string text) {
  event(command, {{"index", index}, {"token", token}, {"text", std::move(text)}});
}

void fake_node::done(const json& command, json data) {
  const json reply{
      {"id", command.at("id")}, {"ok", true}, {"done", true}, {"data", std::move(data)}};
  say(reply.dump());
}

void fake_node::refuse(const json& command, const std::string& code, const std::string& message) {
  const json reply{{"id", command.at("id")},
                   {"ok", false},
                   {"done", true},
                   {"error", {{"code", code}, {"message", message}}}};
  say(reply.dump());
}

void fake_node::drop() {
  actors::connection_id which;
  {
    const std::lock_guard lock{guard_};
    which = latest_;
  }
  network_->close(which, error{errc::peer_lost, "the script ends the connection"});
}

void fake_node::close_door(error reason) {
  const std::lock_guard lock{guard_};
  door_ = std::move(reason);
}

result<role_set> fake_node::admit(const actors::peer_hello& hello) {
  const std::lock_guard lock{guard_};
  if (door_) {
    return *door_;
  }
  return hello.roles;
}

void fake_node::connected(const actors::peer_info& peer) {
  const std::lock_guard lock{guard_};
  latest_ = peer.connection;
}

void fake_node::received(const actors::peer_info& peer, actors::message_kind, std::uint32_t,
                         actors::received_bytes bytes) {
  const auto* const text = reinterpret_cast<const char*>(bytes->data());
  const json command = json::parse(text, text + bytes->size(), nullptr, false);
  {
    const std::lock_guard lock{guard_};
    if (peer.connection != latest_ || !command.is_object()) {
      return;
    }
    requests_.push_back(command);
  }
  answers_(*this, command);
}

} // namespace ovir::test
