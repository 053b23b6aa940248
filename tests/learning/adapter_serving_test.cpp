// Models with adapters are computed as these were trained, in any company and however they are cut.
#include "apps/compute_threads.hpp"
#include "compute/forward/segment.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/model/lora.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/gradient/layer_forward.hpp"
#include "tests/learning/adapted_models.hpp"
#include "tests/learning/learn_cases.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/llama_cpp.hpp"
#include "tests/support/model/peer_library.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>

namespace ovir::test {
namespace {

using compute::segment;
using compute::segment_state;
using compute::session_step;
using compute::step_output;
using compute::synth_quantization;

constexpr std::size_t any_bytes = std::numeric_limits<std::size_t>::max();

std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float v : values) {
    bits.push_back(std::bit_cast<std::uint32_t>(v));
  }
  return bits;
}

/// What a request gave: of its steps the logits, and its leaves.
struct answer {
  std::vector<std::uint32_t> logits;
  std::vector<compute::unit_leaf> leaves;
  friend bool operator==(const answer&, const answer&) = default;
};

/// A request: its ids, how many of them each step has, and its adapter.
struct asked {
  std::vector<token_id> ids;
  std::vector<std::uint32_t> steps;
  std::shared_ptr<const compute::lora_weights> lora;
};

/// All requests together, one step of each in a pass, on one segment of the base.
std::vector<answer> together(const compute::model& base, const compute::kernel_set& kernels,
                             const std::vector<asked>& all, std::size_t threads) {
  apps::compute_threads runner{threads};
  const auto whole = segment::make_checked(base, {0, base.config.layers}, kernels).value();
  std::vector<segment_state> states;
  for (const asked& one : all) {
    states.push_back(whole->open(64, any_bytes).value());
    states.back().lora = one.lora;
  }
  std::vector<answer> answers(all.size());
  std::vector<std::size_t> done(all.size(), 0);
  std::vector<step_output> outs(all.size());
  for (std::size_t turn = 0;; ++turn) {
    std::vector<session_step> pass;
    std::vector<std::size_t> who;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (turn < all[i].steps.size()) {
        compute::step_input in{.first = static_cast<position>(done[i]),
                               .count = all[i].steps[turn]};
        in.tokens = std::span{all[i].ids}.subspan(done[i], in.count);
        in.logit_rows = in.count;
        pass.push_back({&states[i], in, &outs[i], {}});
        who.push_back(i);
      }
    }
    if (pass.empty()) {
      break;
    }
    whole->forward(pass, runner);
    for (std::size_t p = 0; p < pass.size(); ++p) {
      EXPECT_TRUE(pass[p].done) << pass[p].done.error().message;
      const auto bits = bits_of(outs[who[p]].logits);
      answer& a = answers[who[p]];
      a.logits.insert(a.logits.end(), bits.begin(), bits.end());
      a.leaves.insert(a.leaves.end(), outs[who[p]].leaves.begin(), outs[who[p]].leaves.end());
      done[who[p]] += pass[p].in.count;
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto open = states[i].units.open_leaves();
    answers[i].leaves.insert(answers[i].leaves.end(), open.begin(), open.end());
  }
  return answers;
}

std::vector<token_id> ids_of(std::uint64_t seed, std::uint32_t count, std::uint32_t vocabulary) {
  return random_example(seed, count, vocabulary).ids;
}

TEST(adapted_model, is_computed_as_it_was_trained) {
  for (const synth_quantization q : {synth_quantization::f32, synth_quantization::q8_0}) {
    const auto base = small_llama(q);
    const compute::model plain = checked(base);
    const learning::adapter adapter = stirred_adapter(plain, 7);
    const adapted_model adapted{base, adapter};
    const compute::kernel_set& kernels = *compute::select_kernels({}).value();
    compute::serial_runner runner;
    const std::vector<token_id> ids = ids_of(3, 21, plain.config.vocabulary);
    const auto rows = static_cast<std::uint32_t>(ids.size());

    // By the code that trains: the stream behind the first layer.
    learning::frozen_model frozen = learning::freeze(plain, kernels).value();
    frozen.rope.grow(rows);
    std::vector<float> stream(std::size_t{rows} * plain.config.dim);
    for (std::size_t t = 0; t < rows; ++t) {
      compute::embed_row(plain.token_embedding, ids[t], stream.data() + t * plain.config.dim);
    }
    learning::layer_forward trained{frozen, adapter};
    learning::layer_tape tape;
    const learning::sequence all[] = {{0, rows}};
    ASSERT_TRUE(trained.run(0, all, stream.data(), rows, tape, runner));

    const auto first = segment::make_checked(adapted.get(), {0, 1}, kernels).value();
    segment_state state = first->open(64, any_bytes).value();
    compute::step_input in{.first = 0, .count = rows};
    in.tokens = ids;
    step_output out;
    ASSERT_TRUE(first->forward(state, in, runner, out));
    EXPECT_EQ(bits_of(out.boundary), bits_of(stream));
  }
}

TEST(adapted_model, sessions_with_two_adapters_and_none_share_passes_and_keep_their_bits) {
  for (const synth_quantization q :
       {synth_quantization::f32, synth_quantization::q8_0, synth_quantization::q4_k_m}) {
    const auto base = small_llama(q);
    const compute::model plain = checked(base);
    const adapted_model one{base, stirred_adapter(plain, 7)};
    const adapted_model two{base, stirred_adapter(plain, 8)};
    const std::vector<token_id> ids = ids_of(5, 40, plain.config.vocabulary);
    // The same ids, so that nothing but the adapters sets them apart.
    const std::vector<asked> all{{ids, {20, 1, 1, 1, 17}, one.get().lora},
                                 {ids, {37, 1, 1, 1}, two.get().lora},
                                 {ids, {1, 36, 1, 1, 1}, nullptr},
                                 {ids, {20, 20}, one.get().lora}};
    const compute::kernel_set& best = *compute::select_kernels({}).value();
    std::vector<answer> alone;
    for (const asked& a : all) {
      alone.push_back(together(plain, best, {a}, 1).front());
    }
    EXPECT_EQ(alone[0], alone[3]) << "however the ids come";
    EXPECT_NE(alone[0].logits, alone[1].logits);
    EXPECT_NE(alone[0].logits, alone[2].logits);
    EXPECT_NE(alone[0].leaves, alone[2].leaves) << "the transcript has the adapter's work in it";
    for (const std::size_t threads : {1U, 2U, 3U}) {
      EXPECT_EQ(together(plain, best, all, threads), alone) << threads << " threads";
    }
    // A segment of the model with the adapter is the same as one of its base with a session's.
    const asked by_itself{ids, {37, 1, 1, 1}, two.get().lora};
    EXPECT_EQ(together(two.get(), best, {by_itself}, 1).front(), alone[1]);
  }
}

TEST(adapted_model, has_the_same_bits_for_every_instruction_set) {
  for (const synth_quantization q : {synth_quantization::f32, synth_quantization::q4_k_m}) {
    const auto base = small_llama(q);
    const adapted_model adapted{base, stirred_adapter(checked(base), 7)};
    const asked a{ids_of(6, 12, adapted.get().config.vocabulary), {10, 1, 1}, adapted.get().lora};
    const auto wanted = together(adapted.get(), compute::kernels_reference(), {a}, 1);
    for (const compute::kernel_set* set : all_kernels()) {
      EXPECT_EQ(together(adapted.get(), *set, {a}, 2), wanted) << set->name;
    }
  }
}

/// Root of the transcript of `ids` over segments that begin at `cuts`.
digest root_over(const compute::model& m, std::vector<layer_index> cuts,
                 const std::vector<token_id>& ids, std::uint32_t chunk) {
  compute::serial_runner runner;
  const compute::kernel_set& kernels = *compute::select_kernels({}).value();
  cuts.insert(cuts.begin(), 0);
  cuts.push_back(m.config.layers);
  compute::transcript all;
  std::vector<std::unique_ptr<segment>> segments;
  std::vector<segment_state> states;
  for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
    segments.push_back(segment::make_checked(m, {cuts[i], cuts[i + 1]}, kernels).value());
    states.push_back(segments.back()->open(96, any_bytes).value());
  }
  for (std::size_t at = 0; at < ids.size(); at += chunk) {
    const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(chunk, ids.size() - at));
    std::vector<float> boundary;
    for (std::size_t s = 0; s < segments.size(); ++s) {
      compute::step_input in{.first = static_cast<position>(at), .count = n};
      if (s == 0) {
        in.tokens = std::span{ids}.subspan(at, n);
      } else {
        in.boundary = boundary;
      }
      step_output out;
      EXPECT_TRUE(segments[s]->forward(states[s], in, runner, out));
      for (const compute::unit_leaf& leaf : out.leaves) {
        EXPECT_TRUE(all.add_unit(leaf));
      }
      boundary = out.boundary;
    }
  }
  for (const segment_state& state : states) {
    for (const compute::unit_leaf& leaf : state.units.open_leaves()) {
      EXPECT_TRUE(all.add_unit(leaf));
    }
  }
  return all.root(m.config.layers - 1, static_cast<std::uint32_t>(ids.size()), ids).value();
}

TEST(adapted_model, has_one_transcript_over_all_cuts_and_another_than_its_base) {
  const auto base = small_llama(synth_quantization::q8_0, 4);
  const compute::model plain = checked(base);
  const adapted_model adapted{base, stirred_adapter(plain, 7)};
  const std::vector<token_id> ids = ids_of(9, 70, plain.config.vocabulary);
  const digest wanted = root_over(adapted.get(), {}, ids, 70);
  const std::vector<std::vector<layer_index>> all_cuts{{1}, {2}, {3}, {1, 2, 3}};
  for (const auto& cuts : all_cuts) {
    for (const std::uint32_t chunk : {1U, 33U, 70U}) {
      EXPECT_EQ(root_over(adapted.get(), cuts, ids, chunk), wanted);
    }
  }
  EXPECT_NE(root_over(plain, {}, ids, 70), wanted);
}

TEST(adapted_model, a_session_whose_adapter_gives_infinities_fails_alone) {
  const auto base = small_llama(synth_quantization::q8_0);
  const compute::model plain = checked(base);
  learning::adapter wild = stirred_adapter(plain, 7);
  for (float& v : wild.numbers[0][learning::at_gate].b) {
    v = 3e38F;
  }
  const adapted_model adapted{base, wild};
  const std::vector<token_id> ids = ids_of(4, 9, plain.config.vocabulary);
  const compute::kernel_set& best = *compute::select_kernels({}).value();
  const asked calm{ids, {9}, nullptr};
  const answer wanted = together(plain, best, {calm}, 1).front();
  compute::serial_runner runner;
  const auto whole = segment::make_checked(plain, {0, 2}, best).value();
  segment_state states[] = {whole->open(64, any_bytes).value(), whole->open(64, any_bytes).value()};
  states[0].lora = adapted.get().lora;
  compute::step_input in{.first = 0, .count = 9};
  in.tokens = ids;
  in.logit_rows = 9;
  step_output outs[2];
  session_step pass[] = {{&states[0], in, &outs[0], {}}, {&states[1], in, &outs[1], {}}};
  whole->forward(pass, runner);
  ASSERT_FALSE(pass[0].done);
  EXPECT_EQ(pass[0].done.error().code, errc::nonfinite);
  ASSERT_TRUE(pass[1].done);
  EXPECT_EQ(bits_of(outs[1].logits), wanted.logits);
}

/// The id that follows most probably, again and again.
template <class Logits>
std::vector<token_id> greedy(std::vector<token_id> ids, std::size_t count, std::uint32_t vocabulary,
                             const Logits& logits_of) {
  while (ids.size() < count) {
    const std::vector<float> all = logits_of(ids);
    const auto last = all.end() - static_cast<std::ptrdiff_t>(vocabulary);
    ids.push_back(static_cast<token_id>(std::max_element(last, all.end()) - last));
  }
  return ids;
}

TEST(adapted_model, continues_as_llama_cpp_does_with_the_same_adapter) {
  OVIR_SHARED_FILE(path, "models/stories260K-f32.gguf");
  OVIR_PEER_FOLDER(libraries);
  const loaded_model base{path};
  const compute::model plain = checked(base);
  const std::uint32_t vocabulary = plain.config.vocabulary;
  const std::vector<token_id> prompt{1, 403, 407, 261, 378};
  compute::serial_runner runner;
  const auto by_ovir = [&](const compute::model& m) {
    const auto whole =
        segment::make_checked(m, {0, m.config.layers}, *compute::select_kernels({}).value())
            .value();
    return greedy(prompt, 64, vocabulary, [&](const std::vector<token_id>& ids) {
      segment_state state = whole->open(64, any_bytes).value();
      compute::step_input in{.first = 0, .count = static_cast<std::uint32_t>(ids.size())};
      in.tokens = ids;
      in.logit_rows = 1;
      step_output out;
      EXPECT_TRUE(whole->forward(state, in, runner, out));
      return out.logits;
    });
  };
  const std::vector<token_id> unadapted = by_ovir(plain);
  const temporary_folder folder;
  for (const std::uint64_t seed : {7U, 8U, 9U}) {
    learning::adapter adapter = stirred_adapter(plain, seed);
    const adapted_model adapted{base, adapter};
    const std::string file = (folder.path() / "adapter.gguf").string();
    std::ofstream{file, std::ios::binary} << adapted.adapter_bytes();
    llama_cpp peer{libraries, path};
    peer.use_adapter(file);
    const std::vector<token_id> wanted =
        greedy(prompt, 64, vocabulary,
               [&](const std::vector<token_id>& ids) { return peer.logits_of(ids, vocabulary); });
    EXPECT_EQ(by_ovir(adapted.get()), wanted) << "seed " << seed;
    EXPECT_NE(wanted, unadapted) << "seed " << seed;
  }
}

} // namespace
} // namespace ovir::test
