// Products of every weight type on every kernel set, with weights as in the file and packed, for 1
// token (memory-bound), 8 and 128 tokens (compute-bound), beside the speed of only reading the same
// memory; and attention over a long context, of one head and of several that share keys.
//
//   build/release/kernels_bench [--benchmark_filter=Q4_K]
//
// GB/s counts the bytes of weights (or of keys and values), GOPS two operations per weight and
// token. Matrices are larger than caches for 1 and 8 tokens. Compare rows of one run only: another
// run may meet another clock frequency or other load. The rates are of wall time, so they mean
// little on a machine that does other work. Gaps: one shape of matrix, no huge pages.
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/make/synth_blocks.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace ovir::compute;

constexpr std::size_t streamed_bytes = std::size_t{192} << 20U; // six times a common L3
constexpr std::uint32_t cols = 2048;
constexpr std::uint32_t prefill_rows = 2048;
constexpr std::uint32_t batch_tokens = 8;
constexpr std::uint32_t prefill_tokens = 128;
constexpr std::size_t line_bytes = 64;

/// A matrix, its activations and its results; made before threads start and shared by them.
struct problem {
  std::vector<std::byte> bytes;
  std::vector<std::byte> packed;
  weight w;
  quantized_batch x;
  std::vector<float> floats;
  std::vector<float> y;
};

bool is_float(tensor_type type) { return form_for(type) == activation_form::floats; }

std::unique_ptr<problem> make_problem(tensor_type type, std::uint32_t tokens) {
  auto out = std::make_unique<problem>();
  out->w = {.type = type, .rows = 1, .cols = cols, .data = nullptr, .wide = false};
  const std::size_t row = out->w.row_bytes();
  out->w.rows = tokens <= batch_tokens ? static_cast<std::uint32_t>(streamed_bytes / row / 32 * 32)
                                       : prefill_rows;
  out->bytes.resize(out->w.rows * row);
  synth_random random{1, static_cast<std::uint64_t>(type)};
  synth_blocks{type, 0.02}.fill(random, out->bytes);
  out->w.data = out->bytes.data();
  out->floats.resize(std::size_t{tokens} * cols);
  for (float& v : out->floats) {
    v = static_cast<float>(random.below(2001)) * 0.001F - 1.0F;
  }
  if (!is_float(type)) {
    out->x.reshape(form_for(type), tokens, cols);
    for (std::uint32_t t = 0; t < tokens; ++t) {
      kernels_reference().quantize(out->floats.data() + std::size_t{t} * cols, out->x, t);
    }
  }
  out->y.resize(std::size_t{tokens} * out->w.rows);
  return out;
}

/// The problem of the benchmark that runs now; only one is kept, because matrices are large. Made
/// by the first thread before its loop, which no thread enters before all have reached it.
std::unique_ptr<problem> current;

void prepare(const benchmark::State& state, tensor_type type, std::uint32_t tokens) {
  static std::pair<tensor_type, std::uint32_t> key;
  if (state.thread_index() != 0 || (current != nullptr && key == std::pair{type, tokens})) {
    return;
  }
  current.reset();
  current = make_problem(type, tokens);
  key = {type, tokens};
}

struct share {
  std::uint32_t first;
  std::uint32_t last;
};

share share_of(const benchmark::State& state, std::uint32_t rows) {
  const auto threads = static_cast<std::uint32_t>(state.threads());
  const auto index = static_cast<std::uint32_t>(state.thread_index());
  return {rows / threads * index, index + 1 == threads ? rows : rows / threads * (index + 1)};
}

void report(benchmark::State& state, double bytes, double operations) {
  const auto rounds = static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(bytes * rounds * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GOPS"] =
      benchmark::Counter(operations * rounds * 1e-9, benchmark::Counter::kIsRate);
}

/// Where packed weights begin; the fast kernels read whole cache lines.
std::byte* aligned(std::vector<std::byte>& bytes) {
  void* at = bytes.data();
  std::size_t space = bytes.size();
  return static_cast<std::byte*>(std::align(line_bytes, 1, at, space));
}

/// Gives the current problem the form of weights asked for; like `prepare`, before the loop.
void pack(const benchmark::State& state, bool packed) {
  if (state.thread_index() != 0) {
    return;
  }
  problem& p = *current;
  p.w.packed = nullptr;
  if (packed) {
    p.packed.resize(packed_bytes(p.w) + line_bytes);
    serial_runner runner;
    pack_weight({&p.w, 0}, aligned(p.packed), runner);
  }
}

void run_product(benchmark::State& state, const kernel_set& set, tensor_type type,
                 std::uint32_t tokens, bool packed) {
  prepare(state, type, tokens);
  pack(state, packed);
  share part{};
  for (auto _ : state) {
    problem& p = *current;
    part = share_of(state, p.w.rows);
    if (is_float(type)) {
      set.product_float(p.w, part.first, part.last, p.floats.data(), cols, tokens, p.y.data(),
                        p.w.rows);
    } else {
      set.product(p.w, part.first, part.last, p.x, p.y.data(), p.w.rows, nullptr);
    }
    benchmark::ClobberMemory();
  }
  const double rows = part.last - part.first;
  report(state, static_cast<double>(current->w.row_bytes()) * rows, 2.0 * cols * rows * tokens);
}

/// One word of each cache line: what memory gives when nothing is computed.
void run_read(benchmark::State& state, tensor_type type) {
  prepare(state, type, 1);
  std::size_t size = 0;
  for (auto _ : state) {
    size = current->bytes.size() / static_cast<std::size_t>(state.threads());
    const std::byte* data =
        current->bytes.data() + size * static_cast<std::size_t>(state.thread_index());
    std::array<std::uint64_t, 4> sums{};
    for (std::size_t i = 0; i + 4 * line_bytes <= size; i += 4 * line_bytes) {
      for (std::size_t n = 0; n < 4; ++n) {
        __builtin_prefetch(data + i + n * line_bytes + 4096);
        std::uint64_t word = 0;
        std::memcpy(&word, data + i + n * line_bytes, sizeof word);
        sums[n] ^= word;
      }
    }
    benchmark::DoNotOptimize(sums);
  }
  report(state, static_cast<double>(size), 0);
}

void run_attend(benchmark::State& state, const kernel_set& set, std::uint32_t heads) {
  constexpr std::uint32_t head_dim = 64;
  constexpr std::uint32_t positions = 8192;
  synth_random random{2, 0};
  std::vector<std::uint16_t> cache(std::size_t{2} * positions * head_dim);
  for (std::uint16_t& h : cache) {
    h = static_cast<std::uint16_t>(0x3000 + random.below(0x800));
  }
  const std::vector<float> query(heads * head_dim, 0.25F);
  std::vector<float> scores(heads * positions);
  std::vector<float> output(heads * head_dim);
  const attention_task task{.query = query.data(),
                            .keys = cache.data(),
                            .values = cache.data() + std::size_t{positions} * head_dim,
                            .stride = head_dim,
                            .positions = positions,
                            .head_dim = head_dim,
                            .heads = heads,
                            .scale = 0.125F,
                            .scores = scores.data(),
                            .output = output.data()};
  for (auto _ : state) {
    set.attend(task);
    benchmark::ClobberMemory();
  }
  report(state, static_cast<double>(cache.size() * 2), 4.0 * heads * positions * head_dim);
}

std::vector<const kernel_set*> usable_sets() {
  std::vector<const kernel_set*> sets;
  for (const kernel_set* set : {kernels_avx2(), kernels_avx512()}) {
    if (set != nullptr && processor_has(set->id)) {
      sets.push_back(set);
    }
  }
  return sets.empty() ? std::vector{&kernels_reference()} : sets;
}

void add_products(tensor_type type, std::uint32_t tokens) {
  const std::string shape = std::string{name_of(type)} + "/tokens:" + std::to_string(tokens);
  for (const int threads : {1, 2}) {
    if (tokens == 1) {
      benchmark::RegisterBenchmark(("read/" + shape).c_str(), run_read, type)
          ->Threads(threads)
          ->UseRealTime();
    }
    for (const kernel_set* set : usable_sets()) {
      for (const bool packed : {false, true}) {
        const std::string name =
            "product/" + shape + "/" + std::string{set->name} + (packed ? "/packed" : "");
        benchmark::RegisterBenchmark(name.c_str(), run_product, std::cref(*set), type, tokens,
                                     packed)
            ->Threads(threads)
            ->UseRealTime();
      }
    }
  }
}

std::string processor_name() {
  std::ifstream info{"/proc/cpuinfo"};
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

} // namespace

int main(int argc, char** argv) {
  for (const tensor_type type :
       {tensor_type::q8_0, tensor_type::q4_0, tensor_type::q4_k, tensor_type::q6_k,
        tensor_type::q5_k, tensor_type::q3_k, tensor_type::q2_k, tensor_type::iq4_xs,
        tensor_type::f16, tensor_type::f32}) {
    add_products(type, 1);
    add_products(type, batch_tokens);
    add_products(type, prefill_tokens);
  }
  for (const kernel_set* set : usable_sets()) {
    for (const std::uint32_t heads : {1U, 4U, 8U}) {
      const std::string name =
          "attend/positions:8192/heads:" + std::to_string(heads) + "/" + std::string{set->name};
      benchmark::RegisterBenchmark(name.c_str(), run_attend, std::cref(*set), heads);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::AddCustomContext("processor", processor_name());
  benchmark::AddCustomContext("compiler", OVIR_BENCH_COMPILER);
  benchmark::AddCustomContext("build", OVIR_BENCH_BUILD);
#if !defined(__OPTIMIZE__)
  std::fprintf(stderr, "warning: built without optimisation; these numbers mean nothing\n");
#endif
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
