#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ovir::gateway {

/// How many times fell into which range. A value.
class time_histogram {
public:
  /// Upper ends of the ranges, in seconds; what is longer counts as infinite.
  static constexpr std::array<double, 12> of_requests{0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                                      1,    2.5,   5,    10,  30,   120};
  static constexpr std::array<double, 12> of_steps{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                   0.1,   0.25,   0.5,   1,    2.5,   10};

  /// `bounds` ascend, and are static.
  explicit time_histogram(std::span<const double> bounds = of_requests)
      : bounds_(bounds), up_to_(bounds.size()) {}

  void add(std::chrono::steady_clock::duration time);

  [[nodiscard]] std::span<const double> bounds() const noexcept { return bounds_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] double sum() const noexcept { return sum_; } ///< seconds
  /// Times up to `bounds()[i]`.
  [[nodiscard]] std::uint64_t up_to(std::size_t i) const noexcept { return up_to_[i]; }

private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> up_to_;
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

enum class metric_type : std::uint8_t { counter, gauge, histogram };

/// One metric as Prometheus knows it. A value.
struct metric_family {
  struct sample {
    double value{0};
    std::string label_value{}; ///< of the family's label
  };
  std::string name;
  std::string help;
  metric_type type{metric_type::counter};
  std::string label{};           ///< its name; empty: one sample without any
  std::vector<sample> samples{}; ///< of a counter or a gauge
  std::optional<time_histogram> times{};
};
using metric_families = std::vector<metric_family>;

/// Appends families by what they are, so that the names stand in one column.
class metric_list {
public:
  using by_label = std::initializer_list<std::pair<const char*, double>>;

  explicit metric_list(metric_families& to) : to_(to) {}

  void counter(const char* name, const char* help, double value);
  void gauge(const char* name, const char* help, double value);
  void counters(const char* name, const char* help, const char* label, by_label values);
  void gauges(const char* name, const char* help, const char* label, by_label values);
  void counters(const char* name, const char* help, const char* label,
                const std::map<std::string, std::uint64_t>& values);
  void gauges(const char* name, const char* help, const char* label,
              const std::map<std::string, std::uint64_t>& values);
  void times(const char* name, const char* help, const time_histogram& times);

private:
  metric_families& to_;
};

/// What an endpoint counts, as `ovir_gateway_...`.
[[nodiscard]] metric_families families_of(const api_counts& counts);
/// Prometheus' text format, version 0.0.4.
[[nodiscard]] std::string metrics_text(const metric_families& families);
inline constexpr const char* metrics_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// What the node behind an endpoint counts. Calls come from a server's thread.
class metrics_source {
public:
  using poster = std::function<void(std::function<void()>)>;
  using answer = std::function<void(metric_families)>;

  virtual ~metrics_source() = default;
  /// `done` is given to `post`, once, with what answered in time; never where the node ends before.
  virtual void measure(poster post, answer done) = 0;
};

} // namespace ovir::gateway
