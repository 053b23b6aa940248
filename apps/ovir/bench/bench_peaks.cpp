#include "apps/ovir/bench/bench_peaks.hpp"

#include "compute/base/grain_shares.hpp"
#include "compute/kernels/formats/packed_weights.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>

namespace ovir::apps::bench {

namespace {

// Some tens of milliseconds: long enough not to depend on one interruption.
constexpr std::uint64_t multiply_rounds = std::uint64_t{4} << 20U;

// Threads meet at these borders, so that none reads a cache line twice.
constexpr std::size_t read_grain = 4'096;

// Weights that may stay in the caches from step to step, on any machine of today.
constexpr std::size_t cacheable_bytes = std::size_t{512} << 20U;

double seconds(std::chrono::duration<double> time) { return std::max(time.count(), 1e-9); }

} // namespace

std::vector<weight_memory> weights_read(const compute::model& model,
                                        const compute::kernel_set& kernels) {
  std::vector<weight_memory> all;
  const bool packed = kernels.id != compute::isa::reference;
  const auto add = [&](operation use, const compute::weight& w) {
    if (w.empty()) {
      return;
    }
    const bool fast = packed && w.packed != nullptr;
    const std::byte* const first = fast ? w.packed : w.data;
    const std::size_t count = fast ? compute::packed_bytes(w) : w.rows * w.row_bytes();
    all.push_back({use, &w, {reinterpret_cast<const unsigned char*>(first), count}});
  };
  for (const compute::layer_weights& layer : model.layers) {
    add(operation::attn_q, layer.attn_q);
    add(operation::attn_k, layer.attn_k);
    add(operation::attn_v, layer.attn_v);
    add(operation::attn_output, layer.attn_output);
    add(operation::ffn_gate, layer.ffn_gate);
    add(operation::ffn_up, layer.ffn_up);
    add(operation::ffn_down, layer.ffn_down);
    add(operation::ffn_gate, layer.ffn_router);
    add(operation::ffn_gate, layer.ffn_shared_gate);
    add(operation::ffn_up, layer.ffn_shared_up);
    add(operation::ffn_down, layer.ffn_shared_down);
    // Of experts, as many as a token goes through: all are of one size.
    for (std::uint32_t e = 0; e < model.config.experts_used; ++e) {
      add(operation::ffn_gate, layer.experts[e].gate);
      add(operation::ffn_up, layer.experts[e].up);
      add(operation::ffn_down, layer.experts[e].down);
    }
  }
  add(operation::head, model.output);
  return all;
}

machine_peaks::machine_peaks(const std::vector<weight_memory>& weights,
                             const compute::kernel_set& kernels, storage::env& environment)
    : weights_(weights), loops_(compute::peak_loops_of(kernels.id)), environment_(environment) {
  for (const weight_memory& w : weights) {
    bytes_ += w.bytes.size();
  }
}

double machine_peaks::read_seconds(compute::parallel_runner& runner) {
  if (bytes_ < cacheable_bytes) {
    static_cast<void>(read_once(runner)); // what the caches hold of it, a step finds there too
  }
  return read_once(runner);
}

double machine_peaks::read_once(compute::parallel_runner& runner) {
  const auto grains_of = [](const weight_memory& w) {
    return static_cast<std::uint32_t>((w.bytes.size() + read_grain - 1) / read_grain);
  };
  std::uint32_t grains = 0;
  for (const weight_memory& w : weights_) {
    grains += grains_of(w);
  }
  std::atomic<std::uint64_t> sum{0};
  const auto start = environment_.now();
  // As products do: no thread waits for a slower one while there is something to read.
  compute::grain_shares shares{grains, runner.width()};
  runner.run(runner.width(), [&](std::size_t part) {
    std::uint64_t own = 0;
    for (auto run = shares.take(part); !run.empty(); run = shares.take(part)) {
      for (const weight_memory& w : weights_) {
        const std::uint32_t all = grains_of(w);
        const std::size_t from = std::size_t{std::min(run.first, all)} * read_grain;
        const std::size_t to =
            std::min(std::size_t{std::min(run.last, all)} * read_grain, w.bytes.size());
        if (from < to) {
          own += loops_.read(w.bytes.data() + from, to - from);
        }
        run.first -= std::min(run.first, all);
        run.last -= std::min(run.last, all);
      }
    }
    sum.fetch_add(own, std::memory_order_relaxed);
  });
  const double taken = seconds(environment_.now() - start);
  kept_ += sum.load();
  return taken;
}

double machine_peaks::multiply_seconds(compute::parallel_runner& runner) {
  std::atomic<std::uint64_t> sum{0};
  const auto start = environment_.now();
  runner.run(runner.width(), [&](std::size_t) {
    sum.fetch_add(loops_.multiply(multiply_rounds), std::memory_order_relaxed);
  });
  const double taken = seconds(environment_.now() - start);
  kept_ += sum.load();
  return taken;
}

double machine_peaks::multiplied(const compute::parallel_runner& runner) const {
  return static_cast<double>(multiply_rounds * loops_.operations * runner.width());
}

} // namespace ovir::apps::bench
