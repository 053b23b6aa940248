#include "compute/model_config.hpp"

#include "compute/printable.hpp"
#include "messages/limits.hpp"

#include <array>
#include <cmath>
#include <optional>
#include <string_view>

namespace ovir::compute {

namespace {

constexpr double rope_base_default = 10000.0;

/// Keys of other models of the family that would change the arithmetic. Each is refused unless it
/// says what its absence says: ignoring one would give wrong answers without a word.
struct neutral_key {
  std::string_view key;
  double neutral;
};
constexpr std::array<neutral_key, 12> neutral_keys{{
    {"llama.expert_count", 0},
    {"llama.attention.sliding_window", 0},
    {"llama.attention.scale", 0},
    {"llama.attention.clamp_kqv", 0},
    {"llama.attention.max_alibi_bias", 0},
    {"llama.attn_logit_softcapping", 0},
    {"llama.final_logit_softcapping", 0},
    {"llama.logit_scale", 1},
    {"llama.residual_scale", 1},
    {"llama.embedding_scale", 1},
    {"llama.rope.scale_linear", 1},
    {"llama.rope.scaling.attn_factor", 1},
}};

/// A number of any type as a double; empty when the entry is not a number.
std::optional<double> as_number(const gguf_entry& entry) {
  if (const auto* u = std::get_if<std::uint64_t>(&entry.value)) {
    return static_cast<double>(*u);
  }
  if (const auto* i = std::get_if<std::int64_t>(&entry.value)) {
    return static_cast<double>(*i);
  }
  if (const auto* d = std::get_if<double>(&entry.value)) {
    return *d;
  }
  return std::nullopt;
}

/// Reads the keys of one file into one configuration.
class config_reader {
public:
  explicit config_reader(const gguf& file) : file_(file) {}
  result<model_config> run();

private:
  result<void> read_architecture();
  result<void> read_counts();
  result<void> read_heads();
  result<void> read_rope();
  result<void> read_vocabulary();
  result<void> refuse_variants() const;

  /// A count from 1 to `most`.
  [[nodiscard]] result<std::uint32_t> count(std::string_view key, std::uint64_t most) const;
  /// The same, or `otherwise` where the key is absent.
  [[nodiscard]] result<std::uint32_t> count_or(std::string_view key, std::uint64_t most,
                                               std::uint32_t otherwise) const;
  /// One number for all layers: some converters write an array with an element per layer.
  [[nodiscard]] result<std::uint64_t> uniform(std::string_view key) const;

  const gguf& file_;
  model_config out_;
};

result<std::uint64_t> config_reader::uniform(std::string_view key) const {
  const gguf_entry* entry = file_.find(key);
  const auto* array = entry == nullptr ? nullptr : std::get_if<gguf_array>(&entry->value);
  if (array == nullptr) {
    return file_.unsigned_at(key);
  }
  if (array->count != out_.layers || array->count == 0) {
    return fail(errc::malformed, "\"{}\" has {} elements, but the model has {} layers", key,
                array->count, out_.layers);
  }
  OVIR_ASSIGN(const std::vector<std::int32_t> values, integers_of(*array));
  for (const std::int32_t value : values) {
    if (value != values.front()) {
      return fail(errc::unsupported,
                  "\"{}\" differs between layers ({} and {}), which this build does not compute",
                  key, values.front(), value);
    }
  }
  return values.front() < 0 ? 0 : static_cast<std::uint64_t>(values.front());
}

result<std::uint32_t> config_reader::count(std::string_view key, std::uint64_t most) const {
  const result<std::uint64_t> value = uniform(key);
  if (!value && value.error().code == errc::not_found) {
    return fail(errc::malformed, "the metadata has no \"{}\", which a llama model needs", key);
  }
  if (!value) {
    return value.error();
  }
  if (*value == 0) {
    return fail(errc::malformed, "\"{}\" is not positive", key);
  }
  if (*value > most) {
    return fail(errc::over_limit, "\"{}\" is {}, more than the {} this build allows", key, *value,
                most);
  }
  return static_cast<std::uint32_t>(*value);
}

result<std::uint32_t> config_reader::count_or(std::string_view key, std::uint64_t most,
                                              std::uint32_t otherwise) const {
  return file_.find(key) == nullptr ? result<std::uint32_t>{otherwise} : count(key, most);
}

result<void> config_reader::read_architecture() {
  const auto architecture = file_.text_at("general.architecture");
  if (!architecture) {
    return fail(errc::malformed, "{}; without it no tensor has a meaning",
                architecture.error().message);
  }
  if (*architecture != "llama") {
    return fail(errc::unsupported,
                "the model's architecture is \"{}\"; this build computes \"llama\" only",
                printable(*architecture));
  }
  out_.architecture = *architecture;
  if (file_.find("general.name") != nullptr) {
    OVIR_ASSIGN(const std::string_view name, file_.text_at("general.name"));
    out_.name = printable(name, 256);
  }
  return {};
}

result<void> config_reader::read_counts() {
  OVIR_ASSIGN(out_.layers, count("llama.block_count", limits::layers_max));
  OVIR_ASSIGN(out_.dim, count("llama.embedding_length", limits::embedding_max));
  OVIR_ASSIGN(out_.ffn_dim, count("llama.feed_forward_length", limits::feed_forward_max));
  OVIR_ASSIGN(out_.context, count("llama.context_length", limits::context_max));
  constexpr std::string_view key = "llama.attention.layer_norm_rms_epsilon";
  const auto epsilon = file_.float_at(key);
  if (!epsilon) {
    return error{errc::malformed, epsilon.error().message};
  }
  if (!(*epsilon >= 0.0 && *epsilon < 1.0)) {
    return fail(errc::malformed, "\"{}\" is {}, it must be from 0 to below 1", key, *epsilon);
  }
  out_.norm_epsilon = static_cast<float>(*epsilon);
  return {};
}

result<void> config_reader::read_heads() {
  OVIR_ASSIGN(out_.heads, count("llama.attention.head_count", limits::heads_max));
  OVIR_ASSIGN(out_.kv_heads,
              count_or("llama.attention.head_count_kv", limits::heads_max, out_.heads));
  if (out_.heads % out_.kv_heads != 0) {
    return fail(errc::malformed,
                "\"llama.attention.head_count\" {} does not divide evenly among "
                "\"llama.attention.head_count_kv\" {}",
                out_.heads, out_.kv_heads);
  }
  constexpr std::string_view key_length = "llama.attention.key_length";
  constexpr std::string_view value_length = "llama.attention.value_length";
  const bool stated = file_.find(key_length) != nullptr || file_.find(value_length) != nullptr;
  if (!stated && out_.dim % out_.heads != 0) {
    return fail(errc::malformed,
                "\"llama.embedding_length\" {} does not divide by \"llama.attention.head_count\" "
                "{}, and no \"{}\" is given",
                out_.dim, out_.heads, key_length);
  }
  const std::uint32_t otherwise = out_.dim / out_.heads;
  OVIR_ASSIGN(out_.head_dim, count_or(key_length, limits::head_dim_max, otherwise));
  OVIR_ASSIGN(const std::uint32_t value_dim,
              count_or(value_length, limits::head_dim_max, otherwise));
  if (value_dim != out_.head_dim) {
    return fail(errc::unsupported,
                "keys have {} elements per head and values {}; this build computes equal ones only",
                out_.head_dim, value_dim);
  }
  if (out_.head_dim > limits::head_dim_max) {
    return fail(errc::over_limit, "a head has {} elements, more than the {} this build allows",
                out_.head_dim, limits::head_dim_max);
  }
  if (out_.head_dim == 0 || out_.head_dim % 2 != 0) {
    return fail(errc::malformed, "a head has {} elements, RoPE needs an even number",
                out_.head_dim);
  }
  // The rows of attn_output are as long as all heads together: bounded like those of ffn_down.
  if (out_.q_dim() > limits::feed_forward_max) {
    return fail(errc::over_limit, "{} heads of {} elements are more than the {} this build allows",
                out_.heads, out_.head_dim, limits::feed_forward_max);
  }
  return {};
}

result<void> config_reader::read_rope() {
  constexpr std::string_view dimensions = "llama.rope.dimension_count";
  OVIR_ASSIGN(out_.rope_dim, count_or(dimensions, limits::head_dim_max, out_.head_dim));
  if (out_.rope_dim > out_.head_dim || out_.rope_dim % 2 != 0) {
    return fail(errc::malformed, "\"{}\" is {}, it must be even and at most the {} of a head",
                dimensions, out_.rope_dim, out_.head_dim);
  }
  constexpr std::string_view base = "llama.rope.freq_base";
  out_.rope_base = rope_base_default;
  if (file_.find(base) != nullptr) {
    OVIR_ASSIGN(out_.rope_base, file_.float_at(base));
  }
  // Below 1 frequencies would grow with the dimension and leave the range of our sine.
  if (!std::isfinite(out_.rope_base) || out_.rope_base < 1.0 ||
      out_.rope_base > limits::rope_base_max) {
    return fail(errc::malformed, "\"{}\" is {}, it must be from 1 to {}", base, out_.rope_base,
                limits::rope_base_max);
  }
  constexpr std::string_view scaling = "llama.rope.scaling.type";
  if (file_.find(scaling) != nullptr) {
    OVIR_ASSIGN(const std::string_view type, file_.text_at(scaling));
    if (type != "none") {
      return fail(errc::unsupported,
                  "the model scales RoPE by \"{}\" (\"{}\"), which this build does not compute",
                  printable(type), scaling);
    }
    return {};
  }
  // Without a type, a factor means linear scaling.
  constexpr std::string_view factor = "llama.rope.scaling.factor";
  if (const gguf_entry* entry = file_.find(factor); entry != nullptr) {
    const double value = as_number(*entry).value_or(-1.0);
    if (value != 0.0 && value != 1.0) {
      return fail(errc::unsupported,
                  "the model scales RoPE linearly (\"{}\"), which this build does not compute",
                  factor);
    }
  }
  return {};
}

result<void> config_reader::read_vocabulary() {
  const gguf_tensor* embedding = file_.find_tensor("token_embd.weight");
  std::optional<std::uint64_t> tokens;
  if (file_.find("tokenizer.ggml.tokens") != nullptr) {
    OVIR_ASSIGN(const gguf_array array, file_.array_at("tokenizer.ggml.tokens", gguf_type::string));
    tokens = array.count;
  }
  std::uint64_t size = 0;
  if (file_.find("llama.vocab_size") != nullptr) {
    OVIR_ASSIGN(size, file_.unsigned_at("llama.vocab_size"));
  } else if (tokens) {
    size = *tokens;
  } else if (embedding != nullptr) {
    size = embedding->shape[1];
  }
  if (size == 0) {
    return fail(errc::malformed, "the model does not say how many tokens it knows: no positive "
                                 "\"llama.vocab_size\", no \"tokenizer.ggml.tokens\", no "
                                 "\"token_embd.weight\"");
  }
  if (size > limits::vocabulary_max) {
    return fail(errc::over_limit, "the model knows {} tokens, more than the {} this build allows",
                size, limits::vocabulary_max);
  }
  if (tokens && *tokens > size) {
    return fail(errc::malformed,
                "\"tokenizer.ggml.tokens\" has {} elements, but \"llama.vocab_size\" is {}",
                *tokens, size);
  }
  out_.vocabulary = static_cast<std::uint32_t>(size);
  return {};
}

result<void> config_reader::refuse_variants() const {
  for (const neutral_key& k : neutral_keys) {
    const gguf_entry* entry = file_.find(k.key);
    if (entry != nullptr && as_number(*entry) != k.neutral) {
      return fail(errc::unsupported,
                  "\"{}\" is set, which asks for arithmetic this build does not compute", k.key);
    }
  }
  if (file_.find("llama.attention.causal") != nullptr) {
    OVIR_ASSIGN(const bool causal, file_.bool_at("llama.attention.causal"));
    if (!causal) {
      return fail(errc::unsupported, "\"llama.attention.causal\" is false; this build computes "
                                     "causal attention only");
    }
  }
  return {};
}

result<model_config> config_reader::run() {
  OVIR_TRY(read_architecture());
  OVIR_TRY(refuse_variants());
  OVIR_TRY(read_counts());
  OVIR_TRY(read_heads());
  OVIR_TRY(read_rope());
  OVIR_TRY(read_vocabulary());
  return out_;
}

} // namespace

result<model_config> read_config(const gguf& file) { return config_reader{file}.run(); }

} // namespace ovir::compute
