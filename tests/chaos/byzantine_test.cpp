// Five workers, two of which lie at random, and two verifiers, all as processes: whoever lies is
// convicted by those who compute it again, put out of every node, and nobody else is.
#include "compute/text/tokenizer.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/greedy_answer.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

namespace ovir::test {
namespace {

constexpr std::uint32_t layers = 8;
constexpr std::size_t scheduler = 0;
constexpr std::size_t first_verifier = 1;
constexpr std::size_t first_worker = 3;
constexpr std::size_t liars = 2; ///< the first workers: one for each half of the layers
constexpr std::uint64_t requests_of_a_run = 100;
/// So many requests may be led over a liar before it is convicted: each that it serves has about
/// ten passes of which it falsifies six in a hundred, and of who is new every unit is looked at.
constexpr std::uint64_t patience = 60;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* const given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

class byzantine : public ::testing::Test {
protected:
  void start(std::uint32_t workers, const std::string& audit) {
    compute::synth_spec spec;
    spec.layers = layers;
    path_ = (folder_.path() / "synthetic.gguf").string();
    write_file(path_, synthetic_model(spec));
    std::vector<cluster_node> nodes{{"scheduler", {"scheduler"}, {{path_}}},
                                    {"verifier-0", {"verifier"}, {{path_}}},
                                    {"verifier-1", {"verifier"}, {{path_}}}};
    const std::uint64_t seed = number_from("OVIR_SEED", 1);
    for (std::uint32_t i = 0; i < workers; ++i) {
      cluster_node worker{
          fmt::format("worker-{}", i), {"worker"}, {{path_, i % 2 == 0 ? "0-3" : "4-7"}}};
      if (i < liars) {
        worker.name = fmt::format("liar-{}", i);
        worker.program = OVIR_LIAR_PROGRAM;
        worker.environment = {{"OVIR_LIE_SEED", fmt::format("{}", seed + i)},
                              {"OVIR_LIE_PPM", "60000"}};
      }
      nodes.push_back(worker);
    }
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = nodes, .tables = "[audit]\nleast_rate_ppm = 300000\n" + audit});
    cluster_->start();
    const apps::json seen = cluster_->ask(scheduler, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      keys_[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    }
  }

  /// Keys that a node holds for convicted.
  [[nodiscard]] std::set<std::string> convicted(std::size_t at) const {
    std::set<std::string> all;
    const apps::json data = cluster_->ask(at, "audits");
    for (const apps::json& one : data.at("convictions")) {
      all.insert(one.at("node").get<std::string>());
    }
    return all;
  }
  [[nodiscard]] std::set<std::string> liar_keys() const {
    return {keys_.at("liar-0"), keys_.at("liar-1")};
  }
  [[nodiscard]] bool nothing_waits() const {
    for (const std::size_t v : {first_verifier, first_verifier + 1}) {
      const apps::json data = cluster_->ask(v, "audits");
      if (data.at("waiting") != 0 || data.at("open") != 0) {
        return false;
      }
    }
    return true;
  }

  static std::vector<token_id> prompt_of(std::uint64_t number) {
    std::vector<token_id> prompt;
    for (std::uint64_t i = 0; i < 36; ++i) {
      prompt.push_back(static_cast<token_id>((number * 7'919 + i * 31) % 300));
    }
    return prompt;
  }
  [[nodiscard]] asked_request ask(std::uint64_t number) const {
    return {*cluster_,
            {scheduler},
            {{"tokens", prompt_of(number)}, {"max_tokens", 8}, {"speculate", "off"}}};
  }
  apps::json answer_of(asked_request& asked) {
    const apps::json data = asked.answer();
    // Who heard a token that a convicted node computed wrongly is told so; all else ends well.
    const bool told = asked.failure().find("convicted") != std::string::npos;
    told_ += told ? 1 : 0;
    failures_ += asked.failure().empty() || told ? 0 : 1;
    EXPECT_TRUE(asked.failure().empty() || told) << asked.failure();
    return data;
  }
  apps::json request(std::uint64_t number) {
    asked_request asked = ask(number);
    return answer_of(asked);
  }
  [[nodiscard]] std::vector<std::size_t> honest_beside(std::size_t liar) const {
    std::vector<std::size_t> those;
    for (std::size_t i = first_worker + liars; i < cluster_->size(); ++i) {
      if ((i - first_worker) % liars == liar) { // of the same half of the layers
        those.push_back(i);
      }
    }
    return those;
  }
  void come_back(const std::vector<std::size_t>& away) {
    for (const std::size_t i : away) {
      if (!cluster_->running(i)) {
        cluster_->start(i);
      }
    }
  }
  /// Requests, numbered from `number`, while of the honest nodes with the liar's layers only
  /// `beside` are there, so that nobody gets around it, until it is convicted. Then the others come
  /// back, who heard nothing of it. `look` sees every answer. Returns the number of the next
  /// request.
  template <class Look>
  std::uint64_t meet(std::size_t liar, std::size_t beside, std::uint64_t number, const Look& look) {
    const std::string& key = keys_.at(fmt::format("liar-{}", liar));
    const std::vector<std::size_t> honest = honest_beside(liar);
    const std::vector<std::size_t> away(honest.begin() + static_cast<std::ptrdiff_t>(beside),
                                        honest.end());
    for (const std::size_t i : away) {
      cluster_->kill(i);
    }
    bool caught = convicted(scheduler).contains(key);
    for (const std::uint64_t last = number + patience; !caught && number < last; ++number) {
      asked_request asked = ask(number);
      // A request that is under way when the liar is convicted waits for who comes back.
      EXPECT_TRUE(cluster_->wait_until([&] {
        caught = convicted(scheduler).contains(key);
        return caught || asked.over();
      })) << cluster_->last_words();
      if (!caught) {
        EXPECT_TRUE(cluster_->wait_until([&] { return nothing_waits(); }));
        caught = convicted(scheduler).contains(key);
      }
      if (caught) {
        come_back(away);
      }
      look(number, answer_of(asked));
    }
    come_back(away);
    EXPECT_TRUE(caught) << "liar-" << liar << " served and was not convicted\n"
                        << cluster_->last_words();
    std::printf("liar-%zu was convicted before request %llu\n", liar,
                static_cast<unsigned long long>(number));
    return number;
  }
  /// Each honest node knows exactly these liars. A node that was just started may not listen yet.
  [[nodiscard]] bool everywhere(const std::set<std::string>& guilty) const {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      const bool liar = i >= first_worker && i < first_worker + liars;
      try {
        if (!liar && convicted(i) != guilty) {
          return false;
        }
      } catch (const std::runtime_error&) {
        return false;
      }
    }
    return true;
  }

  temporary_folder folder_;
  std::string path_;
  std::unique_ptr<test_cluster> cluster_;
  std::map<std::string, std::string> keys_;
  std::uint64_t failures_{0};
  std::uint64_t told_{0}; ///< requests that were told of wrong tokens while they ran
};

TEST_F(byzantine, every_liar_is_convicted_everywhere_and_nobody_honest_is) {
  start(5, "every_request = true\n");
  const std::uint64_t requests = number_from("OVIR_BYZANTINE_REQUESTS", requests_of_a_run);
  std::uint64_t next = 0;
  for (std::size_t liar = 0; liar < liars; ++liar) {
    next = meet(liar, 0, next, [](std::uint64_t, const apps::json&) {});
  }
  while (next < requests) {
    (void)request(next++);
  }
  EXPECT_TRUE(cluster_->wait_until([&] { return nothing_waits(); }));
  // Also the three that were away when the liars were convicted: they were sent what they missed.
  EXPECT_TRUE(
      cluster_->wait_until([&] { return everywhere(liar_keys()); }, std::chrono::seconds{90}))
      << cluster_->last_words();
  // Out of the cluster: nobody counts them among the living, and requests go on without them.
  const apps::json after = request(10'000);
  for (const apps::json& stage : after.at("path")) {
    EXPECT_FALSE(liar_keys().contains(keys_.at(stage.at("name").get<std::string>())));
  }
  std::uint64_t units = 0;
  std::uint64_t drawn = 0;
  for (const std::size_t v : {first_verifier, first_verifier + 1}) {
    const apps::json data = cluster_->ask(v, "audits");
    units += data.at("units").get<std::uint64_t>();
    drawn += data.at("drawn").get<std::uint64_t>();
    EXPECT_EQ(data.at("unaudited"), 0);
  }
  EXPECT_EQ(failures_, 0U) << "requests of convicted nodes begin again by themselves";
  std::printf("%llu requests, %llu of %llu units drawn, 2 of 2 liars convicted, %llu told\n",
              static_cast<unsigned long long>(next), static_cast<unsigned long long>(drawn),
              static_cast<unsigned long long>(units), static_cast<unsigned long long>(told_));
}

TEST_F(byzantine, who_is_answered_twice_is_told_only_what_is_right) {
  start(6, "twice_tokens = 1\n"); // two whole paths are left when both liars are out
  const loaded_model model{path_};
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  std::uint64_t answered = 0;
  const auto is_right = [&](std::uint64_t number, const apps::json& data) {
    if (data.contains("tokens")) {
      const auto tokens = data.at("tokens").get<std::vector<token_id>>();
      ASSERT_FALSE(tokens.empty());
      EXPECT_EQ(tokens, greedy_answer(model.get(), prompt_of(number), tokens.size()))
          << "request " << number;
      const bool ends = vocabulary->ends_generation(tokens.back());
      EXPECT_EQ(data.at("finish_reason"), ends ? "stop" : "length") << "request " << number;
      EXPECT_TRUE(ends || tokens.size() == 8) << "request " << number;
      ++answered;
    }
  };
  const std::uint64_t requests = number_from("OVIR_BYZANTINE_REQUESTS", requests_of_a_run);
  std::uint64_t next = 0;
  // With one honest node beside it for the other run, a liar computes a run of every request.
  for (std::size_t liar = 0; liar < liars; ++liar) {
    next = meet(liar, 1, next, is_right);
  }
  for (; next < requests; ++next) {
    is_right(next, request(next));
  }
  EXPECT_EQ(answered, next);
  EXPECT_EQ(told_, 0U) << "nobody had to be told that he heard something wrong";
  EXPECT_EQ(failures_, 0U);
  EXPECT_TRUE(cluster_->wait_until([&] { return nothing_waits(); }));
  EXPECT_TRUE(
      cluster_->wait_until([&] { return everywhere(liar_keys()); }, std::chrono::seconds{90}))
      << cluster_->last_words();
  std::printf("%llu requests answered twice, 2 of 2 liars convicted\n",
              static_cast<unsigned long long>(answered));
}

/// A liar with the first half of the layers, whose every pass lies, an honest node behind it, and
/// another one in its place that is away at first.
class quarantined : public byzantine {
protected:
  static constexpr std::size_t liar = first_worker;
  static constexpr std::size_t behind = first_worker + 1;
  static constexpr std::size_t spare = first_worker + 2;

  quarantined() {
    compute::synth_spec spec;
    spec.layers = layers;
    path_ = (folder_.path() / "synthetic.gguf").string();
    write_file(path_, synthetic_model(spec));
    std::vector<cluster_node> nodes{
        {"scheduler", {"scheduler"}, {{path_}}},  {"verifier-0", {"verifier"}, {{path_}}},
        {"verifier-1", {"verifier"}, {{path_}}},  {"liar-0", {"worker"}, {{path_, "0-3"}}},
        {"behind", {"worker"}, {{path_, "4-7"}}}, {"spare", {"worker"}, {{path_, "0-3"}}}};
    nodes[liar].program = OVIR_LIAR_PROGRAM;
    nodes[liar].environment = {{"OVIR_LIE_SEED", "1"}, {"OVIR_LIE_PPM", "1000000"}};
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = nodes, .tables = "[audit]\n", .cache = "enabled = true"});
    cluster_->start();
    cluster_->kill(spare);
    const apps::json seen = cluster_->ask(scheduler, "nodes");
    for (const apps::json& node : seen.at("nodes")) {
      keys_[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    }
  }

  [[nodiscard]] std::vector<token_id> answer(bool with_receipt) {
    std::vector<token_id> prompt = prompt_of(1);
    const std::vector<token_id> more = prompt_of(2);
    prompt.insert(prompt.end(), more.begin(), more.end()); // two whole windows
    asked_request asked{
        *cluster_,
        {scheduler},
        {{"tokens", prompt}, {"max_tokens", 40}, {"speculate", "off"}, {"receipt", with_receipt}}};
    const apps::json data = asked.answer();
    told_ += asked.failure().find("convicted") != std::string::npos ? 1 : 0;
    return data.contains("tokens") ? data.at("tokens").get<std::vector<token_id>>()
                                   : std::vector<token_id>{};
  }
  [[nodiscard]] std::vector<token_id> truth() const {
    std::vector<token_id> prompt = prompt_of(1);
    const std::vector<token_id> more = prompt_of(2);
    prompt.insert(prompt.end(), more.begin(), more.end());
    const loaded_model model{path_};
    auto tokens = greedy_answer(model.get(), prompt, 40);
    const auto vocabulary = compute::tokenizer::make(model.file()).value();
    const auto end = std::find_if(tokens.begin(), tokens.end(), [&](token_id token) {
      return vocabulary->ends_generation(token);
    });
    tokens.erase(end == tokens.end() ? end : end + 1, tokens.end());
    return tokens;
  }
  [[nodiscard]] std::uint64_t count(std::size_t node, const char* what) const {
    return cluster_->ask(node, "cache").at(what).get<std::uint64_t>();
  }
  [[nodiscard]] bool emptied(std::size_t node) const { return count(node, "quarantined") > 0; }
};

TEST_F(quarantined, what_follows_from_a_lie_is_served_no_more_by_anybody) {
  const std::vector<token_id> lie = answer(false);
  ASSERT_FALSE(lie.empty()) << cluster_->last_words();
  ASSERT_NE(lie, truth());
  ASSERT_TRUE(cluster_->wait_until([&] { return count(behind, "kept") > 0; }));
  EXPECT_EQ(answer(false), lie);
  EXPECT_EQ(count(scheduler, "answers"), 1U) << "what was cached is believed until it is convicted";

  const std::string key = keys_.at("liar-0");
  asked_request signed_for{
      *cluster_,
      {scheduler},
      {{"tokens", prompt_of(3)}, {"max_tokens", 8}, {"speculate", "off"}, {"receipt", true}}};
  ASSERT_TRUE(cluster_->wait_until([&] { return convicted(scheduler).contains(key); },
                                   std::chrono::seconds{60}))
      << cluster_->last_words();
  ASSERT_TRUE(cluster_->wait_until([&] { return convicted(behind).contains(key); }));
  cluster_->start(spare);
  (void)signed_for.answer(); // told, or computed anew
  for (const std::size_t node : {scheduler, behind}) {
    EXPECT_TRUE(cluster_->wait_until([&] { return emptied(node); })) << node;
  }
  EXPECT_EQ(answer(false), truth());
  EXPECT_EQ(answer(false), truth());
  EXPECT_EQ(count(scheduler, "answers"), 2U) << "the right one is kept";

  // Neither after a restart, and what was right is not taken away again.
  cluster_->kill(liar);
  for (const std::size_t node : {scheduler, behind}) {
    ASSERT_TRUE(cluster_->wait_until([&] { return count(node, "unwritten") == 0; }));
    cluster_->kill(node);
    cluster_->start(node);
  }
  cluster_->wait_until_whole();
  EXPECT_EQ(answer(false), truth());
  EXPECT_EQ(count(scheduler, "answers"), 1U);
  EXPECT_EQ(count(scheduler, "quarantined") + count(behind, "quarantined"), 0U);
  EXPECT_EQ(convicted(scheduler), std::set<std::string>{key});
}

} // namespace
} // namespace ovir::test
