// Five workers, two of which lie at random, and two verifiers, all as processes: whoever lies is
// convicted by those who compute it again, put out of every node, and nobody else is.
#include "compute/sampler.hpp"
#include "compute/segment.hpp"
#include "compute/tokenizer.hpp"
#include "tests/support/asked_request.hpp"
#include "tests/support/cli.hpp"
#include "tests/support/gguf_builder.hpp"
#include "tests/support/loaded_model.hpp"
#include "tests/support/test_cluster.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

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

/// What an honest machine answers.
std::vector<token_id> greedy(const compute::model& m, std::vector<token_id> tokens,
                             std::size_t count) {
  compute::serial_runner runner;
  const auto whole = compute::segment::make(m, {0, m.config.layers},
                                            *compute::select_kernels(std::nullopt).value(), runner)
                         .value();
  auto state = whole->open(static_cast<std::uint32_t>(tokens.size() + count), 1U << 26U).value();
  std::vector<token_id> drawn;
  position first = 0;
  compute::step_output out;
  while (drawn.size() < count) {
    compute::step_input in{.first = first, .count = static_cast<std::uint32_t>(tokens.size())};
    in.tokens = tokens;
    in.logit_rows = 1;
    EXPECT_TRUE(whole->forward(state, in, runner, out));
    first += in.count;
    drawn.push_back(compute::highest_of(out.logits));
    tokens = {drawn.back()};
  }
  return drawn;
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
        for (const std::size_t i : away) {
          cluster_->start(i);
        }
      }
      look(number, answer_of(asked));
    }
    EXPECT_TRUE(caught) << "liar-" << liar << " served and was not convicted\n"
                        << cluster_->last_words();
    return number;
  }
  /// Every node that is no liar knows these and nobody else.
  [[nodiscard]] bool everywhere(const std::set<std::string>& guilty) const {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      const bool liar = i >= first_worker && i < first_worker + liars;
      if (!liar && convicted(i) != guilty) {
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
      EXPECT_EQ(tokens, greedy(model.get(), prompt_of(number), tokens.size()))
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

} // namespace
} // namespace ovir::test
