#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

/// How fast a node computes, from the steps it was seen to compute. Pure: times are handed in.
namespace ovir::actors {

/// One step of a segment, as it was observed.
struct speed_sample {
  /// Read by the step: compute::segment::weight_bytes where it gave logits, else layer_bytes.
  std::uint64_t weight_bytes{0};
  std::uint32_t positions{0};
  double seconds{0};
};

/// In the planner's units. Absent: not measured.
struct node_speeds {
  std::optional<double> decode_bytes_per_second{};  ///< weight bytes, one position at a time
  std::optional<double> prefill_bytes_per_second{}; ///< weight bytes times positions, in chunks
};

/// The middle one of every few values, smoothed exponentially: an outlier, such as a step during
/// which the machine did something else, changes nothing; a lasting change is followed within some
/// dozen values.
class smoothed_median {
public:
  smoothed_median() = default;
  explicit smoothed_median(std::optional<double> start) : smoothed_(start) {}

  void add(double value);
  /// Absent before the first value.
  [[nodiscard]] std::optional<double> value() const;

private:
  static constexpr std::size_t group = 5;
  static constexpr double weight_of_new = 0.3;

  [[nodiscard]] double median() const; ///< of the values since the last full group, at least one

  std::array<double, group> recent_{};
  std::size_t count_{0};
  std::optional<double> smoothed_;
};

/// A node's speeds, from a first measurement and the steps that followed.
class speed_estimate {
public:
  speed_estimate() = default;
  explicit speed_estimate(const node_speeds& start)
      : decode_(start.decode_bytes_per_second), prefill_(start.prefill_bytes_per_second) {}

  /// A step of one position counts as decode, one of limits::speed_prefill_positions_min or more as
  /// prefill; a step between the two says little of either and is left out, as is one whose numbers
  /// cannot be.
  void add(const speed_sample& sample);
  [[nodiscard]] node_speeds speeds() const { return {decode_.value(), prefill_.value()}; }

private:
  smoothed_median decode_;
  smoothed_median prefill_;
};

/// How far a prediction was off, as a share of what was measured: 0.1 is 10 % too much, -0.1 is
/// 10 % too little. Absent unless both are positive.
[[nodiscard]] std::optional<double> prediction_error(double predicted, double measured);

/// "predicted 12.0 tokens/s, measured 10.0: 20 % too high"; empty where there is no error to state.
[[nodiscard]] std::string prediction_text(double predicted_tps, double measured_tps);

} // namespace ovir::actors
