#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/make/synth.hpp"
#include "compute/tensor/tensor.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::test {

/// Writes GGUF files by hand, valid or not: whatever is added is written as it is, nothing is
/// checked. `build` may be called again after further changes.
class gguf_builder {
public:
  gguf_builder& version(std::uint32_t value);
  /// Written as `general.alignment` too, unless it is the default of 32.
  gguf_builder& alignment(std::uint32_t value);
  /// Instead of the true counts.
  gguf_builder& claim_entries(std::uint64_t count);
  gguf_builder& claim_tensors(std::uint64_t count);

  gguf_builder& u32(std::string_view key, std::uint32_t value);
  gguf_builder& i32(std::string_view key, std::int32_t value);
  gguf_builder& u64(std::string_view key, std::uint64_t value);
  gguf_builder& f32(std::string_view key, float value);
  gguf_builder& f64(std::string_view key, double value);
  gguf_builder& boolean(std::string_view key, bool value);
  gguf_builder& text(std::string_view key, std::string_view value);
  gguf_builder& texts(std::string_view key, const std::vector<std::string>& values);
  gguf_builder& floats(std::string_view key, const std::vector<float>& values);
  gguf_builder& integers(std::string_view key, const std::vector<std::int32_t>& values);
  /// An array of `claimed` elements of type `element` whose bytes are `bytes`.
  gguf_builder& raw_array(std::string_view key, std::uint32_t element, std::uint64_t claimed,
                          std::string_view bytes);
  /// An entry of any type number with any bytes as value.
  gguf_builder& raw_entry(std::string_view key, std::uint32_t type, std::string_view bytes);
  /// Drops every entry of that key.
  gguf_builder& remove_entry(std::string_view key);

  /// A tensor whose data is `data` (zeros of the right size when absent), placed after the previous
  /// one at the next multiple of the alignment.
  gguf_builder& tensor(std::string_view name, std::uint32_t raw_type,
                       std::vector<std::uint64_t> shape,
                       std::optional<std::vector<std::byte>> data = std::nullopt);
  gguf_builder& tensor(std::string_view name, compute::tensor_type type,
                       std::vector<std::uint64_t> shape,
                       std::optional<std::vector<std::byte>> data = std::nullopt);
  /// Claims `offset` (from the start of the data) for the tensor added last.
  gguf_builder& at_offset(std::uint64_t offset);
  gguf_builder& remove_tensor(std::string_view name);

  [[nodiscard]] std::vector<std::byte> build() const;

private:
  struct entry {
    std::string key;
    std::uint32_t type;
    std::string bytes;
  };
  struct tensor_info {
    std::string name;
    std::uint32_t raw_type;
    std::vector<std::uint64_t> shape;
    std::vector<std::byte> data;
    std::optional<std::uint64_t> offset;
  };

  std::uint32_t version_{3};
  std::uint32_t alignment_{32};
  std::optional<std::uint64_t> entries_claimed_;
  std::optional<std::uint64_t> tensors_claimed_;
  std::vector<entry> entries_;
  std::vector<tensor_info> tensors_;
};

/// Metadata and zero-filled F32 tensors of a valid llama model: 2 layers, dim 8, ffn_dim 16,
/// 2 heads, 1 key/value head, vocabulary 10, context 64, untied, no tokenizer. About 6 KiB. A
/// starting point for tests that change one thing.
[[nodiscard]] gguf_builder minimal_llama();

/// A complete synthetic model of 2 layers with tokenizer: dim 256, ffn_dim 512, 4 heads, 2
/// key/value heads, vocabulary 320, context 512. Same arguments, same bytes.
[[nodiscard]] std::vector<std::byte> tiny_model(std::uint64_t seed,
                                                compute::synth_quantization quantization);
/// Any shape.
[[nodiscard]] std::vector<std::byte> synthetic_model(const compute::synth_spec& spec);

/// The whole file; throws when it cannot be read.
[[nodiscard]] std::vector<std::byte> bytes_of_file(const std::filesystem::path& path);

} // namespace ovir::test
