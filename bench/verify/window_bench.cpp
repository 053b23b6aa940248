// What an audit of one window of a stage costs, beside computing it as a part of a prompt and
// beside decoding it token by token.
//
//   build/release/ovir_window_bench MODEL ROUNDS
//
// MODEL has 12 layers, such as `ovir model synth m.gguf --preset 1.1b --layers 12`; the stage has
// layers 4 to 7. One thread. All three in turn, for an early and a late window; prints medians as a
// JSON object.
#include "apps/compute_threads.hpp"
#include "apps/open_model.hpp"
#include "apps/pack_model.hpp"
#include "compute/forward/kv_digest.hpp"
#include "compute/forward/segment.hpp"
#include "messages/check.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/window_replay.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace ovir;
using namespace ovir::compute;

constexpr std::uint32_t size = 32;
constexpr std::uint32_t context = 256; ///< a prompt of 128 tokens and an answer of as many
constexpr layer_range layers{4, 8};
constexpr std::size_t stage = 1;

template <class T>
T must(result<T> r) {
  if (!r) {
    std::fprintf(stderr, "ovir_window_bench: %s\n", r.error().message.c_str());
    std::exit(4);
  }
  return std::move(r).value();
}

double milliseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
      .count();
}

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

step_input rows_of(const std::vector<float>& rows, std::uint32_t dim, position first,
                   std::uint32_t count) {
  step_input in;
  in.first = first;
  in.count = count;
  in.boundary = std::span{rows}.subspan(std::size_t{first} * dim, std::size_t{count} * dim);
  return in;
}

/// What the stage was given over the whole request, what it made of it, and its statements.
struct worked_stage {
  receipt r;
  std::vector<float> rows;
  segment_state state;

  /// Back to where `window` begins.
  void rewind(std::uint32_t window) {
    state.kv.set_length(window * size);
    state.units = unit_digests{layers};
    state.units.skip_to(window);
  }
  [[nodiscard]] std::vector<input_bytes> inputs(const model_config& config,
                                                std::uint32_t window) const {
    std::vector<input_bytes> all;
    for (const window_input& one : inputs_of(r, config, {stage, window})) {
      std::vector<std::byte> bytes;
      if (one.part == audit_part::kv) {
        bytes = kv_bytes(state.kv, one.unit.layer, one.unit.window, size);
      } else {
        const auto own = std::as_bytes(std::span{rows}.subspan(
            std::size_t{window} * size * config.dim, std::size_t{size} * config.dim));
        bytes.assign(own.begin(), own.end());
      }
      all.push_back(std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
    }
    return all;
  }
};

worked_stage work_through(segment& work, std::uint32_t dim, parallel_runner& runner) {
  const test::receipt_maker cast;
  worked_stage done{cast.make({3, 4, context + 1 - 8, 8, 17}),
                    std::vector<float>(std::size_t{context} * dim),
                    must(work.open(context, std::numeric_limits<std::size_t>::max()))};
  std::uint32_t seed = 1;
  for (float& value : done.rows) {
    seed = seed * 1'664'525U + 1'013'904'223U;
    value = static_cast<float>(seed >> 8U) / 8'388'608.0F - 1;
  }
  unit_digests before{{layers.first - 1, layers.first}};
  std::vector<unit_leaf> came;
  step_output out;
  for (position p = 0; p < context; p += size) {
    const step_input in = rows_of(done.rows, dim, p, size);
    OVIR_CHECK(work.forward(done.state, in, runner, out).has_value());
    before.add(layers.first - 1, p, size, in.boundary, dim, came);
    statement& s = done.r.stages[stage].statements[p / size];
    s.input = came.back().boundary;
    for (const unit_leaf& leaf : out.leaves) {
      s.units[leaf.unit.layer - layers.first] = leaf.boundary;
    }
    for (layer_index l = layers.first; l < layers.last; ++l) {
      s.kv[l - layers.first] = kv_digest(done.state.kv, l, p / size, size);
    }
  }
  return done;
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: ovir_window_bench MODEL ROUNDS\n");
    return 2;
  }
  const int rounds = std::max(1, std::atoi(argv[2]));
  const auto environment = storage::make_env_posix();
  apps::ready_model model = must(apps::ready_model_at(*environment, argv[1]));
  const kernel_set& kernels = *must(apps::kernels_from(""));
  apps::compute_threads runner{1};
  const model_config& config = model.weights.config;
  OVIR_CHECK(config.layers == 12 && config.context >= context, config.layers);
  OVIR_CHECK(check_weights(model.weights, {0, config.layers}, runner).has_value());
  OVIR_CHECK(
      apps::pack_model(model, {0, config.layers}, kernels, *environment, runner).has_value());
  const auto work = must(segment::make_checked(model.weights, layers, kernels));
  worked_stage done = work_through(*work, config.dim, runner);
  nlohmann::ordered_json document{{"model", config.name}, {"kernels", kernels.name}};
  for (const std::uint32_t window : {1U, context / size - 1}) {
    const auto inputs = done.inputs(config, window);
    std::vector<double> prompt;
    std::vector<double> decode;
    std::vector<double> audit;
    step_output out;
    for (int i = 0; i < rounds; ++i) {
      done.rewind(window);
      prompt.push_back(milliseconds([&] {
        const step_input in = rows_of(done.rows, config.dim, window * size, size);
        OVIR_CHECK(work->forward(done.state, in, runner, out).has_value());
      }));
      done.rewind(window);
      decode.push_back(milliseconds([&] {
        for (position p = window * size; p < (window + 1) * size; ++p) {
          OVIR_CHECK(work->forward(done.state, rows_of(done.rows, config.dim, p, 1), runner, out)
                         .has_value());
        }
      }));
      audit.push_back(milliseconds([&] {
        const stage_window at{stage, window};
        const auto again = must(replay_window(done.r, at, model.weights, inputs, kernels, runner));
        OVIR_CHECK(!window_fault(done.r, at, again).has_value());
      }));
    }
    document[fmt::format("window_{}", window)] = {
        {"prompt_ms", median(prompt)},
        {"decode_ms", median(decode)},
        {"audit_ms", median(audit)},
        {"audit_by_prompt", median(audit) / median(prompt)},
        {"decode_by_audit", median(decode) / median(audit)}};
  }
  std::printf("%s\n", document.dump(2).c_str());
  return 0;
}
