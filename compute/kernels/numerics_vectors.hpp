#pragma once

#include "compute/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The test vectors of exact-1 (docs/formats/exact-1.md, "Test vectors").
namespace ovir::compute {

/// Outputs of the vectors as 32-bit words, in order, with the operation each stretch came from.
struct vector_outputs {
  struct stretch {
    std::string operation;
    std::size_t first; ///< into `words`; ends where the next one begins
  };
  std::vector<stretch> stretches;
  std::vector<std::uint32_t> words;

  void begin(std::string operation) { stretches.push_back({std::move(operation), words.size()}); }
  void add(std::span<const float> values);
  void add(std::span<const std::int32_t> values);
  void add(std::span<const std::int8_t> values);
  void add(std::span<const std::uint16_t> values);
  void add(bool value) { words.push_back(value ? 1 : 0); }
};

/// How products are given their weights: as rows of a file, or packed (formats/packed_weights.hpp)
/// as far as that is possible. Outputs are the same.
enum class weights_as : std::uint8_t { rows, panels };

/// Runs every function pointer of `kernels` on the vectors.
[[nodiscard]] vector_outputs run_kernel_vectors(const kernel_set& kernels,
                                                weights_as how = weights_as::rows);

/// Runs the elementary functions of exact_math, and a sampler, on theirs.
[[nodiscard]] vector_outputs run_function_vectors();

} // namespace ovir::compute
