#pragma once

#include "actors/link/network.hpp"
#include "actors/link/receive_budget.hpp"
#include "actors/link/tls_network.hpp"
#include "messages/signing.hpp"
#include "tests/swarm/world.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::swarm {

class endpoint;

/// How one machine's bytes reach another's. Bytes of a connection arrive in order or not at all.
struct wire_state {
  nanoseconds delay{std::chrono::microseconds{200}};
  nanoseconds jitter{std::chrono::microseconds{100}};
  std::uint64_t bytes_per_second{125'000'000};
  bool cut{false}; ///< what is sent waits until the cut heals or the connection ends
};

/// Every connection of the swarm. What TCP and TLS do for `tls_network` is done here in one thread:
/// proven keys, hellos, order, the bounds of messages and of bytes under way. Handlers are called
/// by events alone, never out of a call.
class wires {
public:
  explicit wires(world& in) : world_(in) {}
  ~wires();
  wires(const wires&) = delete;
  wires& operator=(const wires&) = delete;

  /// Of bytes from machine `from` to machine `to`; made when first asked for.
  [[nodiscard]] wire_state& between(std::size_t from, std::size_t to) {
    return states_[{from, to}];
  }
  /// Whether what one says reaches the other, and their nodes have a connection for it.
  [[nodiscard]] bool reach(std::size_t one, std::size_t other);
  /// What waited at cuts that are gone goes on.
  void healed();
  /// Ends a connection drawn among those there are, as a router does that forgets it; false where
  /// there is none.
  bool reset_one(chance& draws);
  /// One machine forgets its connections with another, as after a time-out. The other hears of it
  /// when it says something, but not before `silence` is over.
  bool forget_one(chance& draws, nanoseconds silence);
  [[nodiscard]] std::size_t connections() const noexcept { return open_.size(); }
  [[nodiscard]] std::uint64_t messages() const noexcept { return messages_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  /// Of which network a machine is. By itself each has one of its own.
  void networks_are(std::function<std::size_t(std::size_t machine)> of) {
    network_of_ = std::move(of);
  }

  /// Sees each message that is sent.
  using tap = std::function<void(std::size_t from, std::size_t to, actors::channel kind,
                                 actors::message_kind what, std::uint32_t target,
                                 const std::vector<std::byte>& bytes)>;
  void tap_with(tap look) { tap_ = std::move(look); }
  /// Sees each message that is handed to a node.
  void tap_arrivals_with(tap look) { arrivals_ = std::move(look); }

private:
  friend class endpoint;

  struct parcel {
    actors::message_kind kind;
    std::uint32_t target;
    std::vector<std::byte> bytes;
  };
  /// One end of a connection.
  struct side {
    endpoint* at{nullptr}; ///< null: gone
    std::size_t machine{0};
    actors::connection_id own;
    actors::peer_info peer; ///< as this end sees the other
    bool told{false};       ///< `connected` was called here
    std::size_t queued{0};  ///< bytes under way from here
    nanoseconds last{0};    ///< when the latest of them arrives
    std::shared_ptr<actors::receive_budget> budget;
    std::deque<parcel> inbox;                    ///< arrived and not yet read
    std::vector<std::function<void()>> at_cut{}; ///< from here, in order
    bool reads{false};                           ///< an event that goes on reading is planned
  };
  struct connection {
    std::uint64_t number{0};
    actors::channel kind{actors::channel::control};
    std::array<side, 2> sides; ///< who connected, who was connected to
    bool open{false};
    bool over{false};
    nanoseconds silent_until{0}; ///< an end that has forgotten it does not say so before
  };
  using pointer = std::shared_ptr<connection>;

  /// Both ends are closed: the connection is no longer listed, and what waits at a cut is dropped.
  void forget(connection& c);
  void meet(const pointer& c, const node_id& expected, const std::string& address);
  void admit(const pointer& c, const node_id& expected);
  /// `arrive` runs when `bytes` from `side` would be there.
  void carry(const pointer& c, std::size_t side, std::size_t bytes, std::function<void()> arrive);
  void deliver(const pointer& c, std::size_t to, parcel one);
  void read(const pointer& c, std::size_t to);
  /// The other end has closed: what it sent before can still be read, and nothing else.
  void hang_up(const pointer& c, std::size_t side, const error& reason);
  /// This end has closed, and says so to the other.
  void close(const pointer& c, std::size_t side, const error& reason);
  /// This end is told that the connection is over, or never came to be.
  void drop(const pointer& c, std::size_t side, const error& reason);
  [[nodiscard]] address_prefix place_of(std::size_t machine) const;
  [[nodiscard]] nanoseconds trip(std::size_t from, std::size_t to, std::size_t bytes);

  world& world_;
  std::map<std::pair<std::size_t, std::size_t>, wire_state> states_;
  std::map<std::string, endpoint*> listening_;
  std::map<std::uint64_t, pointer> open_; ///< by number: that stand at one end at least
  std::uint64_t next_{1};
  std::uint64_t messages_{0};
  std::uint64_t bytes_{0};
  tap tap_;
  tap arrivals_;
  std::function<std::size_t(std::size_t)> network_of_;
};

/// The links of one life of a machine, or of a client.
class endpoint final : public actors::listening_network {
public:
  /// Runs what happens here now, when the machine thaws, or, where it is dead, never.
  using runner = std::function<void(std::function<void()>)>;

  /// Listens where `how` says; `at` and `handler` outlive it.
  endpoint(wires& at, std::size_t machine, node_id self, actors::tls_options how,
           actors::network_handler& handler, runner run);
  /// As a process that ends: the others hear of it.
  ~endpoint() override;
  endpoint(const endpoint&) = delete;
  endpoint& operator=(const endpoint&) = delete;

  /// The machine lost its power: no other end hears of it before it asks.
  void vanish();

  actors::connection_id connect(const std::string& address, actors::channel kind,
                                const node_id& expected) override;
  result<void> send(actors::connection_id connection, actors::message_kind kind,
                    std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  void close(actors::connection_id connection, error reason) override;
  std::string listen_address() const override { return how_.listen; }
  std::string admin_address() const override {
    return how_.admin_listen.empty() ? how_.listen : how_.admin_listen;
  }

private:
  friend class wires;

  wires& wires_;
  std::size_t machine_;
  node_id self_;
  actors::tls_options how_;
  actors::network_handler& handler_;
  runner run_;
  std::map<actors::connection_id, std::pair<wires::pointer, std::size_t>> mine_;
};

} // namespace ovir::swarm
