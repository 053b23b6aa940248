#pragma once

#include "actors/quic/quic_endpoint.hpp"
#include "tests/support/cluster/link_recorder.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace ovir::test {

/// Nodes that speak QUIC over a network in memory, on a clock of its own: what is lost, doubled,
/// late or damaged follows from the seed.
class quic_world {
public:
  /// What happens to the datagrams of the network.
  struct line {
    double loss{0};
    double twice{0};
    double flipped{0}; ///< one bit of it
    std::chrono::microseconds delay{1'000};
    std::chrono::microseconds jitter{0};  ///< up to this much later: datagrams overtake each other
    std::uint64_t bytes_per_second{0};    ///< each way of each node; 0: any
    std::size_t queue_bytes{256U << 10U}; ///< that wait for their turn; more is dropped
  };
  struct datagram {
    actors::udp_address from;
    actors::udp_address to;
    std::vector<std::byte> bytes;
  };

  /// One life of a node.
  class node {
  public:
    node(quic_world& world, std::uint8_t seed, const actors::udp_address& at,
         link_recorder::judge admits = {});

    [[nodiscard]] const node_id& id() const { return key.id(); }
    /// As `network::connect`.
    actors::connection_id connect(const node& to, actors::channel kind, const node_id& expected);
    result<void> send(actors::connection_id connection, actors::message_kind kind,
                      std::uint32_t target, std::shared_ptr<const std::vector<std::byte>> bytes);

    secret_key key;
    link_recorder heard;
    actors::udp_address address;
    actors::quic_identity identity;
    actors::quic_lanes lanes;
    std::vector<actors::connection_id> resumed;
    std::vector<actors::peer_info> unanswered;
    std::unique_ptr<actors::quic_endpoint> endpoint;

  private:
    quic_world& world_;
    std::uint64_t last_id_{0};
  };

  explicit quic_world(std::uint64_t seed) : chance_(seed) {}
  quic_world(std::uint64_t seed, line how) : how(how), chance_(seed) {}

  node& add(std::uint8_t seed, link_recorder::judge admits = {});
  /// A new life of a node, at its address and with its key: the one before is gone without a word.
  node& start_again(const node& before);
  /// What stands at an address is gone without a word.
  void kill(const node& of);

  /// Until `done`, at most `most` of the world's time. False: it was not.
  bool run(const std::function<bool()>& done,
           std::chrono::milliseconds most = std::chrono::seconds{60});
  void run_for(std::chrono::milliseconds time);
  /// Puts a datagram on the line, to arrive now.
  void inject(datagram what);

  [[nodiscard]] actors::quic_time now() const { return now_; }
  std::mt19937_64& chance() { return chance_; }

  line how;
  std::vector<datagram> seen; ///< every datagram sent while `watching`
  bool watching{false};
  std::uint64_t sent{0};    ///< bytes of datagrams
  std::uint64_t dropped{0}; ///< datagrams

private:
  void flush(node& from);
  void carry(const actors::udp_address& from, const actors::udp_address& to,
             std::vector<std::byte> bytes);
  void arrive(const datagram& what);
  [[nodiscard]] double draw() { return std::uniform_real_distribution<double>{}(chance_); }

  std::mt19937_64 chance_;
  actors::quic_time now_{std::chrono::seconds{1}};
  std::vector<std::unique_ptr<node>> all_;
  std::map<actors::udp_address, node*> at_;
  std::map<actors::udp_address, actors::quic_time> free_; ///< when a node's line is
  std::multimap<actors::quic_time, datagram> under_way_;
  std::uint16_t last_port_{0};
};

} // namespace ovir::test
