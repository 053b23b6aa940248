#include "compute/make/synth.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/sim/simulated_node.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "verify/receipt_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <set>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;

/// A model of 8 layers that costs next to nothing, and its tokenizer.
struct small_model {
  small_model() : loaded(bytes()), vocabulary(compute::tokenizer::make(loaded.file()).value()) {}

  static std::vector<std::byte>
  bytes(compute::synth_quantization quantization = compute::synth_quantization::q8_0) {
    compute::synth_spec spec;
    spec.layers = 8;
    spec.dim = 32;
    spec.ffn_dim = 64;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.vocabulary = 300;
    spec.context = 256;
    spec.quantization = quantization;
    std::vector<std::byte> out;
    const auto sink = [&out](std::span<const std::byte> part) -> result<void> {
      out.insert(out.end(), part.begin(), part.end());
      return {};
    };
    EXPECT_TRUE(compute::write_synth(spec, sink, {}));
    return out;
  }

  loaded_model loaded;
  std::unique_ptr<compute::tokenizer> vocabulary;
};

const small_model& model() {
  static const small_model m;
  return m;
}

supervision::cluster_options options(std::uint32_t stages) {
  supervision::cluster_options o;
  o.stages = stages;
  o.prefill_chunk = 5;
  o.restarts_max = 1'000;
  return o;
}

actors::generation_request story(std::uint32_t max_tokens = 50) {
  actors::generation_request request;
  for (token_id id = 0; id < 23; ++id) {
    request.prompt.push_back(40 + id * 7);
  }
  request.sampling.temperature = 1;
  request.sampling.seed = 7;
  request.max_tokens = max_tokens;
  return request;
}

/// What the request yields when nothing goes wrong, on one stage.
const actors::generation_report& undisturbed() {
  static const actors::generation_report report = [] {
    simulated_node node{model().loaded.get(), *model().vocabulary, options(1), 1};
    node.submit(story());
    EXPECT_TRUE(node.run());
    return node.answers()[0]->outcome->value();
  }();
  return report;
}

void expect_undisturbed(const simulated_node::answer& a) {
  ASSERT_TRUE(a.outcome && a.outcome->has_value())
      << (a.outcome ? a.outcome->error().message : "no answer");
  const actors::generation_report& report = a.outcome->value();
  EXPECT_EQ(report.tokens, undisturbed().tokens);
  EXPECT_EQ(to_hex(report.transcript), to_hex(undisturbed().transcript));
  EXPECT_EQ(report.text, undisturbed().text);
  EXPECT_EQ(a.text, undisturbed().text);
}

std::uint64_t seeds() {
  const char* wanted = std::getenv("OVIR_SIM_SEEDS");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 200;
}

TEST(sim, a_generation_is_long_enough_to_be_disturbed) {
  EXPECT_GE(undisturbed().tokens.size(), 40U);
  EXPECT_FALSE(undisturbed().text.empty());
}

TEST(sim, fifty_kills_of_shards_change_neither_stream_nor_transcript_over_200_seeds) {
  std::set<digest> traces;
  const std::uint64_t last = seeds();
  for (std::uint64_t seed = 1; seed <= last; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    simulated_node node{model().loaded.get(), *model().vocabulary, options(4), seed};
    actors::generation_request request = story();
    request.kill_shards = 50;
    request.kill_seed = seed;
    node.submit(request);
    ASSERT_TRUE(node.run());
    expect_undisturbed(*node.answers()[0]);
    const auto& report = node.answers()[0]->outcome->value();
    // Kills planned for tokens beyond an early end of the text do not happen.
    if (report.end == finish_reason::length) {
      EXPECT_EQ(report.restarts, 50U);
    }
    node.settle(10s);
    EXPECT_TRUE(is_whole(node.tree())) << print_tree(node.tree());
    traces.insert(node.trace());
    if (::testing::Test::HasFailure()) {
      return;
    }
  }
  EXPECT_EQ(traces.size(), last);
}

// A text of which some guesses are right, whoever draws it.
actors::generation_request repetitive(speculation drafts, float temperature) {
  actors::generation_request request = story(60);
  for (token_id i = 0; i < 12; ++i) {
    request.prompt.push_back(50 + i % 3);
  }
  request.sampling.temperature = temperature;
  request.drafts = drafts;
  return request;
}

TEST(sim, guesses_change_nothing_whatever_is_killed_in_their_midst) {
  std::uint64_t accepted = 0;
  std::uint64_t rejected = 0;
  for (const float temperature : {0.0F, 0.05F, 0.2F}) {
    simulated_node plain{model().loaded.get(), *model().vocabulary, options(1), 1};
    plain.submit(repetitive(speculation::off, temperature));
    ASSERT_TRUE(plain.run());
    const auto& expected = plain.answers()[0]->outcome->value();
    EXPECT_EQ(expected.drafted, 0U);
    for (std::uint64_t seed = 1; seed <= std::max<std::uint64_t>(seeds() / 5, 1); ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      const auto stages = static_cast<std::uint32_t>(1 + seed % 4);
      simulated_node node{model().loaded.get(), *model().vocabulary, options(stages), seed};
      const auto mode = seed % 3 == 0 ? speculation::automatic : speculation::on;
      actors::generation_request request = repetitive(mode, temperature);
      request.kill_shards = seed % 5 == 0 ? 0 : 12;
      request.kill_seed = seed;
      node.submit(request);
      ASSERT_TRUE(node.run());
      const simulated_node::answer& a = *node.answers()[0];
      ASSERT_TRUE(a.outcome->has_value()) << a.outcome->error().message;
      const auto& report = a.outcome->value();
      ASSERT_EQ(report.tokens, expected.tokens);
      ASSERT_EQ(to_hex(report.transcript), to_hex(expected.transcript));
      ASSERT_EQ(report.leaves, expected.leaves);
      ASSERT_EQ(report.logits, expected.logits);
      ASSERT_EQ(a.text, expected.text);
      accepted += report.accepted;
      rejected += report.drafted - report.accepted;
    }
  }
  EXPECT_GT(accepted, 500U);
  EXPECT_GT(rejected, 500U);
}

TEST(sim, the_same_seed_takes_the_same_steps) {
  const auto trace = [](std::uint64_t seed) {
    simulated_node node{model().loaded.get(), *model().vocabulary, options(3), seed};
    actors::generation_request request = story(20);
    request.kill_shards = 5;
    node.submit(request);
    EXPECT_TRUE(node.run());
    return node.trace();
  };
  EXPECT_EQ(trace(11), trace(11));
  EXPECT_NE(trace(11), trace(12));
}

TEST(sim, other_requests_do_not_notice_a_recovery) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    simulated_node node{model().loaded.get(), *model().vocabulary, options(3), seed};
    actors::generation_request drilled = story();
    drilled.kill_shards = 10;
    drilled.kill_seed = seed;
    node.submit(drilled);
    node.submit(story());
    node.submit(story());
    ASSERT_TRUE(node.run());
    for (const auto& answer : node.answers()) {
      expect_undisturbed(*answer);
    }
  }
}

/// Requests that differ in everything that a stage could mix up.
actors::generation_request variant(std::uint32_t i) {
  actors::generation_request request = story(20 + 3 * i);
  request.sampling.seed = 100 + i;
  request.prompt.resize(3 + 4 * i);
  std::rotate(request.prompt.begin(), request.prompt.begin() + i, request.prompt.end());
  return request;
}

TEST(sim, requests_that_share_passes_get_what_they_get_alone) {
  constexpr std::uint32_t count = 5;
  std::vector<actors::generation_report> alone;
  for (std::uint32_t i = 0; i < count; ++i) {
    simulated_node node{model().loaded.get(), *model().vocabulary, options(1), 1};
    node.submit(variant(i));
    ASSERT_TRUE(node.run());
    alone.push_back(node.answers()[0]->outcome->value());
  }
  for (const std::uint32_t stages : {1U, 2U, 4U}) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      SCOPED_TRACE("stages " + std::to_string(stages) + ", seed " + std::to_string(seed));
      simulated_node node{model().loaded.get(), *model().vocabulary, options(stages), seed};
      for (std::uint32_t i = 0; i < count; ++i) {
        actors::generation_request request = variant(i);
        request.kill_shards = i == 0 ? static_cast<std::uint32_t>(seed % 3) : 0;
        request.kill_seed = seed;
        node.submit(request);
      }
      ASSERT_TRUE(node.run());
      for (std::uint32_t i = 0; i < count; ++i) {
        const auto& outcome = *node.answers()[i]->outcome;
        ASSERT_TRUE(outcome) << outcome.error().message;
        EXPECT_EQ(outcome->tokens, alone[i].tokens);
        EXPECT_EQ(to_hex(outcome->transcript), to_hex(alone[i].transcript));
      }
    }
  }
}

TEST(sim, exceeding_the_restart_intensity_fails_the_request_and_the_next_is_served) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    supervision::cluster_options o = options(2);
    o.restarts_max = 2;
    simulated_node node{model().loaded.get(), *model().vocabulary, o, seed};
    actors::generation_request drilled = story();
    drilled.kill_shards = 50;
    drilled.kill_seed = seed;
    node.submit(drilled);
    ASSERT_TRUE(node.run());
    const auto& failed = *node.answers()[0]->outcome;
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, errc::restarts_exhausted) << failed.error().message;
    EXPECT_NE(failed.error().message.find("crashed too often"), std::string::npos);
    node.submit(story());
    ASSERT_TRUE(node.run());
    expect_undisturbed(*node.answers()[1]);
    node.settle(10s);
    EXPECT_TRUE(is_whole(node.tree())) << print_tree(node.tree());
  }
}

TEST(sim, a_cancelled_request_keeps_what_was_produced) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    simulated_node node{model().loaded.get(), *model().vocabulary, options(4), seed};
    actors::generation_request request = story();
    request.kill_shards = seed % 2 == 0 ? 5 : 0;
    node.submit(request);
    const auto some_text = [&] { return node.answers()[0]->text.size() > seed; };
    ASSERT_TRUE(node.run_until(some_text, 1'000'000));
    node.cancel(0);
    ASSERT_TRUE(node.run());
    const auto& report = node.answers()[0]->outcome->value();
    EXPECT_EQ(report.end, finish_reason::cancelled);
    const auto& whole = undisturbed().tokens;
    ASSERT_LT(report.tokens.size(), whole.size());
    EXPECT_TRUE(std::equal(report.tokens.begin(), report.tokens.end(), whole.begin()));
    std::string text = report.text;
    constexpr std::string_view replacement = "\xEF\xBF\xBD";
    if (text.ends_with(replacement) && !undisturbed().text.starts_with(text)) {
      text.resize(text.size() - replacement.size()); // of a character that was cut
    }
    EXPECT_TRUE(undisturbed().text.starts_with(text)) << text;
  }
}

TEST(sim, an_error_in_the_numbers_ends_its_request_alone) {
  std::vector<std::byte> bytes = small_model::bytes(compute::synth_quantization::f32);
  constexpr token_id poison = 123;
  const auto parsed = compute::gguf::parse(bytes);
  const auto* embedding = parsed->find_tensor("token_embd.weight");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + embedding->offset + poison * embedding->shape[0] * sizeof(float), &nan,
              sizeof(nan));
  const loaded_model poisoned{bytes};
  simulated_node node{poisoned.get(), *model().vocabulary, options(3), 5};
  actors::generation_request bad = story();
  bad.prompt[12] = poison;
  node.submit(bad);
  node.submit(story(4));
  ASSERT_TRUE(node.run());
  ASSERT_FALSE(*node.answers()[0]->outcome);
  EXPECT_EQ(node.answers()[0]->outcome->error().code, errc::nonfinite);
  EXPECT_TRUE(*node.answers()[1]->outcome);
  EXPECT_TRUE(is_whole(node.tree()));
}

TEST(sim, every_cut_and_chunk_gives_the_same_transcript) {
  for (const std::uint32_t stages : {1U, 2U, 3U, 6U, 8U}) {
    for (const std::uint32_t chunk : {1U, 7U, 64U}) {
      supervision::cluster_options o = options(stages);
      o.prefill_chunk = chunk;
      simulated_node node{model().loaded.get(), *model().vocabulary, o, stages};
      node.submit(story());
      ASSERT_TRUE(node.run());
      expect_undisturbed(*node.answers()[0]);
    }
  }
}

// A monitor lives in the actor it watches and keeps its watcher's memory, so what watches a shard
// that never ends must stop to.
TEST(sim, a_shard_keeps_nothing_of_a_lead_that_has_ended) {
  simulated_node node{model().loaded.get(), *model().vocabulary, options(3), 5};
  node.submit(story());
  caf::actor lead;
  ASSERT_TRUE(node.run_until([&] { return node.answers()[0]->text.size() > 4; }, 1'000'000));
  lead = node.find("requests/leads/lead-0000000000000001");
  ASSERT_TRUE(lead);
  ASSERT_FALSE(node.answers()[0]->outcome);
  ASSERT_TRUE(node.run());
  node.settle(0s);
  // One weak reference stands for all strong ones.
  EXPECT_EQ(caf::actor_cast<caf::strong_actor_ptr>(lead)->weak_refs.load(), 1U);
}

// Nothing that a token waits for is done at the desk: it stands still until the last one is out,
// and whatever it then signs, the receipt holds.
TEST(sim, no_token_waits_for_a_signature_a_digest_or_a_check) {
  const secret_key key = secret_key::from_seed(std::array<std::byte, secret_key::seed_size>{});
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    held_executor held;
    const actors::signing_desk desk{&key, &held, "test"};
    simulated_node node{
        model().loaded.get(), *model().vocabulary, options(3), seed, nullptr, &desk};
    node.submit(story());
    const simulated_node::answer& a = *node.answers()[0];
    ASSERT_TRUE(
        node.run_until([&] { return a.text == undisturbed().text; }, std::size_t{1'000'000}));
    EXPECT_FALSE(a.outcome) << "the receipt waits, and nothing else";
    EXPECT_GT(held.waiting(), 0U) << "not a single job of the desk was done";
    ASSERT_TRUE(node.run_until(
        [&] {
          held.run_all();
          return a.outcome.has_value();
        },
        std::size_t{1'000'000}));
    expect_undisturbed(a);
    const auto& receipt = a.outcome->value().receipt;
    ASSERT_TRUE(receipt && receipt->has_value())
        << (receipt ? receipt->error().message : "nobody made one");
    const auto made = decode_receipt(receipt->value());
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(compute::check_receipt(*made, {compute::signer_policy::kind::any, {}}).empty());
    EXPECT_EQ(desk.known->verified(), 0U) << "one process, and all of it signed here";
  }
}

} // namespace
} // namespace ovir::test
