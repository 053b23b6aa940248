#include "apps/ovir/run/chat.hpp"

#include "apps/compute_threads.hpp"
#include "apps/interrupt.hpp"
#include "apps/ovir/run/chat_prompt.hpp"
#include "apps/ovir/run/run_cache.hpp"
#include "apps/ovir/run/sampling_options.hpp"
#include "apps/ovir/shell/shell_prompt.hpp"
#include "apps/pack_model.hpp"
#include "apps/packing_note.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits/general.hpp"
#include "node/local_cluster.hpp"

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iostream>

namespace ovir::apps {

namespace {

struct options {
  std::string model;
  std::string system;
  std::uint32_t max_tokens{512};
  std::uint32_t stages{1};
  compute_options how;
  cache_options cache;
  sampling_options sampling;
};

/// What was typed, until the end of input; false there.
using line_source = std::function<bool(std::string&)>;

result<line_source> lines_of(surroundings& around) {
  if (isatty(STDIN_FILENO) == 0) {
    return line_source{[](std::string& line) { return bool{std::getline(std::cin, line)}; }};
  }
  const auto folder = state_folder();
  const std::string history =
      folder && around.environment.make_folder(*folder) ? *folder + "/chat_history" : std::string{};
  OVIR_ASSIGN(std::shared_ptr<line_prompt> prompt,
              line_prompt::make(
                  "> ", history, [](std::string_view) { return std::vector<std::string>{}; },
                  around.interrupted));
  return line_source{[prompt](std::string& line) {
    auto read = prompt->read();
    line = std::move(read.line);
    return read.how == line_prompt::ended::line;
  }};
}

/// Behind "Assistant:" many models begin with a blank, which is not part of what they say, and
/// which templates write by themselves where they tell what was said before.
std::string_view without_blanks(std::string_view answer) {
  return answer.substr(std::min(answer.find_first_not_of(' '), answer.size()));
}

/// One model, one conversation.
class talk {
public:
  talk(const options& given, surroundings& around, const ready_model& model,
       supervision::local_cluster& cluster, conversation said)
      : given_(given), around_(around), model_(model), cluster_(cluster), said_(std::move(said)) {}

  /// Until the end of input or Ctrl-C.
  result<void> run(const line_source& next) {
    std::string line;
    while (!around_.interrupted && next(line)) {
      if (line.empty() || line == "/new") {
        said_.start_over();
        write_note(line.empty() ? "" : "a new conversation\n");
        continue;
      }
      OVIR_TRY(answer(line));
    }
    return {};
  }

private:
  result<void> answer(const std::string& line) {
    said_.add("user", line);
    const auto prompt = said_.prompt();
    if (!prompt) {
      said_.take_back();
      if (prompt.error().code != errc::over_limit) {
        return prompt.error();
      }
      write_note(prompt.error().message + "; /new begins another\n");
      return {};
    }
    actors::generation_request request;
    request.prompt = *prompt;
    request.sampling = seeded(given_.sampling, around_.environment);
    request.stop = given_.sampling.stop;
    request.max_tokens =
        std::min(given_.max_tokens,
                 model_.weights.config.context - static_cast<std::uint32_t>(prompt->size()));
    request.cache.prefixes = true; // what was said before is computed once
    bool readable = true;
    bool begun = false;
    const auto report = cluster_.run(
        request,
        [&](std::string_view text) {
          text = begun ? text : without_blanks(text);
          begun = begun || !text.empty();
          readable = readable && write_output(text);
        },
        &around_.interrupted);
    OVIR_TRY(report);
    OVIR_TRY(write_output("\n"));
    said_.add("assistant", without_blanks(report->text));
    return {};
  }

  const options& given_;
  surroundings& around_;
  const ready_model& model_;
  supervision::local_cluster& cluster_;
  conversation said_;
};

result<exit_code> run(const options& given, surroundings& around) {
  OVIR_TRY(check(given.sampling));
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(given.how.isa));
  const std::optional<file_identity> model_file = identity_of(given.model);
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  OVIR_ASSIGN(conversation said, conversation::begin(model, given.system));
  OVIR_ASSIGN(std::optional<supervision::cluster_cache> cache,
              open_cache(given.cache, model, model_file, around));
  {
    compute_threads runner{given.how.threads};
    packing_note note{around.environment.now()};
    OVIR_TRY(pack_model(model, {0, model.weights.config.layers}, *kernels, around.environment,
                        runner, [&](std::uint64_t done, std::uint64_t total) {
                          write_note(note.at(around.environment.now(), done, total));
                        }));
  }
  supervision::cluster_options cut;
  cut.stages = given.stages;
  cut.threads = given.how.threads;
  cut.prefill_chunk = given.how.prefill_chunk;
  OVIR_ASSIGN(const auto cluster,
              supervision::local_cluster::start(model.weights, *model.vocabulary, *kernels,
                                                around.environment, cut, std::move(cache)));
  OVIR_ASSIGN(const line_source lines, lines_of(around));
  talk here{given, around, model, *cluster, std::move(said)};
  OVIR_TRY(here.run(lines));
  return exit_code::done;
}

} // namespace

void add_chat(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("chat", "Talk with a model, in the form its own template gives");
  const auto given = std::make_shared<options>();
  command->footer(
      "Each line is a message; answers go to standard output. Everything said before is\n"
      "part of the next question, and is computed once. An empty line or /new begins\n"
      "another conversation; the end of input or Ctrl-C ends.\n"
      "\nExamples:\n"
      "  ovir chat -m MODEL.gguf --system \"Be brief.\"\n"
      "  ovir chat --temp 0 < questions.txt");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("--system", given->system, "What the model is told before the conversation");
  command->add_option("-n,--tokens", given->max_tokens, "Tokens of an answer at most")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max))
      ->capture_default_str();
  command->add_option("--stages", given->stages, "Segments to cut the model into")
      ->check(CLI::Range(std::uint32_t{1}, limits::stages_max))
      ->capture_default_str();
  add_threads(*command, given->how);
  add_prefill_chunk(*command, given->how);
  add_isa(*command, given->how);
  add_sampling(*command, given->sampling);
  add_cache_options(*command, given->cache);
  command->callback([given, &chosen] {
    chosen.run = [given](surroundings& around) { return run(*given, around); };
  });
}

} // namespace ovir::apps
