#include "actors/nat/connection_names.hpp"

#include <mutex>
#include <utility>

namespace ovir::actors {

connection_id connection_names::want(const std::string& address, channel kind,
                                     const node_id& expected) {
  const std::unique_lock lock{guard_};
  const connection_id name{++last_};
  entry e;
  e.peer.connection = name;
  e.peer.node = expected;
  e.peer.kind = kind;
  e.peer.address = address;
  wanted_.emplace(name, std::move(e));
  return name;
}

// `connect` of a network calls no handler itself, so it may be called under the lock: a handler
// that is told of the connection waits until the name is known.

void connection_names::dial(connection_id wanted, const std::string& address, tls_network& net) {
  const std::unique_lock lock{guard_};
  const auto found = wanted_.find(wanted);
  if (found == wanted_.end() || found->second.stands) {
    return;
  }
  entry& e = found->second;
  e.carried = false;
  e.inner = net.connect(address.empty() ? e.peer.address : address, e.peer.kind, e.peer.node);
  outer_[e.inner->value] = wanted;
}

bool connection_names::carry(connection_id wanted, ready_stream over, tls_network& net) {
  const std::unique_lock lock{guard_};
  const auto found = wanted_.find(wanted);
  if (found == wanted_.end() || found->second.stands || found->second.inner) {
    return false;
  }
  entry& e = found->second;
  e.carried = true;
  e.inner = net.connect_over(std::move(over), e.peer.kind, e.peer.node);
  outer_[e.inner->value] = wanted;
  return true;
}

std::optional<connection_id> connection_names::drop(connection_id wanted) {
  const std::unique_lock lock{guard_};
  const auto found = wanted_.find(wanted);
  if (found == wanted_.end() || found->second.stands || !found->second.inner) {
    return std::nullopt;
  }
  const auto inner = std::exchange(found->second.inner, std::nullopt);
  outer_.erase(inner->value);
  return inner;
}

std::optional<connection_names::given_up> connection_names::forget(connection_id wanted) {
  const std::unique_lock lock{guard_};
  const auto found = wanted_.find(wanted);
  if (found == wanted_.end() || found->second.stands) {
    return std::nullopt;
  }
  given_up over{found->second.peer, found->second.inner};
  if (over.inner) {
    outer_.erase(over.inner->value);
  }
  wanted_.erase(found);
  return over;
}

std::optional<peer_info> connection_names::wanted(connection_id wanted) const {
  const std::shared_lock lock{guard_};
  const auto found = wanted_.find(wanted);
  return found == wanted_.end() || found->second.stands ? std::nullopt
                                                        : std::optional{found->second.peer};
}

std::optional<connection_id> connection_names::inner_of(connection_id name) const {
  if (name.value < first_name) {
    return name;
  }
  const std::shared_lock lock{guard_};
  const auto found = wanted_.find(name);
  return found == wanted_.end() || !found->second.stands ? std::nullopt : found->second.inner;
}

std::optional<peer_info> connection_names::connected(const peer_info& peer) {
  const std::unique_lock lock{guard_};
  peer_info told = peer;
  if (!peer.incoming) {
    const auto outer = outer_.find(peer.connection.value);
    if (outer == outer_.end()) {
      return std::nullopt;
    }
    wanted_.at(outer->second).stands = true;
    told.connection = outer->second;
  }
  if (peer.kind == channel::control) {
    ++controls_[peer.node];
  }
  return told;
}

std::optional<peer_info> connection_names::translated(const peer_info& peer) const {
  peer_info told = peer;
  if (!peer.incoming) {
    const std::shared_lock lock{guard_};
    const auto outer = outer_.find(peer.connection.value);
    if (outer == outer_.end()) {
      return std::nullopt;
    }
    told.connection = outer->second;
  }
  return told;
}

connection_names::ending connection_names::closed(const peer_info& peer) {
  const std::unique_lock lock{guard_};
  ending end{fate::told, peer};
  bool stood = peer.incoming;
  if (!peer.incoming) {
    const auto outer = outer_.find(peer.connection.value);
    if (outer == outer_.end()) {
      return {};
    }
    end.peer.connection = outer->second;
    const auto found = wanted_.find(outer->second);
    outer_.erase(outer);
    entry& e = found->second;
    stood = e.stands;
    if (!stood && !e.peer.node.empty()) {
      e.inner.reset();
      end.what = e.carried ? fate::carried : fate::dialled;
      return end;
    }
    wanted_.erase(found);
  }
  if (stood && peer.kind == channel::control) {
    if (const auto at = controls_.find(peer.node); at != controls_.end() && --at->second == 0) {
      controls_.erase(at);
    }
  }
  return end;
}

bool connection_names::is_linked(const node_id& node) const {
  const std::shared_lock lock{guard_};
  return controls_.contains(node);
}

std::vector<peer_info> connection_names::take_all() {
  const std::unique_lock lock{guard_};
  std::vector<peer_info> all;
  for (const auto& [name, e] : wanted_) {
    if (!e.stands) {
      all.push_back(e.peer);
    }
  }
  wanted_.clear();
  outer_.clear();
  return all;
}

} // namespace ovir::actors
