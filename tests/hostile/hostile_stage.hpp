#pragma once

#include "tests/hostile/hostile_orders.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace ovir::test {

/// A worker with valid keys that was let in, says of itself what it likes, keeps its links alive,
/// and answers orders as a test tells it. A thread for each of its connections, until it is
/// dropped.
class hostile_stage {
public:
  /// What it does with an order, on the control connection's thread.
  using orders = std::function<void(hostile_stage&, const actors::wire_message&)>;
  /// And with a frame, on the data connection's.
  using frames = std::function<void(hostile_stage&, const frame_view&)>;

  hostile_stage(hostile_member links, secret_key key, actors::node_advert advert, orders take_order,
                frames take_frame = {});
  ~hostile_stage();
  hostile_stage(const hostile_stage&) = delete;
  hostile_stage& operator=(const hostile_stage&) = delete;

  /// Of an order: says this about the same stage of the same request. On its thread alone.
  void answer(const actors::wire_message& order, actors::wire_body body);
  /// To the lead. On the thread of frames alone.
  void send_frame(std::span<const std::byte> bytes) {
    (void)links_.frame(bytes, actors::frame_to_lead);
  }

  /// Requests that it was ordered to open a stage of.
  [[nodiscard]] std::set<std::uint64_t> opened() const;
  [[nodiscard]] std::size_t frames_taken() const { return frames_taken_.load(); }

private:
  void read_control();
  void read_data();
  void take_gossip(std::span<const std::byte> bytes);
  /// The next message; its kind, or 0 when there was none.
  static std::uint16_t next_message(hostile_peer& peer, std::vector<std::byte>& body);

  hostile_member links_;
  secret_key key_;
  orders take_order_;
  frames take_frame_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> frames_taken_{0};
  mutable std::mutex guard_;
  std::set<std::uint64_t> opened_;
  std::thread control_;
  std::thread data_;
};

/// Nodes, and workers that join the first of them by tokens and claim all layers.
class hostile_stages : public hostile_orders {
protected:
  /// A member by a token of the issuer's, under the key of this seed.
  [[nodiscard]] hostile_member guest(std::size_t node, std::uint8_t key);
  /// As fast as can be said, with all layers.
  [[nodiscard]] actors::node_advert praise(std::uint8_t key) const;
  /// Joins the node that drives requests.
  [[nodiscard]] std::unique_ptr<hostile_stage> stage(std::uint8_t key, hostile_stage::orders orders,
                                                     hostile_stage::frames frames = {});

private:
  std::uint8_t nonces_{0};
};

} // namespace ovir::test
