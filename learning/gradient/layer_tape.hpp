#pragma once

#include "compute/model/model_config.hpp"
#include "learning/adapter/adapter.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir::learning {

/// Rows [first, first + count) of a pass are the positions of one example from 0 on.
struct sequence {
  std::uint32_t first;
  std::uint32_t count;
};

/// What a layer's backward pass needs of its forward pass, for all rows.
struct layer_tape {
  std::vector<float> x;         ///< [rows][dim], the stream as it came
  std::vector<float> attention; ///< [rows][dim], input of q, k and v
  std::vector<float> q_plain;   ///< [rows][q_dim] before its norm, where the model has one
  std::vector<float> k_plain;   ///< [rows][kv_dim], likewise
  std::vector<float> q;         ///< [rows][q_dim], rotated
  std::vector<std::uint16_t> k; ///< [rows][kv_dim], rotated, fp16
  std::vector<std::uint16_t> v; ///< [rows][kv_dim], fp16
  std::vector<float> heads;     ///< [rows][q_dim], input of attn_output
  std::vector<float> middle;    ///< [rows][dim], the stream between the blocks
  std::vector<float> forward;   ///< [rows][dim], input of gate and up
  std::vector<float> gate;      ///< [rows][ffn_dim]
  std::vector<float> up;        ///< [rows][ffn_dim]
  std::vector<float> inner;     ///< [rows][ffn_dim], input of ffn_down
  std::array<std::vector<float>, targets.size()> low; ///< [rows][rank], A x of each pair

  /// Memory only ever grows.
  void reshape(const compute::model_config& c, std::size_t rows, std::uint32_t rank) {
    const auto grow = [rows](auto& v, std::size_t cols) {
      if (v.size() < rows * cols) {
        v.resize(rows * cols);
      }
    };
    for (std::vector<float>* of_dim : {&x, &attention, &middle, &forward}) {
      grow(*of_dim, c.dim);
    }
    for (std::vector<float>* of_q : {&q_plain, &q, &heads}) {
      grow(*of_q, c.q_dim());
    }
    grow(k_plain, c.kv_dim());
    grow(k, c.kv_dim());
    grow(v, c.kv_dim());
    for (std::vector<float>* of_ffn : {&gate, &up, &inner}) {
      grow(*of_ffn, c.ffn_dim);
    }
    for (std::vector<float>& u : low) {
      grow(u, rank);
    }
  }
  /// Bytes of a tape of one row.
  [[nodiscard]] static std::uint64_t row_bytes(const compute::model_config& c, std::uint32_t rank) {
    return sizeof(float) * (4ULL * c.dim + 3ULL * c.q_dim() + 2ULL * c.kv_dim() + 3ULL * c.ffn_dim +
                            std::uint64_t{targets.size()} * rank);
  }
};

} // namespace ovir::learning
