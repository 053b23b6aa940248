#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace ovir::gateway {

/// How many times fell into which range. A value.
class time_histogram {
public:
  /// Upper ends of the ranges, in seconds; what is longer counts as infinite.
  static constexpr std::array<double, 12> bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                 1,    2.5,   5,    10,  30,   120};
  void add(std::chrono::steady_clock::duration time) noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] double sum() const noexcept { return sum_; } ///< seconds
  /// Times up to `bounds[i]`.
  [[nodiscard]] std::uint64_t up_to(std::size_t i) const noexcept { return up_to_[i]; }

private:
  std::array<std::uint64_t, bounds.size()> up_to_{};
  std::uint64_t count_{0};
  double sum_{0};
};

/// What the endpoint counts since it began (docs/metrics.md).
struct api_counts {
  std::map<int, std::uint64_t> replies; ///< by status
  std::uint64_t prompt_tokens{0};
  std::uint64_t completion_tokens{0};
  std::uint64_t resumed{0};
  std::uint64_t abandoned{0}; ///< cancelled because their client went
  std::uint64_t under_way{0};
  std::uint64_t connections{0};
  time_histogram first_token; ///< from a request's body to its first token
  time_histogram duration;    ///< to its end
};

/// Prometheus' text format, version 0.0.4.
[[nodiscard]] std::string metrics_text(const api_counts& counts);

} // namespace ovir::gateway
