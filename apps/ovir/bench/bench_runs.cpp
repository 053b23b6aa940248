#include "apps/ovir/bench/bench_runs.hpp"

#include "apps/compute_threads.hpp"
#include "apps/ovir/base/machine.hpp"
#include "apps/ovir/bench/bench_peaks.hpp"
#include "apps/ovir/bench/bench_profile.hpp"
#include "apps/ovir/bench/bench_sequence.hpp"
#include "apps/pack_model.hpp"
#include "apps/progress.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>

namespace ovir::apps::bench {

namespace {

// Steps between two readings of the weights: often enough to meet the same neighbours.
constexpr std::uint32_t steps_per_reading = 8;

double seconds(std::chrono::duration<double> time) { return std::max(time.count(), 1e-9); }

std::uint32_t largest(const std::vector<std::uint32_t>& values) {
  return *std::max_element(values.begin(), values.end());
}

// What all points share. One measures at a time.
class measuring {
public:
  measuring(const plan& asked, ready_model& model, const compute::kernel_set& kernels,
            surroundings& around)
      : asked_(asked), model_(model), kernels_(kernels), around_(around),
        progress_(around.environment, "measuring"), memory_(weights_read(model.weights, kernels)),
        peaks_(memory_, kernels, around.environment) {}

  result<findings> all(compute::segment& whole);

private:
  struct place {
    compute::segment& whole;
    compute::parallel_runner& runner;
  };

  void describe();
  void plan_work();
  result<void> open(const compute::segment& whole, std::uint32_t depth);
  result<void> at_depth(place p, std::uint32_t threads, std::uint32_t depth);
  result<void> one_run(place p, prefill_point* first_prefill, decode_point* first_decode);
  result<double> evaluate(place p, bench_sequence& one, std::uint32_t count);
  result<void> fill(place p, std::uint32_t batch);
  result<decode_run> decode(place p, decode_point& point, bool with_reading);
  result<void> decode_step(place p, std::span<bench_sequence> batch);
  result<void> check(decode_point& point);
  result<step_profile> profile(place p, decode_point& point);
  result<void> keep_going() const {
    if (around_.interrupted.load()) {
      return fail(errc::cancelled, "interrupted before the measurement was complete");
    }
    return {};
  }
  void done(std::uint64_t positions) { progress_.update(done_ += positions, work_); }

  const plan& asked_;
  ready_model& model_;
  const compute::kernel_set& kernels_;
  surroundings& around_;
  progress progress_;
  std::vector<weight_memory> memory_;
  machine_peaks peaks_;
  findings found_;
  std::uint64_t work_{0}; ///< positions to evaluate in all; a step of decoding counts as some
  std::uint64_t done_{0};

  std::vector<bench_sequence> sequences_;
  bench_sequence::mark at_depth_;              ///< of the first sequence
  std::vector<bench_sequence::mark> prompted_; ///< where decoding begins, of those filled so far
  std::vector<compute::session_step> steps_;
};

void measuring::describe() {
  model_facts& facts = found_.model;
  facts.path = model_.source.path;
  facts.file_bytes = bytes_of(model_.source);
  facts.weight_bytes = compute::file_bytes(model_.weights.output_norm);
  for (const compute::layer_weights& w : model_.weights.layers) {
    facts.weight_bytes += compute::file_bytes(w);
    for (std::size_t e = model_.weights.config.experts_used; e < w.experts.size(); ++e) {
      facts.weight_bytes -= compute::file_bytes(w.experts[e].gate) +
                            compute::file_bytes(w.experts[e].up) +
                            compute::file_bytes(w.experts[e].down);
    }
  }
  facts.weight_bytes += compute::file_bytes(model_.weights.output);
  for (const weight_memory& w : memory_) {
    const std::uint64_t operations = std::uint64_t{2} * w.matrix->rows * w.matrix->cols;
    (w.use == operation::head ? facts.head_operations : facts.layer_operations) += operations;
    facts.bytes_of[static_cast<std::size_t>(w.use)] += w.bytes.size();
    facts.weight_bytes_read += w.bytes.size();
    facts.packed_bytes += w.matrix->packed != nullptr ? w.bytes.size() : 0;
    facts.integers =
        facts.integers && compute::form_for(w.matrix->type) != compute::activation_form::floats;
  }
}

void measuring::plan_work() {
  std::uint64_t run = 0;
  for (const std::uint32_t prompt : asked_.prompts) {
    run += prompt;
  }
  for (const std::uint32_t batch : asked_.batches) {
    run += std::uint64_t{asked_.tokens} * batch;
  }
  const std::uint64_t others = largest(asked_.batches) - 1;
  for (const std::uint32_t depth : asked_.depths) {
    work_ +=
        (depth + others * (depth + asked_.prompts[0])) + asked_.threads.size() * asked_.runs * run;
  }
}

result<findings> measuring::all(compute::segment& whole) {
  describe();
  plan_work();
  // A long context is computed once, by the most threads asked for.
  compute_threads widest{largest(asked_.threads)};
  for (const std::uint32_t depth : asked_.depths) {
    OVIR_TRY(open(whole, depth));
    OVIR_TRY(evaluate({whole, widest}, sequences_[0], depth));
    at_depth_ = sequences_[0].here();
    OVIR_TRY(evaluate({whole, widest}, sequences_[0], asked_.prompts[0]));
    prompted_.push_back(sequences_[0].here());
    OVIR_TRY(fill({whole, widest}, largest(asked_.batches)));
    for (const std::uint32_t threads : asked_.threads) {
      if (threads == widest.width()) {
        OVIR_TRY(at_depth({whole, widest}, threads, depth));
      } else {
        compute_threads runner{threads};
        OVIR_TRY(at_depth({whole, runner}, threads, depth));
      }
    }
  }
  found_.peak_rss_bytes = peak_rss_bytes(around_.environment);
  return std::move(found_);
}

result<void> measuring::open(const compute::segment& whole, std::uint32_t depth) {
  sequences_.clear();
  prompted_.clear();
  const std::uint32_t count = largest(asked_.batches);
  const std::uint32_t positions =
      depth + std::max(largest(asked_.prompts), asked_.prompts[0] + asked_.tokens);
  const std::uint64_t memory = around_.environment.memory_bytes();
  const std::size_t most = memory == 0 ? std::numeric_limits<std::size_t>::max() : memory / count;
  std::uint64_t kv = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    OVIR_ASSIGN(bench_sequence one, bench_sequence::make(whole, i, positions, most));
    kv += one.kv_bytes();
    sequences_.push_back(std::move(one));
  }
  found_.kv_bytes = std::max(found_.kv_bytes, kv);
  return {};
}

// Seconds to evaluate the next `count` ids of the prompt.
result<double> measuring::evaluate(place p, bench_sequence& one, std::uint32_t count) {
  one.extend(count);
  std::chrono::duration<double> spent{};
  while (one.has_next()) {
    OVIR_TRY(keep_going());
    const auto start = around_.environment.now();
    compute::session_step step = one.next_step(asked_.chunk);
    p.whole.forward({&step, 1}, p.runner);
    spent += around_.environment.now() - start;
    OVIR_TRY(step.done);
    one.take_leaves();
    done(step.in.count);
  }
  return seconds(spent);
}

// Brings the first `batch` sequences to where decoding begins.
result<void> measuring::fill(place p, std::uint32_t batch) {
  for (std::size_t i = prompted_.size(); i < batch; ++i) {
    OVIR_TRY(evaluate(p, sequences_[i], at_depth_.at + asked_.prompts[0]));
    prompted_.push_back(sequences_[i].here());
  }
  return {};
}

result<void> measuring::at_depth(place p, std::uint32_t threads, std::uint32_t depth) {
  const std::size_t first_prefill = found_.prefill.size();
  const std::size_t first_decode = found_.decode.size();
  for (const std::uint32_t prompt : asked_.prompts) {
    found_.prefill.push_back({threads, depth, prompt, {}, {}});
  }
  for (const std::uint32_t batch : asked_.batches) {
    if (asked_.tokens > 0) {
      found_.decode.push_back({threads, depth + asked_.prompts[0], batch, 0, {}, {}, {}});
    }
  }
  for (std::uint32_t run = 0; run < asked_.runs; ++run) {
    OVIR_TRY(
        one_run(p, found_.prefill.data() + first_prefill, found_.decode.data() + first_decode));
  }
  for (std::size_t i = first_decode; asked_.profile && i < found_.decode.size(); ++i) {
    OVIR_ASSIGN(found_.decode[i].profile, profile(p, found_.decode[i]));
  }
  return {};
}

result<void> measuring::one_run(place p, prefill_point* prefill, decode_point* decoding) {
  for (const std::uint32_t prompt : asked_.prompts) {
    sequences_[0].back_to(at_depth_);
    const double before = peaks_.multiply_seconds(p.runner);
    OVIR_ASSIGN(const double taken, evaluate(p, sequences_[0], prompt));
    const double after = peaks_.multiply_seconds(p.runner);
    prefill->tps.push_back(prompt / taken);
    prefill->peak.push_back(2 * peaks_.multiplied(p.runner) / (before + after));
    ++prefill;
  }
  for (std::size_t i = 0; asked_.tokens > 0 && i < asked_.batches.size(); ++i) {
    OVIR_ASSIGN(const decode_run run, decode(p, decoding[i], true));
    OVIR_TRY(check(decoding[i]));
    decoding[i].runs.push_back(run);
  }
  return {};
}

result<void> measuring::decode_step(place p, std::span<bench_sequence> batch) {
  steps_.clear();
  for (bench_sequence& one : batch) {
    steps_.push_back(one.next_step(1));
  }
  p.whole.forward(steps_, p.runner);
  for (const compute::session_step& step : steps_) {
    OVIR_TRY(step.done);
  }
  return {};
}

result<decode_run> measuring::decode(place p, decode_point& point, bool with_reading) {
  const std::span<bench_sequence> batch{sequences_.data(), point.batch};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    batch[i].back_to(prompted_[i]);
  }
  std::chrono::duration<double> drawing{};
  std::chrono::duration<double> digests{};
  std::chrono::duration<double> total{};
  double reading = 0;
  std::uint32_t readings = 0;
  std::uint64_t kv_bytes = 0;
  for (std::uint32_t i = 0; i < asked_.tokens; ++i) {
    OVIR_TRY(keep_going());
    if (with_reading && i % steps_per_reading == 0) {
      reading += peaks_.read_seconds(p.runner);
      ++readings;
    }
    const auto start = around_.environment.now();
    for (bench_sequence& one : batch) {
      one.take_logits_digest();
    }
    const auto named = around_.environment.now();
    for (bench_sequence& one : batch) {
      one.draw();
    }
    const auto drawn = around_.environment.now();
    OVIR_TRY(decode_step(p, batch));
    const auto end = around_.environment.now();
    digests += named - start;
    drawing += drawn - named;
    total += end - start;
    for (bench_sequence& one : batch) {
      one.take_leaves();
      kv_bytes += one.length() * one.position_bytes();
    }
    done(batch.size());
  }
  for (bench_sequence& one : batch) {
    one.take_logits_digest();
  }
  const double steps = asked_.tokens;
  point.kv_bytes = kv_bytes / asked_.tokens;
  decode_run run;
  run.step = seconds(total) / steps;
  run.tps = static_cast<double>(batch.size()) / run.step;
  run.read = readings == 0 ? 0 : reading / readings;
  run.drawing = drawing.count() / steps;
  run.digest = digests.count() / steps;
  return run;
}

// What the first sequence computes must depend neither on the run nor on threads and the others.
result<void> measuring::check(decode_point& point) {
  std::vector<digest> seen;
  for (std::uint32_t i = 0; i < point.batch; ++i) {
    OVIR_ASSIGN(const digest one, sequences_[i].transcript());
    seen.push_back(one);
  }
  if (found_.decode.front().transcripts.empty()) {
    found_.logits = sequences_[0].logits();
  }
  point.transcripts = seen;
  for (const decode_point& other : found_.decode) {
    const auto both = static_cast<std::ptrdiff_t>(std::min(other.transcripts.size(), seen.size()));
    if (other.depth == point.depth &&
        !std::equal(seen.begin(), seen.begin() + both, other.transcripts.begin())) {
      return fail(errc::self_test_failed,
                  "two runs of the same tokens gave other numbers ({} threads, {} at once, then {} "
                  "threads, {} at once); this machine computes wrongly, run ovir doctor",
                  other.threads, other.batch, point.threads, point.batch);
    }
  }
  return {};
}

result<step_profile> measuring::profile(place p, decode_point& point) {
  step_profiler profiler{kernels_, memory_, p.runner};
  OVIR_ASSIGN(const auto timed,
              compute::segment::make_checked(model_.weights, p.whole.layers(), profiler.kernels()));
  const place slow{*timed, profiler.runner()};
  // Once to make its memory, once to measure.
  OVIR_TRY(decode(slow, point, false));
  profiler.start();
  OVIR_ASSIGN(const decode_run run, decode(slow, point, false));
  OVIR_TRY(check(point));
  const double logits = run.drawing + run.digest;
  return profiler.finish(asked_.tokens, (run.step - logits) * asked_.tokens,
                         logits * asked_.tokens);
}

} // namespace

result<findings> measure(const plan& asked, ready_model& model, const compute::kernel_set& kernels,
                         surroundings& around) {
  const layer_range layers{0, model.weights.config.layers};
  {
    compute_threads packers{largest(asked.threads)};
    OVIR_TRY(pack_model(model, layers, kernels, around.environment, packers));
  }
  OVIR_ASSIGN(const auto whole, compute::segment::make_checked(model.weights, layers, kernels));
  return measuring{asked, model, kernels, around}.all(*whole);
}

} // namespace ovir::apps::bench
