#pragma once

#include "actors/protocol/protocol.hpp"
#include "gateway/http/metrics.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

namespace ovir::actors {

/// What a node audited, and whom it knows to be convicted.
struct audit_counts {
  std::uint64_t receipts{0};   ///< that came for an audit here
  std::uint64_t units{0};      ///< computed again
  std::uint64_t mismatches{0}; ///< of these
  std::uint64_t waiting{0};    ///< receipts and questions
  std::uint64_t convicted{0};  ///< members
  std::uint64_t unaudited{0};  ///< receipts that were not looked at, or not all of their stages
};

/// What happened on a node since its process began, that no actor keeps for longer than a request.
struct node_counts {
  // Of leads
  std::array<std::uint64_t, 3> ended{}; ///< by `finish_reason`
  std::uint64_t failed{0};
  std::uint64_t tokens{0};     ///< drawn
  std::uint64_t drafted{0};    ///< tokens guessed and computed ...
  std::uint64_t accepted{0};   ///< ... of which these were right
  std::uint64_t late{0};       ///< steps that took longer than their slack
  std::uint64_t recoveries{0}; ///< paths that took another's place under a request
  std::uint64_t receipts{0};
  gateway::time_histogram step{gateway::time_histogram::of_steps};
  gateway::time_histogram slack; ///< what a step left of its time; 0 where it took longer
  // Of stages
  std::uint64_t statements{0}; ///< signed
  audit_counts audits;
};

/// Counts for Prometheus: leads and stages add, whoever is asked for the page reads. Some tens of
/// nanoseconds each. Thread-safe.
class node_meter {
public:
  /// A step took `took` of the `allowed` time.
  void step(std::chrono::nanoseconds took, std::chrono::nanoseconds allowed) {
    const std::lock_guard lock{guard_};
    counts_.late += took > allowed ? 1 : 0;
    counts_.step.add(took);
    counts_.slack.add(took > allowed ? std::chrono::nanoseconds{0} : allowed - took);
  }
  void drawn(std::size_t tokens) { add(counts_.tokens, tokens); }
  void guessed(std::size_t tokens, std::size_t right) {
    const std::lock_guard lock{guard_};
    counts_.drafted += tokens;
    counts_.accepted += right;
  }
  void recovered() { add(counts_.recoveries, 1); }
  void receipt() { add(counts_.receipts, 1); }
  void signed_statements(std::size_t count) { add(counts_.statements, count); }
  /// As they are now: a verifier computes for seconds at a time, and cannot be asked meanwhile.
  void audits(const audit_counts& now) {
    const std::lock_guard lock{guard_};
    counts_.audits = now;
  }
  /// Absent: it failed.
  void ended(std::optional<finish_reason> how) {
    add(how ? counts_.ended.at(static_cast<std::size_t>(*how)) : counts_.failed, 1);
  }

  [[nodiscard]] node_counts read() const {
    const std::lock_guard lock{guard_};
    return counts_;
  }

private:
  void add(std::uint64_t& to, std::uint64_t count) {
    const std::lock_guard lock{guard_};
    to += count;
  }

  mutable std::mutex guard_;
  node_counts counts_;
};

} // namespace ovir::actors
