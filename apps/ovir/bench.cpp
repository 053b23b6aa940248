#include "apps/compute_threads.hpp"
#include "apps/ovir/command.hpp"
#include "apps/ovir/machine.hpp"
#include "apps/pack_model.hpp"
#include "apps/progress.hpp"
#include "compute/sampler.hpp"
#include "compute/segment.hpp"
#include "messages/limits.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

namespace ovir::apps {

namespace {

struct options {
  std::string model;
  std::uint32_t prompt{128};
  std::uint32_t tokens{32};
  std::uint32_t runs{3};
  compute_options how;
  bool as_json{false};
};

struct timing {
  double prefill_tps{0};
  double decode_tps{0};
};

struct measurement {
  std::vector<timing> runs;
  digest logits; ///< of every logits row drawn from, in all runs alike
  std::uint64_t weight_bytes{0};
};

#if defined(__OPTIMIZE__)
constexpr bool is_optimised = true;
#else
constexpr bool is_optimised = false;
#endif

double median(const std::vector<timing>& runs, double timing::*member) {
  std::vector<double> values;
  values.reserve(runs.size());
  for (const timing& run : runs) {
    values.push_back(run.*member);
  }
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Tokens without meaning that every run and machine shares.
std::vector<token_id> prompt_of(std::uint32_t count, std::uint32_t vocabulary) {
  std::vector<token_id> ids(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    ids[i] = static_cast<token_id>((std::uint64_t{i} * 7'919 + 3) % vocabulary);
  }
  return ids;
}

// One request from nothing, computed directly: no actors, so that this is the cost of arithmetic.
class one_run {
public:
  one_run(compute::segment& whole, compute::parallel_runner& runner, surroundings& around)
      : whole_(whole), runner_(runner), around_(around) {}

  result<timing> measure(const options& given, hasher& logits) {
    std::vector<token_id> ids = prompt_of(given.prompt, whole_.config().vocabulary);
    OVIR_ASSIGN(compute::segment_state state,
                whole_.open(given.prompt + given.tokens, std::numeric_limits<std::size_t>::max()));
    compute::sampler greedy{{}};
    const auto start = around_.environment.now();
    for (position first = 0; first < given.prompt;) {
      const std::uint32_t count = std::min(given.how.prefill_chunk, given.prompt - first);
      const bool last = first + count == given.prompt;
      OVIR_TRY(step(state, std::span{ids}.subspan(first, count), last ? 1 : 0));
      first += count;
    }
    const auto prefilled = around_.environment.now();
    for (std::uint32_t i = 0; i < given.tokens; ++i) {
      const position p = state.kv.length();
      logits.update(compute::logits_digest(p - 1, out_.logits));
      ids.push_back(greedy.draw(out_.logits, ids, p));
      OVIR_TRY(step(state, std::span{ids}.last(1), 1));
    }
    logits.update(compute::logits_digest(state.kv.length() - 1, out_.logits));
    const auto decoded = around_.environment.now();
    return timing{rate(given.prompt, prefilled - start), rate(given.tokens, decoded - prefilled)};
  }

private:
  static double rate(std::uint32_t tokens, std::chrono::duration<double> time) {
    return tokens / std::max(time.count(), 1e-9);
  }

  result<void> step(compute::segment_state& state, std::span<const token_id> ids,
                    std::uint32_t logit_rows) {
    if (around_.interrupted.load()) {
      return fail(errc::cancelled, "interrupted before the measurement was complete");
    }
    compute::step_input in;
    in.first = state.kv.length();
    in.count = static_cast<std::uint32_t>(ids.size());
    in.tokens = ids;
    in.logit_rows = logit_rows;
    return whole_.forward(state, in, runner_, out_);
  }

  compute::segment& whole_;
  compute::parallel_runner& runner_;
  surroundings& around_;
  compute::step_output out_;
};

result<measurement> measure(const options& given, ready_model& model,
                            const compute::kernel_set& kernels, compute::parallel_runner& runner,
                            surroundings& around) {
  const layer_range layers{0, model.weights.config.layers};
  OVIR_TRY(pack_model(model, layers, kernels, around.environment, runner));
  OVIR_ASSIGN(const auto whole, compute::segment::make_checked(model.weights, layers, kernels));
  progress shown{around.environment, "measuring"};
  measurement all;
  all.weight_bytes = whole->weight_bytes();
  for (std::uint32_t i = 0; i < given.runs; ++i) {
    hasher logits{"ovir/bench/v1/logits"};
    OVIR_ASSIGN(const timing run, one_run(*whole, runner, around).measure(given, logits));
    const digest numbers = logits.finish();
    if (i > 0 && numbers != all.logits) {
      return fail(errc::self_test_failed,
                  "run {} gave other logits than the run before; this machine computes wrongly", i);
    }
    all.logits = numbers;
    all.runs.push_back(run);
    shown.update(i + 1, given.runs);
  }
  return all;
}

result<exit_code> bench(const options& given, surroundings& around) {
  if (!is_optimised) {
    write_note("warning: this ovir was built without optimisation; its speed means nothing\n");
  }
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  if (given.prompt + given.tokens > model.weights.config.context) {
    return fail(errc::invalid_argument,
                "-p {} and -n {} make {} positions, but {} has a context of {}; ask for less",
                given.prompt, given.tokens, given.prompt + given.tokens, model.source.path,
                model.weights.config.context);
  }
  compute_threads runner{given.how.threads};
  OVIR_ASSIGN(const measurement all, measure(given, model, *kernels, runner, around));
  // Before the bandwidth's own buffer, which is not the model's memory.
  const std::uint64_t peak = peak_rss_bytes();
  const double bandwidth = read_bandwidth(runner, around.environment);
  const double prefill = median(all.runs, &timing::prefill_tps);
  const double decode = median(all.runs, &timing::decode_tps);
  const double share = static_cast<double>(all.weight_bytes) * decode / bandwidth;
  if (given.as_json) {
    json runs = json::array();
    for (const timing& run : all.runs) {
      runs.push_back({{"prefill_tps", run.prefill_tps}, {"decode_tps", run.decode_tps}});
    }
    OVIR_TRY(write_document(json{{"prefill_tps", prefill},
                                 {"decode_tps", decode},
                                 {"peak_rss_bytes", peak},
                                 {"bandwidth_share", share},
                                 {"read_bandwidth", bandwidth},
                                 {"weight_bytes", all.weight_bytes},
                                 {"runs", std::move(runs)},
                                 {"prompt", given.prompt},
                                 {"tokens", given.tokens},
                                 {"threads", given.how.threads},
                                 {"isa", kernels->name},
                                 {"model", model.source.path},
                                 {"logits", to_hex(all.logits)},
                                 {"optimised", is_optimised}}));
    return exit_code::done;
  }
  OVIR_TRY(write_output(fmt::format(
      "{}, {} threads, {} kernels, median of {} runs\n"
      "prefill   {:.1f} tokens/s ({} tokens)\n"
      "decode    {:.1f} tokens/s ({} tokens), {:.1f} GB/s, {:.0f} % of plain reading ({:.1f} "
      "GB/s)\n"
      "memory    {} at most\n"
      "logits    {}\n",
      model.source.path, given.how.threads, kernels->name, given.runs, prefill, given.prompt,
      decode, given.tokens, static_cast<double>(all.weight_bytes) * decode / 1e9, 100 * share,
      bandwidth / 1e9, bytes_text(peak), to_hex(all.logits))));
  return exit_code::done;
}

} // namespace

void add_bench(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command = app.add_subcommand("bench", "Measure prefill and decode speed");
  const auto given = std::make_shared<options>();
  command->footer(
      "Computes directly, without actors, from fixed tokens; reports medians, the\n"
      "share of the memory bandwidth that decoding reaches, and a digest of all logits.\n"
      "\nExample:\n  ovir bench -m MODEL.gguf -t 2 -p 128 -n 32 -r 3 --json");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("-p,--prompt", given->prompt, "Tokens of the prompt")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max))
      ->capture_default_str();
  command->add_option("-n,--tokens", given->tokens, "Tokens to decode")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max))
      ->capture_default_str();
  command->add_option("-r,--runs", given->runs, "Runs; medians are reported")
      ->check(CLI::Range(std::uint32_t{1}, limits::bench_runs_max))
      ->capture_default_str();
  add_threads(*command, given->how);
  add_prefill_chunk(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return bench(*given, around); };
  });
}

} // namespace ovir::apps
