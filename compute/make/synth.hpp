#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

/// Random-weight models of any shape, for benchmarks, scale tests and test data. They speak
/// gibberish, but every byte of the file is what a trained model's would be: valid metadata, a
/// working byte-level tokenizer, weights of a sane size in the real encodings.
namespace ovir::compute {

/// What the matrices are stored as. `q4_k_m` mixes Q4_K with Q6_K as llama.cpp's recipe of that
/// name does; the others use one type throughout. Norms are F32 always.
enum class synth_quantization : std::uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_k,
  q6_k,
  q4_k_m,
  q2_k,
  q3_k,
  q5_k,
  iq4_xs
};

/// "q4_k_m" and so on, lower case; anything else is `invalid_argument` and lists the names.
[[nodiscard]] result<synth_quantization> synth_quantization_from(std::string_view name);
[[nodiscard]] std::string_view name_of(synth_quantization quantization) noexcept;

/// The shape of a synthetic model. The defaults are small enough for any test.
struct synth_spec {
  std::string name{"synthetic"};
  std::uint32_t layers{2};
  std::uint32_t dim{256};
  std::uint32_t ffn_dim{512};
  std::uint32_t heads{4};
  std::uint32_t kv_heads{2};
  std::uint32_t head_dim{0}; ///< 0: dim / heads
  std::uint32_t vocabulary{320};
  std::uint32_t context{512};
  float rope_base{10000.0F};
  std::uint64_t seed{1};
  synth_quantization quantization{synth_quantization::q4_k_m};
  bool tied{false}; ///< no output.weight: the head is the embedding
};

/// Takes the file's bytes in order. An error ends the generation and is passed on.
using synth_sink = std::function<result<void>(std::span<const std::byte>)>;
/// Called now and then with bytes written and bytes in all.
using synth_progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

/// Fewest tokens a synthetic vocabulary has: one per byte, begin and end of text.
inline constexpr std::uint32_t synth_vocabulary_min = 258;

/// Size of the file in bytes. `invalid_argument` when the shape is contradictory, a row length does
/// not suit the quantisation, or a number is beyond `limits`.
[[nodiscard]] result<std::uint64_t> synth_bytes(const synth_spec& spec);

/// Writes the model. The bytes are a function of `spec` alone, on every machine and in every
/// version with the same name for the generator ("ovir-synth-1" in the metadata). Memory: the
/// metadata and about 1 MiB. `progress` may be empty.
[[nodiscard]] result<void> write_synth(const synth_spec& spec, const synth_sink& sink,
                                       const synth_progress& progress);

} // namespace ovir::compute
