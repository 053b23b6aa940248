#pragma once

#include "messages/evidence/audit.hpp"
#include "messages/limits/audit_queue.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

namespace ovir::actors {

/// A finished request's receipt that waits for its draw.
struct waiting_receipt {
  node_id from;
  std::shared_ptr<const std::vector<std::byte>> bytes;
  bool suspect{false};
  bool again{false}; ///< by this node, before it was restarted: it has counted
  bool drawn{false}; ///< by the ledger's log, which says what to look at
};
/// A question of another verifier that waits for its answer.
struct waiting_question {
  node_id from;
  audit_question what;
};

/// What waits for a verifier, by who sent it: each sender has a share of its own in number, bytes
/// and positions to compute, and all take turns, so that one who sends much makes no other wait.
/// Questions come before receipts. Where all of it together is too much, who has most in it loses
/// the newest of it. A core: times are handed in.
class audit_queue {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using item = std::variant<waiting_receipt, waiting_question>;

  /// False: the sender's share is used up, or everything is full of smaller ones.
  bool push(item what, time_point now);
  /// Whose turn it is, among those who have positions left.
  [[nodiscard]] std::optional<item> next(time_point now);
  /// Whether `next` would give something.
  [[nodiscard]] bool ready(time_point now) const;
  /// What computing for `from` took. It may be more than is left, so that a long receipt is audited
  /// like any other; then the sender waits until that is made up for.
  void charge(const node_id& from, std::uint64_t positions, time_point now);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// What `push` did not take, and what others' items took the place of.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

private:
  struct sender {
    std::deque<waiting_receipt> receipts;
    std::deque<waiting_question> questions;
    std::size_t bytes{0};
    std::int64_t left{limits::audit_positions_burst}; ///< below 0: in debt
    time_point since;                                 ///< when `left` was right
  };

  [[nodiscard]] static std::int64_t left_at(const sender& s, time_point now);
  [[nodiscard]] static bool fits(const sender& s, const item& what, std::size_t size);
  [[nodiscard]] sender* of(const node_id& from, time_point now);
  [[nodiscard]] bool make_room(const sender& newcomer, std::size_t size);
  template <class Waiting>
  [[nodiscard]] std::optional<item> turn(std::deque<Waiting> sender::*list, node_id& last,
                                         time_point now);

  std::map<node_id, sender> senders_; ///< at most limits::audit_senders_max
  node_id last_question_;
  node_id last_receipt_;
  std::size_t size_{0};
  std::size_t bytes_{0};
  std::uint64_t refused_{0};
};

} // namespace ovir::actors
