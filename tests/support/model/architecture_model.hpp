#pragma once

#include "tests/support/model/gguf_builder.hpp"

#include <cstddef>
#include <cstdint>
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

/// Lengths of such a model, whose layers are 8.
struct architecture_shape {
  std::uint32_t dim{0}; ///< 0: all heads together where llama.cpp loads nothing else, otherwise 192
  std::uint32_t heads{6};
  std::uint32_t kv_heads{2};
  std::uint32_t head_dim{40};
  std::uint32_t ffn_dim{352};
  std::uint32_t expert_dim{88};
  std::uint32_t shared_dim{136}; ///< of the expert that every row uses
  std::uint32_t vocabulary{320};
};

/// What a matrix holds, row after row.
struct matrix_content {
  compute::tensor_type type{compute::tensor_type::f16};
  std::vector<std::byte> bytes;
};
using matrix_maker = std::function<matrix_content(std::uint32_t rows, std::uint32_t cols)>;

/// With a tokenizer, F32 vectors and routers by `seed`, and all other matrices from `make`.
[[nodiscard]] std::vector<std::byte> architecture_model(const architecture_case& wanted,
                                                        const architecture_shape& shape,
                                                        std::uint64_t seed,
                                                        const matrix_maker& make);

/// The same of the shape that is the default, with random F16 weights. Same arguments, same bytes.
[[nodiscard]] std::vector<std::byte> architecture_model(const architecture_case& wanted);

} // namespace ovir::test
