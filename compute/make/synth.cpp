#include "compute/make/synth.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/gguf_writer.hpp"
#include "compute/make/synth_blocks.hpp"
#include "compute/make/synth_vocabulary.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace ovir::compute {

namespace {

constexpr std::uint32_t file_alignment = 32;
constexpr std::size_t piece_bytes = std::size_t{1} << 20U;

struct quantization_facts {
  synth_quantization quantization;
  std::string_view name;
  tensor_type type;        ///< of most matrices
  std::uint32_t file_type; ///< `general.file_type` of such files
};

constexpr std::array<quantization_facts, 12> quantizations{{
    {synth_quantization::f32, "f32", tensor_type::f32, 0},
    {synth_quantization::f16, "f16", tensor_type::f16, 1},
    {synth_quantization::bf16, "bf16", tensor_type::bf16, 32},
    {synth_quantization::q8_0, "q8_0", tensor_type::q8_0, 7},
    {synth_quantization::q4_0, "q4_0", tensor_type::q4_0, 2},
    {synth_quantization::q4_k, "q4_k", tensor_type::q4_k, 14},
    {synth_quantization::q6_k, "q6_k", tensor_type::q6_k, 18},
    {synth_quantization::q4_k_m, "q4_k_m", tensor_type::q4_k, 15},
    {synth_quantization::q2_k, "q2_k", tensor_type::q2_k, 10},
    {synth_quantization::q3_k, "q3_k", tensor_type::q3_k, 11},
    {synth_quantization::q5_k, "q5_k", tensor_type::q5_k, 16},
    {synth_quantization::iq4_xs, "iq4_xs", tensor_type::iq4_xs, 30},
}};

const quantization_facts& facts_of(synth_quantization quantization) {
  return quantizations[static_cast<std::size_t>(quantization)];
}

/// One tensor to be: a norm (one row, F32) or a matrix.
struct planned_tensor {
  std::string name;
  tensor_type type;
  std::uint32_t rows;
  std::uint32_t cols;
  bool norm;

  [[nodiscard]] std::uint64_t bytes() const {
    const tensor_layout layout = layout_of(type);
    return std::uint64_t{cols} / layout.block_elements * layout.block_bytes * rows;
  }
};

std::uint64_t aligned(std::uint64_t offset) {
  return (offset + file_alignment - 1) / file_alignment * file_alignment;
}

struct bounded {
  std::string_view name;
  std::uint64_t value;
  std::uint64_t least;
  std::uint64_t most;
};

std::uint32_t head_dim_of(const synth_spec& s) {
  return s.head_dim != 0 ? s.head_dim : s.dim / s.heads;
}

result<void> check_shape(const synth_spec& s) {
  const bounded numbers[] = {
      {"layers", s.layers, 1, limits::layers_max},
      {"dim", s.dim, 1, limits::embedding_max},
      {"ffn_dim", s.ffn_dim, 1, limits::feed_forward_max},
      {"heads", s.heads, 1, limits::heads_max},
      {"kv_heads", s.kv_heads, 1, s.heads},
      {"vocabulary", s.vocabulary, synth_vocabulary_min, limits::vocabulary_max},
      {"context", s.context, 1, limits::context_max},
      {"the length of the name", s.name.size(), 0, limits::key_bytes_max},
  };
  for (const bounded& n : numbers) {
    if (n.value < n.least || n.value > n.most) {
      return fail(errc::invalid_argument, "synthetic model: {} is {}, it must be {} to {}", n.name,
                  n.value, n.least, n.most);
    }
  }
  if (s.heads % s.kv_heads != 0) {
    return fail(errc::invalid_argument, "synthetic model: {} heads do not divide among {} kv_heads",
                s.heads, s.kv_heads);
  }
  if (s.head_dim == 0 && s.dim % s.heads != 0) {
    return fail(errc::invalid_argument, "synthetic model: dim {} does not divide by {} heads",
                s.dim, s.heads);
  }
  const std::uint32_t head_dim = head_dim_of(s);
  if (head_dim % 2 != 0 || head_dim == 0 || head_dim > limits::head_dim_max ||
      std::uint64_t{head_dim} * s.heads > limits::feed_forward_max) {
    return fail(errc::invalid_argument,
                "synthetic model: {} heads of {} elements; a head must be even, at most {}, and "
                "all heads together at most {}",
                s.heads, head_dim, limits::head_dim_max, limits::feed_forward_max);
  }
  if (!std::isfinite(s.rope_base) || s.rope_base < 1.0F) {
    return fail(errc::invalid_argument, "synthetic model: rope_base is {}, it must be at least 1",
                s.rope_base);
  }
  return {};
}

/// llama.cpp's recipe for Q4_K_M: the first and last eighth of the layers and every third between
/// keep more bits where they matter most.
bool keeps_more_bits(std::uint32_t layer, std::uint32_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

std::vector<planned_tensor> plan(const synth_spec& s) {
  const tensor_type most = facts_of(s.quantization).type;
  const bool mixed = s.quantization == synth_quantization::q4_k_m;
  const tensor_type head = mixed ? tensor_type::q6_k : most;
  const std::uint32_t q_dim = head_dim_of(s) * s.heads;
  const std::uint32_t kv_dim = head_dim_of(s) * s.kv_heads;
  std::vector<planned_tensor> tensors;
  // The recipe spends the head's bits on the embedding only where it is the head as well.
  tensors.push_back({"token_embd.weight", s.tied ? head : most, s.vocabulary, s.dim, false});
  for (std::uint32_t l = 0; l < s.layers; ++l) {
    const tensor_type more = mixed && keeps_more_bits(l, s.layers) ? tensor_type::q6_k : most;
    const auto add = [&](std::string_view part, tensor_type type, std::uint32_t rows,
                         std::uint32_t cols, bool norm = false) {
      tensors.push_back({fmt::format("blk.{}.{}.weight", l, part), type, rows, cols, norm});
    };
    add("attn_norm", tensor_type::f32, 1, s.dim, true);
    add("attn_q", most, q_dim, s.dim);
    add("attn_k", most, kv_dim, s.dim);
    add("attn_v", more, kv_dim, s.dim);
    add("attn_output", most, s.dim, q_dim);
    add("ffn_norm", tensor_type::f32, 1, s.dim, true);
    add("ffn_gate", most, s.ffn_dim, s.dim);
    add("ffn_up", most, s.ffn_dim, s.dim);
    add("ffn_down", more, s.dim, s.ffn_dim);
  }
  tensors.push_back({"output_norm.weight", tensor_type::f32, 1, s.dim, true});
  if (!s.tied) {
    tensors.push_back({"output.weight", head, s.vocabulary, s.dim, false});
  }
  return tensors;
}

result<void> check_rows(const std::vector<planned_tensor>& tensors) {
  for (const planned_tensor& t : tensors) {
    const tensor_layout layout = layout_of(t.type);
    if (t.cols % layout.block_elements != 0) {
      return fail(errc::invalid_argument,
                  "synthetic model: rows of {} have {} elements, but {} comes in blocks of {}; "
                  "choose another shape or quantisation",
                  t.name, t.cols, name_of(t.type), layout.block_elements);
    }
  }
  return {};
}

void write_tokenizer(gguf_writer& out, const synth_spec& s) {
  const synth_vocabulary v = make_synth_vocabulary(s.vocabulary, s.seed);
  out.string("tokenizer.ggml.model", "gpt2");
  out.string("tokenizer.ggml.pre", "gpt-2");
  out.strings("tokenizer.ggml.tokens", v.tokens);
  out.array("tokenizer.ggml.token_type", gguf_type::i32, v.types.size());
  for (const std::int32_t type : v.types) {
    out.number(type);
  }
  out.strings("tokenizer.ggml.merges", v.merges);
  out.u32("tokenizer.ggml.bos_token_id", v.bos);
  out.u32("tokenizer.ggml.eos_token_id", v.eos);
  out.entry("tokenizer.ggml.add_bos_token", gguf_type::boolean);
  out.number(std::uint8_t{1});
}

/// Everything before the tensor data, padded to the alignment.
std::string header(const synth_spec& s, const std::vector<planned_tensor>& tensors) {
  gguf_writer meta;
  meta.string("general.architecture", "llama");
  meta.string("general.name", s.name);
  meta.u32("general.file_type", facts_of(s.quantization).file_type);
  meta.u32("general.quantization_version", 2);
  meta.string("ovir.synth.generator", "ovir-synth-1");
  meta.entry("ovir.synth.seed", gguf_type::u64);
  meta.number(s.seed);
  meta.u32("llama.block_count", s.layers);
  meta.u32("llama.context_length", s.context);
  meta.u32("llama.embedding_length", s.dim);
  meta.u32("llama.feed_forward_length", s.ffn_dim);
  meta.u32("llama.attention.head_count", s.heads);
  meta.u32("llama.attention.head_count_kv", s.kv_heads);
  meta.u32("llama.attention.key_length", head_dim_of(s));
  meta.u32("llama.attention.value_length", head_dim_of(s));
  meta.f32("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  meta.u32("llama.rope.dimension_count", head_dim_of(s));
  meta.f32("llama.rope.freq_base", s.rope_base);
  meta.u32("llama.vocab_size", s.vocabulary);
  write_tokenizer(meta, s);

  gguf_writer out;
  out.number(std::uint32_t{3});
  out.number(std::uint64_t{tensors.size()});
  out.number(meta.entries());
  std::string bytes = "GGUF" + out.bytes() + meta.bytes();
  gguf_writer infos;
  std::uint64_t offset = 0;
  for (const planned_tensor& t : tensors) {
    infos.text(t.name);
    infos.number(std::uint32_t{t.norm ? 1U : 2U});
    infos.number(std::uint64_t{t.cols});
    if (!t.norm) {
      infos.number(std::uint64_t{t.rows});
    }
    infos.number(static_cast<std::uint32_t>(t.type));
    infos.number(offset);
    offset = aligned(offset + t.bytes());
  }
  bytes += infos.bytes();
  bytes.resize(static_cast<std::size_t>(aligned(bytes.size())), '\0');
  return bytes;
}

/// Counts what goes to the sink, so that padding and progress need no second account.
class counted_sink {
public:
  counted_sink(const synth_sink& sink, const synth_progress& progress, std::uint64_t total)
      : sink_(sink), progress_(progress), total_(total) {}

  result<void> put(std::span<const std::byte> bytes) {
    OVIR_TRY(sink_(bytes));
    done_ += bytes.size();
    if (progress_) {
      progress_(done_, total_);
    }
    return {};
  }
  result<void> pad() {
    const std::array<std::byte, file_alignment> zeros{};
    const std::uint64_t gap = std::min(aligned(done_), total_) - done_;
    return gap == 0 ? result<void>{} : put(std::span{zeros}.first(static_cast<std::size_t>(gap)));
  }
  [[nodiscard]] std::uint64_t done() const { return done_; }

private:
  const synth_sink& sink_;
  const synth_progress& progress_;
  std::uint64_t total_;
  std::uint64_t done_{0};
};

result<void> write_norm(const planned_tensor& t, synth_random& random, counted_sink& sink) {
  std::vector<float> values(t.cols);
  for (float& value : values) {
    // 1 - 1/16 to 1 + 1/16, exact in binary32.
    value = 1.0F + (static_cast<float>(random.below(257)) - 128.0F) / 2048.0F;
  }
  return sink.put(std::as_bytes(std::span{values}));
}

result<void> write_matrix(const planned_tensor& t, synth_random& random, counted_sink& sink) {
  // Rows of length n times a vector of n elements about 1 give results about 1.
  const synth_blocks blocks{t.type, 1.0 / std::sqrt(static_cast<double>(t.cols))};
  const std::size_t block = layout_of(t.type).block_bytes;
  const std::size_t whole = piece_bytes / block * block;
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(whole, t.bytes())));
  for (std::uint64_t left = t.bytes(); left > 0;) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size()));
    blocks.fill(random, std::span{piece}.first(now));
    OVIR_TRY(sink.put(std::span{piece}.first(now)));
    left -= now;
  }
  return {};
}

std::uint64_t data_bytes(const std::vector<planned_tensor>& tensors) {
  std::uint64_t bytes = 0;
  for (const planned_tensor& t : tensors) {
    bytes = aligned(bytes) + t.bytes();
  }
  return bytes;
}

} // namespace

result<synth_quantization> synth_quantization_from(std::string_view name) {
  std::string names;
  for (const quantization_facts& facts : quantizations) {
    if (facts.name == name) {
      return facts.quantization;
    }
    names += names.empty() ? "" : ", ";
    names += facts.name;
  }
  return fail(errc::invalid_argument, "no quantisation is called \"{}\"; choose one of {}",
              printable(name), names);
}

std::string_view name_of(synth_quantization quantization) noexcept {
  return facts_of(quantization).name;
}

result<std::uint64_t> synth_bytes(const synth_spec& spec) {
  OVIR_TRY(check_shape(spec));
  const std::vector<planned_tensor> tensors = plan(spec);
  OVIR_TRY(check_rows(tensors));
  return header(spec, tensors).size() + data_bytes(tensors);
}

result<void> write_synth(const synth_spec& spec, const synth_sink& sink,
                         const synth_progress& progress) {
  OVIR_TRY(check_shape(spec));
  const std::vector<planned_tensor> tensors = plan(spec);
  OVIR_TRY(check_rows(tensors));
  const std::string front = header(spec, tensors);
  counted_sink out{sink, progress, front.size() + data_bytes(tensors)};
  OVIR_TRY(out.put(std::as_bytes(std::span{front})));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    OVIR_TRY(out.pad());
    // A stream of its own for each tensor: its weights do not depend on the ones before it.
    synth_random random{spec.seed, i + 1};
    OVIR_TRY(tensors[i].norm ? write_norm(tensors[i], random, out)
                             : write_matrix(tensors[i], random, out));
  }
  return {};
}

} // namespace ovir::compute
