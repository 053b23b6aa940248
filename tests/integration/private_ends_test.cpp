// Requests with privacy "ends", over processes: what the nodes in the middle hear is written down
// and searched for what was asked, by its numbers and by every digest that a guess would give.
#include "actors/link/network.hpp"
#include "actors/protocol/wire.hpp"
#include "apps/key_file.hpp"
#include "compute/forward/prefix.hpp"
#include "compute/model/transcript.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/wire/frame.hpp"
#include "storage/env/env.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>
#include <set>
#include <unordered_set>

namespace ovir::test {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t layers = 8;
constexpr std::size_t prompt_tokens = 70; ///< of a guess: two whole windows, and some
constexpr std::size_t guesses = 10'000;
constexpr std::uint64_t seed = 44;
using prompt_ids = std::vector<token_id>;

constexpr auto first_text = "Dear doctor, nobody knows of this yet and nobody is to know: since "
                            "the second of May I can not sleep, and the reason is";
constexpr auto second_text = "Draft, not to be shown to anybody before the board has met: we shall "
                             "sell the mill to our neighbours for the sum of";

/// A guess that only `number` decides.
prompt_ids guess_of(std::uint64_t number) {
  std::mt19937_64 chance{seed + number};
  prompt_ids ids(prompt_tokens);
  for (token_id& id : ids) {
    id = 3 + static_cast<token_id>(chance() % 250);
  }
  return ids;
}

struct heard_message {
  actors::message_kind kind{};
  std::vector<std::byte> bytes;
};

/// What a node wrote down (tests/recorder).
std::vector<heard_message> heard_by(const std::filesystem::path& file) {
  const std::string all = std::filesystem::exists(file) ? read_file(file) : std::string{};
  std::vector<heard_message> messages;
  constexpr std::size_t head = 3 * sizeof(std::uint32_t) + node_id::size;
  for (std::size_t at = 0; at + head <= all.size();) {
    std::uint32_t numbers[3];
    std::memcpy(numbers, all.data() + at, sizeof(numbers));
    at += head;
    const std::size_t size = std::min<std::size_t>(numbers[2], all.size() - at);
    heard_message& one = messages.emplace_back();
    one.kind = static_cast<actors::message_kind>(numbers[0]);
    one.bytes.resize(size);
    std::memcpy(one.bytes.data(), all.data() + at, size);
    at += size;
  }
  return messages;
}

/// What someone knows who guesses what was asked: everything but that.
struct known_request {
  digest model;
  std::uint32_t max_tokens{0};
  std::set<std::uint64_t> requests; ///< ids that were heard
};

/// Every digest that follows from a guess alone, as it is in messages and in the ledger.
std::vector<digest> digests_of(const prompt_ids& prompt, const known_request& known) {
  request_facts facts;
  facts.profile = compute::profile_name;
  facts.model = known.model;
  facts.layers = layers;
  facts.prompt = prompt;
  facts.sampling.seed = seed;
  facts.max_tokens = known.max_tokens;
  std::vector<digest> all{request_digest(facts)};
  for (const std::uint64_t request : known.requests) {
    facts.request = request_id{request};
    all.push_back(ledger::about_of(terms_of(facts)));
  }
  request_terms terms;
  terms.model = known.model;
  terms.prompt = prompt;
  terms.sampling = facts.sampling;
  terms.max_tokens = known.max_tokens;
  all.push_back(digest_of(terms));
  terms.receipt = true;
  all.push_back(digest_of(terms));
  compute::prefix_chain chain;
  chain.add(prompt);
  for (std::size_t w = 0; w < chain.windows().size(); ++w) {
    const digest name = compute::window_name({}, chain.windows()[w]);
    all.push_back(name);
    for (layer_index layer = 0; layer < layers; ++layer) {
      all.push_back(compute::unit_key(known.model, layer, name));
    }
    const std::span<const token_id> ids =
        std::span{prompt}.subspan(w * limits::window_positions, limits::window_positions);
    all.push_back(hasher{"ovir/statement/v1/tokens"}
                      .update_u32(static_cast<std::uint32_t>(w))
                      .update_u32(static_cast<std::uint32_t>(ids.size()))
                      .update(std::as_bytes(ids))
                      .finish());
  }
  return all;
}

std::uint64_t beginning_of(const void* bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

/// Bytes that were heard or are in a log, to be searched.
class seen_bytes {
public:
  void add(std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + digest::size <= bytes.size(); ++at) {
      beginnings_.insert(beginning_of(bytes.data() + at));
    }
    all_.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  /// Whether a digest, or four tokens in a row, of this guess is in them.
  [[nodiscard]] bool tells(const prompt_ids& prompt, const known_request& known) const {
    const auto digests = digests_of(prompt, known);
    return std::any_of(digests.begin(), digests.end(), [&](const digest& d) {
      return beginnings_.contains(beginning_of(d.bytes.data())) &&
             has(d.bytes.data(), digest::size);
    });
  }
  [[nodiscard]] bool has_tokens(const prompt_ids& ids) const {
    constexpr std::size_t row = 4;
    for (std::size_t i = 0; i + row <= ids.size(); ++i) {
      if (has(ids.data() + i, row * sizeof(token_id))) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] std::size_t size() const {
    std::size_t sum = 0;
    for (const std::string& one : all_) {
      sum += one.size();
    }
    return sum;
  }

private:
  [[nodiscard]] bool has(const void* bytes, std::size_t size) const {
    const std::string_view wanted{static_cast<const char*>(bytes), size};
    return std::any_of(all_.begin(), all_.end(), [&](const std::string& one) {
      return one.find(wanted) != std::string::npos;
    });
  }

  std::vector<std::string> all_;
  std::unordered_set<std::uint64_t> beginnings_;
};

class private_ends : public ::testing::Test {
protected:
  private_ends() {
    model_ = (folder_.path() / "m.gguf").string();
    EXPECT_EQ(run_ovir({"model", "synth", model_, "--layers", std::to_string(layers)}).exit_code,
              0);
  }

  /// Makes a cluster of which node 0 drives requests and the node `books` keeps the ledger. `ends`:
  /// those that node 0 names.
  void make(std::vector<cluster_node> nodes, const std::vector<std::string>& ends,
            const std::string& more = "") {
    for (cluster_node& node : nodes) {
      if (!node.program.empty()) {
        node.environment["OVIR_RECORD"] = record_of(node.name);
      }
    }
    cluster_spec spec{.nodes = std::move(nodes)};
    spec.cache = "enabled = true";
    cluster_ = std::make_unique<test_cluster>(std::move(spec));
    const std::string policy = folder_.path() / "ledger.toml";
    write_file(policy, std::string{"mode = \"free\"\n[rules]\naudit_window_s = 3600\n"});
    const std::string books = key_of("books");
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      add(i, "\n[ledger]\n" + (cluster_->node(i).has_role("ledger")
                                   ? fmt::format("policy = \"{}\"\n", policy)
                                   : fmt::format("keeper = \"{}\"\n", books)));
    }
    std::string named;
    for (const std::string& name : ends) {
      named += fmt::format("\"{}\", ", key_of(name));
    }
    add(0, fmt::format("\n[privacy]\nnodes = [{}]\n{}", named, more));
  }
  /// Waits for the ledger, too: until then requests are refused.
  void start() {
    cluster_->start();
    const auto log = cluster_->folder() / "front.log";
    ASSERT_TRUE(cluster_->wait_until(
        [&] { return read_file(log).find("uses the ledger") != std::string::npos; }));
  }
  void add(std::size_t i, const std::string& text) const {
    write_file(cluster_->config(i), read_file(cluster_->config(i)) + text);
  }
  [[nodiscard]] std::string record_of(const std::string& name) const {
    return folder_.path() / (name + ".heard");
  }
  [[nodiscard]] std::string key_of(const std::string& name) const {
    const auto env = storage::make_env_posix();
    return to_hex(
        apps::load_key(*env, (cluster_->folder() / name / "node.key").string()).value().id());
  }
  static apps::json order(const prompt_ids& prompt, std::uint32_t most, const char* privacy) {
    return {{"tokens", prompt},   {"max_tokens", most}, {"seed", seed},
            {"privacy", privacy}, {"cache", "public"},  {"speculate", "off"}};
  }
  [[nodiscard]] apps::json answer_of(const apps::json& asked) {
    asked_request one{*cluster_, {0}, asked};
    apps::json data = one.answer();
    EXPECT_TRUE(data.is_object()) << one.failure() << cluster_->last_words();
    return data;
  }
  /// What one process alone answers, with the ids of the prompt.
  [[nodiscard]] nlohmann::json alone(const std::string& text, std::uint32_t most) const {
    return ovir_json({"run", "-m", model_, "-p", text, "-n", std::to_string(most)});
  }

  /// Inputs of windows that a node keeps for verifiers.
  [[nodiscard]] std::uint64_t inputs_at(std::size_t node) const {
    const apps::json told = cluster_->ask(node, "cache").at("inputs");
    return told.at("kept").get<std::uint64_t>() + told.at("not_kept").get<std::uint64_t>() +
           told.at("memory_bytes").get<std::uint64_t>();
  }

  /// All that these nodes heard, and the ledger's log.
  [[nodiscard]] seen_bytes seen_by(const std::vector<std::string>& names) const {
    seen_bytes seen;
    for (const std::string& name : names) {
      for (const heard_message& m : heard_by(record_of(name))) {
        seen.add(m.bytes);
      }
    }
    const auto books = cluster_->folder() / "books";
    for (const auto& file : std::filesystem::recursive_directory_iterator{books}) {
      if (file.is_regular_file() && file.path().filename() == "log" &&
          file.path().string().find("ledger") != std::string::npos) {
        const std::string log = read_file(file.path());
        EXPECT_GT(log.size(), 0U);
        seen.add(std::as_bytes(std::span{log}));
      }
    }
    return seen;
  }
  [[nodiscard]] known_request known_by(const std::vector<std::string>& names,
                                       std::uint32_t most) const {
    known_request known;
    known.max_tokens = most;
    for (const std::string& name : names) {
      for (const heard_message& m : heard_by(record_of(name))) {
        const auto wired = m.kind == actors::message_kind::wire
                               ? actors::decode_wire(m.bytes)
                               : result<actors::wire_message>{error{}};
        if (wired) {
          known.requests.insert(wired->request.value);
          if (const auto* open = std::get_if<actors::wire_open>(&wired->body)) {
            known.model = open->model;
          }
        }
      }
    }
    return known;
  }
  /// Numbers of the guesses that something seen confirms; the `place`th of them is `right`.
  static std::vector<std::size_t> found_among(const seen_bytes& seen, const known_request& known,
                                              std::size_t place, const prompt_ids& right) {
    std::vector<std::size_t> found;
    for (std::size_t n = 0; n < guesses; ++n) {
      if (seen.tells(n == place ? right : guess_of(n), known)) {
        found.push_back(n);
      }
    }
    return found;
  }
  /// Nothing in them is a token or a logit, by what messages are.
  static void expect_no_ends(const std::filesystem::path& record, bool computes) {
    std::size_t boundaries = 0;
    for (const heard_message& m : heard_by(record)) {
      if (m.kind == actors::message_kind::tensor) {
        const auto frame = decode_frame(m.bytes);
        ASSERT_TRUE(frame) << frame.error().message;
        const frame_kind kind = frame->header.kind;
        EXPECT_TRUE(kind == frame_kind::boundary || kind == frame_kind::drafted_boundary ||
                    kind == frame_kind::evidence)
            << static_cast<unsigned>(kind);
        boundaries += kind == frame_kind::boundary ? 1 : 0;
      } else if (m.kind == actors::message_kind::wire) {
        const auto wired = actors::decode_wire(m.bytes);
        ASSERT_TRUE(wired) << wired.error().message;
        EXPECT_FALSE(std::holds_alternative<actors::wire_adopt>(wired->body));
        EXPECT_FALSE(std::holds_alternative<actors::log_token>(wired->body));
        if (const auto* open = std::get_if<actors::wire_open>(&wired->body)) {
          EXPECT_FALSE(open->log) << "the prompt is in it";
          EXPECT_TRUE(open->sealed) << "what it computes with is kept for no verifier";
          EXPECT_GE(open->layers.first, 2U);
          EXPECT_LT(open->layers.last, layers);
        }
      }
    }
    EXPECT_TRUE(!computes || boundaries > 0) << "it is in the path";
  }

  temporary_folder folder_;
  std::string model_;
  std::unique_ptr<test_cluster> cluster_;
};

TEST_F(private_ends, the_middle_and_the_ledger_confirm_no_guess_and_the_answer_is_the_same) {
  make({{"front", {"scheduler", "worker"}, {{model_, "0-1"}, {model_, "7"}}},
        {"books", {"ledger"}},
        {"left", {"worker"}, {{model_, "2-6"}}, OVIR_RECORDER_PROGRAM},
        {"right", {"worker"}, {{model_, "2-6"}}, OVIR_RECORDER_PROGRAM}},
       {});
  start();
  const std::vector<std::string> middle{"left", "right"};
  constexpr std::uint32_t most = 40;
  constexpr std::size_t place = 4'711; ///< of the guesses the right one
  const nlohmann::json right = alone(first_text, most);
  const prompt_ids prompt = right.at("prompt_tokens").get<prompt_ids>();
  ASSERT_GE(prompt.size(), 64U);

  // A node of the middle dies on the way: the other takes its place, under the same rule.
  asked_request one{*cluster_, {0}, order(prompt, most, "ends")};
  ASSERT_TRUE(one.wait_for_tokens(3)) << one.failure() << cluster_->last_words();
  std::size_t working = 0;
  for (const std::size_t i : {std::size_t{2}, std::size_t{3}}) {
    for (const heard_message& m : heard_by(record_of(cluster_->node(i).name))) {
      working = m.kind == actors::message_kind::tensor ? i : working;
    }
  }
  ASSERT_NE(working, 0U) << "one of them computes";
  cluster_->kill(working);
  const apps::json data = one.answer();
  ASSERT_TRUE(data.is_object()) << one.failure() << cluster_->last_words();
  EXPECT_EQ(data.at("tokens"), right.at("tokens"));
  EXPECT_EQ(data.at("transcript"), right.at("transcript"));
  for (const std::string& name : middle) {
    expect_no_ends(record_of(name), true);
  }
  const std::size_t left = working == 2 ? 3 : 2;
  EXPECT_EQ(inputs_at(left), 0U) << "a digest that is guessed right fetches nothing";
  const seen_bytes seen = seen_by(middle);
  const known_request known = known_by(middle, most);
  ASSERT_GT(seen.size(), 100'000U);
  EXPECT_FALSE(seen.has_tokens(prompt));
  EXPECT_FALSE(seen.has_tokens(data.at("tokens").get<prompt_ids>()));
  EXPECT_THAT(found_among(seen, known, place, prompt), testing::IsEmpty());

  // The same search finds what was asked without it: the search is no blunt one.
  const nlohmann::json plain = alone(second_text, most);
  const prompt_ids open = plain.at("prompt_tokens").get<prompt_ids>();
  EXPECT_EQ(answer_of(order(open, most, "none")).at("tokens"), plain.at("tokens"));
  EXPECT_THAT(found_among(seen_by(middle), known_by(middle, most), place, open),
              testing::ElementsAre(place));
  EXPECT_TRUE(cluster_->wait_until([&] { return inputs_at(left) > 0; }));
}

TEST_F(private_ends, named_nodes_compute_the_ends_and_no_other_scheduler_is_shown_them) {
  make({{"front", {"scheduler"}, {{model_}}},
        {"books", {"ledger"}},
        {"friend", {"worker"}, {{model_, "0-1"}, {model_, "7"}}},
        {"middle", {"worker"}, {{model_, "0-7"}}, OVIR_RECORDER_PROGRAM},
        {"other", {"scheduler"}, {{model_}}, OVIR_RECORDER_PROGRAM}},
       {"friend"}, "requests = \"ends\"\n");
  start();
  constexpr std::uint32_t most = 60;
  const nlohmann::json right = alone(first_text, most);
  const prompt_ids prompt = right.at("prompt_tokens").get<prompt_ids>();
  // The node alone asks for it, and a request cannot weaken that.
  asked_request one{*cluster_, {0}, order(prompt, most, "none")};
  ASSERT_TRUE(one.wait_for_tokens(3)) << one.failure() << cluster_->last_words();
  cluster_->kill(0);
  cluster_->start(0);
  const apps::json data = one.answer();
  ASSERT_TRUE(data.is_object()) << one.failure() << cluster_->last_words();
  EXPECT_EQ(data.at("tokens"), right.at("tokens"));
  expect_no_ends(record_of("middle"), true);
  expect_no_ends(record_of("other"), false);
  EXPECT_FALSE(seen_by({"middle", "other"}).has_tokens(prompt));
}

TEST_F(private_ends, a_request_whose_ends_no_named_node_holds_is_refused_with_the_layers) {
  make({{"front", {"scheduler", "worker"}, {{model_, "0-1"}}},
        {"books", {"ledger"}},
        {"middle", {"worker"}, {{model_, "0-7"}}, OVIR_RECORDER_PROGRAM}},
       {});
  start();
  asked_request one{*cluster_, {0}, order(guess_of(2), 4, "ends")};
  EXPECT_TRUE(one.answer().is_null());
  EXPECT_THAT(one.failure(), HasSubstr("holds layers 7 "));
  EXPECT_THAT(one.failure(), HasSubstr("privacy"));
  EXPECT_FALSE(seen_by({"middle"}).has_tokens(guess_of(2)));
}

} // namespace
} // namespace ovir::test
