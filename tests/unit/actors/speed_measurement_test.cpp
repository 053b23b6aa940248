#include "actors/path/speed_measurement.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

/// A segment of a model of two layers, and a clock that is `tick` later whenever it is read: every
/// step takes one tick.
class measured_segment {
public:
  explicit measured_segment(layer_range layers, double tick) : tick_(tick) {
    segment_ =
        compute::segment::make(model_.get(), layers, compute::kernels_reference(), runner_).value();
  }

  result<node_speeds> measure() {
    return measure_speeds(*segment_, runner_, [this] { return tick_ * reads_++; });
  }
  [[nodiscard]] const compute::segment& segment() const { return *segment_; }

  /// How many positions the chunk must have had, by the arithmetic.
  static double chunk_of(const node_speeds& speeds, const compute::segment& s, double tick) {
    return speeds.prefill_bytes_per_second.value_or(0) * tick /
           static_cast<double>(s.layer_bytes());
  }

private:
  test::loaded_model model_{test::minimal_llama().build()};
  compute::serial_runner runner_;
  std::unique_ptr<compute::segment> segment_;
  double tick_;
  int reads_{0};
};

TEST(speed_measurement, divides_the_bytes_read_by_the_time_for_every_kind_of_segment) {
  for (const layer_range layers : {layer_range{0, 1}, layer_range{1, 2}, layer_range{0, 2}}) {
    SCOPED_TRACE(layers.first * 10 + layers.last);
    constexpr double tick = 0.0078125;
    measured_segment m{layers, tick};
    const auto speeds = m.measure();
    ASSERT_TRUE(speeds) << speeds.error().message;
    EXPECT_DOUBLE_EQ(speeds->decode_bytes_per_second.value_or(0),
                     static_cast<double>(m.segment().weight_bytes()) / tick);
    EXPECT_DOUBLE_EQ(measured_segment::chunk_of(*speeds, m.segment(), tick), 32);
  }
}

TEST(speed_measurement, tries_a_shorter_chunk_on_a_slow_machine) {
  struct expectation {
    double tick;
    double chunk;
  };
  for (const auto& [tick, chunk] :
       {expectation{0.0078125, 32}, expectation{0.015625, 16}, expectation{64, 8}}) {
    SCOPED_TRACE(tick);
    measured_segment m{{0, 2}, tick};
    const auto speeds = m.measure();
    ASSERT_TRUE(speeds) << speeds.error().message;
    EXPECT_DOUBLE_EQ(measured_segment::chunk_of(*speeds, m.segment(), tick), chunk);
  }
}

TEST(speed_measurement, counts_the_head_for_decoding_only) {
  measured_segment last{{1, 2}, 0.01};
  EXPECT_GT(last.segment().weight_bytes(), last.segment().layer_bytes());
  measured_segment first{{0, 1}, 0.01};
  EXPECT_EQ(first.segment().weight_bytes(), first.segment().layer_bytes());
}

TEST(speed_measurement, says_so_when_the_clock_stands_still) {
  measured_segment m{{0, 2}, 0};
  const auto speeds = m.measure();
  ASSERT_FALSE(speeds);
  EXPECT_EQ(speeds.error().code, errc::timed_out);
}

TEST(speed_measurement, leaves_nothing_behind_and_can_be_repeated) {
  measured_segment m{{0, 2}, 0.001};
  const auto first = m.measure();
  const auto second = m.measure();
  ASSERT_TRUE(first && second);
  EXPECT_NEAR(first->decode_bytes_per_second.value_or(0) /
                  second->decode_bytes_per_second.value_or(1),
              1, 1e-9);
}

} // namespace
} // namespace ovir::actors
