#include "compute/base/exact_math.hpp"
#include "compute/model/model.hpp"
#include "compute/model/weight_bounds.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace ovir::compute {
namespace {

using test::gguf_builder;
using test::minimal_llama;
using testing::HasSubstr;

constexpr std::uint16_t half_infinity = 0x7C00;
constexpr std::uint16_t half_nan = 0x7E01;

void expect_no_model(const gguf_builder& builder, errc code, const std::string& part) {
  const auto bytes = builder.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const auto bound = bind_model(*file);
  ASSERT_FALSE(bound) << part;
  EXPECT_EQ(bound.error().code, code) << bound.error().message;
  EXPECT_THAT(bound.error().message, HasSubstr(part));
}

gguf_builder with_tensor(const std::string& name, std::uint32_t raw_type,
                         std::vector<std::uint64_t> shape) {
  return minimal_llama().remove_tensor(name).tensor(name, raw_type, std::move(shape));
}

/// The minimal model under another architecture's name.
gguf_builder minimal(const std::string& architecture) {
  gguf_builder b;
  b.text("general.architecture", architecture);
  for (const auto& [key, value] : {std::pair{"block_count", 2U},
                                   {"embedding_length", 8U},
                                   {"feed_forward_length", 16U},
                                   {"attention.head_count", 2U},
                                   {"attention.head_count_kv", 1U},
                                   {"context_length", 64U},
                                   {"vocab_size", 10U}}) {
    b.u32(architecture + "." + key, value);
  }
  b.f32(architecture + ".attention.layer_norm_rms_epsilon", 1e-5F);
  constexpr auto f32 = tensor_type::f32;
  b.tensor("token_embd.weight", f32, {8, 10}).tensor("output_norm.weight", f32, {8});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* part : {"attn_norm", "ffn_norm"}) {
      b.tensor(layer + part + ".weight", f32, {8});
    }
    b.tensor(layer + "attn_q.weight", f32, {8, 8}).tensor(layer + "attn_k.weight", f32, {8, 4});
    b.tensor(layer + "attn_v.weight", f32, {8, 4});
    b.tensor(layer + "attn_output.weight", f32, {8, 8});
    b.tensor(layer + "ffn_gate.weight", f32, {8, 16}).tensor(layer + "ffn_up.weight", f32, {8, 16});
    b.tensor(layer + "ffn_down.weight", f32, {16, 8});
  }
  return b;
}

TEST(bind_model, asks_for_the_tensors_its_architecture_declares) {
  auto qwen2 = minimal("qwen2");
  expect_no_model(qwen2, errc::malformed, "no tensor \"blk.0.attn_q.bias\"");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    qwen2.tensor(layer + "attn_q.bias", tensor_type::f32, {8});
    qwen2.tensor(layer + "attn_k.bias", tensor_type::f32, {4});
    qwen2.tensor(layer + "attn_v.bias", tensor_type::f32, {4});
  }
  const auto bytes = qwen2.build();
  const auto file = gguf::parse(bytes);
  const auto m = bind_model(*file);
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(m->layers[1].attn_k_bias.cols, 4U);
  EXPECT_TRUE(m->layers[1].attn_q_norm.empty());
  EXPECT_EQ(m->config.rotary, rotary_pairs::halves);

  auto qwen3 = minimal("qwen3");
  expect_no_model(qwen3, errc::malformed, "no tensor \"blk.0.attn_q_norm.weight\"");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    qwen3.tensor(layer + "attn_q_norm.weight", tensor_type::f32, {4});
    qwen3.tensor(layer + "attn_k_norm.weight", tensor_type::f32, {4});
  }
  const auto normed_bytes = qwen3.build();
  const auto normed = gguf::parse(normed_bytes);
  const auto bound = bind_model(*normed);
  ASSERT_TRUE(bound) << bound.error().message;
  EXPECT_EQ(bound->layers[0].attn_q_norm.cols, 4U);
  qwen3.tensor("blk.0.attn_q.bias", tensor_type::f32, {8});
  expect_no_model(qwen3, errc::unsupported, "not part of a qwen3 model");
}

TEST(bind_model, finds_every_tensor) {
  const auto bytes = minimal_llama().build();
  const auto file = gguf::parse(bytes);
  const auto m = bind_model(*file);
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(m->token_embedding.rows, 10U);
  EXPECT_EQ(m->token_embedding.cols, 8U);
  EXPECT_NE(m->output.data, m->token_embedding.data);
  EXPECT_TRUE(m->rope_factors.empty());
  ASSERT_EQ(m->layers.size(), 2U);
  EXPECT_EQ(m->layers[1].ffn_down.rows, 8U);
  EXPECT_EQ(m->layers[1].ffn_down.cols, 16U);
  EXPECT_EQ(m->layers[1].ffn_down.data, file->find_tensor("blk.1.ffn_down.weight")->data.data());
}

TEST(bind_model, ties_the_head_to_the_embedding_where_the_file_has_none) {
  const auto bytes = minimal_llama().remove_tensor("output.weight").build();
  const auto file = gguf::parse(bytes);
  const auto m = bind_model(*file);
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(m->output.data, m->token_embedding.data);
}

TEST(bind_model, takes_rope_factors) {
  const auto bytes = minimal_llama().tensor("rope_freqs.weight", 0, {2}).build();
  const auto file = gguf::parse(bytes);
  const auto m = bind_model(*file);
  ASSERT_TRUE(m) << m.error().message;
  EXPECT_EQ(m->rope_factors.cols, 2U);
  expect_no_model(minimal_llama().tensor("rope_freqs.weight", 0, {3}), errc::malformed, "3 x 1");
  expect_no_model(minimal_llama().tensor("rope_freqs.weight", 1, {2}), errc::unsupported, "F32");
}

TEST(bind_model, names_what_is_missing) {
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight",
                           "blk.1.attn_q.weight", "blk.1.ffn_down.weight"}) {
    expect_no_model(minimal_llama().remove_tensor(name), errc::malformed, name);
  }
}

TEST(bind_model, names_what_it_would_have_to_ignore) {
  expect_no_model(minimal_llama().tensor("blk.0.attn_q.bias", 0, {8}), errc::unsupported,
                  "blk.0.attn_q.bias");
  expect_no_model(minimal_llama().tensor("blk.2.attn_norm.weight", 0, {8}), errc::unsupported,
                  "blk.2.attn_norm.weight");
}

TEST(bind_model, refuses_wrong_shapes_and_types) {
  expect_no_model(with_tensor("blk.0.attn_k.weight", 0, {8, 8}), errc::malformed,
                  "8 x 8 x 1 x 1, its metadata asks for 8 x 4");
  expect_no_model(with_tensor("blk.0.attn_k.weight", 0, {8, 4, 2}), errc::malformed, "8 x 4 x 2");
  expect_no_model(with_tensor("token_embd.weight", 0, {8, 11}), errc::malformed, "8 x 11");
  expect_no_model(with_tensor("blk.0.attn_norm.weight", 1, {8}), errc::unsupported, "F32");
  expect_no_model(with_tensor("blk.0.attn_k.weight", 28, {8, 4}), errc::unsupported, "F64");
}

TEST(bind_model, refuses_floats_that_are_not_aligned) {
  auto odd = minimal_llama().alignment(1).tensor("rope_freqs.weight", 0, {2});
  const auto bytes = odd.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file);
  // With alignment 1 the data begins wherever the metadata ends. One more entry takes 21 bytes and
  // its text, which is chosen so that the data begins at an odd byte.
  const std::string pad((file->data_offset() + 21) % 2 == 0 ? 1 : 2, 'x');
  expect_no_model(odd.text("p", pad), errc::unsupported, "aligned to 4");
}

// check_weights

struct loaded {
  std::vector<std::byte> bytes;
  gguf file;
  model weights;
};

loaded load(std::vector<std::byte> bytes) {
  loaded l{std::move(bytes), {}, {}};
  l.file = *gguf::parse(l.bytes);
  l.weights = *bind_model(l.file);
  return l;
}

loaded tiny(synth_quantization quantization) { return load(test::tiny_model(7, quantization)); }

/// Overwrites 16 bits of a tensor's data.
void poke(loaded& l, std::string_view tensor, std::size_t at, std::uint16_t value) {
  std::memcpy(l.bytes.data() + l.file.find_tensor(tensor)->offset + at, &value, sizeof(value));
}

result<void> check(loaded& l, layer_range layers = {0, 2}) {
  serial_runner runner;
  return check_weights(l.weights, layers, runner);
}

TEST(check_weights, passes_sane_models_as_narrow) {
  for (const auto quantization :
       {synth_quantization::f32, synth_quantization::q8_0, synth_quantization::q4_0,
        synth_quantization::q4_k, synth_quantization::q6_k, synth_quantization::q4_k_m}) {
    loaded l = tiny(quantization);
    const auto checked = check(l);
    EXPECT_TRUE(checked) << checked.error().message;
    EXPECT_FALSE(l.weights.layers[1].ffn_down.wide);
    EXPECT_FALSE(l.weights.token_embedding.wide);
    EXPECT_FALSE(l.weights.output.wide);
  }
}

TEST(check_weights, names_tensor_and_row_of_a_scale_that_is_no_number) {
  loaded l = tiny(synth_quantization::q4_k_m);
  const std::size_t row_bytes = l.weights.layers[1].attn_q.row_bytes();
  poke(l, "blk.1.attn_q.weight", 3 * row_bytes + 2, half_nan); // dmin of row 3
  const auto checked = check(l);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, errc::malformed);
  EXPECT_THAT(checked.error().message, HasSubstr("\"blk.1.attn_q.weight\""));
  EXPECT_THAT(checked.error().message, HasSubstr("row 3"));
  EXPECT_TRUE(check(l, {0, 1})) << "the damage is in a layer not asked for";
}

TEST(check_weights, looks_at_embedding_and_head_only_where_the_range_has_them) {
  loaded l = tiny(synth_quantization::q8_0);
  poke(l, "token_embd.weight", 0, half_infinity);
  EXPECT_FALSE(check(l, {0, 1}));
  EXPECT_TRUE(check(l, {1, 2}));
  l = tiny(synth_quantization::q8_0);
  poke(l, "output.weight", 0, half_infinity | 0x8000U);
  EXPECT_TRUE(check(l, {0, 1}));
  EXPECT_THAT(check(l, {1, 2}).error().message, HasSubstr("\"output.weight\""));
}

TEST(check_weights, marks_a_tied_head_like_its_embedding) {
  synth_spec spec;
  spec.quantization = synth_quantization::q8_0;
  spec.tied = true;
  loaded l = load(test::synthetic_model(spec));
  poke(l, "token_embd.weight", 34 * 9, 0x5800); // 2^7: D = 2^31
  ASSERT_TRUE(check(l));
  EXPECT_TRUE(l.weights.token_embedding.wide);
  EXPECT_TRUE(l.weights.output.wide);
  loaded last = load(l.bytes);
  ASSERT_TRUE(check(last, {1, 2}));
  EXPECT_FALSE(last.weights.token_embedding.wide);
  EXPECT_TRUE(last.weights.output.wide);
}

TEST(check_weights, refuses_rope_factors_that_are_not_divisors) {
  for (const float bad : {0.0F, -1.0F, 1e-4F, std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity()}) {
    const float values[] = {1.0F, bad};
    std::vector<std::byte> data(8);
    std::memcpy(data.data(), values, 8);
    loaded l = load(minimal_llama().tensor("rope_freqs.weight", 0, {2}, data).build());
    const auto checked = check(l);
    ASSERT_FALSE(checked) << bad;
    EXPECT_THAT(checked.error().message, HasSubstr("element 1"));
  }
}

/// Runs parts last to first: a stand-in for threads that finish in any order.
class backward_runner final : public parallel_runner {
public:
  [[nodiscard]] std::size_t width() const noexcept override { return 3; }
  void run(std::size_t count, const std::function<void(std::size_t)>& part) override {
    for (std::size_t i = count; i > 0; --i) {
      part(i - 1);
    }
  }
};

TEST(check_weights, names_the_same_row_however_the_work_was_shared) {
  loaded l = tiny(synth_quantization::q4_0);
  poke(l, "blk.0.attn_k.weight", 0, half_infinity);
  poke(l, "blk.1.ffn_up.weight", 0, half_infinity);
  backward_runner backward;
  const auto one = check(l);
  const auto other = check_weights(l.weights, {0, 2}, backward);
  ASSERT_FALSE(one);
  ASSERT_FALSE(other);
  EXPECT_EQ(one.error(), other.error());
}

// bounds_of_rows, at the very edge

/// One Q6_K block: every weight -32, every sub-scale `scale`, fp16 d.
std::vector<std::byte> q6_k_block(std::int8_t scale, std::uint16_t d) {
  std::vector<std::byte> block(210);
  std::memset(block.data() + 192, static_cast<unsigned char>(scale), 16);
  std::memcpy(block.data() + 208, &d, 2);
  return block;
}

bool wide_q6_k(std::int8_t scale, std::uint16_t d) {
  const auto block = q6_k_block(scale, d);
  return bounds_of_rows({tensor_type::q6_k, 1, 256, block.data(), false}, 0, 1).wide;
}

TEST(weight_bounds, a_row_is_wide_exactly_from_its_l1_limit_on) {
  const std::uint16_t d = float_to_half(0x1p-6F); // D = 2^18, times 128 * 32 * 256 is 2^38
  EXPECT_TRUE(wide_q6_k(-128, d));
  EXPECT_TRUE(wide_q6_k(-128, d | 0x8000U)) << "the sign does not matter";
  EXPECT_FALSE(wide_q6_k(-127, d)) << "what the scales alone would suspect, the weights clear";
  EXPECT_FALSE(wide_q6_k(-128, d - 1));
}

TEST(weight_bounds, a_large_scale_alone_makes_a_row_wide) {
  EXPECT_TRUE(wide_q6_k(0, float_to_half(0x1p-5F)));
  EXPECT_FALSE(wide_q6_k(0, float_to_half(0x1p-5F) - 1));
}

TEST(weight_bounds, the_minimums_of_q4_k_count) {
  // No weights, eight minimums of 63: 32 * |M| * 504 over 1024 blocks passes 2^38 at 2^14.
  std::vector<std::byte> row(144 * 1024);
  const auto fill = [&row](float dmin) {
    const std::uint16_t half = float_to_half(dmin);
    for (std::size_t b = 0; b < 1024; ++b) {
      std::memcpy(row.data() + b * 144 + 2, &half, 2);
      std::memset(row.data() + b * 144 + 8, 0xFF, 4);  // minimums 0-3, high bits of 4-7
      std::memset(row.data() + b * 144 + 12, 0xF0, 4); // low bits of minimums 4-7
    }
    const weight w{tensor_type::q4_k, 1, 256 * 1024, row.data(), false};
    return bounds_of_rows(w, 0, 1).wide;
  };
  EXPECT_FALSE(fill(0x1p-10F)); // M = 2^14: 0.98 * 2^38
  EXPECT_TRUE(fill(0x1.08p-10F));
}

TEST(weight_bounds, the_longest_row_of_q8_0_reaches_its_limit) {
  // 2^18 weights of -128 pass 2^44 at D = 2^19.
  std::vector<std::byte> row(34 * 8192, std::byte{0x80});
  const auto wide = [&row](std::uint16_t d) {
    for (std::size_t b = 0; b < 8192; ++b) {
      std::memcpy(row.data() + b * 34, &d, 2);
    }
    const weight w{tensor_type::q8_0, 1, 32 * 8192, row.data(), false};
    EXPECT_FALSE(bounds_of_rows(w, 0, 1).nonfinite);
    return bounds_of_rows(w, 0, 1).wide;
  };
  EXPECT_FALSE(wide(static_cast<std::uint16_t>(float_to_half(0x1p-5F) - 1)));
  EXPECT_TRUE(wide(float_to_half(0x1p-5F)));
}

TEST(weight_bounds, a_scale_beyond_int32_makes_a_row_of_q4_0_wide) {
  // Eights, so that weights are zero: only the scale counts.
  std::vector<std::byte> block(18, std::byte{0x88});
  const auto wide = [&block](std::uint16_t d) {
    std::memcpy(block.data(), &d, 2);
    return bounds_of_rows({tensor_type::q4_0, 1, 32, block.data(), false}, 0, 1).wide;
  };
  EXPECT_FALSE(wide(static_cast<std::uint16_t>(float_to_half(0x1p7F) - 1)));
  EXPECT_TRUE(wide(float_to_half(0x1p7F)));
}

TEST(check_weights, passes_the_embedded_models) {
  for (const char* name : {"assets/tales-q4_k_m.gguf", "assets/tales-q8_0.gguf"}) {
    loaded l = load(test::bytes_of_file(test::source_file(name)));
    EXPECT_TRUE(check(l, {0, l.weights.config.layers}));
    EXPECT_FALSE(l.weights.layers[0].attn_q.wide);
  }
}

TEST(bind_model, reads_the_shared_models) {
  OVIR_SHARED_FILE(folder, "models");
  for (const char* name : {"stories260K-f32.gguf", "stories260K-q8_0.gguf", "stories15M-q8_0.gguf",
                           "minimind2-small-q8_0.gguf"}) {
    loaded l = load(test::bytes_of_file(folder / name));
    EXPECT_TRUE(check(l, {0, l.weights.config.layers})) << name;
  }
}

} // namespace
} // namespace ovir::compute
