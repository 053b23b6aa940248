#pragma once

#include "tests/swarm/crowd.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ovir::swarm {

/// Mean, 99th percentile and highest of something.
struct spread {
  double mean{0};
  double p99{0};
  double most{0};
};

/// What membership cost in a settled crowd that nodes leave without a word and others join, and how
/// soon all knew of it. Seconds are virtual ones.
struct members_report {
  std::size_t nodes{0};
  double seconds{0}; ///< with churn
  std::size_t came{0};
  std::size_t went{0};
  spread sent;       ///< bytes each second, of nodes that ran in all of it
  spread received;   ///< likewise
  spread shaken;     ///< handshakes of links, of each end; in addition
  double overall{0}; ///< bytes sent each second, of all nodes and with handshakes
  double messages{0};
  spread links;         ///< at once
  spread known_by_most; ///< from the start of a node until 99 % of the older ones saw it alive
  spread known_by_all;
  spread knows_most; ///< until it saw 99 % of the older ones alive
  spread knows_all;
  spread gone_for_most; ///< from the death of a node until 99 % no longer saw it alive
  spread gone_for_all;
  std::size_t unsettled{0}; ///< of both, never within the run
  double missing{0};        ///< share of views of living nodes, while nodes came and went
  double ghosts{0};         ///< likewise, dead ones seen alive
  double agreed{-1}; ///< seconds after the last change until all knew exactly the living ones
  std::uint64_t wrong_deaths{0};
  double processor{0};
  std::uint64_t digest{0};
  std::vector<std::string> violations;
};

/// One such run. `plan` says nodes, seed and churn; the rest is set here.
class members_trial {
public:
  explicit members_trial(crowd_plan plan);
  members_report run();

private:
  /// Someone who came or went, and who saw it since.
  struct change {
    nanoseconds at{0};
    std::vector<bool> saw;
    std::size_t seen{0};
    std::size_t of{0};
    double most{-1};
    double all{-1};
  };
  /// Seconds until a newcomer saw 99 %, and all, of the older ones; -1: not yet.
  struct learning {
    double most{-1};
    double all{-1};
  };
  void came(std::size_t i);
  void went(std::size_t i);
  void sees(std::size_t i, std::size_t j, actors::member_health health);
  void look(change& one) const;
  void sample();
  void sample_newcomers();
  void measure_traffic(double seconds);
  void until_agreed();
  [[nodiscard]] std::string who_disagrees() const;
  void conclude();
  void judge();
  void look_what_it_learned(std::size_t i, learning& took) const;
  [[nodiscard]] std::size_t wrong_views(std::size_t i, bool there) const;
  void expect(const std::string& what, double value, double most);

  crowd_plan plan_;
  node_crowd crowd_;
  crowd_phase phase_;
  members_report report_;
  bool changing_{false};
  std::map<std::size_t, change> arrivals_;
  std::map<std::size_t, change> deaths_;
  std::map<std::size_t, learning> learned_;
  std::vector<double> links_;
  std::uint64_t views_{0};
  std::uint64_t missing_{0};
  std::uint64_t ghosts_{0};
};

[[nodiscard]] std::string to_text(const members_report& report);

} // namespace ovir::swarm
