#pragma once

#include "messages/node_id.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <vector>

namespace ovir::actors {

/// What a scheduler saw of a node on the paths of its requests, as shares from 0 to 1.
struct reputation_view {
  node_id node;
  /// Steps that took no longer than planned, of the latest limits::reputation_steps or so. It
  /// begins at one half.
  double punctuality{0.5};
  double availability{1}; ///< of the time since it was first on a path, the last hours above all
  std::uint64_t steps{0}; ///< seen in all
};

/// How far nodes can be counted on, by what they did on this scheduler's paths: who is late or goes
/// away gets less of the work that is in a hurry. How fast a node is, is not in it (`seen_speeds`),
/// nor whether its work is right (`standing`). The same events in the same order give the same
/// shares. A value: knows no clock. At most limits::reputation_nodes_max are remembered.
class observed_reputation {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A step of one position that this node computed, in so long, and what was planned of it, in
  /// seconds above 0: late above limits::late_factor times that and limits::late_grace.
  void note_step(const node_id& node, double took, double planned, time_point now);
  /// A request left it because it was too slow, before a step told its time.
  void note_late(const node_id& node, time_point now) {
    note_step(node, std::numeric_limits<double>::infinity(), 1, now);
  }
  /// Who of them is there now.
  void note_there(const std::function<bool(const node_id&)>& is_there, time_point now);

  /// One half for a node that was never on a path, else the lesser of its shares.
  [[nodiscard]] double share(const node_id& node) const;
  /// By how much its speed is to be multiplied where a path is planned. In a hurry: the square of
  /// (0.8 + 0.4 times its share), so that work whose deadline is near goes to who was in time,
  /// unless another is much faster. Else it is not squared, and the share comes nearer to 1 by half
  /// with each limits::reputation_doubts in which the node is not on a path; a newcomer's is 1. So
  /// who was late, or is new, is tried now and then with work that has time, and earns its share.
  [[nodiscard]] double weight(const node_id& node, bool in_a_hurry, time_point now) const;
  [[nodiscard]] std::vector<reputation_view> list() const; ///< by key

private:
  struct record {
    double kept{0};  ///< of `steps`, in time
    double steps{0}; ///< earlier ones count less
    std::uint64_t seen{0};
    time_point last; ///< step
    double up{0};    ///< seconds, of `all`
    double all{0};   ///< earlier ones count less
    bool there{true};
    time_point since; ///< when `up` and `all` were right
  };
  [[nodiscard]] static reputation_view view_of(const node_id& node, const record& r);

  std::map<node_id, record> nodes_;
};

} // namespace ovir::actors
