#include "apps/ovir/learn/learn.hpp"

#include "apps/compute_threads.hpp"
#include "apps/ovir/learn/learn_data.hpp"
#include "apps/ovir/learn/learn_options.hpp"
#include "apps/ovir/learn/learn_run.hpp"
#include "apps/ovir/learn/round.hpp"
#include "apps/pack_model.hpp"
#include "compute/gguf/manifest.hpp"
#include "learning/training/example_order.hpp"
#include "learning/training/trainer.hpp"
#include "messages/digest.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/learning.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace ovir::apps {

namespace {

/// One example in so many is held back, unless the user says otherwise.
constexpr std::uint32_t held_back_divisor = 20;

// Which are held back is drawn; both parts keep their order.
learning::training_data split(std::vector<learning::example> all, std::uint32_t held_back,
                              std::uint64_t seed) {
  const auto count = static_cast<std::uint32_t>(all.size());
  const std::vector<std::uint32_t> order =
      learning::drawn_order(seed, learning::held_back_round, count);
  std::vector<bool> held(count);
  for (std::uint32_t i = count - held_back; i < count; ++i) {
    held[order[i]] = true;
  }
  learning::training_data out;
  for (std::uint32_t i = 0; i < count; ++i) {
    (held[i] ? out.held_back : out.examples).push_back(std::move(all[i]));
  }
  return out;
}

void note_about(const learn_examples& read, std::uint32_t length) {
  if (read.cut > 0) {
    write_note(fmt::format("note: {} examples are longer than {} tokens and were cut\n", read.cut,
                           length));
  }
  if (read.dropped > 0) {
    write_note(fmt::format("note: {} examples have nothing to learn within {} tokens and are left "
                           "out\n",
                           read.dropped, length));
  }
}

} // namespace

result<learning::training_data> read_data(const learn_options& given, const ready_model& model,
                                          surroundings& around,
                                          learning::learn_settings& settings) {
  OVIR_ASSIGN(const std::string text, read_text(around.environment, given.data));
  auto read = examples_from(text, model, {settings.length, given.train_prompts});
  if (!read) {
    return in_context(given.data, read.error());
  }
  note_about(*read, settings.length);
  const auto count = static_cast<std::uint32_t>(read->examples.size());
  settings.held_back = given.held_back.value_or(count / held_back_divisor);
  if (settings.held_back >= count) {
    return fail(errc::over_limit,
                "{}: has {} examples with something to learn, of which {} are held back; give more",
                given.data, count, settings.held_back);
  }
  learning::training_data data =
      split(std::move(read->examples), settings.held_back, settings.seed);
  const std::uint64_t examples = std::uint64_t{given.epochs} * data.examples.size();
  settings.steps = given.steps.value_or(static_cast<std::uint32_t>(std::min<std::uint64_t>(
      (examples + settings.batch - 1) / settings.batch, limits::learn_steps_max)));
  data.data = to_cid(hash_plain(std::as_bytes(std::span{text})));
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.source.metadata));
  data.base = to_cid(compute::name_of(manifest));
  return data;
}

result<learning::learn_settings> settings_of(const learn_options& given,
                                             const compute::model_config& config) {
  learning::learn_settings settings = given.settings;
  OVIR_ASSIGN(settings.targets, learning::targets_from(given.targets));
  settings.optimiser.kind =
      given.optimiser == "sgd" ? learning::optimiser_kind::sgd : learning::optimiser_kind::adamw;
  settings.rate_falls = given.schedule == "linear";
  settings.length = std::min(settings.length, config.context);
  return settings;
}

namespace {

json document_of(const learn_options& given, const learning::trainer& trainer,
                 const learn_outcome& outcome) {
  json evaluations = json::array();
  for (const learning::evaluation& e : trainer.evaluations()) {
    evaluations.push_back(json{{"step", e.step}, {"loss", e.loss}});
  }
  const learning::provenance from = trainer.where_from();
  return json{{"file", given.watch.out},
              {"bytes", outcome.adapter.size()},
              {"cid", to_cid(hash_plain(std::as_bytes(std::span{outcome.adapter})))},
              {"profile", from.profile},
              {"base", from.base},
              {"data", from.data},
              {"settings", from.settings},
              {"steps", from.steps},
              {"resumed_at", outcome.resumed_at},
              {"losses", trainer.losses()},
              {"evaluations", std::move(evaluations)},
              {"tokens", outcome.tokens},
              {"seconds", outcome.seconds}};
}

result<exit_code> learn(const learn_options& given, surroundings& around) {
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  OVIR_TRY(learning::check_trainable(model.weights.config));
  OVIR_ASSIGN(learning::learn_settings settings, settings_of(given, model.weights.config));
  OVIR_ASSIGN(learning::training_data data, read_data(given, model, around, settings));
  compute_threads runner{given.how.threads};
  OVIR_TRY(
      pack_model(model, {0, model.weights.config.layers}, *kernels, around.environment, runner));
  OVIR_ASSIGN(learning::frozen_model frozen, learning::freeze(model.weights, *kernels));
  const learning::trainer_room room{std::uint64_t{given.memory_mib} << 20U, given.pass_rows};
  const std::size_t examples = data.examples.size();
  OVIR_ASSIGN(const auto trainer, learning::trainer::make(frozen, settings, std::move(data), room));
  write_note(fmt::format("{} examples, {} held back, {} steps; {} numbers to learn\n", examples,
                         settings.held_back, settings.steps,
                         learning::count_of(trainer->result_so_far().numbers)));
  OVIR_ASSIGN(const learn_outcome outcome,
              run_training(*trainer, settings, given.watch, around, runner));
  if (given.as_json) {
    OVIR_TRY(write_document(document_of(given, *trainer, outcome)));
    return exit_code::done;
  }
  OVIR_TRY(write_output(fmt::format(
      "{}: {}, {} steps, loss {:.4f} at first, {:.4f} at last\n{}\n", given.watch.out,
      bytes_text(outcome.adapter.size()), settings.steps, trainer->losses().front(),
      trainer->losses().back(), to_cid(hash_plain(std::as_bytes(std::span{outcome.adapter}))))));
  return exit_code::done;
}

} // namespace

void add_training_options(CLI::App& command, learn_options& given) {
  learning::learn_settings& s = given.settings;
  const auto count = [](std::uint32_t least, std::uint32_t most) {
    return CLI::Range(least, most);
  };
  command.add_option("--rank", s.rank, "Rank of the adapter's matrices")
      ->check(count(1, limits::adapter_rank_max))
      ->capture_default_str();
  command.add_option("--alpha", s.alpha, "What the adapter adds is multiplied by alpha / rank")
      ->capture_default_str();
  command
      .add_option("--targets", given.targets,
                  "Matrices to adapt: all, or some of q,k,v,output,gate,up,down")
      ->capture_default_str();
  command.add_option("--optimiser", given.optimiser, "adamw or sgd")
      ->check(CLI::IsMember({"adamw", "sgd"}))
      ->capture_default_str();
  command.add_option("--rate", s.optimiser.rate, "Learning rate")->capture_default_str();
  command.add_option("--schedule", given.schedule, "linear: the rate falls to 0; or constant")
      ->check(CLI::IsMember({"linear", "constant"}))
      ->capture_default_str();
  command.add_option("--warmup", s.warmup, "Steps over which the rate rises")
      ->capture_default_str();
  command.add_option("--decay", s.optimiser.decay, "Weight decay")->capture_default_str();
  command.add_option("--momentum", s.optimiser.momentum, "Momentum of sgd")->capture_default_str();
  command.add_option("--clip", s.clip, "Norm at which gradients are clipped; 0: never")
      ->capture_default_str();
  command.add_option("--batch", s.batch, "Examples of a step")
      ->check(count(1, limits::learn_batch_max))
      ->capture_default_str();
  CLI::Option* const epochs =
      command.add_option("--epochs", given.epochs, "How often each example is learnt from")
          ->check(count(1, limits::learn_epochs_max))
          ->capture_default_str();
  command.add_option("--steps", given.steps, "Steps, instead of epochs")
      ->check(count(1, limits::learn_steps_max))
      ->excludes(epochs);
  command.add_option("--length", s.length, "Tokens of an example at most")
      ->check(count(2, limits::context_max))
      ->capture_default_str();
  command.add_option("--hold-back", given.held_back,
                     "Examples that are only evaluated (default: one in 20)");
  command.add_flag("--train-prompts", given.train_prompts, "Learn to predict prompts, too");
  add_seed(command, "--seed", s.seed, "Draws the order, the held back, and the first matrices")
      ->capture_default_str();
}

namespace {

void add_watching_options(CLI::App& command, learn_options& given) {
  learn_watch& w = given.watch;
  const CLI::Range steps{std::uint32_t{1}, limits::learn_steps_max};
  command.add_option("--plot", w.plot, "Draw the loss into this SVG file");
  command.add_option("--save-every", w.save_every, "Steps between checkpoints")
      ->check(steps)
      ->capture_default_str();
  command.add_option("--evaluate-every", w.evaluate_every, "Steps between evaluations")
      ->check(steps)
      ->capture_default_str();
  command.add_option("--report-every", w.report_every, "Steps between lines of progress")
      ->check(steps)
      ->capture_default_str();
  command.add_flag("--anew", w.anew, "Begin anew where there is a checkpoint");
  command
      .add_option("--memory", given.memory_mib, "MiB for a pass; with less, more is computed again")
      ->capture_default_str();
  command.add_option("--pass-rows", given.pass_rows, "Positions computed together")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max))
      ->capture_default_str();
}

} // namespace

void add_learn(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("learn", "Train a LoRA adapter for a model from examples");
  const auto given = std::make_shared<learn_options>();
  command->footer(
      "Each line of DATA.jsonl is an object: {\"messages\": [{\"role\", \"content\"}, ...]},\n"
      "{\"prompt\", \"completion\"} or {\"text\"}. Answers and completions are learnt, prompts "
      "are\n"
      "not. The same model, data and settings give the same bytes for any number of threads,\n"
      "--memory and --pass-rows. OUT.state is the checkpoint: the same command goes on from it,\n"
      "and it is removed at the end. The model does not change.\n"
      "\nExample:\n"
      "  ovir learn -m MODEL.gguf -d DATA.jsonl -o ADAPTER.gguf --plot loss.svg");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("-d,--data", given->data, "The examples, one JSON object a line");
  command->add_option("-o,--out", given->watch.out, "The adapter to write, a GGUF file");
  add_training_options(*command, *given);
  add_watching_options(*command, *given);
  add_threads(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->require_subcommand(0, 1);
  add_learn_round(*command, chosen);
  command->callback([given, command, &chosen] {
    if (!command->get_subcommands().empty()) {
      return;
    }
    if (given->data.empty() || given->watch.out.empty()) {
      throw CLI::RequiredError(given->data.empty() ? "--data" : "--out");
    }
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return learn(*given, around); };
  });
}

} // namespace ovir::apps
