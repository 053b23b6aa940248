#include "apps/compute_threads.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/pack_model.hpp"
#include "apps/progress.hpp"
#include "compute/forward/segment.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ovir::apps {

namespace {

struct perplexity_options {
  std::string model;
  std::string file;
  compute_options how;
  bool as_json{false};
};

// Negative log-likelihood of `next` under raw logits. Reporting only, so libm and binary64 are
// allowed: nothing exact is computed from it.
double nll_of(std::span<const float> logits, token_id next) {
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(static_cast<double>(logit) - most);
  }
  return std::log(sum) + most - static_cast<double>(logits[next]);
}

result<std::vector<double>> evaluate(ready_model& model, std::span<const token_id> ids,
                                     const compute_options& how, surroundings& around) {
  OVIR_ASSIGN(const compute::kernel_set* const kernels, kernels_from(how.isa));
  compute_threads runner{how.threads};
  const compute::model_config& config = model.weights.config;
  const layer_range layers{0, config.layers};
  OVIR_TRY(pack_model(model, layers, *kernels, around.environment, runner));
  OVIR_ASSIGN(const auto whole, compute::segment::make_checked(model.weights, layers, *kernels));
  const auto positions = static_cast<position>(ids.size() - 1); // the last token predicts nothing
  OVIR_ASSIGN(compute::segment_state state,
              whole->open(positions, std::numeric_limits<std::size_t>::max()));
  progress shown{around.environment, "evaluating"};
  std::vector<double> nll;
  compute::step_output out;
  for (position first = 0; first < positions && !around.interrupted.load();) {
    compute::step_input in;
    in.first = first;
    in.count = std::min(how.prefill_chunk, positions - first);
    in.tokens = ids.subspan(first, in.count);
    in.logit_rows = in.count;
    OVIR_TRY(whole->forward(state, in, runner, out));
    for (std::uint32_t row = 0; row < in.count; ++row) {
      const std::span<const float> logits =
          std::span{out.logits}.subspan(std::size_t{row} * config.vocabulary, config.vocabulary);
      nll.push_back(nll_of(logits, ids[first + row + 1]));
    }
    first += in.count;
    shown.update(first, positions);
  }
  return nll;
}

result<exit_code> perplexity(const perplexity_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string text, read_text(around.environment, given.file));
  OVIR_ASSIGN(ready_model model, load_model(around, given.model));
  OVIR_ASSIGN(std::vector<token_id> ids, model.vocabulary->encode(text, {}));
  const std::size_t in_text = ids.size();
  const std::uint32_t context = model.weights.config.context;
  if (in_text < 2) {
    return fail(errc::over_limit, "{}: has {} tokens, and it takes two to predict one; give more",
                given.file, in_text);
  }
  if (in_text > context) {
    ids.resize(context);
    write_note(fmt::format("note: the text has {} tokens and the model's context holds {}; the "
                           "first {} are evaluated\n",
                           in_text, context, context));
  }
  OVIR_ASSIGN(const std::vector<double> nll, evaluate(model, ids, given.how, around));
  if (nll.empty()) {
    return fail(errc::cancelled, "interrupted before the first position was evaluated");
  }
  if (nll.size() + 1 < ids.size()) {
    ids.resize(nll.size() + 1);
    write_note(fmt::format("note: interrupted; the first {} positions are reported\n", nll.size()));
  }
  double sum = 0;
  for (const double value : nll) {
    sum += value;
  }
  const double mean = sum / static_cast<double>(nll.size());
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"ids", ids},
                                 {"nll", nll},
                                 {"mean_nll", mean},
                                 {"perplexity", std::exp(mean)},
                                 {"tokens_in_text", in_text},
                                 {"model", model.source.path}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} positions: mean nll {:.6f}, perplexity {:.4f}\n",
                                      nll.size(), mean, std::exp(mean))));
  }
  return exit_code::done;
}

} // namespace

void add_perplexity(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("perplexity", "How well a model predicts a text, token by token");
  const auto given = std::make_shared<perplexity_options>();
  command->footer("nll is in nats. A text longer than the model's context is evaluated up to it.\n"
                  "\nExample:\n  ovir perplexity -m MODEL.gguf -f story.txt --json");
  command->add_option("-m,--model", given->model, "GGUF file (default: the embedded model)");
  command->add_option("-f,--file", given->file, "The text; - is standard input")->required();
  add_threads(*command, given->how);
  add_prefill_chunk(*command, given->how);
  add_isa(*command, given->how);
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return perplexity(*given, around); };
  });
}

} // namespace ovir::apps
