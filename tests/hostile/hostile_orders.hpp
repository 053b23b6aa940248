#pragma once

#include "messages/wire/frame.hpp"
#include "tests/hostile/hostile_node.hpp"

namespace ovir::test {

/// Nodes, and orders, answers and frames that they take for well formed.
class hostile_orders : public hostile_node {
protected:
  [[nodiscard]] static node_id id_of(std::uint8_t key) { return attacker_key(key).id(); }
  request_id next_request() { return request_id{random_()}; }

  [[nodiscard]] request_log log_of(request_id request, std::size_t prompt = 8,
                                   std::uint32_t max_tokens = 64) const;
  /// An order to compute layers [first, last) for `attacker::scheduler`, who also feeds them.
  [[nodiscard]] actors::wire_message open_of(request_id request, layer_range range,
                                             std::uint32_t positions,
                                             epoch driver = epoch{1}) const;
  /// One message of each kind about a request and a stage of it.
  [[nodiscard]] std::vector<actors::wire_message> every_kind(request_id request,
                                                             layer_index stage) const;
  /// Its values are noise, but for tokens: those are in the vocabulary.
  [[nodiscard]] std::vector<std::byte> frame_of(request_id request, frame_kind kind,
                                                std::uint32_t count, std::uint32_t driver = 1,
                                                position first = 0);

  /// The next wire message from the node, gossip passed over; nothing when the link ended.
  [[nodiscard]] static std::optional<actors::wire_message> hear(hostile_member& from);
  /// The next one about this request, said to this driver of it, which must come.
  [[nodiscard]] static std::optional<actors::wire_message>
  hear_of(hostile_member& from, request_id request, epoch driver);
  /// Its reason, if it says that a stage failed.
  [[nodiscard]] static errc failure_of(const std::optional<actors::wire_message>& message);
  /// Sends an order to open, and returns why it was refused; nothing: the stage stands.
  [[nodiscard]] std::optional<errc> open(hostile_member& driver,
                                         const actors::wire_message& order) const;
  /// A request of `driver`'s own still computes on the first layers there.
  void expect_step(hostile_member& driver);
};

} // namespace ovir::test
