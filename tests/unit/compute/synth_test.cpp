#include "compute/make/synth.hpp"
#include "compute/make/synth_vocabulary.hpp"
#include "compute/model/model.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "messages/digest.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace ovir::compute {
namespace {

using testing::HasSubstr;

constexpr synth_quantization all_quantizations[] = {
    synth_quantization::f32,  synth_quantization::f16,    synth_quantization::bf16,
    synth_quantization::q8_0, synth_quantization::q4_0,   synth_quantization::q4_k,
    synth_quantization::q6_k, synth_quantization::q4_k_m, synth_quantization::q2_k,
    synth_quantization::q3_k, synth_quantization::q5_k,   synth_quantization::iq4_xs};

synth_spec spec_of(synth_quantization quantization) {
  synth_spec spec;
  spec.quantization = quantization;
  return spec;
}

std::string digest_of(const synth_spec& spec) {
  return to_hex(hash_plain(test::synthetic_model(spec))).substr(0, 16);
}

TEST(synth, writes_the_same_bytes_on_every_machine) {
  EXPECT_EQ(digest_of(spec_of(synth_quantization::f32)), "740e4a9c7e420621");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::f16)), "5e699ae742c367d0");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::bf16)), "a6dfb3c9abb1e218");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::q8_0)), "170b68be40e44048");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::q4_0)), "bd235a1d5e5e834c");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::q6_k)), "02a531bfb3bcbbc6");
  EXPECT_EQ(digest_of(spec_of(synth_quantization::q4_k_m)), "05bb539b255df764");
}

TEST(synth, another_seed_gives_another_model) {
  synth_spec other = spec_of(synth_quantization::q8_0);
  other.seed = 2;
  EXPECT_NE(digest_of(other), digest_of(spec_of(synth_quantization::q8_0)));
}

TEST(synth, writes_models_that_load_in_every_quantisation) {
  for (const synth_quantization quantization : all_quantizations) {
    synth_spec spec = spec_of(quantization);
    spec.layers = 3;
    spec.head_dim = 128; // so that q_dim is not dim
    const auto bytes = test::synthetic_model(spec);
    EXPECT_EQ(bytes.size(), *synth_bytes(spec));
    const auto file = gguf::parse(bytes);
    ASSERT_TRUE(file) << file.error().message;
    auto m = bind_model(*file);
    ASSERT_TRUE(m) << m.error().message;
    serial_runner runner;
    EXPECT_TRUE(check_weights(*m, {0, 3}, runner)) << name_of(quantization);
    EXPECT_EQ(m->config.q_dim(), 512U);
    EXPECT_EQ(m->config.vocabulary, spec.vocabulary);
    EXPECT_EQ(m->layers[0].attn_norm.type, tensor_type::f32);
  }
}

TEST(synth, mixes_types_as_the_recipe_says) {
  synth_spec spec = spec_of(synth_quantization::q4_k_m);
  spec.layers = 16;
  const auto bytes = test::synthetic_model(spec);
  const auto file = gguf::parse(bytes);
  const auto m = bind_model(*file);
  ASSERT_TRUE(m) << m.error().message;
  std::vector<std::uint32_t> richer;
  for (std::uint32_t l = 0; l < spec.layers; ++l) {
    EXPECT_EQ(m->layers[l].attn_v.type, m->layers[l].ffn_down.type);
    EXPECT_EQ(m->layers[l].attn_q.type, tensor_type::q4_k);
    if (m->layers[l].ffn_down.type == tensor_type::q6_k) {
      richer.push_back(l);
    }
  }
  EXPECT_THAT(richer, testing::ElementsAre(0, 1, 4, 7, 10, 13, 14, 15));
  EXPECT_EQ(m->output.type, tensor_type::q6_k);
  EXPECT_EQ(m->token_embedding.type, tensor_type::q4_k);
}

TEST(synth, a_tied_model_has_no_head_of_its_own) {
  synth_spec spec = spec_of(synth_quantization::q4_k_m);
  spec.tied = true;
  const auto bytes = test::synthetic_model(spec);
  const auto file = gguf::parse(bytes);
  EXPECT_EQ(file->find_tensor("output.weight"), nullptr);
  EXPECT_EQ(bind_model(*file)->token_embedding.type, tensor_type::q6_k);
}

TEST(synth, draws_weights_of_a_sane_size) {
  for (const synth_quantization quantization : all_quantizations) {
    const auto bytes = test::tiny_model(3, quantization);
    const auto file = gguf::parse(bytes);
    const auto m = bind_model(*file);
    ASSERT_TRUE(m) << m.error().message;
    for (const weight& w : {m->layers[0].attn_q, m->layers[1].ffn_down}) {
      std::vector<float> row(w.cols);
      double sum = 0;
      double squares = 0;
      for (std::uint32_t r = 0; r < w.rows; ++r) {
        embed_row(w, r, row.data());
        for (const float x : row) {
          sum += x;
          squares += double{x} * x;
        }
      }
      const auto n = static_cast<double>(w.rows) * static_cast<double>(w.cols);
      const double expected = 1.0 / std::sqrt(static_cast<double>(w.cols));
      EXPECT_NEAR(std::sqrt(squares / n), expected, 0.1 * expected) << name_of(quantization);
      EXPECT_NEAR(sum / n, 0.0, 0.02 * expected) << name_of(quantization);
    }
  }
}

TEST(synth, its_vocabulary_is_one_a_byte_level_tokenizer_reads) {
  const synth_vocabulary v = make_synth_vocabulary(5000, 1);
  EXPECT_EQ(v.tokens.size(), 5000U);
  EXPECT_EQ(v.types.size(), 5000U);
  const std::set<std::string> known(v.tokens.begin(), v.tokens.end());
  EXPECT_EQ(known.size(), v.tokens.size()) << "no token twice";
  EXPECT_EQ(v.tokens['A'], "A");
  EXPECT_EQ(v.tokens[' '], "\xC4\xA0");
  EXPECT_EQ(v.tokens[0], "\xC4\x80");
  EXPECT_EQ(v.tokens[0x7F], "\xC4\xA1");
  EXPECT_EQ(v.tokens[0xAD], "\xC5\x83");
  EXPECT_EQ(v.types[v.bos], 3);
  EXPECT_EQ(v.types[v.eos], 3);
  EXPECT_EQ(v.merges.size(), 5000U - synth_vocabulary_min);
  for (std::size_t i = 0; i < v.merges.size(); ++i) {
    const std::size_t split = v.merges[i].find(' ');
    const std::string left = v.merges[i].substr(0, split);
    const std::string right = v.merges[i].substr(split + 1);
    EXPECT_EQ(v.tokens[synth_vocabulary_min + i], left + right);
    EXPECT_TRUE(known.contains(left) && known.contains(right));
  }
}

TEST(synth, fills_a_large_vocabulary) {
  EXPECT_EQ(make_synth_vocabulary(1U << 17U, 1).tokens.size(), std::size_t{1} << 17U);
}

TEST(synth, reports_progress_and_stops_when_the_sink_does) {
  const synth_spec spec = spec_of(synth_quantization::q8_0);
  std::uint64_t last = 0;
  std::uint64_t claimed = 0;
  const auto swallow = [](std::span<const std::byte>) -> result<void> { return {}; };
  ASSERT_TRUE(write_synth(spec, swallow, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GT(done, last);
    last = done;
    claimed = total;
  }));
  EXPECT_EQ(last, claimed);
  EXPECT_EQ(claimed, *synth_bytes(spec));
  int calls = 0;
  const auto full = [&calls](std::span<const std::byte>) -> result<void> {
    return ++calls < 3 ? result<void>{} : fail(errc::io_failed, "disk full");
  };
  const auto stopped = write_synth(spec, full, {});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().message, "disk full");
  EXPECT_EQ(calls, 3);
}

void expect_refusal(const synth_spec& spec, const std::string& part) {
  const auto bytes = synth_bytes(spec);
  ASSERT_FALSE(bytes) << part;
  EXPECT_EQ(bytes.error().code, errc::invalid_argument);
  EXPECT_THAT(bytes.error().message, HasSubstr(part));
}

TEST(synth, refuses_shapes_that_do_not_work) {
  synth_spec spec;
  spec.dim = 192;
  expect_refusal(spec, "blocks of 256");
  spec = {};
  spec.vocabulary = 257;
  expect_refusal(spec, "vocabulary is 257");
  spec = {};
  spec.kv_heads = 3;
  expect_refusal(spec, "do not divide");
  spec = {};
  spec.heads = 0;
  expect_refusal(spec, "heads is 0");
  spec = {};
  spec.head_dim = 3;
  expect_refusal(spec, "must be even");
  spec = {};
  spec.layers = limits::layers_max + 1;
  expect_refusal(spec, "layers is 1025");
  spec = {};
  spec.rope_base = 0.5F;
  expect_refusal(spec, "rope_base");
}

TEST(synth, names_its_quantisations) {
  for (const synth_quantization quantization : all_quantizations) {
    EXPECT_EQ(*synth_quantization_from(name_of(quantization)), quantization);
  }
  EXPECT_THAT(synth_quantization_from("q3").error().message, HasSubstr("q4_k_m"));
}

} // namespace
} // namespace ovir::compute
