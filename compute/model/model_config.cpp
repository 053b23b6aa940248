#include "compute/model/model_config.hpp"

#include "compute/base/printable.hpp"
#include "compute/model/architecture.hpp"
#include "messages/limits/experts.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

namespace ovir::compute {

namespace {

constexpr double rope_base_default = 10000.0;

/// Keys, without the architecture's name, that change the arithmetic. Each is refused unless the
/// architecture gives it a meaning or it says what its absence says: ignoring one would give wrong
/// answers without a word.
struct arithmetic_key {
  std::string_view key;
  double neutral;
};
constexpr std::array<arithmetic_key, 16> arithmetic_keys{{
    {"expert_count", 0},
    {"expert_weights_scale", 1},
    {"expert_gating_func", 1},
    {"expert_group_count", 1},
    {"leading_dense_block_count", 0},
    {"attention.sliding_window", 0},
    {"attention.scale", 0},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"rope.scale_linear", 1},
    {"rope.scaling.yarn_log_multiplier", 0},
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
  result<void> read_scaling();
  result<void> read_variants();
  result<void> read_scales();
  result<void> read_experts();

  /// `part` behind the architecture's name and a dot.
  [[nodiscard]] std::string key(std::string_view part) const {
    return fmt::format("{}.{}", family_->name, part);
  }
  [[nodiscard]] bool has(std::string_view part) const { return file_.find(key(part)) != nullptr; }
  [[nodiscard]] bool reads(std::string_view part) const {
    return std::find(family_->reads.begin(), family_->reads.end(), part) != family_->reads.end();
  }
  /// A number of any type from `least` to `most`, or `otherwise` where the key is absent.
  [[nodiscard]] result<double> number_or(std::string_view part, double otherwise, double least,
                                         double most) const;

  /// A count from 1 to `most`.
  [[nodiscard]] result<std::uint32_t> count(std::string_view key, std::uint64_t most) const;
  /// The same, or `otherwise` where the key is absent.
  [[nodiscard]] result<std::uint32_t> count_or(std::string_view key, std::uint64_t most,
                                               std::uint32_t otherwise) const;
  /// One number for all layers: some converters write an array with an element per layer.
  [[nodiscard]] result<std::uint64_t> uniform(std::string_view key) const;

  const gguf& file_;
  const architecture* family_{nullptr};
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

result<double> config_reader::number_or(std::string_view part, double otherwise, double least,
                                        double most) const {
  const gguf_entry* entry = file_.find(key(part));
  if (entry == nullptr) {
    return otherwise;
  }
  const auto value = as_number(*entry);
  if (!value || !(*value >= least && *value <= most)) {
    return fail(errc::malformed, "\"{}\" is {}, it must be a number from {} to {}", key(part),
                value ? fmt::format("{}", *value) : "not a number", least, most);
  }
  return *value;
}

result<std::uint32_t> config_reader::count(std::string_view key, std::uint64_t most) const {
  const result<std::uint64_t> value = uniform(key);
  if (!value && value.error().code == errc::not_found) {
    return fail(errc::malformed, "the metadata has no \"{}\", which every model needs", key);
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
  family_ = find_architecture(*architecture);
  if (family_ == nullptr) {
    return fail(errc::unsupported, "the model's architecture is \"{}\"; this build computes {}",
                printable(*architecture), architecture_names());
  }
  out_.architecture = *architecture;
  out_.rotary = family_->rotary;
  out_.gate = family_->gate;
  out_.global_every = family_->global_every;
  out_.unrotated_every = family_->unrotated_every;
  if (file_.find("general.name") != nullptr) {
    OVIR_ASSIGN(const std::string_view name, file_.text_at("general.name"));
    out_.name = printable(name, 256);
  }
  return {};
}

result<void> config_reader::read_counts() {
  OVIR_ASSIGN(out_.layers, count(key("block_count"), limits::layers_max));
  OVIR_ASSIGN(out_.dim, count(key("embedding_length"), limits::embedding_max));
  OVIR_ASSIGN(out_.ffn_dim, count(key("feed_forward_length"), limits::feed_forward_max));
  OVIR_ASSIGN(out_.context, count(key("context_length"), limits::context_max));
  const std::string epsilon_key = key("attention.layer_norm_rms_epsilon");
  const auto epsilon = file_.float_at(epsilon_key);
  if (!epsilon) {
    return error{errc::malformed, epsilon.error().message};
  }
  if (!(*epsilon >= 0.0 && *epsilon < 1.0)) {
    return fail(errc::malformed, "\"{}\" is {}, it must be from 0 to below 1", epsilon_key,
                *epsilon);
  }
  out_.norm_epsilon = static_cast<float>(*epsilon);
  return {};
}

result<void> config_reader::read_heads() {
  OVIR_ASSIGN(out_.heads, count(key("attention.head_count"), limits::heads_max));
  OVIR_ASSIGN(out_.kv_heads,
              count_or(key("attention.head_count_kv"), limits::heads_max, out_.heads));
  if (out_.heads % out_.kv_heads != 0) {
    return fail(errc::malformed, "\"{}\" {} does not divide evenly among \"{}\" {}",
                key("attention.head_count"), out_.heads, key("attention.head_count_kv"),
                out_.kv_heads);
  }
  const std::string key_length = key("attention.key_length");
  const std::string value_length = key("attention.value_length");
  const bool stated = file_.find(key_length) != nullptr || file_.find(value_length) != nullptr;
  if (!stated && out_.dim % out_.heads != 0) {
    return fail(errc::malformed, "\"{}\" {} does not divide by \"{}\" {}, and no \"{}\" is given",
                key("embedding_length"), out_.dim, key("attention.head_count"), out_.heads,
                key_length);
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
  const std::string dimensions = key("rope.dimension_count");
  OVIR_ASSIGN(out_.rope_dim, count_or(dimensions, limits::head_dim_max, out_.head_dim));
  if (out_.rope_dim > out_.head_dim || out_.rope_dim % 2 != 0) {
    return fail(errc::malformed, "\"{}\" is {}, it must be even and at most the {} of a head",
                dimensions, out_.rope_dim, out_.head_dim);
  }
  const std::string base = key("rope.freq_base");
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
  return read_scaling();
}

result<void> config_reader::read_scaling() {
  // Without a type, a factor means linear scaling.
  std::string_view type = "linear";
  if (has("rope.scaling.type")) {
    OVIR_ASSIGN(type, file_.text_at(key("rope.scaling.type")));
  }
  rope_scaling& s = out_.rope;
  // 0 says the same as 1 in files that were converted long ago.
  OVIR_ASSIGN(s.factor, number_or("rope.scaling.factor", 1, 0, limits::rope_factor_max));
  if (s.factor != 0 && s.factor < 1) {
    return fail(errc::malformed, "\"{}\" is {}, it must be from 1 to {}",
                key("rope.scaling.factor"), s.factor, limits::rope_factor_max);
  }
  OVIR_ASSIGN(s.magnitude, number_or("rope.scaling.attn_factor", 1, limits::model_scale_min,
                                     limits::model_scale_max));
  if (s.factor == 0) {
    s.factor = 1;
  }
  if (type == "none" || type == "linear") {
    s.how =
        type == "linear" && s.factor != 1 ? rope_scaling::kind::linear : rope_scaling::kind::none;
  } else if (type == "yarn") {
    s.how = rope_scaling::kind::yarn;
    OVIR_ASSIGN(s.original_context, number_or("rope.scaling.original_context_length", out_.context,
                                              1, limits::context_max));
    for (const std::string_view part :
         {"rope.scaling.yarn_ext_factor", "rope.scaling.yarn_attn_factor"}) {
      OVIR_ASSIGN(const double value, number_or(part, 1, 1, 1));
      (void)value;
    }
    OVIR_ASSIGN(s.beta_fast, number_or("rope.scaling.yarn_beta_fast", 32, 1e-3, 1e6));
    OVIR_ASSIGN(s.beta_slow, number_or("rope.scaling.yarn_beta_slow", 1, 1e-3, 1e6));
  } else {
    return fail(errc::unsupported,
                "the model scales RoPE by \"{}\" (\"{}\"), which this build does not compute",
                printable(type), key("rope.scaling.type"));
  }
  if (s.how != rope_scaling::kind::yarn && s.magnitude != 1) {
    return fail(errc::unsupported,
                "\"{}\" is set, which asks for arithmetic this build does not compute",
                key("rope.scaling.attn_factor"));
  }
  return {};
}

result<void> config_reader::read_vocabulary() {
  const gguf_tensor* embedding = file_.find_tensor("token_embd.weight");
  const std::string vocabulary = key("vocab_size");
  std::optional<std::uint64_t> tokens;
  if (file_.find("tokenizer.ggml.tokens") != nullptr) {
    OVIR_ASSIGN(const gguf_array array, file_.array_at("tokenizer.ggml.tokens", gguf_type::string));
    tokens = array.count;
  }
  std::uint64_t size = 0;
  if (file_.find(vocabulary) != nullptr) {
    OVIR_ASSIGN(size, file_.unsigned_at(vocabulary));
  } else if (tokens) {
    size = *tokens;
  } else if (embedding != nullptr) {
    size = embedding->shape[1];
  }
  if (size == 0) {
    return fail(errc::malformed,
                "the model does not say how many tokens it knows: no positive "
                "\"{}\", no \"tokenizer.ggml.tokens\", no \"token_embd.weight\"",
                vocabulary);
  }
  if (size > limits::vocabulary_max) {
    return fail(errc::over_limit, "the model knows {} tokens, more than the {} this build allows",
                size, limits::vocabulary_max);
  }
  if (tokens && *tokens > size) {
    return fail(errc::malformed, "\"tokenizer.ggml.tokens\" has {} elements, but \"{}\" is {}",
                *tokens, vocabulary, size);
  }
  out_.vocabulary = static_cast<std::uint32_t>(size);
  return {};
}

result<void> config_reader::read_scales() {
  const auto scale = [&](std::string_view part, float& to, float otherwise) -> result<void> {
    to = otherwise;
    if (reads(part) && has(part)) {
      // 0 says that the key does not apply.
      OVIR_ASSIGN(const double value, number_or(part, 0, 0, limits::model_scale_max));
      if (value != 0 && value < limits::model_scale_min) {
        return fail(errc::malformed, "\"{}\" is {}, it must be at least {}", key(part), value,
                    limits::model_scale_min);
      }
      to = value == 0 ? otherwise : static_cast<float>(value);
    }
    return {};
  };
  const bool by_width =
      family_->layers_scaled_by_width != 0 && out_.layers == family_->layers_scaled_by_width;
  const std::uint32_t d = by_width ? out_.dim / out_.heads : out_.head_dim;
  if (d == 0) {
    return fail(errc::malformed, "{} heads are more than the {} elements they share", out_.heads,
                out_.dim);
  }
  // 1 / sqrt(d), correctly rounded: sqrt and the quotient in binary64 have enough spare bits for
  // every d up to the limit (tests/unit/compute/segment_test.cpp tries them all against exact
  // integers).
  const auto by_root = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d)));
  OVIR_TRY(scale("attention.scale", out_.attention_scale, by_root));
  const float root = family_->embeddings_by_root ? std::sqrt(static_cast<float>(out_.dim)) : 1.0F;
  OVIR_TRY(scale("embedding_scale", out_.embedding_scale, root));
  OVIR_TRY(scale("residual_scale", out_.residual_scale, 1));
  OVIR_TRY(scale("logit_scale", out_.logit_divisor, 1));
  OVIR_TRY(scale("attn_logit_softcapping", out_.attention_cap, 0));
  return scale("final_logit_softcapping", out_.logit_cap, 0);
}

// An expert is as long as a dense block would be where the file does not say.
result<void> config_reader::read_experts() {
  OVIR_ASSIGN(const double stated,
              number_or("expert_count", 0, 0, std::numeric_limits<std::uint32_t>::max()));
  if (stated == 0 || family_->experts == expert_shares::none) {
    return {};
  }
  OVIR_ASSIGN(out_.experts, count(key("expert_count"), limits::experts_max));
  OVIR_ASSIGN(out_.experts_used, count(key("expert_used_count"), limits::experts_used_max));
  if (out_.experts_used > out_.experts) {
    return fail(errc::malformed, "\"{}\" is {}, more than the {} of \"{}\"",
                key("expert_used_count"), out_.experts_used, out_.experts, key("expert_count"));
  }
  OVIR_ASSIGN(out_.expert_ffn_dim,
              count_or(key("expert_feed_forward_length"), limits::feed_forward_max, out_.ffn_dim));
  if (family_->shared_expert) {
    OVIR_ASSIGN(out_.shared_ffn_dim, count_or(key("expert_shared_feed_forward_length"),
                                              limits::feed_forward_max, out_.ffn_dim));
  }
  out_.shares_of_all = family_->experts == expert_shares::of_all;
  if (has("expert_weights_norm")) {
    OVIR_ASSIGN(const bool of_chosen, file_.bool_at(key("expert_weights_norm")));
    if (of_chosen == out_.shares_of_all) {
      return fail(errc::unsupported,
                  "\"{}\" is {}, which asks for arithmetic this build does not compute",
                  key("expert_weights_norm"), of_chosen);
    }
  }
  return {};
}

result<void> config_reader::read_variants() {
  OVIR_TRY(read_scales());
  constexpr std::string_view window = "attention.sliding_window";
  if (reads(window)) {
    OVIR_ASSIGN(const double positions,
                number_or(window, family_->window_otherwise, 0, limits::context_max));
    out_.window = static_cast<std::uint32_t>(positions);
    if (out_.window != 0 && family_->window_rope_base != 0) {
      OVIR_ASSIGN(out_.window_rope_base, number_or("rope.freq_base_swa", family_->window_rope_base,
                                                   1, limits::rope_base_max));
    }
  }
  return {};
}

result<void> config_reader::refuse_variants() const {
  for (const arithmetic_key& k : arithmetic_keys) {
    const gguf_entry* entry = file_.find(key(k.key));
    if (entry != nullptr && !reads(k.key) && as_number(*entry) != k.neutral) {
      return fail(errc::unsupported,
                  "\"{}\" is set, which asks for arithmetic this build does not compute",
                  key(k.key));
    }
  }
  const std::string causal_key = key("attention.causal");
  if (file_.find(causal_key) != nullptr) {
    OVIR_ASSIGN(const bool causal, file_.bool_at(causal_key));
    if (!causal) {
      return fail(errc::unsupported, "\"{}\" is false; this build computes causal attention only",
                  causal_key);
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
  OVIR_TRY(read_variants());
  OVIR_TRY(read_experts());
  OVIR_TRY(read_vocabulary());
  return out_;
}

} // namespace

result<model_config> read_config(const gguf& file) { return config_reader{file}.run(); }

} // namespace ovir::compute
