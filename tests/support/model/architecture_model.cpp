#include "tests/support/model/architecture_model.hpp"

#include "compute/base/exact_math.hpp"
#include "compute/make/synth_vocabulary.hpp"
#include "compute/model/architecture.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <cmath>
#include <cstring>
#include <stdexcept>

namespace ovir::test {

namespace {

constexpr std::uint32_t layers = 8;

class model_writer {
public:
  model_writer(const architecture_case& wanted, const architecture_shape& shape,
               kernel_random& random, const matrix_maker& make)
      : wanted_(wanted), shape_(shape), random_(random), make_(make),
        family_(compute::find_architecture(wanted.architecture)) {
    if (family_ == nullptr) {
      throw std::invalid_argument("no architecture " + wanted.architecture);
    }
    // llama.cpp loads these only where all heads together are as wide as the stream.
    const bool square = family_->fused_qkv || !family_->input_norms ||
                        family_->qkv_biases == compute::presence::required;
    const std::uint32_t otherwise = square ? shape.heads * shape.head_dim : 192;
    dim_ = shape.dim != 0 ? shape.dim : otherwise;
  }
  std::vector<std::byte> run();

private:
  void metadata();
  void tokenizer();
  void layer(std::uint32_t index);
  void experts(const std::string& blk);
  void matrix(const std::string& name, std::uint32_t rows, std::uint32_t cols,
              std::uint32_t count = 1);
  void router(const std::string& name, std::vector<std::uint64_t> shape);
  void vector(const std::string& name, std::uint32_t n, float middle, float spread);

  const architecture_case& wanted_;
  const architecture_shape shape_;
  kernel_random& random_;
  const matrix_maker& make_;
  const compute::architecture* family_;
  std::uint32_t dim_{0};
  gguf_builder out_;
};

void model_writer::metadata() {
  const auto key = [&](const char* part) { return wanted_.architecture + "." + part; };
  out_.text("general.architecture", wanted_.architecture).text("general.name", "synthetic");
  out_.u32(key("block_count"), layers).u32(key("embedding_length"), dim_);
  // Mixtral's files say with the length of a dense block how long an expert is.
  const bool mixtral = wanted_.experts > 0 && wanted_.architecture == "llama";
  out_.u32(key("feed_forward_length"), mixtral ? shape_.expert_dim : shape_.ffn_dim);
  out_.u32(key("attention.head_count"), shape_.heads);
  out_.u32(key("attention.head_count_kv"), shape_.kv_heads).u32(key("context_length"), 512);
  out_.u32(key("attention.key_length"), shape_.head_dim)
      .u32(key("attention.value_length"), shape_.head_dim);
  out_.f32(key("attention.layer_norm_rms_epsilon"), 1e-5F);
  out_.u32(key("rope.dimension_count"), shape_.head_dim).f32(key("rope.freq_base"), 100'000.0F);
  out_.u32(key("vocab_size"), shape_.vocabulary);
  if (wanted_.experts > 0) {
    out_.u32(key("expert_count"), wanted_.experts);
    out_.u32(key("expert_used_count"), wanted_.experts_used);
    if (!mixtral) {
      out_.u32(key("expert_feed_forward_length"), shape_.expert_dim);
    }
    if (family_->shared_expert) {
      out_.u32(key("expert_shared_feed_forward_length"), shape_.shared_dim);
    }
  }
  if (wanted_.metadata) {
    wanted_.metadata(out_);
  }
}

void model_writer::tokenizer() {
  const compute::synth_vocabulary v = compute::make_synth_vocabulary(shape_.vocabulary, 3);
  out_.text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", "gpt-2");
  out_.texts("tokenizer.ggml.tokens", v.tokens).texts("tokenizer.ggml.merges", v.merges);
  out_.integers("tokenizer.ggml.token_type", v.types);
  out_.u32("tokenizer.ggml.bos_token_id", v.bos).u32("tokenizer.ggml.eos_token_id", v.eos);
}

void model_writer::matrix(const std::string& name, std::uint32_t rows, std::uint32_t cols,
                          std::uint32_t count) {
  matrix_content content = make_(rows * count, cols);
  std::vector<std::uint64_t> shape{cols, rows};
  if (count > 1) {
    shape.push_back(count);
  }
  out_.tensor(name, content.type, std::move(shape), std::move(content.bytes));
}

// F32, as routers are. Programs whose sums differ choose another expert where two logits nearly
// tie; with these seeds no row of the tests has such.
void model_writer::router(const std::string& name, std::vector<std::uint64_t> shape) {
  const float bound = std::sqrt(3.0F / static_cast<float>(dim_));
  std::size_t elements = 1;
  for (const std::uint64_t n : shape) {
    elements *= n;
  }
  std::vector<std::byte> data(elements * 4);
  for (std::size_t i = 0; i < elements; ++i) {
    const float value = random_.in(-bound, bound);
    std::memcpy(&data[4 * i], &value, sizeof value);
  }
  out_.tensor(name, compute::tensor_type::f32, std::move(shape), std::move(data));
}

void model_writer::experts(const std::string& blk) {
  router(blk + "ffn_gate_inp.weight", {dim_, wanted_.experts});
  matrix(blk + "ffn_gate_exps.weight", shape_.expert_dim, dim_, wanted_.experts);
  matrix(blk + "ffn_up_exps.weight", shape_.expert_dim, dim_, wanted_.experts);
  matrix(blk + "ffn_down_exps.weight", dim_, shape_.expert_dim, wanted_.experts);
  if (family_->shared_expert) {
    router(blk + "ffn_gate_inp_shexp.weight", {dim_});
    matrix(blk + "ffn_gate_shexp.weight", shape_.shared_dim, dim_);
    matrix(blk + "ffn_up_shexp.weight", shape_.shared_dim, dim_);
    matrix(blk + "ffn_down_shexp.weight", dim_, shape_.shared_dim);
  }
}

void model_writer::vector(const std::string& name, std::uint32_t n, float middle, float spread) {
  std::vector<std::byte> data(std::size_t{n} * 4);
  for (std::size_t i = 0; i < n; ++i) {
    const float value = middle + random_.in(-spread, spread);
    std::memcpy(&data[4 * i], &value, sizeof value);
  }
  out_.tensor(name, compute::tensor_type::f32, {n}, std::move(data));
}

void model_writer::layer(std::uint32_t index) {
  const std::string blk = "blk." + std::to_string(index) + ".";
  const std::uint32_t q_dim = shape_.heads * shape_.head_dim;
  const std::uint32_t kv_dim = shape_.kv_heads * shape_.head_dim;
  const auto norm = [&](const char* part, std::uint32_t n) {
    vector(blk + part + ".weight", n, 1, 0.25F);
  };
  if (family_->input_norms) {
    norm("attn_norm", dim_);
    norm("ffn_norm", dim_);
  }
  if (family_->output_norms) {
    norm("post_attention_norm", dim_);
    norm("post_ffw_norm", dim_);
  }
  if (family_->fused_qkv) {
    matrix(blk + "attn_qkv.weight", q_dim + 2 * kv_dim, dim_);
  } else {
    matrix(blk + "attn_q.weight", q_dim, dim_);
    matrix(blk + "attn_k.weight", kv_dim, dim_);
    matrix(blk + "attn_v.weight", kv_dim, dim_);
  }
  if (family_->qkv_biases == compute::presence::required) {
    vector(blk + "attn_q.bias", q_dim, 0, 0.5F);
    vector(blk + "attn_k.bias", kv_dim, 0, 0.5F);
    vector(blk + "attn_v.bias", kv_dim, 0, 0.5F);
  }
  if (family_->query_key_norms != compute::head_norms::none) {
    const bool each = family_->query_key_norms == compute::head_norms::each_head;
    norm("attn_q_norm", each ? shape_.head_dim : q_dim);
    norm("attn_k_norm", each ? shape_.head_dim : kv_dim);
  }
  matrix(blk + "attn_output.weight", dim_, q_dim);
  if (wanted_.experts > 0) {
    experts(blk);
    return;
  }
  if (family_->fused_gate_up) {
    matrix(blk + "ffn_up.weight", 2 * shape_.ffn_dim, dim_);
  } else {
    matrix(blk + "ffn_gate.weight", shape_.ffn_dim, dim_);
    matrix(blk + "ffn_up.weight", shape_.ffn_dim, dim_);
  }
  matrix(blk + "ffn_down.weight", dim_, shape_.ffn_dim);
}

std::vector<std::byte> model_writer::run() {
  metadata();
  tokenizer();
  matrix("token_embd.weight", shape_.vocabulary, dim_);
  vector("output_norm.weight", dim_, 1, 0.25F);
  if (family_->gate == compute::gate_function::silu) { // Gemma's head is always the embedding
    matrix("output.weight", shape_.vocabulary, dim_);
  }
  for (std::uint32_t l = 0; l < layers; ++l) {
    layer(l);
  }
  return out_.build();
}

} // namespace

std::vector<architecture_case> architecture_cases() {
  return {
      {"llama", "llama"},
      {"llama_linear", "llama",
       [](gguf_builder& b) {
         b.text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 4.0F);
       }},
      {"llama_yarn", "llama",
       [](gguf_builder& b) {
         b.text("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.factor", 8.0F);
         b.u32("llama.rope.scaling.original_context_length", 64);
       }},
      {"qwen2", "qwen2"},
      {"qwen3", "qwen3"},
      {"gemma", "gemma"},
      {"gemma2", "gemma2",
       [](gguf_builder& b) {
         b.u32("gemma2.attention.sliding_window", 16);
         b.f32("gemma2.attn_logit_softcapping", 5.0F);
         b.f32("gemma2.final_logit_softcapping", 8.0F);
       }},
      {"gemma3", "gemma3", [](gguf_builder& b) { b.u32("gemma3.attention.sliding_window", 16); }},
      {"phi3", "phi3"},
      {"granite", "granite",
       [](gguf_builder& b) {
         b.f32("granite.attention.scale", 0.2F).f32("granite.embedding_scale", 3.0F);
         b.f32("granite.residual_scale", 0.4F).f32("granite.logit_scale", 2.0F);
       }},
      {"olmo2", "olmo2"},
      {"smollm3", "smollm3"},
      {"mixtral", "llama", {}, 5, 2},
      {"qwen2moe", "qwen2moe", {}, 7, 3},
      {"qwen3moe", "qwen3moe", {}, 11, 4},
  };
}

std::vector<std::byte> architecture_model(const architecture_case& wanted,
                                          const architecture_shape& shape, std::uint64_t seed,
                                          const matrix_maker& make) {
  kernel_random random{seed};
  return model_writer{wanted, shape, random, make}.run();
}

std::vector<std::byte> architecture_model(const architecture_case& wanted) {
  kernel_random random{77};
  const matrix_maker halves = [&random](std::uint32_t rows, std::uint32_t cols) {
    const float bound = std::sqrt(3.0F / static_cast<float>(cols));
    matrix_content made;
    made.bytes.resize(std::size_t{rows} * cols * 2);
    for (std::size_t at = 0; at < made.bytes.size(); at += 2) {
      const std::uint16_t bits = compute::float_to_half(random.in(-bound, bound));
      std::memcpy(&made.bytes[at], &bits, sizeof bits);
    }
    return made;
  };
  return model_writer{wanted, {}, random, halves}.run();
}

} // namespace ovir::test
