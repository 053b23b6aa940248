#pragma once

#include "tests/support/model/gguf_builder.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace ovir::test {

/// A synthetic model of one architecture: what its metadata says beside the shape.
struct architecture_case {
  std::string name;         ///< of the test
  std::string architecture; ///< `general.architecture`
  std::function<void(gguf_builder&)> metadata{};
  std::uint32_t experts{0};      ///< of each layer; 0: its feed-forward block is dense
  std::uint32_t experts_used{0}; ///< by each row
};

/// One or more of every architecture this build computes.
[[nodiscard]] std::vector<architecture_case> architecture_cases();

/// 8 layers, dim 192 or 240, 6 heads of 40 elements over 2 key/value heads, ffn_dim 352 (of experts
/// 88, of those that every row uses 136), vocabulary 320; random F16 weights and F32 vectors, with
/// a tokenizer. Same arguments, same bytes.
[[nodiscard]] std::vector<std::byte> architecture_model(const architecture_case& wanted);

} // namespace ovir::test
