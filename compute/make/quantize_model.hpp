#pragma once

#include "compute/base/parallel.hpp"
#include "compute/gguf/gguf.hpp"
#include "compute/tensor/quantizer.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A model file with its matrices in another encoding.
namespace ovir::compute {

/// What the matrices become. `q4_k_m` mixes Q4_K with Q6_K as llama.cpp's recipe of that name does,
/// `q4_0` and it have the head in Q6_K; rows that are no whole blocks take the next larger type
/// that fits. `f32` says what quantised weights mean.
enum class quantize_recipe : std::uint8_t { q8_0, q4_0, q4_k_m, q6_k, f32 };

/// "q4_k_m" and so on, lower case; anything else is `invalid_argument` and lists the names.
[[nodiscard]] result<quantize_recipe> quantize_recipe_from(std::string_view name);

/// What becomes of one tensor.
struct quantized_tensor {
  const gguf_tensor* from;
  std::uint32_t raw_type; ///< of the file to be; that of `from` where its bytes are copied
  std::uint64_t bytes;    ///< in the file to be
};

/// A file to be. Points into the model it was planned for.
struct quantize_plan {
  std::string front; ///< everything before the tensors
  std::vector<quantized_tensor> tensors;
  std::uint64_t bytes{0}; ///< of the whole file
  std::uint32_t alignment{0};
};

/// `unsupported` for a model whose matrices are quantised already (but for `f32`), or of a type
/// this build does not know.
[[nodiscard]] result<quantize_plan> plan_quantized(const gguf& model, quantize_recipe recipe);

/// Takes the file's bytes in order. An error ends the work and is passed on.
using quantize_sink = std::function<result<void>(std::span<const std::byte>)>;
/// Called now and then with bytes written and bytes in all; may be empty.
using quantize_progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Writes the file. Its bytes are a function of the model and the recipe, for any runner.
/// `malformed` names a tensor that holds a NaN or an infinity, or numbers too large for fp16
/// scales.
[[nodiscard]] result<void> write_quantized(const quantize_plan& plan, const quantize_sink& sink,
                                           const quantize_progress& progress,
                                           parallel_runner& runner);

} // namespace ovir::compute
