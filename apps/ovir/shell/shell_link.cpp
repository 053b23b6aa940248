#include "apps/ovir/shell/shell_link.hpp"

#include "actors/link/tls_network.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::apps {

result<std::unique_ptr<shell_link>> shell_link::make(const secret_key& key, shell_target target) {
  OVIR_CHECK(!target.addresses.empty());
  std::unique_ptr<shell_link> link{new shell_link{std::move(target)}};
  actors::tls_options options;
  options.identity.roles = admin_roles;
  OVIR_ASSIGN(link->network_, actors::tls_network::start(key, options, *link));
  return link;
}

shell_link::~shell_link() { network_.reset(); }

void shell_link::connect_next() {
  if (tried_) {
    network_->close(current_, error{errc::cancelled, "the shell turns to another node"});
    at_ = (at_ + 1) % target_.addresses.size();
  }
  tried_ = true;
  up_ = false;
  current_ = network_->connect(target_.addresses[at_], actors::channel::admin, node_id{});
}

result<void> shell_link::send(const json& request) {
  if (!up_) {
    return fail(errc::peer_lost, "there is no connection to a node");
  }
  const std::string text = request.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > limits::admin_bytes_max) {
    return fail(errc::over_limit, "a command of {} bytes; at most {} are allowed", text.size(),
                limits::admin_bytes_max);
  }
  const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
  auto bytes = std::make_shared<const std::vector<std::byte>>(begin, begin + text.size());
  return network_->send(current_, actors::message_kind::request, 0, std::move(bytes));
}

shell_link::event shell_link::next(clock::time_point until) {
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
    if (one.connection != current_) {
      continue; // of a connection that was dropped
    }
    if (const auto* const connected = std::get_if<up>(&one.what)) {
      up_ = true;
      peer_ = connected->node;
      return *connected;
    }
    if (auto* const lost = std::get_if<down>(&one.what)) {
      up_ = false;
      return std::move(*lost);
    }
    const auto& bytes = *std::get<actors::received_bytes>(one.what);
    const auto* const text = reinterpret_cast<const char*>(bytes.data());
    json document = json::parse(text, text + bytes.size(), nullptr, false);
    if (document.is_object()) {
      return document;
    }
    const error wrong =
        fail(errc::malformed, "{} answered with something that is no JSON object", place());
    network_->close(current_, wrong);
    up_ = false;
    return down{wrong};
  }
}

result<role_set> shell_link::admit(const actors::peer_hello& hello) {
  const auto& known = target_.nodes;
  if (!known.empty() && std::find(known.begin(), known.end(), hello.node) == known.end()) {
    return fail(errc::invalid_argument, "node {} is none of those named with --node",
                to_hex(hello.node));
  }
  return member_roles;
}

void shell_link::connected(const actors::peer_info& peer) {
  arrive(peer.connection, up{peer.node});
}

void shell_link::received(const actors::peer_info& peer, actors::message_kind kind, std::uint32_t,
                          actors::received_bytes bytes) {
  if (kind == actors::message_kind::reply) {
    arrive(peer.connection, std::move(bytes));
  }
}

void shell_link::closed(const actors::peer_info& peer, const error& reason) {
  arrive(peer.connection, down{reason});
}

void shell_link::arrive(actors::connection_id connection, raw_event what) {
  {
    const std::lock_guard lock{guard_};
    arrivals_.push_back({connection, std::move(what)});
  }
  arrived_.notify_one();
}

} // namespace ovir::apps
