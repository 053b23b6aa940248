#include "compute/model.hpp"

#include "compute/printable.hpp"
#include "messages/limits.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::compute {

namespace {

/// What a tensor is used for decides which types it may have.
enum class tensor_use : std::uint8_t { matrix, norm, factors };

/// Finds the tensors of one file and remembers which were asked for.
class tensor_binder {
public:
  explicit tensor_binder(const gguf& file) : file_(file), used_(file.tensors().size(), false) {}

  [[nodiscard]] bool has(std::string_view name) const { return file_.find_tensor(name) != nullptr; }
  result<weight> bind(std::string_view name, std::uint32_t rows, std::uint32_t cols,
                      tensor_use use);
  /// Refuses what nothing asked for.
  [[nodiscard]] result<void> refuse_unused() const;

private:
  const gguf& file_;
  std::vector<bool> used_;
};

result<tensor_type> type_for(const gguf_tensor& tensor, tensor_use use) {
  const auto type = tensor_type_from(tensor.raw_type);
  if (!type) {
    return fail(errc::unsupported,
                "tensor \"{}\" is of type {}, which this build does not compute with; convert the "
                "model to one of F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K",
                printable(tensor.name), name_of_raw_type(tensor.raw_type));
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
                                   tensor_use use) {
  const gguf_tensor* tensor = file_.find_tensor(name);
  if (tensor == nullptr) {
    return fail(errc::malformed,
                "the file has no tensor \"{}\", which its metadata asks for; the file is "
                "incomplete, or split into several",
                name);
  }
  used_[static_cast<std::size_t>(tensor - file_.tensors().data())] = true;
  const auto& shape = tensor->shape;
  if (shape[0] != cols || shape[1] != rows || shape[2] != 1 || shape[3] != 1) {
    return fail(errc::malformed,
                "tensor \"{}\" has shape {} x {} x {} x {}, its metadata asks for {} x {}", name,
                shape[0], shape[1], shape[2], shape[3], cols, rows);
  }
  OVIR_ASSIGN(const tensor_type type, type_for(*tensor, use));
  return weight{type, rows, cols, tensor->data.data(), false};
}

result<void> tensor_binder::refuse_unused() const {
  for (std::size_t i = 0; i < used_.size(); ++i) {
    if (!used_[i]) {
      return fail(errc::unsupported,
                  "tensor \"{}\" is not part of a llama model this build computes (a bias, an "
                  "expert or another variant), and leaving it out would change every answer",
                  printable(file_.tensors()[i].name));
    }
  }
  return {};
}

result<layer_weights> bind_layer(tensor_binder& binder, const model_config& c, std::uint32_t l) {
  const auto bind = [&](std::string_view part, std::uint32_t rows, std::uint32_t cols,
                        tensor_use use = tensor_use::matrix) {
    return binder.bind(fmt::format("blk.{}.{}.weight", l, part), rows, cols, use);
  };
  layer_weights w;
  OVIR_ASSIGN(w.attn_norm, bind("attn_norm", 1, c.dim, tensor_use::norm));
  OVIR_ASSIGN(w.attn_q, bind("attn_q", c.q_dim(), c.dim));
  OVIR_ASSIGN(w.attn_k, bind("attn_k", c.kv_dim(), c.dim));
  OVIR_ASSIGN(w.attn_v, bind("attn_v", c.kv_dim(), c.dim));
  OVIR_ASSIGN(w.attn_output, bind("attn_output", c.dim, c.q_dim()));
  OVIR_ASSIGN(w.ffn_norm, bind("ffn_norm", 1, c.dim, tensor_use::norm));
  OVIR_ASSIGN(w.ffn_gate, bind("ffn_gate", c.ffn_dim, c.dim));
  OVIR_ASSIGN(w.ffn_up, bind("ffn_up", c.ffn_dim, c.dim));
  OVIR_ASSIGN(w.ffn_down, bind("ffn_down", c.dim, c.ffn_dim));
  return w;
}

} // namespace

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
    OVIR_ASSIGN(layer_weights layer, bind_layer(binder, c, l));
    m.layers.push_back(layer);
  }
  OVIR_TRY(binder.refuse_unused());
  return m;
}

} // namespace ovir::compute
