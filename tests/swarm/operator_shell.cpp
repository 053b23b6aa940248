#include "tests/swarm/operator_shell.hpp"

#include "messages/hex.hpp"

#include <cstring>
#include <utility>

namespace ovir::swarm {

namespace {

actors::tls_options as_client() {
  actors::tls_options how;
  how.identity.cluster = "swarm";
  how.identity.roles = admin_roles;
  return how;
}

} // namespace

ledger::signed_head operator_shell::head_of(const json& shown) {
  ledger::signed_head h;
  h.head.ledger = digest_from_hex(shown.at("ledger").get<std::string>()).value();
  h.head.size = shown.at("size");
  h.head.root = digest_from_hex(shown.at("root").get<std::string>()).value();
  h.head.chain = digest_from_hex(shown.at("chain").get<std::string>()).value();
  h.head.time = shown.at("time");
  for (const json& one : shown.at("signatures")) {
    ledger::head_signature s;
    s.keeper = node_id_from_hex(one.at("keeper").get<std::string>()).value();
    const auto bytes =
        bytes_from_hex(one.at("signature").get<std::string>(), "a signature", s.proof.bytes.size())
            .value();
    std::memcpy(s.proof.bytes.data(), bytes.data(), bytes.size());
    h.signatures.push_back(s);
  }
  return h;
}

operator_shell::operator_shell(wires& at, std::size_t machine,
                               const std::array<std::byte, 32>& key_seed)
    : key_(secret_key::from_seed(key_seed)),
      links_(std::make_unique<endpoint>(at, machine, key_.id(), as_client(), *this,
                                        [](const std::function<void()>& act) { act(); })) {}

void operator_shell::call(const std::string& address, const std::string& command, json arguments,
                          answer then) {
  const actors::connection_id made = links_->connect(address, actors::channel::admin, {});
  calls_[made] = {command, std::move(arguments), std::move(then)};
}

result<role_set> operator_shell::admit(const actors::peer_hello& hello) { return hello.roles; }

void operator_shell::connected(const actors::peer_info& peer) {
  const call_under_way& c = calls_.at(peer.connection);
  const std::string text = json{{"id", 1}, {"command", c.command}, {"args", c.arguments}}.dump();
  const auto* const first = reinterpret_cast<const std::byte*>(text.data());
  static_cast<void>(
      links_->send(peer.connection, actors::message_kind::request, 0,
                   std::make_shared<const std::vector<std::byte>>(first, first + text.size())));
}

void operator_shell::received(const actors::peer_info& peer, actors::message_kind /*kind*/,
                              std::uint32_t /*target*/, actors::received_bytes bytes) {
  const auto* const first = reinterpret_cast<const char*>(bytes->data());
  const json reply = json::parse(first, first + bytes->size());
  if (reply.value("done", false)) {
    end(peer.connection, reply);
    links_->close(peer.connection, {errc::cancelled, "done"});
  }
}

void operator_shell::closed(const actors::peer_info& peer, const error& /*reason*/) {
  end(peer.connection, {});
}

void operator_shell::end(actors::connection_id connection, const json& with) {
  if (const auto found = calls_.find(connection); found != calls_.end()) {
    const answer then = std::move(found->second.then);
    calls_.erase(found);
    then(with);
  }
}

} // namespace ovir::swarm
