// Whole trees with a cache, under a seeded scheduler: what is reused, evicted, waited for or lost
// changes who computes what, and nothing else.
#include "compute/make/synth.hpp"
#include "tests/sim/simulated_node.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using actors::cache_tiers;
using actors::generation_report;

constexpr std::uint32_t layers = 8;

struct small_model {
  small_model() : loaded(bytes()), vocabulary(compute::tokenizer::make(loaded.file()).value()) {}
  static std::vector<std::byte> bytes() {
    compute::synth_spec spec;
    spec.layers = layers;
    spec.dim = 32;
    spec.ffn_dim = 64;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.vocabulary = 300;
    spec.context = 512;
    spec.quantization = compute::synth_quantization::q8_0;
    return synthetic_model(spec);
  }
  loaded_model loaded;
  std::unique_ptr<compute::tokenizer> vocabulary;
};

const small_model& model() {
  static const small_model m;
  return m;
}

std::uint64_t seeds(std::uint64_t usual) {
  const char* wanted = std::getenv("OVIR_SIM_SEEDS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : usual;
}

std::shared_ptr<cache_tiers> memory_of(std::size_t bytes) {
  static const auto env = std::make_unique<counting_env>();
  return std::make_shared<cache_tiers>(bytes, nullptr, *env);
}
constexpr std::size_t plenty = 64U << 20U;

/// 100 tokens that all share, and some of this request alone.
actors::generation_request request(token_id own, std::uint32_t max_tokens = 40) {
  actors::generation_request r;
  for (token_id id = 0; id < 100; ++id) {
    r.prompt.push_back(40 + id * 7 % 250);
  }
  for (token_id i = 0; i < 40; ++i) {
    r.prompt.push_back((own * 31 + i) % 250);
  }
  r.sampling.temperature = 1;
  r.sampling.seed = 7;
  r.max_tokens = max_tokens;
  r.cache.prefixes = true;
  return r;
}

class tree {
public:
  tree(std::uint32_t stages, std::uint64_t seed, std::shared_ptr<cache_tiers> tiers)
      : node_(model().loaded.get(), *model().vocabulary, options(stages), seed, std::move(tiers)) {}

  generation_report ask(const actors::generation_request& r) {
    node_.submit(r);
    EXPECT_TRUE(node_.run());
    const auto& answer = *node_.answers().back();
    EXPECT_TRUE(answer.outcome && answer.outcome->has_value())
        << (answer.outcome ? answer.outcome->error().message : "no answer");
    const generation_report report = answer.outcome->value();
    EXPECT_EQ(answer.text, report.text);
    return report;
  }
  simulated_node& node() { return node_; }

private:
  static supervision::cluster_options options(std::uint32_t stages) {
    supervision::cluster_options o;
    o.stages = stages;
    o.prefill_chunk = 24;
    o.restarts_max = 1'000;
    return o;
  }
  simulated_node node_;
};

std::uint64_t needed(const generation_report& r) {
  return (r.positions + 31) / 32 * std::uint64_t{layers};
}
std::uint64_t reused(const generation_report& r) {
  return r.reused.memory + r.reused.disk + r.reused.peer;
}

void expect_same(const generation_report& told, const generation_report& expected) {
  ASSERT_EQ(told.tokens, expected.tokens);
  ASSERT_EQ(told.text, expected.text);
  ASSERT_EQ(told.end, expected.end);
  ASSERT_EQ(to_hex(told.transcript), to_hex(expected.transcript));
  ASSERT_EQ(told.leaves, expected.leaves);
  ASSERT_EQ(told.logits, expected.logits);
}

TEST(sim_reuse, a_prefix_is_computed_once_for_all_cuts) {
  const generation_report cold = tree{1, 1, nullptr}.ask(request(1));
  const auto tiers = memory_of(plenty);
  const generation_report first = tree{2, 1, tiers}.ask(request(1));
  expect_same(first, cold);
  EXPECT_EQ(first.units_computed, needed(first));
  for (const std::uint32_t stages : {1U, 3U, 8U}) {
    const generation_report again = tree{stages, stages, tiers}.ask(request(1));
    expect_same(again, cold);
    // All windows below the last position of the prompt, whose logits nobody keeps.
    EXPECT_EQ(reused(again), 4U * layers);
    EXPECT_EQ(again.units_computed, needed(again) - 4U * layers);
    const generation_report other = tree{stages, stages, tiers}.ask(request(2));
    expect_same(other, tree{1, 1, nullptr}.ask(request(2)));
    EXPECT_EQ(reused(other) + other.units_computed, needed(other));
    EXPECT_GE(reused(other), 3U * layers);
  }
}

TEST(sim_reuse, what_was_generated_is_the_next_prompts_prefix) {
  const auto tiers = memory_of(plenty);
  const generation_report first = tree{2, 1, tiers}.ask(request(1));
  actors::generation_request next = request(1);
  next.prompt.insert(next.prompt.end(), first.tokens.begin(), first.tokens.end());
  next.prompt.push_back(9);
  const generation_report second = tree{3, 1, tiers}.ask(next);
  EXPECT_EQ(reused(second), first.positions / 32 * std::uint64_t{layers});
  next.cache = {};
  expect_same(second, tree{1, 1, nullptr}.ask(next));
}

TEST(sim_reuse, of_64_with_a_common_prefix_one_computes_it) {
  const auto tiers = memory_of(plenty);
  tree t{2, 5, tiers};
  constexpr std::uint32_t requests = 64;
  for (std::uint32_t i = 0; i < requests; ++i) {
    t.node().submit(request(i, 2));
  }
  ASSERT_TRUE(t.node().run());
  std::uint64_t computed = 0;
  std::uint64_t own = 0;
  for (std::uint32_t i = 0; i < requests; ++i) {
    const generation_report& r = t.node().answers()[i]->outcome->value();
    computed += r.units_computed;
    own += needed(r) - 3U * layers;
    EXPECT_EQ(reused(r) + r.units_computed, needed(r));
  }
  EXPECT_EQ(computed, 3U * layers + own);
  EXPECT_GT(t.node().cache_report().waited, 0U); // how many depends on who came when
  EXPECT_EQ(t.node().cache_report().gave_up, 0U);
}

TEST(sim_reuse, kills_evictions_and_a_dying_cache_change_nothing) {
  const generation_report cold = tree{1, 1, nullptr}.ask(request(1, 60));
  const std::size_t block = compute::kv_block_bytes({1, 16});
  std::uint64_t reused_in_all = 0;
  std::uint64_t restarts = 0;
  for (std::uint64_t seed = 1; seed <= seeds(60); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    // Room for a few blocks, for some windows, for everything.
    const auto tiers = memory_of(std::array{4 * block, 20 * block, plenty}[seed % 3]);
    tree t{static_cast<std::uint32_t>(1 + seed % 5), seed, tiers};
    for (int round = 0; round < 2; ++round) {
      actors::generation_request r = request(1, 60);
      r.kill_shards = 6;
      r.kill_seed = seed;
      t.node().submit(r);
      if (seed % 2 == 0) { // the cache dies in the midst of it
        std::uint32_t steps = 0;
        if (t.node().run_until([&] { return ++steps > 100 + seed * 37 % 700; }, 1'000'000)) {
          caf::anon_send_exit(t.node().find("reuse/cache"), caf::exit_reason::kill);
        }
      }
      ASSERT_TRUE(t.node().run());
      const auto& outcome = t.node().answers().back()->outcome;
      ASSERT_TRUE(outcome->has_value()) << outcome->error().message;
      expect_same(outcome->value(), cold);
      reused_in_all += reused(outcome->value());
      restarts += outcome->value().restarts;
    }
    t.node().settle(10s);
    EXPECT_TRUE(is_whole(t.node().tree())) << print_tree(t.node().tree());
    if (::testing::Test::HasFailure()) {
      return;
    }
  }
  EXPECT_GT(reused_in_all, seeds(60) * layers);
  EXPECT_GT(restarts, seeds(60) * 6);
}

TEST(sim_reuse, a_cache_that_dies_leaves_no_one_waiting) {
  const generation_report cold = tree{1, 1, nullptr}.ask(request(1, 5));
  for (std::uint32_t when = 30; when < 400; when += 9) {
    SCOPED_TRACE(when);
    tree t{2, when, memory_of(plenty)};
    t.node().submit(request(1, 5));
    t.node().submit(request(1, 5));
    t.node().submit(request(1, 5));
    std::uint32_t steps = 0;
    static_cast<void>(t.node().run_until([&] { return ++steps > when; }, 1'000'000));
    caf::anon_send_exit(t.node().find("reuse/cache"), caf::exit_reason::kill);
    ASSERT_TRUE(t.node().run());
    for (const auto& answer : t.node().answers()) {
      ASSERT_TRUE(answer->outcome->has_value()) << answer->outcome->error().message;
      expect_same(answer->outcome->value(), cold);
    }
  }
}

TEST(sim_reuse, requests_that_come_and_go_leave_no_one_waiting) {
  for (std::uint64_t seed = 1; seed <= seeds(30); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    tree t{2, seed, memory_of(plenty)};
    for (std::uint32_t i = 0; i < 12; ++i) {
      t.node().submit(request(i % 3, 5));
    }
    std::uint32_t steps = 0;
    for (std::size_t i = 0; i < 12; i += 2) { // the first among them, which the others wait for
      static_cast<void>(                      // or until all is done
          t.node().run_until([&] { return ++steps % (seed * 11 + 40) == 0; }, 1'000'000));
      t.node().cancel(i);
    }
    ASSERT_TRUE(t.node().run());
    for (std::size_t i = 0; i < 12; ++i) {
      const auto& outcome = *t.node().answers()[i]->outcome;
      ASSERT_TRUE(outcome.has_value() || outcome.error().code == errc::cancelled)
          << outcome.error().message;
    }
    for (std::size_t i = 1; i < 12; i += 2) {
      const generation_report& r = t.node().answers()[i]->outcome->value();
      EXPECT_EQ(r.tokens.size(), 5U);
      EXPECT_EQ(reused(r) + r.units_computed, needed(r));
    }
  }
}

actors::generation_request repeatable(std::uint32_t max_tokens) {
  actors::generation_request r = request(1, max_tokens);
  r.cache.answers = true;
  return r;
}

TEST(sim_reuse, the_same_request_again_is_answered_without_a_stage) {
  const auto tiers = memory_of(plenty);
  const generation_report first = tree{2, 1, tiers}.ask(repeatable(50));
  tree t{3, 2, tiers};
  const generation_report again = t.ask(repeatable(50));
  expect_same(again, first);
  EXPECT_EQ(again.positions, first.positions);
  EXPECT_TRUE(again.answer_reused);
  EXPECT_EQ(again.units_computed, 0U);
  EXPECT_EQ(reused(again), needed(again));
  // Not of a request that must not be the same twice, nor of another.
  EXPECT_FALSE(t.ask(request(1, 50)).answer_reused);
  actors::generation_request other = repeatable(50);
  other.sampling.seed = 8;
  EXPECT_FALSE(t.ask(other).answer_reused);
  other = repeatable(50);
  other.stop = {"zz"};
  EXPECT_FALSE(t.ask(other).answer_reused);
}

TEST(sim_reuse, longer_and_shorter_answers_begin_with_what_was_drawn) {
  const auto tiers = memory_of(plenty);
  const generation_report first = tree{2, 1, tiers}.ask(repeatable(50));
  ASSERT_EQ(first.tokens.size(), 50U);
  for (const std::uint32_t count : {1U, 20U, 32U, 33U, 64U, 80U}) {
    SCOPED_TRACE(count);
    const generation_report told = tree{3, count, tiers}.ask(repeatable(count));
    expect_same(told, tree{1, 1, nullptr}.ask(request(1, count)));
    EXPECT_FALSE(told.answer_reused);
    EXPECT_EQ(reused(told) + told.units_computed, needed(told));
    EXPECT_GE(reused(told), 4U * layers);
  }
}

TEST(sim_reuse, a_request_cancelled_while_units_come_has_a_transcript_all_the_same) {
  const auto tiers = memory_of(plenty);
  const generation_report whole = tree{2, 1, tiers}.ask(request(1));
  for (std::uint64_t seed = 1; seed <= seeds(60); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    tree t{static_cast<std::uint32_t>(1 + seed % 4), seed, tiers};
    t.node().submit(request(1));
    std::uint32_t steps = 0;
    static_cast<void>(t.node().run_until([&] { return ++steps > seed * 5; }, 1'000'000));
    t.node().cancel(0);
    ASSERT_TRUE(t.node().run());
    const auto& outcome = *t.node().answers()[0]->outcome;
    if (!outcome.has_value()) { // before it began
      EXPECT_EQ(outcome.error().code, errc::cancelled) << outcome.error().message;
      continue;
    }
    const generation_report& report = outcome.value();
    for (const compute::unit_leaf& leaf : report.leaves) {
      if (leaf.positions == 32) {
        EXPECT_NE(std::find(whole.leaves.begin(), whole.leaves.end(), leaf), whole.leaves.end());
      }
    }
  }
}

} // namespace
} // namespace ovir::test
