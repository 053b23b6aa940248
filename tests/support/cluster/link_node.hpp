#pragma once

#include "actors/link/tls_network.hpp"
#include "tests/support/cluster/link_recorder.hpp"

#include <array>
#include <stdexcept>

namespace ovir::test {

inline secret_key key_of(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

inline std::shared_ptr<const std::vector<std::byte>> bytes_of(std::size_t size,
                                                              unsigned first = 0) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>((first + i * 31) & 0xffU);
  }
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

/// What a worker of the cluster "test" listens and says.
inline actors::tls_options member_options() {
  actors::tls_options options;
  options.identity.cluster = "test";
  options.identity.roles.add(role::worker);
  options.listen = "127.0.0.1:0";
  return options;
}

/// A node as far as its connections go. `seed` fills its key.
struct link_node {
  explicit link_node(std::uint8_t seed, const actors::tls_options& options = member_options(),
                     link_recorder::judge admits = {})
      : key(key_of(seed)), heard(std::move(admits)) {
    auto started = actors::tls_network::start(key, options, heard);
    if (!started) {
      throw std::runtime_error(started.error().message);
    }
    net = std::move(*started);
  }
  [[nodiscard]] std::string address() const { return net->listen_address(); }
  [[nodiscard]] const node_id& id() const { return key.id(); }

  secret_key key;
  link_recorder heard;
  std::unique_ptr<actors::tls_network> net;
};

} // namespace ovir::test
