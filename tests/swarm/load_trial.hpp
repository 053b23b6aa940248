#pragma once

#include "tests/swarm/swarm.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::swarm {

struct load_plan {
  std::uint64_t seed{1};
  double percent{80};         ///< of the time, that the busiest node is to compute
  std::size_t accepted{2000}; ///< the run goes on until so many accepted requests are over
  bool ledger{true};
  bool audits{true};
};

/// What came of a request with a deadline.
enum class load_fate : std::uint8_t {
  under_way,
  refused, ///< because the deadline cannot be met
  met,     ///< the whole answer was there in time
  missed,  ///< it was there later, or its deadline ended it
  failed,  ///< for another reason
};

/// Requests with deadlines of one kind.
struct load_class {
  std::string name;
  double most{0}; ///< deadlines up to so many times what the request takes alone
  std::size_t refused{0};
  std::size_t met{0};
  std::size_t missed{0};
  [[nodiscard]] std::size_t accepted() const noexcept { return met + missed; }
};

struct load_report {
  std::vector<load_class> classes;
  double rate{0};           ///< requests a second
  double seconds{0};        ///< in which they came
  std::vector<double> busy; ///< share of the time that each node computed
  std::size_t failed{0};
  std::size_t named{0};              ///< refusals with the predicted time
  std::vector<nanoseconds> refusals; ///< after how long, in order
  std::vector<std::string> failures; ///< some
  outcome rest;                      ///< of the swarm
  std::vector<std::string> violations;
  [[nodiscard]] load_class all() const;
  [[nodiscard]] double busiest() const;
  [[nodiscard]] double refused_in(nanoseconds time) const; ///< a share of the refusals
};

/// A request of the trial, and its HTTP client.
class load_request;

/// Clients ask a swarm in which nothing goes wrong, with deadlines of which some cannot be met. The
/// arrivals are random and as many as keep the busiest node busy for a given share of the time:
/// their rate follows it, and is found before requests count. A step takes as long as what it
/// computes (`host_speed::unit`).
class load_trial {
public:
  /// `model` counts. `says`: a line for each request that is over; may be empty.
  load_trial(const load_plan& plan, tiny_model& model,
             std::function<void(const std::string&)> says);
  load_report run();

private:
  void arrive();
  void ask();
  void follow_rate();
  void count(const load_request& one);
  void mark();
  [[nodiscard]] std::vector<double> busy_since_mark();
  void judge();
  void expect(bool right, std::string what);

  load_plan plan_;
  swarm swarm_;
  std::function<void(const std::string&)> says_;
  chance draws_;
  double rate_;                 ///< requests a second, now
  std::vector<double> of_late_; ///< share of the time that each node computed, smoothed
  bool comes_{false};           ///< requests do
  bool counts_{false};          ///< those that come now
  std::size_t asked_{0};
  std::size_t open_{0};
  nanoseconds marked_{0};
  std::vector<nanoseconds> computed_; ///< at the mark
  load_report report_;
};

/// For people.
[[nodiscard]] std::string to_text(const load_plan& plan, const load_report& report);

} // namespace ovir::swarm
