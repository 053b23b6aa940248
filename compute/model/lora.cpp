#include "compute/model/lora.hpp"

#include "compute/base/printable.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "compute/model/architecture.hpp"
#include "compute/tensor/quantized_rows.hpp"

#include <cmath>
#include <cstdint>
#include <set>
#include <string>

namespace ovir::compute {

namespace {

constexpr std::string_view first_ending = ".weight.lora_a";
constexpr std::string_view second_ending = ".weight.lora_b";

/// Pairs of a model's file and of the matrices beside which they stand.
class lora_binder {
public:
  lora_binder(const gguf& file, const model& m, float alpha) : file_(file), m_(m), alpha_(alpha) {}

  result<std::shared_ptr<const lora_weights>> run();

private:
  [[nodiscard]] result<lora_matrices> pair(layer_index layer, const lora_target& target);
  [[nodiscard]] result<weight> matrix(const gguf_tensor& t) const;
  [[nodiscard]] result<void> refuse_unused() const;

  const gguf& file_;
  const model& m_;
  float alpha_;
  std::set<std::string_view> used_;
};

result<weight> lora_binder::matrix(const gguf_tensor& t) const {
  const auto type = tensor_type_from(t.raw_type);
  if (!type || form_for(*type) != activation_form::floats) {
    return fail(errc::unsupported,
                "tensor \"{}\" is of type {}; adapters with F32, F16 or BF16 are read",
                printable(t.name), name_of_raw_type(t.raw_type));
  }
  if (t.dims > 2 || t.shape[2] != 1 || t.shape[3] != 1 || t.shape[0] == 0 || t.shape[1] == 0 ||
      t.shape[0] > UINT32_MAX || t.shape[1] > UINT32_MAX) {
    return fail(errc::malformed, "tensor \"{}\" is not a matrix", printable(t.name));
  }
  const std::uintptr_t alignment = *type == tensor_type::f32 ? 4 : 2;
  if (reinterpret_cast<std::uintptr_t>(t.data.data()) % alignment != 0) {
    return fail(errc::unsupported, "the data of tensor \"{}\" is not aligned to {} bytes",
                printable(t.name), alignment);
  }
  return weight{*type, static_cast<std::uint32_t>(t.shape[1]),
                static_cast<std::uint32_t>(t.shape[0]), t.data.data(), false};
}

result<lora_matrices> lora_binder::pair(layer_index layer, const lora_target& target) {
  const std::string name = fmt::format("blk.{}.{}", layer, target.name);
  const gguf_tensor* const a = file_.find_tensor(name + std::string{first_ending});
  const gguf_tensor* const b = file_.find_tensor(name + std::string{second_ending});
  if (a == nullptr && b == nullptr) {
    return lora_matrices{};
  }
  if (a == nullptr || b == nullptr) {
    return fail(errc::malformed, "{} has one matrix of its pair; both are needed", name);
  }
  // A matrix that several products share is one tensor of another name.
  const weight& beside = m_.layers[layer].*target.member;
  if (beside.empty() || file_.find_tensor(name + ".weight") == nullptr) {
    return fail(errc::unsupported,
                "the adapter has a pair for {}, which this model of architecture {} has not as a "
                "matrix of its own; use the adapter's base",
                name, printable(m_.config.architecture));
  }
  lora_matrices out;
  OVIR_ASSIGN(out.a, matrix(*a));
  OVIR_ASSIGN(out.b, matrix(*b));
  const std::uint32_t rank = out.a.rows;
  if (rank > limits::adapter_rank_max) {
    return fail(errc::over_limit, "the pair of {} has a rank of {}; {} are allowed", name, rank,
                limits::adapter_rank_max);
  }
  if (out.b.cols != rank || out.a.cols != beside.cols || out.b.rows != beside.rows) {
    return fail(errc::malformed,
                "the adapter's matrices for {} are {} x {} and {} x {} beside one of {} x {}; use "
                "the adapter's base",
                name, out.a.rows, out.a.cols, out.b.rows, out.b.cols, beside.rows, beside.cols);
  }
  used_.insert({a->name, b->name});
  out.scale = alpha_ / static_cast<float>(rank);
  return out;
}

// A pair left out would change every answer.
result<void> lora_binder::refuse_unused() const {
  for (const gguf_tensor& t : file_.tensors()) {
    if (is_lora_tensor(t.name) && !used_.contains(t.name)) {
      return fail(errc::unsupported,
                  "the adapter's tensor \"{}\" is not one of a pair that this version computes: "
                  "blk.N.NAME.weight.lora_a and .lora_b, of a layer's attn_q, attn_k, attn_v, "
                  "attn_output, ffn_gate, ffn_up or ffn_down",
                  printable(t.name));
    }
  }
  return {};
}

result<std::shared_ptr<const lora_weights>> lora_binder::run() {
  auto made = std::make_shared<lora_weights>();
  bool any = false;
  for (layer_index l = 0; l < m_.layers.size(); ++l) {
    auto& layer = made->layers.emplace_back();
    for (std::size_t place = 0; place < lora_targets.size(); ++place) {
      OVIR_ASSIGN(layer[place], pair(l, lora_targets[place]));
      any = any || !layer[place].empty();
    }
  }
  OVIR_TRY(refuse_unused());
  if (!any) {
    return fail(errc::malformed, "the file has \"{}\" and no pair of matrices for this model",
                lora_alpha_key);
  }
  return std::shared_ptr<const lora_weights>{std::move(made)};
}

result<void> check_matrix(const weight& w, layer_index layer, std::string_view name) {
  const std::size_t count = std::size_t{w.rows} * w.cols;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(float_element(w.type, w.data, i))) {
      return fail(errc::malformed, "the adapter's pair for blk.{}.{} holds a NaN or an infinity",
                  layer, name);
    }
  }
  return {};
}

} // namespace

std::uint64_t lora_weights::file_bytes(layer_range range) const noexcept {
  std::uint64_t bytes = 0;
  for (layer_index l = range.first; l < range.last && l < layers.size(); ++l) {
    for (const lora_matrices& pair : layers[l]) {
      bytes += compute::file_bytes(pair.a) + compute::file_bytes(pair.b);
    }
  }
  return bytes;
}

result<std::shared_ptr<const lora_weights>> bind_lora(const gguf& file, const model& m) {
  if (file.find(lora_alpha_key) == nullptr) {
    return std::shared_ptr<const lora_weights>{};
  }
  OVIR_ASSIGN(const double alpha, file.float_at(lora_alpha_key));
  if (!(alpha > 0) || alpha > static_cast<double>(limits::adapter_alpha_max)) {
    return fail(errc::malformed, "{} is {}, and must be above 0 and up to {}", lora_alpha_key,
                alpha, limits::adapter_alpha_max);
  }
  return lora_binder{file, m, static_cast<float>(alpha)}.run();
}

result<void> check_lora(const lora_weights& lora, layer_range layers) {
  for (layer_index l = layers.first; l < layers.last && l < lora.layers.size(); ++l) {
    for (std::size_t place = 0; place < lora_targets.size(); ++place) {
      const lora_matrices& pair = lora.layers[l][place];
      if (!pair.empty()) {
        OVIR_TRY(check_matrix(pair.a, l, lora_targets[place].name));
        OVIR_TRY(check_matrix(pair.b, l, lora_targets[place].name));
      }
    }
  }
  return {};
}

} // namespace ovir::compute
