#include "apps/ovir/learn/round_link.hpp"

#include <algorithm>
#include <utility>

namespace ovir::apps {

namespace {

constexpr std::string_view rounds_name = "ovir-rounds-1"; // in place of a cluster's

} // namespace

result<std::unique_ptr<round_link>>
round_link::make(const secret_key& key, const std::string& listen, std::vector<node_id> admitted) {
  std::sort(admitted.begin(), admitted.end());
  std::unique_ptr<round_link> link{new round_link{std::move(admitted)}};
  actors::tls_options options;
  options.listen = listen;
  options.identity.cluster = std::string{rounds_name};
  options.identity.roles = member_roles;
  OVIR_ASSIGN(link->network_, actors::tls_network::start(key, options, *link));
  return link;
}

round_link::~round_link() { network_.reset(); }

void round_link::connect(const std::string& address) {
  static_cast<void>(network_->connect(address, actors::channel::data, node_id{}));
}

bool round_link::send(const node_id& to, const std::vector<std::byte>& bytes) {
  const auto at = connections_.find(to);
  return at != connections_.end() &&
         network_
             ->send(at->second, actors::message_kind::tensor, 0,
                    std::make_shared<const std::vector<std::byte>>(bytes))
             .has_value();
}

void round_link::drop(const node_id& node, const error& reason) {
  if (const auto at = connections_.find(node); at != connections_.end()) {
    network_->close(at->second, reason);
  }
}

round_link::event round_link::event_of(arrival one) {
  if (std::holds_alternative<up>(one.what)) {
    connections_[one.node] = one.connection;
    return up{one.node};
  }
  const auto at = connections_.find(one.node);
  const bool current = at != connections_.end() && at->second == one.connection;
  if (auto* const lost = std::get_if<down>(&one.what)) {
    if (current) {
      connections_.erase(at);
      return std::move(*lost);
    }
    return connections_.empty() ? event{down{{}, std::move(lost->reason)}} : event{};
  }
  auto read = learning::letter_from(*std::get<actors::received_bytes>(one.what));
  if (!current) {
    return {};
  }
  if (!read) {
    network_->close(one.connection, read.error());
    return {};
  }
  return heard{one.node, std::move(*read)};
}

round_link::event round_link::next(clock::time_point until) {
  while (true) {
    arrival one;
    {
      std::unique_lock lock{guard_};
      if (!arrived_.wait_until(lock, until, [this] { return !arrivals_.empty(); })) {
        return std::monostate{};
      }
      one = std::move(arrivals_.front());
      arrivals_.pop_front();
    }
    event out = event_of(std::move(one));
    if (!std::holds_alternative<std::monostate>(out)) {
      return out;
    }
  }
}

result<role_set> round_link::admit(const actors::peer_hello& hello) {
  if (hello.cluster != rounds_name || hello.kind != actors::channel::data) {
    return fail(errc::invalid_argument, "this is a round of learning, not the node of a cluster");
  }
  if (!std::binary_search(admitted_.begin(), admitted_.end(), hello.node)) {
    return fail(errc::invalid_argument, "key {} is not in this round's list", to_hex(hello.node));
  }
  return member_roles;
}

void round_link::connected(const actors::peer_info& peer) {
  arrive({peer.connection, peer.node, up{peer.node}});
}

void round_link::received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t,
                          actors::received_bytes bytes) {
  if (kind == actors::message_kind::tensor) {
    arrive({peer.connection, peer.node, std::move(bytes)});
  }
}

void round_link::closed(const actors::peer_info& peer, const error& reason) {
  arrive({peer.connection, peer.node, down{peer.node, reason}});
}

void round_link::arrive(arrival one) {
  {
    const std::lock_guard lock{guard_};
    arrivals_.push_back(std::move(one));
  }
  arrived_.notify_one();
}

} // namespace ovir::apps
