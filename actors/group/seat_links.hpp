#pragma once

#include "actors/group/group_links.hpp"
#include "messages/node_id.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// A member's ways over the links of its node: what arrives is put into its inbox by the threads of
/// the network, and taken out by the one that computes. Bounded in bytes: a member that sends more
/// than a pass can need is lost. Thread-safe.
class seat_links final : public group_links {
public:
  using sender = std::function<void(const node_id& to, bytes message)>;

  /// `nodes`: of the members, in their order. A thread that waits looks for what comes for `busy`
  /// before it sleeps: that takes a processor, and saves the time of waking up.
  seat_links(std::vector<node_id> nodes, sender send, std::chrono::nanoseconds busy = {});

  /// From the network. Nothing where `from` is no member.
  void put(const node_id& from, bytes message);
  /// A member's link ended: `receive` fails once it has given what came before.
  void lose(const node_id& member);
  /// The group is no more: likewise.
  void end(const std::string& why);
  [[nodiscard]] bool empty() const;

  // group_links
  void send(std::uint32_t member, bytes message) override;
  [[nodiscard]] result<std::optional<letter>> receive(time_point until) override;
  [[nodiscard]] time_point now() const override { return std::chrono::steady_clock::now(); }

private:
  [[nodiscard]] std::optional<std::uint32_t> member_of(const node_id& node) const;

  const std::vector<node_id> nodes_;
  const sender send_;
  const std::chrono::nanoseconds busy_;
  std::atomic<bool> something_{false}; ///< in the inbox, or a member is gone
  mutable std::mutex guard_;
  std::condition_variable changed_;
  std::deque<letter> inbox_;
  std::size_t bytes_{0};
  std::optional<std::string> lost_{}; ///< why, once a member is gone
};

} // namespace ovir::actors
