#include "actors/request/request_trace.hpp"
#include "apps/capsule_file.hpp"
#include "apps/compute_threads.hpp"
#include "apps/device_choice.hpp"
#include "apps/key_file.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/draft_file.hpp"
#include "apps/ovir/run/chat_prompt.hpp"
#include "apps/ovir/run/run_cache.hpp"
#include "apps/ovir/run/run_fast.hpp"
#include "apps/ovir/run/run_output.hpp"
#include "apps/ovir/run/sampling_options.hpp"
#include "apps/pack_model.hpp"
#include "apps/packing_note.hpp"
#include "apps/software.hpp"
#include "apps/state_folder.hpp"
#include "apps/transcript_file.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/parts/local_group.hpp"
#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/parts.hpp"
#include "node/local_cluster.hpp"

#include <algorithm>
#include <array>

namespace ovir::apps {

namespace {

struct run_options {
  std::string model;
  std::string adapter;
  std::string prompt;
  std::string file;
  std::string transcript;
  std::string receipt;
  std::string trace;
  std::string capsule;
  std::string profile{"exact"};
  std::uint32_t max_tokens{128};
  std::uint32_t stages{1};
  std::uint32_t group{1}; ///< members that compute each stage together
  std::uint32_t drill{0};
  std::uint64_t drill_seed{1};
  compute_options how;
  cache_options cache;
  sampling_options sampling;
  std::string system;
  std::string speculate{"auto"};
  std::string draft;                 ///< empty: no model guesses
  std::optional<std::size_t> device; ///< that computes all layers
  bool chat{false};
  bool has_prompt{false};
  bool as_json{false};
};

// What the command line alone can tell, before any file is opened.
result<void> check_options(const run_options& given) {
  if (given.has_prompt == !given.file.empty()) {
    return fail(errc::invalid_argument,
                "give either a prompt with -p TEXT or a file with -f FILE; see ovir run --help");
  }
  if (given.profile == "fast" && (given.stages != 1 || given.drill != 0 ||
                                  !given.transcript.empty() || !given.capsule.empty())) {
    return fail(errc::invalid_argument,
                "--profile fast computes in one piece and is not reproducible: it has no --stages, "
                "--drill, --transcript and --capsule");
  }
  if (given.profile != "exact" && given.profile != "fast") {
    return fail(errc::invalid_argument, "--profile {}: the profiles are exact and fast",
                given.profile);
  }
  if (given.profile == "fast" && given.device) {
    return fail(errc::invalid_argument,
                "--device computes in the profile exact; leave out --profile fast");
  }
  if (given.group > 1 && (given.profile == "fast" || given.device)) {
    return fail(errc::invalid_argument,
                "--group cuts layers in the profile exact on the processor; leave out --profile "
                "fast and --device");
  }
  if (!given.chat && !given.system.empty()) {
    return fail(errc::invalid_argument, "--system is a part of conversations; give --chat too");
  }
  return check(given.sampling);
}

result<std::vector<token_id>> encode_prompt(const run_options& given, const ready_model& model,
                                            surroundings& around) {
  std::string text = given.prompt;
  if (!given.file.empty()) {
    OVIR_ASSIGN(text, read_text(around.environment, given.file));
  }
  if (text.empty()) {
    return fail(errc::invalid_argument, "the prompt is empty; give at least one character");
  }
  if (given.chat) {
    OVIR_ASSIGN(conversation said, conversation::begin(model, given.system));
    said.add("user", text);
    return said.prompt();
  }
  OVIR_ASSIGN(std::vector<token_id> ids, model.vocabulary->encode(text, {}));
  const std::uint32_t context = model.weights.config.context;
  if (ids.size() >= context) {
    return fail(errc::over_limit,
                "the prompt has {} tokens, but {} remembers {} and needs room to answer; shorten "
                "the prompt",
                ids.size(), model.source.path, context);
  }
  return ids;
}

transcript_file transcript_of(const finished_run& run, const ready_model& model) {
  transcript_file file;
  file.model_name = model.weights.config.name;
  file.model_file = digest_of(model.source);
  file.prompt = run.prompt;
  file.output = run.report.tokens;
  file.sampling = run.sampling;
  file.finish_reason = to_string(run.report.reason);
  file.hashed_layers = run.config.layers - 1;
  file.positions = run.report.positions;
  file.units = run.report.leaves;
  file.logits = run.report.logits;
  file.root = run.report.transcript;
  return file;
}

// Streams to standard output while the cluster works on another thread.
class text_printer {
public:
  explicit text_printer(bool quiet) : quiet_(quiet) {}

  void operator()(std::string_view text) {
    if (!quiet_ && !failed_.load()) {
      if (const auto written = write_output(text); !written) {
        reason_ = written.error();
        failed_.store(true);
      }
    }
  }
  /// Becomes true when nobody can read the text any more.
  [[nodiscard]] const std::atomic<bool>& failed() const noexcept { return failed_; }
  [[nodiscard]] const error& reason() const noexcept { return reason_; }

private:
  bool quiet_;
  std::atomic<bool> failed_{false};
  error reason_;
};

// Members of a group one after another: the same bits, and what tensor cuts cost without a network.
result<std::unique_ptr<compute::segment>> segment_of_group(std::uint32_t members,
                                                           const compute::model& checked,
                                                           layer_range layers,
                                                           const compute::kernel_set& kernels) {
  const std::vector<std::uint32_t> shares(members, 1);
  OVIR_ASSIGN(const compute::segment_cut cut, compute::cut_segment(checked, layers, shares));
  compute::serial_runner runner;
  OVIR_ASSIGN(auto engine, compute::local_group::make(checked, cut, kernels, runner));
  return compute::segment::make_with(checked, layers, kernels, std::move(engine));
}

/// Where not the processor alone computes them; both outlive it. Null: it does.
auto segments_for(const run_options& given, surroundings& around) {
  decltype(supervision::cluster_options::make_segment) make;
  if (given.device) {
    make = [&](const compute::model& checked, layer_range layers,
               const compute::kernel_set& kernels) {
      return segment_on_device(*given.device, checked, layers, kernels, around.environment);
    };
  } else if (given.group > 1) {
    make = [&](const compute::model& checked, layer_range layers,
               const compute::kernel_set& kernels) {
      return segment_of_group(given.group, checked, layers, kernels);
    };
  }
  return make;
}

supervision::cluster_options cut_of(const run_options& given, surroundings& around) {
  supervision::cluster_options cut;
  cut.stages = given.stages;
  cut.threads = given.how.threads;
  cut.prefill_chunk = given.how.prefill_chunk;
  // A drill means its crashes; whoever asks for many wants them all survived.
  cut.restarts_max = std::max(cut.restarts_max, given.drill);
  cut.make_segment = segments_for(given, around);
  return cut;
}

result<supervision::run_report> generate(const run_options& given, const ready_model& model,
                                         const std::vector<token_id>& prompt,
                                         const sampling_params& sampling,
                                         const compute::kernel_set& kernels,
                                         std::optional<supervision::cluster_cache> cache,
                                         surroundings& around, const secret_key* key) {
  supervision::cluster_options cut = cut_of(given, around);
  cut.key = key;
  if (!given.draft.empty()) {
    compute_threads runner{given.how.threads};
    OVIR_ASSIGN(cut.draft, load_draft(around, given.draft, *model.vocabulary, kernels, runner));
  }
  const bool caches = cache.has_value();
  cut.software = key == nullptr ? "" : software_text(kernels);
  OVIR_ASSIGN(const auto cluster,
              supervision::local_cluster::start(model.weights, *model.vocabulary, kernels,
                                                around.environment, cut, std::move(cache)));
  actors::generation_request request;
  request.prompt = prompt;
  request.sampling = sampling;
  request.max_tokens = std::min(given.max_tokens, model.weights.config.context -
                                                      static_cast<std::uint32_t>(prompt.size()));
  request.stop = given.sampling.stop;
  OVIR_ASSIGN(request.drafts, speculation_from(given.speculate));
  request.kill_shards = given.drill;
  request.trace = !given.trace.empty();
  request.kill_seed = given.drill_seed;
  if (key != nullptr) {
    std::array<std::uint64_t, 1> id{};
    around.environment.random(std::as_writable_bytes(std::span{id}));
    request.id = request_id{id[0] | 1U}; // 0 is none
    OVIR_ASSIGN(const compute::model_manifest manifest,
                compute::manifest_of(model.source.metadata));
    request.model = compute::name_of(manifest);
    request.receipt = true; // of what is computed, so nothing is reused
  } else {
    request.cache.prefixes = true;
    request.cache.explain = given.cache.explain;
    // A drill wants to see its crashes; and what is drawn by chance is another answer each time.
    request.cache.answers =
        given.drill == 0 && (sampling.temperature == 0 || given.sampling.has_seed);
  }
  if (request.max_tokens < given.max_tokens) {
    write_note(fmt::format("note: the context of {} positions leaves room for {} tokens\n",
                           model.weights.config.context, request.max_tokens));
  }
  text_printer printer{given.as_json};
  if (!given.as_json && given.has_prompt && !given.chat) {
    write_note(given.prompt);
  }
  auto report = cluster->run(
      request, [&](std::string_view text) { printer(text); }, &around.interrupted);
  if (printer.failed().load()) {
    return printer.reason();
  }
  if (report && given.cache.explain) {
    write_note(explanation_of(*report, cluster->cache_report(), !caches || key != nullptr));
  }
  if (!given.as_json) {
    OVIR_TRY(write_output("\n"));
  }
  return report;
}

/// Where evidence goes, and the key that signs it; all empty where none was asked for.
struct evidence_files {
  std::optional<secret_key> key;
  std::unique_ptr<storage::staged_file> receipt;
  std::unique_ptr<storage::staged_file> capsule;
};

result<evidence_files> open_evidence(const run_options& given, surroundings& around) {
  evidence_files files;
  if (given.receipt.empty() && given.capsule.empty()) {
    return files;
  }
  OVIR_ASSIGN(const std::string folder, state_folder());
  OVIR_ASSIGN(files.key, load_or_make_key(around.environment, key_path_in(folder)));
  if (!given.receipt.empty()) {
    OVIR_ASSIGN(files.receipt, around.environment.stage(given.receipt));
  }
  if (!given.capsule.empty()) {
    OVIR_ASSIGN(files.capsule, around.environment.stage(given.capsule));
  }
  return files;
}

/// The receipt, and the capsule, whose inputs are computed again: nothing kept them.
result<void> write_evidence(const run_options& given, const supervision::run_report& report,
                            const ready_model& model, const compute::kernel_set& kernels,
                            evidence_files& files) {
  if (!files.key) {
    return {};
  }
  OVIR_CHECK(report.receipt != nullptr);
  if (!*report.receipt) {
    return in_context("there is no receipt", report.receipt->error());
  }
  const std::vector<std::byte>& bytes = **report.receipt;
  if (files.receipt != nullptr) {
    OVIR_TRY(files.receipt->append(bytes));
    OVIR_TRY(files.receipt->commit());
  }
  if (files.capsule != nullptr) {
    OVIR_ASSIGN(const receipt whole, decode_receipt(bytes));
    compute_threads runner{given.how.threads};
    OVIR_ASSIGN(const auto capsule, capsule_bytes(whole, {}, model, kernels, runner));
    OVIR_TRY(files.capsule->append(capsule));
    OVIR_TRY(files.capsule->commit());
  }
  return {};
}

result<exit_code> run_in_fast(const run_options& given, const std::vector<token_id>& prompt,
                              const ready_model& model, surroundings& around) {
  fast_orders orders{prompt, seeded(given.sampling, around.environment), 0, given.receipt,
                     given.as_json};
  orders.max_tokens = std::min(given.max_tokens, model.weights.config.context -
                                                     static_cast<std::uint32_t>(prompt.size()));
  return run_fast(orders, model, around);
}

result<exit_code> run(const run_options& given, surroundings& around) {
  OVIR_TRY(check_options(given));
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  const std::optional<file_identity> model_file = identity_of(given.model);
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  OVIR_ASSIGN(const std::vector<token_id> prompt, encode_prompt(given, model, around));
  if (given.stages > model.weights.config.layers) {
    return fail(errc::invalid_argument,
                "--stages {}: {} has {} layers, and a stage needs at least one; ask for at most {}",
                given.stages, model.source.path, model.weights.config.layers,
                model.weights.config.layers);
  }
  if (given.profile == "fast") {
    return run_in_fast(given, prompt, model, around);
  }
  OVIR_ASSIGN(evidence_files evidence, open_evidence(given, around));
  std::unique_ptr<storage::staged_file> transcript;
  if (!given.transcript.empty()) {
    // Before the work, so that a place that cannot be written is not found after it.
    OVIR_ASSIGN(transcript, around.environment.stage(given.transcript));
  }
  OVIR_ASSIGN(std::optional<supervision::cluster_cache> cache,
              open_cache(given.cache, model, model_file, around));
  {
    // On threads of its own, which end before the cluster starts its own.
    compute_threads runner{given.how.threads};
    packing_note note{around.environment.now()};
    OVIR_TRY(pack_model(model, {0, model.weights.config.layers}, *kernels, around.environment,
                        runner, [&](std::uint64_t done, std::uint64_t total) {
                          write_note(note.at(around.environment.now(), done, total));
                        }));
  }
  std::unique_ptr<storage::staged_file> trace;
  if (!given.trace.empty()) {
    OVIR_ASSIGN(trace, around.environment.stage(given.trace));
  }
  const sampling_params sampling = seeded(given.sampling, around.environment);
  OVIR_ASSIGN(const supervision::run_report report,
              generate(given, model, prompt, sampling, *kernels, std::move(cache), around,
                       evidence.key ? &*evidence.key : nullptr));
  const finished_run finished{report,
                              prompt,
                              sampling,
                              model.weights.config,
                              model.source.path,
                              kernels->name,
                              given.how.threads,
                              given.receipt};
  if (transcript != nullptr) {
    const std::string text = to_text(transcript_of(finished, model));
    OVIR_TRY(transcript->append(std::as_bytes(std::span{text})));
    OVIR_TRY(transcript->commit());
  }
  if (trace != nullptr && report.trace != nullptr) {
    const std::string text = actors::chrome_trace(*report.trace, request_id{1}, "ovir run", {});
    OVIR_TRY(trace->append(std::as_bytes(std::span{text})));
    OVIR_TRY(trace->commit());
  }
  OVIR_TRY(write_evidence(given, report, model, *kernels, evidence));
  if (given.as_json) {
    OVIR_TRY(write_document(document_of(finished)));
  } else {
    write_note(summary_of(finished));
  }
  return exit_code::done;
}

void add_model_and_adapter(CLI::App& command, run_options& given) {
  CLI::Option* const model =
      command.add_option("-m,--model", given.model, "GGUF file (default: the embedded model)");
  command.add_option("--adapter", given.adapter, "LoRA adapter for the model (GGUF)")->needs(model);
}

/// Files that tell what was done.
void add_outputs(CLI::App& command, run_options& given) {
  command.add_option("--transcript", given.transcript,
                     "Write what was computed to a file that ovir-verify checks");
  command.add_option("--trace", given.trace,
                     "Write what was done when, for Perfetto or chrome://tracing, to this file");
  command.add_option("--receipt", given.receipt,
                     "Write what every stage signed to a file that ovir-verify checks; the key is "
                     "the state folder's node.key");
  command.add_option("--capsule", given.capsule,
                     "Write the receipt with the input of every stage, which ovir-verify --replay "
                     "computes again");
}

} // namespace

void add_run(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("run", "Continue a prompt with a model cut into supervised segments");
  const auto given = std::make_shared<run_options>();
  command->footer("The text goes to standard output; the cut, the speed and the transcript digest\n"
                  "to standard error. Ctrl-C ends with what was produced (finish_reason\n"
                  "\"cancelled\", exit code 0).\n"
                  "\nExamples:\n"
                  "  ovir run -p \"Once upon a time\"\n"
                  "  ovir run --chat -p \"Tell me a story about a fox.\"\n"
                  "  ovir run -m MODEL.gguf -p \"Hello\" --temp 0.8 --top-p 0.95 --seed 7\n"
                  "  ovir run -p \"Once upon a time\" --stages 3 --drill 5\n"
                  "  ovir run -p \"Once upon a time\" --transcript story.json");
  add_model_and_adapter(*command, *given);
  CLI::Option* const prompt = command->add_option("-p,--prompt", given->prompt, "The prompt");
  command->add_option("-f,--file", given->file, "Read the prompt from a file; - is standard input");
  command->add_flag("--chat", given->chat,
                    "The prompt is a message: write it down as the model's chat template says");
  command->add_option("--system", given->system, "With --chat: what the model is told before");
  command->add_option("-n,--tokens", given->max_tokens, "Tokens to produce at most")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max))
      ->capture_default_str();
  command->add_option("--stages", given->stages, "Segments to cut the model into")
      ->check(CLI::Range(std::uint32_t{1}, limits::stages_max))
      ->capture_default_str();
  command
      ->add_option("--group", given->group,
                   "Members that compute each segment together, in turn: the same bits")
      ->check(CLI::Range(1U, static_cast<std::uint32_t>(limits::group_members_max)))
      ->capture_default_str();
  add_threads(*command, given->how);
  add_prefill_chunk(*command, given->how);
  add_isa(*command, given->how);
  command
      ->add_option("--device", given->device,
                   "Compute all layers on this device, as numbered by ovir doctor: the same "
                   "bits")
      ->check(CLI::Range(std::size_t{0}, std::size_t{limits::devices_max} - 1));
  add_sampling(*command, given->sampling);
  command
      ->add_option("--speculate", given->speculate,
                   "Compute guessed tokens too: auto (while it is faster), on or off")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command->add_option("--draft", given->draft,
                      "GGUF file with a small model of the same vocabulary, which guesses tokens "
                      "(see --speculate)");
  command
      ->add_option("--profile", given->profile,
                   "exact: the same bits everywhere; fast: OpenBLAS, NOT reproducible")
      ->capture_default_str();
  add_outputs(*command, *given);
  command
      ->add_option("--drill", given->drill,
                   "Kill a segment's actor at this many random points; the text must not change")
      ->check(CLI::Range(0U, limits::drill_kills_max));
  add_seed(*command, "--drill-seed", given->drill_seed, "Seed of those points")
      ->capture_default_str();
  add_cache_options(*command, given->cache);
  add_json(*command, given->as_json);
  command->callback([given, prompt, &chosen] {
    given->has_prompt = prompt->count() > 0;
    given->model = compute::adapted_path_of(given->model, given->adapter);
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return run(*given, around); };
  });
}

} // namespace ovir::apps
