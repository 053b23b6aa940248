#include "compute/model/model.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "compute/model/architecture.hpp"
#include "compute/model/lora.hpp"
#include "messages/limits/experts.hpp"
#include "messages/limits/general.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace ovir::compute {

namespace {

/// What a tensor is used for decides which types it may have.
enum class tensor_use : std::uint8_t { matrix, norm, factors };

/// Finds the tensors of one file and remembers which were asked for.
class tensor_binder {
public:
  explicit tensor_binder(const gguf& file) : file_(file), used_(file.tensors().size(), false) {}

  [[nodiscard]] bool has(std::string_view name) const { return file_.find_tensor(name) != nullptr; }
  /// `count` matrices one behind the other, as one of so many rows.
  result<weight> bind(std::string_view name, std::uint32_t rows, std::uint32_t cols, tensor_use use,
                      std::uint32_t count = 1);
  /// Counts the pairs of an adapter, all of which were bound, as asked for.
  void use_lora();
  /// Refuses what nothing asked for.
  [[nodiscard]] result<void> refuse_unused(std::string_view architecture) const;

private:
  const gguf& file_;
  std::vector<bool> used_;
};

result<tensor_type> type_for(const gguf_tensor& tensor, tensor_use use) {
  const auto type = tensor_type_from(tensor.raw_type);
  if (!type) {
    return fail(errc::unsupported,
                "tensor \"{}\" is of type {}, which this build does not compute with; convert the "
                "model to one of {}",
                printable(tensor.name), name_of_raw_type(tensor.raw_type), tensor_type_names());
  }
  if (use != tensor_use::matrix && *type != tensor_type::f32) {
    return fail(errc::unsupported, "tensor \"{}\" is of type {}, this build needs it as F32",
                printable(tensor.name), name_of(*type));
  }
  // Kernels load F32 as floats in place, and fp16 scales and weights as 16-bit words.
  const std::uintptr_t alignment = *type == tensor_type::f32 ? 4 : 2;
  if (reinterpret_cast<std::uintptr_t>(tensor.data.data()) % alignment != 0) {
    return fail(errc::unsupported,
                "the data of tensor \"{}\" at byte {} is not aligned to {} bytes; write the file "
                "again with \"general.alignment\" 32",
                printable(tensor.name), tensor.offset, alignment);
  }
  return *type;
}

result<weight> tensor_binder::bind(std::string_view name, std::uint32_t rows, std::uint32_t cols,
                                   tensor_use use, std::uint32_t count) {
  const gguf_tensor* tensor = file_.find_tensor(name);
  if (tensor == nullptr) {
    return fail(errc::malformed,
                "the file has no tensor \"{}\", which its metadata asks for; the file is "
                "incomplete, or split into several",
                name);
  }
  used_[static_cast<std::size_t>(tensor - file_.tensors().data())] = true;
  const auto& shape = tensor->shape;
  if (shape[0] != cols || shape[1] != rows || shape[2] != count || shape[3] != 1) {
    return fail(errc::malformed,
                "tensor \"{}\" has shape {} x {} x {} x {}, its metadata asks for {} x {}{}", name,
                shape[0], shape[1], shape[2], shape[3], cols, rows,
                count == 1 ? "" : fmt::format(" x {}", count));
  }
  OVIR_ASSIGN(const tensor_type type, type_for(*tensor, use));
  return weight{type, rows * count, cols, tensor->data.data(), false};
}

void tensor_binder::use_lora() {
  for (std::size_t i = 0; i < used_.size(); ++i) {
    used_[i] = used_[i] || is_lora_tensor(file_.tensors()[i].name);
  }
}

result<void> tensor_binder::refuse_unused(std::string_view architecture) const {
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (!used_[i]) {
      return fail(errc::unsupported,
                  "tensor \"{}\" is not part of a {} model this build computes (a bias, an "
                  "expert or another variant), and leaving it out would change every answer",
                  printable(file_.tensors()[i].name), architecture);
    }
  }
  return {};
}

/// Rows [first, first + rows) of `all`, as a weight of their own.
weight rows_of(const weight& all, std::uint32_t first, std::uint32_t rows) {
  weight part = all;
  part.rows = rows;
  part.data = all.row(first);
  return part;
}

/// Binds the tensors of one layer, as the architecture declares them.
class layer_binder {
public:
  layer_binder(tensor_binder& binder, const model_config& c, std::uint32_t layer)
      : binder_(binder), c_(c), family_(*find_architecture(c.architecture)), layer_(layer) {}
  result<layer_weights> run();

private:
  [[nodiscard]] result<weight> matrix(std::string_view part, std::uint32_t rows,
                                      std::uint32_t cols) {
    return binder_.bind(fmt::format("blk.{}.{}.weight", layer_, part), rows, cols,
                        tensor_use::matrix);
  }
  [[nodiscard]] result<weight> norm(std::string_view part, std::uint32_t cols) {
    return binder_.bind(fmt::format("blk.{}.{}.weight", layer_, part), 1, cols, tensor_use::norm);
  }
  [[nodiscard]] result<weight> bias(std::string_view part, std::uint32_t cols) {
    return binder_.bind(fmt::format("blk.{}.{}.bias", layer_, part), 1, cols, tensor_use::norm);
  }
  result<void> norms();
  result<void> queries_keys_values();
  result<void> feed_forward();
  result<void> experts();

  tensor_binder& binder_;
  const model_config& c_;
  const architecture& family_;
  std::uint32_t layer_;
  layer_weights w_;
};

result<void> layer_binder::norms() {
  if (family_.input_norms) {
    OVIR_ASSIGN(w_.attn_norm, norm("attn_norm", c_.dim));
    OVIR_ASSIGN(w_.ffn_norm, norm("ffn_norm", c_.dim));
  }
  if (family_.output_norms) {
    OVIR_ASSIGN(w_.attn_post_norm, norm("post_attention_norm", c_.dim));
    OVIR_ASSIGN(w_.ffn_post_norm, norm("post_ffw_norm", c_.dim));
  }
  if (family_.query_key_norms != head_norms::none) {
    const bool each = family_.query_key_norms == head_norms::each_head;
    OVIR_ASSIGN(w_.attn_q_norm, norm("attn_q_norm", each ? c_.head_dim : c_.q_dim()));
    OVIR_ASSIGN(w_.attn_k_norm, norm("attn_k_norm", each ? c_.head_dim : c_.kv_dim()));
  }
  return {};
}

result<void> layer_binder::queries_keys_values() {
  if (family_.fused_qkv) {
    OVIR_ASSIGN(const weight all, matrix("attn_qkv", c_.q_dim() + 2 * c_.kv_dim(), c_.dim));
    w_.attn_q = rows_of(all, 0, c_.q_dim());
    w_.attn_k = rows_of(all, c_.q_dim(), c_.kv_dim());
    w_.attn_v = rows_of(all, c_.q_dim() + c_.kv_dim(), c_.kv_dim());
  } else {
    OVIR_ASSIGN(w_.attn_q, matrix("attn_q", c_.q_dim(), c_.dim));
    OVIR_ASSIGN(w_.attn_k, matrix("attn_k", c_.kv_dim(), c_.dim));
    OVIR_ASSIGN(w_.attn_v, matrix("attn_v", c_.kv_dim(), c_.dim));
  }
  if (family_.qkv_biases == presence::required) {
    OVIR_ASSIGN(w_.attn_q_bias, bias("attn_q", c_.q_dim()));
    OVIR_ASSIGN(w_.attn_k_bias, bias("attn_k", c_.kv_dim()));
    OVIR_ASSIGN(w_.attn_v_bias, bias("attn_v", c_.kv_dim()));
  }
  return {};
}

result<void> layer_binder::experts() {
  static_assert(std::uint64_t{limits::experts_max} * limits::feed_forward_max <= 1ULL << 31U);
  OVIR_ASSIGN(w_.ffn_router, matrix("ffn_gate_inp", c_.experts, c_.dim));
  w_.experts.resize(c_.experts);
  for (const expert_part& part : expert_parts) {
    const bool down = part.member == &expert_weights::down;
    const std::uint32_t rows = down ? c_.dim : c_.expert_ffn_dim;
    const std::uint32_t cols = down ? c_.expert_ffn_dim : c_.dim;
    OVIR_ASSIGN(const weight all, binder_.bind(fmt::format("blk.{}.{}.weight", layer_, part.name),
                                               rows, cols, tensor_use::matrix, c_.experts));
    for (std::uint32_t e = 0; e < c_.experts; ++e) {
      w_.experts[e].*part.member = rows_of(all, e * rows, rows);
    }
  }
  if (c_.shared_ffn_dim != 0) {
    OVIR_ASSIGN(w_.ffn_share, matrix("ffn_gate_inp_shexp", 1, c_.dim));
    OVIR_ASSIGN(w_.ffn_shared_gate, matrix("ffn_gate_shexp", c_.shared_ffn_dim, c_.dim));
    OVIR_ASSIGN(w_.ffn_shared_up, matrix("ffn_up_shexp", c_.shared_ffn_dim, c_.dim));
    OVIR_ASSIGN(w_.ffn_shared_down, matrix("ffn_down_shexp", c_.dim, c_.shared_ffn_dim));
  }
  return {};
}

result<void> layer_binder::feed_forward() {
  if (c_.experts != 0) {
    return experts();
  }
  if (family_.fused_gate_up) {
    OVIR_ASSIGN(const weight both, matrix("ffn_up", 2 * c_.ffn_dim, c_.dim));
    w_.ffn_gate = rows_of(both, 0, c_.ffn_dim);
    w_.ffn_up = rows_of(both, c_.ffn_dim, c_.ffn_dim);
  } else {
    OVIR_ASSIGN(w_.ffn_gate, matrix("ffn_gate", c_.ffn_dim, c_.dim));
    OVIR_ASSIGN(w_.ffn_up, matrix("ffn_up", c_.ffn_dim, c_.dim));
  }
  OVIR_ASSIGN(w_.ffn_down, matrix("ffn_down", c_.dim, c_.ffn_dim));
  return {};
}

result<layer_weights> layer_binder::run() {
  OVIR_TRY(norms());
  OVIR_TRY(queries_keys_values());
  OVIR_ASSIGN(w_.attn_output, matrix("attn_output", c_.dim, c_.q_dim()));
  OVIR_TRY(feed_forward());
  return std::move(w_);
}

} // namespace

std::uint64_t file_bytes(const layer_weights& w) noexcept {
  std::uint64_t total = 0;
  for (const layer_part& part : layer_parts) {
    total += file_bytes(w.*part.member);
  }
  for (const expert_weights& expert : w.experts) {
    for (const expert_part& part : expert_parts) {
      total += file_bytes(expert.*part.member);
    }
  }
  return total;
}

result<model> bind_model(const gguf& file) {
  model m;
  OVIR_ASSIGN(m.config, read_config(file));
  const model_config& c = m.config;
  tensor_binder binder{file};
  OVIR_ASSIGN(m.token_embedding,
              binder.bind("token_embd.weight", c.vocabulary, c.dim, tensor_use::matrix));
  OVIR_ASSIGN(m.output_norm, binder.bind("output_norm.weight", 1, c.dim, tensor_use::norm));
  m.output = m.token_embedding;
  if (binder.has("output.weight")) {
    OVIR_ASSIGN(m.output, binder.bind("output.weight", c.vocabulary, c.dim, tensor_use::matrix));
  }
  if (binder.has("rope_freqs.weight")) {
    OVIR_ASSIGN(m.rope_factors,
                binder.bind("rope_freqs.weight", 1, c.rope_dim / 2, tensor_use::factors));
  }
  // Grows as tensors are found: the number of layers is a claim until they are.
  for (std::uint32_t l = 0; l < c.layers; ++l) {
    OVIR_ASSIGN(layer_weights layer, (layer_binder{binder, c, l}.run()));
    m.layers.push_back(std::move(layer));
  }
  OVIR_ASSIGN(m.lora, bind_lora(file, m));
  if (m.lora) {
    binder.use_lora();
  }
  OVIR_TRY(binder.refuse_unused(c.architecture));
  return m;
}

} // namespace ovir::compute
