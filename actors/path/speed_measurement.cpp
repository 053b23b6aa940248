#include "actors/path/speed_measurement.hpp"

#include "messages/limits/general.hpp"

#include <limits>

namespace ovir::actors {

namespace {

constexpr std::uint32_t decode_steps_max = 3;
constexpr std::uint32_t chunk_max = 32;
/// Share of the time that decoding may begin another step in.
constexpr double decode_share = 0.4;
/// A position of a chunk took a third of a decode step's time, or less, on all machines looked at.
constexpr double chunk_position_share = 1.0 / 3;

class measurement {
public:
  measurement(compute::segment& segment, compute::parallel_runner& runner, const seconds_clock& now)
      : segment_(segment), runner_(runner), now_(now), start_(now()) {}

  result<node_speeds> run() {
    OVIR_ASSIGN(state_, segment_.open(1 + decode_steps_max + chunk_max,
                                      std::numeric_limits<std::size_t>::max()));
    const std::uint32_t logits = segment_.is_last() ? 1 : 0;
    OVIR_TRY(step(1, logits)); // the first step allocates, and wakes the threads
    speed_estimate seen;
    double step_seconds = 0;
    for (std::uint32_t i = 0; i < decode_steps_max; ++i) {
      if (i > 0 && elapsed() > limits::speed_measure_seconds * decode_share) {
        break;
      }
      OVIR_ASSIGN(step_seconds, step(1, logits));
      seen.add({segment_.weight_bytes(), 1, step_seconds});
    }
    const std::uint32_t chunk = chunk_for(step_seconds);
    // Of a prompt only the last position's logits are computed: its cost is that of the layers.
    OVIR_ASSIGN(const double chunk_seconds, step(chunk, 0));
    seen.add({segment_.layer_bytes(), chunk, chunk_seconds});
    const node_speeds speeds = seen.speeds();
    if (!speeds.decode_bytes_per_second || !speeds.prefill_bytes_per_second) {
      return fail(errc::timed_out,
                  "the speed of layers {} to {} was not measured: the clock stood still; try again",
                  segment_.layers().first, segment_.layers().last - 1);
    }
    return speeds;
  }

private:
  [[nodiscard]] double elapsed() const { return now_() - start_; }

  [[nodiscard]] std::uint32_t chunk_for(double step_seconds) const {
    const double left = limits::speed_measure_seconds - elapsed();
    std::uint32_t chunk = chunk_max;
    while (chunk > limits::speed_prefill_positions_min &&
           chunk * step_seconds * chunk_position_share > left) {
      chunk /= 2;
    }
    return chunk;
  }

  // Input that means nothing and is finite: the time of a step does not depend on it.
  result<double> step(std::uint32_t count, std::uint32_t logit_rows) {
    compute::step_input in;
    in.first = state_.kv.length();
    in.count = count;
    in.logit_rows = logit_rows;
    if (segment_.is_first()) {
      tokens_.clear();
      for (std::uint32_t i = 0; i < count; ++i) {
        tokens_.push_back((in.first + i) * 7 % segment_.config().vocabulary);
      }
      in.tokens = tokens_;
    } else {
      boundary_.resize(std::size_t{count} * segment_.config().dim);
      for (std::size_t i = 0; i < boundary_.size(); ++i) {
        boundary_[i] = static_cast<float>(i * 37 % 101) / 101.0F - 0.5F;
      }
      in.boundary = boundary_;
    }
    const double before = now_();
    OVIR_TRY(segment_.forward(state_, in, runner_, out_));
    return now_() - before;
  }

  compute::segment& segment_;
  compute::parallel_runner& runner_;
  const seconds_clock& now_;
  double start_;
  compute::segment_state state_{};
  compute::step_output out_;
  std::vector<token_id> tokens_;
  std::vector<float> boundary_;
};

} // namespace

result<node_speeds> measure_speeds(compute::segment& segment, compute::parallel_runner& runner,
                                   const seconds_clock& now) {
  return measurement{segment, runner, now}.run();
}

} // namespace ovir::actors
