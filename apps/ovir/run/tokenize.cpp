#include "apps/ovir/base/command.hpp"
#include "compute/base/printable.hpp"

namespace ovir::apps {

namespace {

struct tokenize_options {
  std::string model;
  std::string file;
  std::string text;
  bool has_text{false};
  bool no_bos{false};
  bool special{false};
  bool as_json{false};
};

result<exit_code> tokenize(const tokenize_options& given, surroundings& around) {
  if (given.has_text == !given.file.empty()) {
    return fail(errc::invalid_argument, "give either a TEXT or -f FILE; see ovir tokenize --help");
  }
  std::string text = given.text;
  if (!given.file.empty()) {
    OVIR_ASSIGN(text, read_text(around.environment, given.file));
  }
  OVIR_ASSIGN(const open_model model, open_model_at(around.environment, given.model));
  const auto vocabulary = compute::tokenizer::make(model.metadata);
  if (!vocabulary) {
    return in_context(given.model, vocabulary.error());
  }
  const compute::tokenizer::options how{!given.no_bos, given.special};
  OVIR_ASSIGN(const std::vector<token_id> ids, (*vocabulary)->encode(text, how));
  if (given.as_json) {
    json pieces = json::array();
    for (const token_id id : ids) {
      pieces.push_back((*vocabulary)->piece(id, true));
    }
    OVIR_TRY(write_document(json{{"ids", ids}, {"pieces", std::move(pieces)}}));
    return exit_code::done;
  }
  std::string lines;
  for (const token_id id : ids) {
    lines += fmt::format("{:>8}  \"{}\"\n", id, compute::printable((*vocabulary)->piece(id, true)));
  }
  OVIR_TRY(write_output(lines));
  return exit_code::done;
}

} // namespace

void add_tokenize(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command = app.add_subcommand("tokenize", "Show the tokens of a text");
  const auto given = std::make_shared<tokenize_options>();
  command->footer("Example:\n  ovir tokenize -m MODEL.gguf \"Once upon a time\" --json");
  command->add_option("-m,--model", given->model, "GGUF file; only its metadata is read")
      ->required();
  CLI::Option* const text = command->add_option("TEXT", given->text, "The text");
  command->add_option("-f,--file", given->file, "Read the text from a file; - is standard input");
  command->add_flag("--no-bos", given->no_bos, "Leave out the begin-of-text token");
  command->add_flag("--special", given->special, "Read <|...|> and the like as control tokens");
  add_json(*command, given->as_json);
  command->callback([given, text, &chosen] {
    given->has_text = text->count() > 0;
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return tokenize(*given, around); };
  });
}

} // namespace ovir::apps
