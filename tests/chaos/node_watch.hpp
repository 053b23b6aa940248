#pragma once

#include "tests/chaos/crew.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ovir::chaos {

/// One look at a process.
struct use_sample {
  double age_s{0};
  double resident_mib{0};
  double descriptors{0};
  double threads{0};
};

/// All looks at one life of a node.
struct use_series {
  std::string node;
  pid_t process{-1};
  std::vector<use_sample> samples;
};

/// The growth of one figure over a series, robust against single looks: the median of the slopes
/// between all pairs of samples (Theil 1950, Sen 1968) times the time they span.
[[nodiscard]] double growth(const std::vector<double>& at, const std::vector<double>& values);

/// Samples what the nodes have of the machine, each process a series.
class node_watch {
public:
  explicit node_watch(const test::test_cluster& cluster);

  /// Looks when the last time is long enough ago.
  void look();
  void look_now();
  [[nodiscard]] const std::vector<use_series>& series() const noexcept { return series_; }
  /// Sentences about what grew after the first `warm_up` of a life: memory by more than
  /// 12 MiB, descriptors by more than 4 and what `clients` can bring when all move to one node,
  /// threads by more than 2. Lives with fewer than 12 samples thereafter say nothing.
  [[nodiscard]] std::vector<std::string> grown(std::chrono::seconds warm_up,
                                               std::size_t clients) const;

private:
  const test::test_cluster& cluster_;
  clock::time_point next_{};
  std::vector<clock::time_point> born_; ///< as series_
  std::vector<use_series> series_;
};

/// What is not as before the drill, in sentences: requests or sessions that are left, parts of the
/// tree that are down, descriptors, threads or memory beyond those of `before` (by more than 6, 2
/// and 25 % + 32 MiB). Waits up to `within` for sessions to end and links to close.
[[nodiscard]] std::vector<std::string> leaks(const test::test_cluster& cluster,
                                             const std::vector<test::process_use>& before,
                                             std::chrono::seconds within);

/// As `leaks` compares with; throws when a node does not run.
[[nodiscard]] std::vector<test::process_use> uses_of(const test::test_cluster& cluster);

} // namespace ovir::chaos
