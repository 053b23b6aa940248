#pragma once

#include "tests/swarm/crowd.hpp"

#include <deque>
#include <functional>

namespace ovir::swarm {

struct crowd_report {
  std::deque<crowd_phase> phases;
  std::size_t plans{0};
  double oldest_in_plan{0}; ///< seconds that a node on a path had been dead
  std::uint64_t digest{0};
  std::vector<std::string> violations;
};

/// One run of a crowd: it starts, is calm, nodes come and go, a partition divides it and heals.
/// Some nodes plan paths over the members they know. What it cost and how soon all agreed is
/// compared with what is expected.
class crowd_trial {
public:
  /// `says`: told of each phase when it is over.
  crowd_trial(const crowd_plan& plan, std::function<void(const crowd_phase&)> says)
      : plan_(plan), crowd_(plan), says_(std::move(says)) {}
  crowd_report run();

private:
  void begin(const std::string& name);
  void end();
  void second();
  void run_phase(const std::string& name, std::chrono::seconds span);
  [[nodiscard]] std::string who_disagrees() const;
  double until_agreed(std::chrono::seconds most);
  [[nodiscard]] bool agrees(std::size_t i) const;
  /// A running honest node.
  [[nodiscard]] std::size_t someone(chance& draws) const;
  void sample();
  void plan_paths();
  void plan_by(std::size_t i);
  void judge();
  void expect(bool right, const std::string& what);

  crowd_plan plan_;
  node_crowd crowd_;
  std::function<void(const crowd_phase&)> says_;
  crowd_report report_;
  double processor_{0};      ///< at the beginning of the phase
  std::size_t disagreed_{0}; ///< who did at the last look
};

// For people: the head of a table of phases, a line of it, and what follows.
[[nodiscard]] std::string phase_head();
[[nodiscard]] std::string to_text(const crowd_phase& phase);
[[nodiscard]] std::string to_text(const crowd_plan& plan, const crowd_report& report);

} // namespace ovir::swarm
