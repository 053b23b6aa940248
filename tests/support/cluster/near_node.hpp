#pragma once

#include "actors/shared/shared_network.hpp"
#include "tests/support/cluster/link_node.hpp"

#include <unistd.h>

#include <atomic>

namespace ovir::test {

/// What a worker says that shares memory with processes beside it. Each call is another process
/// for others.
inline actors::tls_options near_options() {
  static std::atomic<std::uint32_t> lives{0};
  actors::tls_options options = member_options();
  options.shared_memory = true;
  options.identity.life = (std::uint64_t{static_cast<std::uint32_t>(::getpid())} << 32U) | ++lives;
  return options;
}

/// As `link_node`, with memory.
struct near_node {
  explicit near_node(std::uint8_t seed, const actors::tls_options& options = near_options())
      : key(key_of(seed)), life(options.identity.life), traffic(options.traffic) {
    auto started = actors::shared_network::start(key, options, heard, actors::start_tls);
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    net = std::move(*started);
  }
  [[nodiscard]] std::string address() const { return net->listen_address(); }
  [[nodiscard]] const node_id& id() const { return key.id(); }

  secret_key key;
  std::uint64_t life;
  std::shared_ptr<actors::network_traffic> traffic;
  link_recorder heard;
  std::unique_ptr<actors::listening_network> net;
};

} // namespace ovir::test
