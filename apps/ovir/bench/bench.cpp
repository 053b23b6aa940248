#include "messages/limits/bench.hpp"

#include "apps/ovir/base/command.hpp"
#include "apps/ovir/bench/bench_report.hpp"
#include "apps/ovir/bench/bench_runs.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <memory>

namespace ovir::apps {

namespace {

struct options {
  std::string model;
  bench::plan asked;
  compute_options how;
  bool as_json{false};
};

result<void> check(const options& given, const ready_model& model) {
  const bench::plan& asked = given.asked;
  const auto most = [](const std::vector<std::uint32_t>& values) {
    return std::uint64_t{*std::max_element(values.begin(), values.end())};
  };
  const std::uint64_t positions =
      most(asked.depths) +
      std::max(most(asked.prompts), std::uint64_t{asked.prompts.front()} + asked.tokens);
  if (positions > model.weights.config.context) {
    return fail(errc::invalid_argument,
                "--depth, -p and -n make {} positions, but {} has a context of {}; ask for less",
                positions, model.source.path, model.weights.config.context);
  }
  return {};
}

result<exit_code> run_bench(const options& given, surroundings& around) {
#if !defined(__OPTIMIZE__) && !defined(NDEBUG)
  write_note("warning: this ovir was built without optimisation; its speed means nothing\n");
#endif
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  OVIR_TRY(check(given, model));
  OVIR_ASSIGN(const bench::findings found, bench::measure(given.asked, model, *kernels, around));
  if (given.as_json) {
    OVIR_TRY(write_document(bench::to_document(given.asked, found, kernels->name)));
  } else {
    OVIR_TRY(write_output(bench::to_lines(given.asked, found, kernels->name)));
  }
  return exit_code::done;
}

// "8" or "1,2,8".
CLI::Option* add_list(CLI::App& command, const std::string& names,
                      std::vector<std::uint32_t>& values, std::uint32_t least, std::uint32_t most,
                      const std::string& help) {
  return command.add_option(names, values, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(least, most))
      ->type_name("N[,N...]");
}

void add_what(CLI::App& command, bench::plan& asked) {
  add_list(command, "-p,--prompt", asked.prompts, 1, limits::context_max,
           "Tokens of the prompt; decoding follows the first of them [128]");
  command.add_option("-n,--tokens", asked.tokens, "Tokens to decode; 0: none")
      ->check(CLI::Range(std::uint32_t{0}, limits::context_max))
      ->capture_default_str();
  add_list(command, "-b,--batch", asked.batches, 1, limits::pass_sessions_max,
           "Sequences that decode together [1]");
  add_list(command, "--depth", asked.depths, 0, limits::context_max,
           "Positions computed before all this, not measured [0]");
  add_list(command, "-t,--threads", asked.threads, 1, limits::threads_max,
           fmt::format("Compute threads [{}]", asked.threads.front()));
  command.add_option("-r,--runs", asked.runs, "Runs; medians are reported")
      ->check(CLI::Range(std::uint32_t{1}, limits::bench_runs_max))
      ->capture_default_str();
  command.add_flag("--profile", asked.profile,
                   "Also measure where the time of a decode step goes, by operation");
}

void check_lists(const bench::plan& asked) {
  for (const auto* list : {&asked.prompts, &asked.batches, &asked.depths, &asked.threads}) {
    if (list->size() > limits::bench_list_max) {
      throw CLI::ValidationError(fmt::format("a list of {} values; at most {} can be measured at "
                                             "once, ask for fewer",
                                             list->size(), limits::bench_list_max));
    }
  }
}

} // namespace

void add_bench(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command = app.add_subcommand("bench", "Measure prefill and decode speed");
  const auto given = std::make_shared<options>();
  compute_options defaults;
  CLI::App unused;
  add_threads(unused, defaults);
  given->asked.threads = {defaults.threads};
  command->footer(
      "Computes directly, without actors, from fixed tokens. Lists are measured in every\n"
      "combination. Decoding is shown beside only reading the same memory, between the\n"
      "steps, prefill beside only multiplying; equal things must have equal digests.\n"
      "\nExamples:\n  ovir bench -m MODEL.gguf -t 2 -p 128 -n 32 -r 3 --json\n"
      "  ovir bench -m MODEL.gguf -t 1,2 -p 128,512 -b 1,8 --depth 0,4096\n"
      "  ovir bench -m MODEL.gguf --profile");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  add_what(*command, given->asked);
  add_prefill_chunk(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    check_lists(given->asked);
    given->asked.chunk = given->how.prefill_chunk;
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return run_bench(*given, around); };
  });
}

} // namespace ovir::apps
