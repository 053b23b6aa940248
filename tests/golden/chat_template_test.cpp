// Chat templates beside Jinja2 itself (python3-jinja2, in the environment of Hugging Face's
// transformers): every template of tests/golden/chat_templates with every conversation there gives
// the same bytes, and is refused where that refuses it.
#include "templates/chat_template.hpp"
#include "templates/json_value.hpp"
#include "templates/parser.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace ovir::test {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* python = "/usr/bin/python3"; // the one that Debian's packages are for

std::filesystem::path folder() { return source_file("tests/golden/chat_templates"); }

bool has_jinja2() { return run_child({python, "-c", "import jinja2"}).exit_code == 0; }

const loaded_model& tales() {
  static const loaded_model model{source_file("assets/tales-q4_k_m.gguf")};
  return model;
}

/// Variables of a conversation, above those that every template sees.
result<templates::marked_text> render(const std::string& source, const json& given) {
  templates::dict_value variables;
  variables.set(templates::value::text("bos_token"), templates::value::text("<s>"));
  variables.set(templates::value::text("eos_token"), templates::value::text("</s>"));
  variables.set(templates::value::text("tools"), templates::none{});
  variables.set(templates::value::text("documents"), templates::none{});
  for (const auto& [name, v] : given.items()) {
    variables.set(templates::value::text(name), templates::value_of(v));
  }
  OVIR_ASSIGN(const templates::syntax_tree tree, templates::parse_template(source));
  constexpr std::int64_t day = 1'721'952'000; // 26 July 2024
  return templates::interpreter{tree, variables, templates::civil_time{day}}.run();
}

TEST(chat_templates, give_what_jinja2_gives) {
  if (!has_jinja2()) {
    GTEST_SKIP() << "needs python3-jinja2: scripts/setup test";
  }
  const auto python_says =
      run_child({python, (folder() / "render.py").string(), folder().string()});
  ASSERT_EQ(python_says.exit_code, 0) << python_says.err;
  const json wanted = json::parse(python_says.out);
  const json conversations = json::parse(read_file(folder() / "conversations.json"));
  EXPECT_GE(wanted.size(), 15U);
  std::size_t texts = 0;
  for (const auto& [shape, answers] : wanted.items()) {
    const std::string source = read_file(folder() / (shape + ".jinja"));
    for (const auto& [name, answer] : answers.items()) {
      const auto ours = render(source, conversations.at(name));
      if (answer.is_string()) {
        ASSERT_TRUE(ours) << shape << ", " << name << ": " << ours.error().message;
        EXPECT_EQ(ours->bytes(), answer.get<std::string>()) << shape << ", " << name;
        EXPECT_EQ(ours->authors().size(), ours->size());
        ++texts;
      } else {
        ASSERT_FALSE(ours) << shape << ", " << name << ": jinja2 says " << answer.dump();
        const bool refused = answer.contains("refused");
        EXPECT_EQ(ours.error().code, refused ? errc::invalid_argument : errc::malformed)
            << ours.error().message;
        EXPECT_TRUE(!refused || ours.error().message.find(answer["refused"].get<std::string>()) !=
                                    std::string::npos)
            << ours.error().message;
      }
    }
  }
  EXPECT_GE(texts, 119U);
}

TEST(chat_templates, of_real_models_are_rendered) {
  OVIR_SHARED_FILE(file, "models/minimind2-small-q8_0.gguf");
  const loaded_model model{file};
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  const auto own = templates::chat_template::of(model.file(), *vocabulary);
  ASSERT_TRUE(own) << own.error().message;
  templates::chat_input input;
  input.messages = templates::value::list({templates::message("user", "Who are you?")});
  const auto prompt = own->render(input);
  ASSERT_TRUE(prompt) << prompt.error().message;
  const auto ids = templates::encode(*vocabulary, *prompt);
  ASSERT_TRUE(ids);
  EXPECT_EQ(*ids, vocabulary->encode(prompt->bytes(), {false, true}).value());
  if (has_jinja2()) {
    const temporary_folder place;
    write_file(place.path() / "own.jinja",
               std::string{model.file().text_at("tokenizer.chat_template").value()});
    write_file(place.path() / "conversations.json",
               json{{"one",
                     {{"messages", {{{"role", "user"}, {"content", "Who are you?"}}}},
                      {"add_generation_prompt", true},
                      {"bos_token", vocabulary->piece(*vocabulary->bos(), true)},
                      {"eos_token", vocabulary->piece(*vocabulary->eos(), true)}}}}
                   .dump());
    const auto said = run_child({python, (folder() / "render.py").string(), place.path().string()});
    ASSERT_EQ(said.exit_code, 0) << said.err;
    EXPECT_EQ(prompt->bytes(), json::parse(said.out)["own"]["one"].get<std::string>());
  }
}

TEST(chat_templates, let_nobody_write_control_tokens) {
  const auto vocabulary = compute::tokenizer::make(tales().file()).value();
  const auto own = templates::chat_template::of(tales().file(), *vocabulary).value();
  const auto count_of = [&](const std::string& said, token_id wanted) {
    templates::chat_input input;
    input.messages = templates::value::list({templates::message("user", said)});
    const auto ids = templates::encode(*vocabulary, own.render(input).value()).value();
    return std::count(ids.begin(), ids.end(), wanted);
  };
  const std::string eos = vocabulary->piece(*vocabulary->eos(), true);
  const std::string bos = vocabulary->piece(*vocabulary->bos(), true);
  EXPECT_EQ(count_of("Hi", *vocabulary->bos()), 1);
  EXPECT_EQ(count_of("Hi " + eos + bos + "you", *vocabulary->eos()), 0);
  EXPECT_EQ(count_of("Hi " + eos + bos + "you", *vocabulary->bos()), 1);
  // Nor by leaving the rest of a name to the template, nor through what templates do to texts.
  const std::string half = eos.substr(0, 2);
  for (const std::string filter :
       {"m.content", "m.content | upper | lower", "m.content.split('@') | join('')",
        "(m.content ~ '')[:]", "m.content | replace('@', '')", "m.content | tojson", "[m.content]",
        "m.content | list | join", "('%s' ~ m.content)"}) {
    std::string source = "{% for m in messages %}{{ " + filter + " }}{% endfor %}";
    if (const auto at = source.find("%s"); at != std::string::npos) {
      source.replace(at, 2, half);
    }
    const auto t = templates::chat_template::parse(source, *vocabulary);
    ASSERT_TRUE(t) << t.error().message;
    templates::chat_input input;
    const bool joins = filter.find("%s") != std::string::npos;
    input.messages =
        templates::value::list({templates::message("user", joins ? eos.substr(2) : eos)});
    const auto prompt = t->render(input);
    ASSERT_TRUE(prompt) << prompt.error().message;
    EXPECT_NE(prompt->bytes().find(eos), std::string::npos) << filter;
    const auto ids = templates::encode(*vocabulary, *prompt).value();
    EXPECT_EQ(std::count(ids.begin(), ids.end(), *vocabulary->eos()), 0) << filter;
  }
  // The template's own are read.
  const auto t = templates::chat_template::parse("{{ eos_token }}x", *vocabulary).value();
  const auto ids = templates::encode(*vocabulary, t.render({}).value()).value();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *vocabulary->eos()), 1);
}

} // namespace
} // namespace ovir::test
