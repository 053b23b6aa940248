#include "compute/model/model_config.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace ovir::compute {
namespace {

using test::gguf_builder;
using test::minimal_llama;
using testing::HasSubstr;

result<model_config> config_of(const gguf_builder& builder) {
  const auto bytes = builder.build();
  OVIR_ASSIGN(const gguf file, gguf::parse(bytes));
  return read_config(file);
}

void expect_refusal(const gguf_builder& builder, errc code, const std::string& part) {
  const auto config = config_of(builder);
  ASSERT_FALSE(config) << part;
  EXPECT_EQ(config.error().code, code) << config.error().message;
  EXPECT_THAT(config.error().message, HasSubstr(part));
}

/// The minimal model with one key of another value.
gguf_builder with(const std::string& key, std::uint32_t value) {
  return minimal_llama().remove_entry(key).u32(key, value);
}

TEST(model_config, reads_the_shape_and_fills_in_defaults) {
  const auto c = config_of(minimal_llama());
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->architecture, "llama");
  EXPECT_EQ(c->name, "minimal");
  EXPECT_EQ(c->layers, 2U);
  EXPECT_EQ(c->dim, 8U);
  EXPECT_EQ(c->ffn_dim, 16U);
  EXPECT_EQ(c->heads, 2U);
  EXPECT_EQ(c->kv_heads, 1U);
  EXPECT_EQ(c->head_dim, 4U);
  EXPECT_EQ(c->rope_dim, 4U);
  EXPECT_EQ(c->vocabulary, 10U);
  EXPECT_EQ(c->context, 64U);
  EXPECT_EQ(c->norm_epsilon, 1e-5F);
  EXPECT_EQ(c->rope_base, 10000.0);
  EXPECT_EQ(c->q_dim(), 8U);
  EXPECT_EQ(c->kv_dim(), 4U);
}

TEST(model_config, heads_without_groups_are_their_own_keys) {
  EXPECT_EQ(config_of(minimal_llama().remove_entry("llama.attention.head_count_kv"))->kv_heads, 2U);
}

TEST(model_config, takes_stated_head_length_rotation_and_base) {
  auto b = minimal_llama();
  b.u32("llama.attention.key_length", 6).u32("llama.attention.value_length", 6);
  b.u32("llama.rope.dimension_count", 2).f32("llama.rope.freq_base", 500000.0F);
  const auto c = config_of(b);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->head_dim, 6U);
  EXPECT_EQ(c->q_dim(), 12U);
  EXPECT_EQ(c->rope_dim, 2U);
  EXPECT_EQ(c->rope_base, 500000.0);
}

TEST(model_config, counts_tokens_by_key_then_list_then_embedding) {
  auto none = minimal_llama().remove_entry("llama.vocab_size");
  EXPECT_EQ(config_of(none)->vocabulary, 10U);
  auto listed = none;
  listed.texts("tokenizer.ggml.tokens", {"a", "b", "c"});
  EXPECT_EQ(config_of(listed)->vocabulary, 3U);
  auto both = listed;
  both.u32("llama.vocab_size", 4);
  EXPECT_EQ(config_of(both)->vocabulary, 4U);
  auto contradictory = listed;
  expect_refusal(contradictory.u32("llama.vocab_size", 2), errc::malformed, "has 3 elements");
  expect_refusal(none.remove_tensor("token_embd.weight"), errc::malformed, "how many tokens");
}

TEST(model_config, refuses_other_architectures_by_name) {
  auto b = minimal_llama().remove_entry("general.architecture");
  expect_refusal(b, errc::malformed, "general.architecture");
  expect_refusal(b.text("general.architecture", "mamba"), errc::unsupported, "\"mamba\"");
}

TEST(model_config, names_the_key_that_is_missing) {
  for (const char* key : {"llama.block_count", "llama.embedding_length",
                          "llama.feed_forward_length", "llama.attention.head_count",
                          "llama.context_length", "llama.attention.layer_norm_rms_epsilon"}) {
    expect_refusal(minimal_llama().remove_entry(key), errc::malformed, key);
  }
}

TEST(model_config, names_the_key_that_is_zero_or_beyond_its_limit) {
  expect_refusal(with("llama.block_count", 0), errc::malformed, "block_count");
  expect_refusal(with("llama.block_count", limits::layers_max + 1), errc::over_limit, "1025");
  expect_refusal(with("llama.embedding_length", limits::embedding_max + 1), errc::over_limit,
                 "embedding_length");
  expect_refusal(with("llama.feed_forward_length", limits::feed_forward_max + 1), errc::over_limit,
                 "feed_forward_length");
  expect_refusal(with("llama.context_length", limits::context_max + 1), errc::over_limit,
                 "context_length");
  expect_refusal(with("llama.attention.head_count", limits::heads_max + 1), errc::over_limit,
                 "head_count");
  expect_refusal(with("llama.vocab_size", limits::vocabulary_max + 1), errc::over_limit, "tokens");
  expect_refusal(with("llama.vocab_size", 0), errc::malformed, "how many tokens");
  auto text = minimal_llama().remove_entry("llama.block_count").text("llama.block_count", "2");
  expect_refusal(text, errc::malformed, "not an integer");
}

TEST(model_config, refuses_contradictory_heads) {
  expect_refusal(with("llama.attention.head_count", 3), errc::malformed, "does not divide");
  auto odd = with("llama.attention.head_count_kv", 3);
  expect_refusal(odd, errc::malformed, "divide evenly");
  auto unequal = minimal_llama();
  unequal.u32("llama.attention.key_length", 4).u32("llama.attention.value_length", 8);
  expect_refusal(unequal, errc::unsupported, "keys have 4");
  expect_refusal(with("llama.embedding_length", 6), errc::malformed, "even");
  auto wide = minimal_llama().u32("llama.rope.dimension_count", 6);
  expect_refusal(wide, errc::malformed, "rope.dimension_count");
  auto long_heads = with("llama.attention.head_count", 512);
  long_heads.u32("llama.attention.key_length", 1024).u32("llama.attention.value_length", 1024);
  expect_refusal(long_heads, errc::over_limit, "512 heads");
}

TEST(model_config, accepts_counts_per_layer_only_when_they_agree) {
  const std::string key = "llama.attention.head_count_kv";
  auto same = minimal_llama().remove_entry(key).integers(key, {2, 2});
  EXPECT_EQ(config_of(same)->kv_heads, 2U);
  expect_refusal(minimal_llama().remove_entry(key).integers(key, {1, 2}), errc::unsupported,
                 "differs between layers");
  expect_refusal(minimal_llama().remove_entry(key).integers(key, {1}), errc::malformed,
                 "1 elements");
  const std::string blocks = "llama.block_count";
  expect_refusal(minimal_llama().remove_entry(blocks).integers(blocks, {}), errc::malformed,
                 "0 elements");
}

TEST(model_config, reads_how_rope_is_scaled_and_refuses_other_ways) {
  for (const char* type : {"llama3", "longrope"}) {
    expect_refusal(minimal_llama().text("llama.rope.scaling.type", type), errc::unsupported, type);
  }
  EXPECT_EQ(config_of(minimal_llama().text("llama.rope.scaling.type", "none"))->rope.how,
            rope_scaling::kind::none);
  // Without a type a factor means linear scaling; 0 and 1 mean none.
  const auto linear = config_of(minimal_llama().f32("llama.rope.scaling.factor", 4.0F));
  ASSERT_TRUE(linear);
  EXPECT_EQ(linear->rope.how, rope_scaling::kind::linear);
  EXPECT_EQ(linear->rope.factor, 4.0);
  for (const float same : {0.0F, 1.0F}) {
    const auto c = config_of(minimal_llama().f32("llama.rope.scaling.factor", same));
    ASSERT_TRUE(c);
    EXPECT_EQ(c->rope.how, rope_scaling::kind::none);
  }
  auto yarn = minimal_llama().text("llama.rope.scaling.type", "yarn");
  yarn.f32("llama.rope.scaling.factor", 8.0F);
  yarn.u32("llama.rope.scaling.original_context_length", 32);
  const auto c = config_of(yarn);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->rope.how, rope_scaling::kind::yarn);
  EXPECT_EQ(c->rope.original_context, 32.0);
  for (const float factor : {0.5F, -1.0F, 4096.0F, std::numeric_limits<float>::quiet_NaN()}) {
    expect_refusal(minimal_llama().f32("llama.rope.scaling.factor", factor), errc::malformed,
                   "factor");
  }
  expect_refusal(minimal_llama().f32("llama.rope.scaling.attn_factor", 2.0F), errc::unsupported,
                 "attn_factor");
  expect_refusal(minimal_llama().f32("llama.rope.scale_linear", 2.0F), errc::unsupported,
                 "scale_linear");
  for (const float base : {0.0F, -1.0F, 0.5F, std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN()}) {
    expect_refusal(minimal_llama().f32("llama.rope.freq_base", base), errc::malformed, "freq_base");
  }
}

TEST(model_config, names_every_architecture_it_knows_when_it_refuses_one) {
  auto mamba = minimal_llama().remove_entry("general.architecture");
  expect_refusal(mamba.text("general.architecture", "mamba"), errc::unsupported,
                 "\"mamba\"; this build computes llama, ");
}

TEST(model_config, takes_a_window_from_mistrals_files) {
  const auto c = config_of(minimal_llama().u32("llama.attention.sliding_window", 48));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->kind_of(0).window, 48U);
  EXPECT_EQ(c->kind_of(1).window, 48U);
  EXPECT_FALSE(c->kind_of(1).window_rope);
  expect_refusal(minimal_llama().text("llama.attention.sliding_window", "48"), errc::malformed,
                 "sliding_window");
}

TEST(model_config, lets_layers_differ_as_the_architecture_declares) {
  model_config c;
  c.window = 64;
  c.global_every = 3;
  c.unrotated_every = 2;
  c.window_rope_base = 10'000;
  EXPECT_EQ(c.kind_of(0).window, 64U);
  EXPECT_TRUE(c.kind_of(0).rotated);
  EXPECT_TRUE(c.kind_of(0).window_rope);
  EXPECT_FALSE(c.kind_of(1).rotated);
  EXPECT_EQ(c.kind_of(2).window, 0U);
  EXPECT_FALSE(c.kind_of(2).window_rope);
}

TEST(model_config, reads_a_mixture_of_experts_and_refuses_contradictions) {
  const auto mixtral = [](std::uint32_t experts, std::uint32_t used) {
    return minimal_llama().u32("llama.expert_count", experts).u32("llama.expert_used_count", used);
  };
  const auto c = config_of(mixtral(8, 2));
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_EQ(c->experts, 8U);
  EXPECT_EQ(c->experts_used, 2U);
  EXPECT_EQ(c->expert_ffn_dim, c->ffn_dim);
  EXPECT_EQ(c->shared_ffn_dim, 0U);
  EXPECT_FALSE(c->shares_of_all);
  EXPECT_EQ(config_of(mixtral(8, 2).u32("llama.expert_feed_forward_length", 24))->expert_ffn_dim,
            24U);
  expect_refusal(minimal_llama().u32("llama.expert_count", 8), errc::malformed,
                 "llama.expert_used_count");
  expect_refusal(mixtral(8, 0), errc::malformed, "not positive");
  expect_refusal(mixtral(8, 9), errc::malformed, "more than the 8");
  expect_refusal(mixtral(513, 2), errc::over_limit, "513");
  expect_refusal(mixtral(8, 2).boolean("llama.expert_weights_norm", false), errc::unsupported,
                 "expert_weights_norm");
  EXPECT_TRUE(config_of(mixtral(8, 2).boolean("llama.expert_weights_norm", true)));
}

TEST(model_config, refuses_keys_that_change_the_arithmetic) {
  EXPECT_TRUE(config_of(minimal_llama().u32("llama.expert_count", 0)));
  expect_refusal(minimal_llama().f32("llama.expert_weights_scale", 2.5F), errc::unsupported,
                 "expert_weights_scale");
  expect_refusal(minimal_llama().u32("llama.expert_gating_func", 2), errc::unsupported,
                 "expert_gating_func");
  for (const char* key : {"llama.logit_scale", "llama.residual_scale", "llama.embedding_scale",
                          "llama.attention.scale", "llama.attn_logit_softcapping"}) {
    expect_refusal(minimal_llama().f32(key, 2.0F), errc::unsupported, key);
  }
  expect_refusal(minimal_llama().text("llama.logit_scale", "2"), errc::unsupported, "logit_scale");
  expect_refusal(minimal_llama().boolean("llama.attention.causal", false), errc::unsupported,
                 "causal");
}

TEST(model_config, refuses_an_epsilon_that_is_none) {
  const std::string key = "llama.attention.layer_norm_rms_epsilon";
  for (const float value : {-1.0F, 1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    expect_refusal(minimal_llama().remove_entry(key).f32(key, value), errc::malformed, key);
  }
}

TEST(model_config, reads_a_trained_model) {
  const auto bytes = test::bytes_of_file(test::source_file("assets/tales-q4_k_m.gguf"));
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const auto c = read_config(*file);
  ASSERT_TRUE(c) << c.error().message;
  EXPECT_GT(c->layers, 1U);
  EXPECT_EQ(file->array_at("tokenizer.ggml.tokens", gguf_type::string)->count, c->vocabulary);
}

} // namespace
} // namespace ovir::compute
