// What must hold of an installed libovir; tests/package/library compiles it with the installed
// headers and runs it. Exit code 1 and a line for each thing that does not hold.
#include "tests/package/scripted_server.hpp"

#include <ovir/cluster.hpp>
#include <ovir/engine.hpp>
#include <ovir/verifier.hpp>

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

namespace {

int failures = 0;

void expect(bool holds, const std::string& what) {
  if (!holds) {
    std::cerr << "does not hold: " << what << "\n";
    ++failures;
  }
}

/// The code of the error that `f` throws, else "none".
template <class F>
std::string code_of(F&& f) {
  try {
    f();
    return "none";
  } catch (const ovir::error& e) {
    return std::string{e.what()}.size() > 10 ? e.code() : "without a sentence";
  }
}

std::string text_of(const char* path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span{text.data(), text.size()});
}

ovir::generate_options short_run(std::uint32_t tokens) {
  ovir::generate_options options;
  options.max_tokens = tokens;
  return options;
}

struct own_error {};

/// As tests/package/library asks `ovir run`.
void check_penalties(const ovir::model& model, const std::string& transcript) {
  ovir::generate_options options = short_run(32);
  options.sampling.temperature = 0.8F;
  options.sampling.seed = 7;
  options.sampling.presence_penalty = 1.5F;
  options.sampling.frequency_penalty = 0.5F;
  options.sampling.min_tokens = 32;
  expect(model.generate("Once upon a time", options).transcript == transcript,
         "penalties and min_tokens draw as ovir run draws");
}

void check_engine(const ovir::model& model, const std::string& transcript) {
  const ovir::model_info info = model.info();
  expect(info.layers > 0 && info.vocabulary > 0 && info.threads == 1, "a model has its numbers");
  const auto ids = model.encode("Once upon a time");
  expect(ids.size() > 1 && model.decode(ids).ends_with("Once upon a time"), "text to ids and back");
  expect(code_of([&] { return model.decode(std::vector{info.vocabulary}); }) == "invalid_argument",
         "a token outside the vocabulary is refused");

  std::string told;
  const ovir::run whole = model.generate(ids, short_run(32), [&](const ovir::token& one) {
    told += one.text;
    return true;
  });
  expect(whole.transcript == transcript, "the transcript is that of ovir run");
  expect(told == whole.text && whole.tokens.size() == 32, "a callback is told all of the text");
  ovir::generate_options cut = short_run(32);
  cut.stages = 2;
  cut.prefill_chunk = 1;
  expect(model.generate(ids, cut).transcript == transcript, "stages and chunks change no bit");

  ovir::token_stream pulled = model.start(ids, short_run(8));
  std::size_t count = 0;
  while (pulled.next()) {
    ++count;
  }
  expect(count == 8 && pulled.finish().tokens.size() == 8, "tokens can be pulled");
  const ovir::run ended =
      model.generate(ids, short_run(32), [](const ovir::token&) { return false; });
  expect(ended.finish_reason == "cancelled" && ended.tokens.size() < 3, "false ends a run");
  bool came_out = false;
  try {
    model.generate(ids, short_run(32), [](const ovir::token&) -> bool { throw own_error{}; });
  } catch (const own_error&) {
    came_out = true;
  }
  expect(came_out, "what a callback throws comes out");

  ovir::generate_options drawn = short_run(16);
  drawn.sampling.temperature = 0.8F;
  drawn.sampling.seed = 7;
  const std::string first = model.generate(ids, drawn).transcript;
  expect(model.generate(ids, drawn).transcript == first, "equal seeds draw equally");
  drawn.sampling.seed = 8;
  expect(model.generate(ids, drawn).transcript != first, "other seeds draw otherwise");
  drawn.sampling.temperature = -1;
  expect(code_of([&] { model.generate(ids, drawn); }) == "invalid_argument", "a bad temperature");
  expect(code_of([&] { model.generate("", {}); }) == "invalid_argument", "an empty prompt");
  ovir::generate_options stopped = short_run(32);
  stopped.stop = {whole.text.substr(whole.text.size() / 2, 4)};
  expect(model.generate(ids, stopped).finish_reason == "stop", "a stop text ends the answer");
  const std::vector<ovir::message> said{{"user", "Tell me a story."}};
  expect(!model.chat_prompt(said).empty(), "a conversation is a prompt");
}

void check_verifier(const ovir::model& model, const char* story, const char* receipt) {
  std::string text = text_of(story);
  expect(ovir::verify_transcript(text).ok(), "a transcript holds");
  const ovir::verdict again = ovir::verify_transcript(text, model);
  expect(again && again.tier == "T2", "a transcript is computed again");
  const std::size_t digit = text.find("\"root\": \"") + 9;
  text[digit] = text[digit] == '0' ? '1' : '0';
  expect(!ovir::verify_transcript(text).ok(), "another root does not hold");
  expect(code_of([] { return ovir::verify_transcript("{"); }) == "malformed", "no transcript");

  std::string signed_bytes = text_of(receipt);
  ovir::signers any;
  any.any = true;
  expect(ovir::verify_receipt(bytes_of(signed_bytes), any).ok(), "a receipt holds");
  expect(ovir::verify_receipt(bytes_of(signed_bytes), any, model).ok(), "and computed again");
  expect(!ovir::verify_receipt(bytes_of(signed_bytes), {}).ok(), "signers must be named");
  any.keys = {std::string(64, '0')};
  expect(code_of([&] { return ovir::verify_receipt(bytes_of(signed_bytes), any); }) ==
             "invalid_argument",
         "any and keys contradict each other");
  any.any = false;
  const ovir::verdict strange = ovir::verify_receipt(bytes_of(signed_bytes), any);
  expect(!strange.ok() && !strange.failures.front().what.empty(),
         "others' signatures do not count");
  expect(code_of([&] { return ovir::verify_receipt(bytes_of("no receipt"), any); }) != "none",
         "no receipt");
}

std::string event(int number, const std::string& text, const std::string& end = "null") {
  return "id: 00f3a1c2d4e5b697:" + std::to_string(number) + "\ndata: {\"choices\": [{\"text\": \"" +
         text + "\", \"finish_reason\": " + end + "}]}\n\n";
}

ovir::ask_options named() {
  ovir::ask_options options;
  options.model = "m";
  return options;
}

bool take_all(std::string_view) { return true; }

/// Endpoints that break off or lie.
void check_broken_endpoints() {
  scripted_server first{{event(1, "On") + event(2, "ce") + "id: 3\ndata: {\"cho"}};
  scripted_server second{{event(3, " upon", "\"stop\"") + "data: [DONE]\n\n"}};
  std::string text;
  const ovir::cluster both{std::vector{first.address(), second.address()}};
  const auto answer = both.complete("a", named(), [&](std::string_view more) {
    text += more;
    return true;
  });
  expect(text == "Once upon" && answer.text == text && answer.finish_reason == "stop",
         "a stream goes on at another address behind its last event");
  expect(second.heard().find("Last-Event-ID: 00f3a1c2d4e5b697:2") != std::string::npos,
         "the next address is told the last event");

  scripted_server silent{std::vector<std::string>(20, "")};
  const ovir::cluster ends{silent.address()};
  expect(code_of([&] { ends.complete("a", named(), take_all); }) == "peer_lost",
         "a stream ends where nothing goes on");
  for (const std::string& lie :
       {std::string{"data: [1]\n"}, std::string{"data: {]\n"}, std::string{"data: \xff\n"}}) {
    scripted_server liar{{lie}};
    expect(code_of([&] { ovir::cluster{liar.address()}.complete("a", named(), take_all); }) ==
               "malformed",
           "an event that is no object is refused");
  }
  scripted_server strange{{R"({"choices": [{"text": 5, "ovir": 7, "finish_reason": {}}]})"}};
  expect(ovir::cluster{strange.address()}.complete("a", named()).text.empty(),
         "members of other types are none");
  scripted_server endless{{"data: " + std::string(5U << 20U, 'x')}};
  expect(code_of([&] { ovir::cluster{endless.address()}.complete("a", named(), take_all); }) ==
             "over_limit",
         "an event without an end is refused");
  expect(code_of([] { ovir::cluster{"ftp://a"}; }) == "invalid_argument", "no address");
  ovir::cluster_options key;
  key.key = "a\r\nX: y";
  expect(code_of([&] { ovir::cluster("http://a", key); }) == "invalid_argument",
         "a key cannot add a header");
}

void check_cluster(const char* address) {
  const ovir::cluster cluster{address};
  expect(cluster.models().size() == 1, "a cluster names its model");
  ovir::ask_options options;
  options.max_tokens = 24;
  std::string text;
  std::size_t pieces = 0;
  const auto streamed = cluster.complete("Once upon a time", options, [&](std::string_view more) {
    text += more;
    ++pieces;
    return true;
  });
  const auto whole = cluster.complete("Once upon a time", options);
  expect(pieces > 5 && text == whole.text && streamed.text == text, "a stream is the answer");
  const ovir::model model;
  const ovir::run here = model.generate("Once upon a time", short_run(24));
  expect(streamed.transcript == here.transcript && whole.transcript == here.transcript &&
             whole.text == here.text,
         "a cluster answers with the bits of this process");
  const std::vector<ovir::message> said{{"user", "Tell me a story."}};
  expect(cluster.chat(said, options).transcript ==
             model.generate(model.chat_prompt(said), short_run(24)).transcript,
         "and chats with them");
  expect(cluster.complete("Once", options, [](std::string_view) { return false; }).finish_reason ==
             "cancelled",
         "false cancels a request");
  options.more = R"({"no_such_parameter": 1})";
  expect(code_of([&] { cluster.complete("a", options); }) != "none", "an unknown parameter");
  options.more = "[]";
  expect(code_of([&] { cluster.complete("a", options); }) == "invalid_argument", "no object");
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 3) { // --cluster ADDRESS
    check_cluster(argv[2]);
  } else if (argc == 5) {
    ovir::model_options one;
    one.threads = 1;
    const ovir::model model{one};
    check_engine(model, argv[3]);
    check_penalties(model, argv[4]);
    check_verifier(model, argv[1], argv[2]);
    check_broken_endpoints();
  } else {
    return 2;
  }
  return failures == 0 ? 0 : 1;
}
