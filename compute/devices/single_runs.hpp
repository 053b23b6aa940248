#pragma once

#include "compute/devices/device.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model_config.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Single operations of a device on data of the host: what the gate and the tests compare with the
/// reference. Each call copies its data there and back. Errors are the device's.
namespace ovir::compute {

/// Rows quantised by a device. `batch.sum` holds m times the sum of q.
struct quantized_run {
  quantized_batch batch;
  std::vector<std::uint32_t> failed; ///< per row 1 where it holds a NaN or an infinity
};

/// Attention of rows at `positions` of one request over pages of `pool`: [page][k or v][kv head]
/// [window_positions][head_dim]. Row r sees what is at and before its position.
struct attention_run {
  std::span<const float> queries; ///< [rows][heads][head_dim]
  std::uint32_t heads{0};
  std::uint32_t kv_heads{0};
  std::uint32_t head_dim{0};
  std::span<const std::uint16_t> pool;
  std::span<const std::uint32_t> pages; ///< of the request, in order of position
  std::span<const position> positions;  ///< of the rows
  std::uint32_t window{0};
  float scale{1};
  float cap{0};
};

/// K and V that `store_kv` put into pages and beside them.
struct stored_run {
  std::vector<std::uint16_t> pool;
  std::vector<std::uint16_t> fresh; ///< [rows][k or v][kv heads * head_dim]
  std::vector<std::uint32_t> failed;
};

class single_runs {
public:
  explicit single_runs(device& d) : d_(d) {}

  /// Operation `what` of kernel `arithmetic` on operands of 32 bits each.
  [[nodiscard]] result<std::vector<std::uint32_t>> arithmetic(std::span<const std::uint32_t> what,
                                                              std::span<const std::uint32_t> a,
                                                              std::span<const std::uint32_t> b,
                                                              std::span<const std::uint32_t> c);
  [[nodiscard]] result<quantized_run> quantize(std::span<const float> x, std::uint32_t rows,
                                               activation_form form);
  /// What quantising left.
  [[nodiscard]] result<std::vector<float>> remainder(std::span<const float> x, std::uint32_t rows,
                                                     activation_form form);
  /// [x.tokens][w.rows]; `x.sum` as in a `quantized_batch`.
  [[nodiscard]] result<std::vector<float>> product(const weight& w, const quantized_batch& x);
  [[nodiscard]] result<std::vector<float>> product(const weight& w, std::span<const float> x,
                                                   std::uint32_t tokens);
  [[nodiscard]] result<std::vector<float>> rms_norm(std::span<const float> x,
                                                    std::span<const float> w, float epsilon);
  /// Rows [positions.size()][heads][head_dim]; `cos_sin` [position][pairs][2].
  [[nodiscard]] result<std::vector<float>>
  rotate(std::span<const float> x, std::uint32_t heads, std::uint32_t head_dim, rotary_pairs which,
         std::uint32_t pairs, std::span<const float> cos_sin, std::span<const position> positions);
  [[nodiscard]] result<std::vector<float>>
  gated(gate_function function, std::span<const float> gate, std::span<const float> up);
  /// Sums, and per row 1 where one is not finite.
  struct sums {
    std::vector<float> values;
    std::vector<std::uint32_t> failed;
  };
  [[nodiscard]] result<sums> add(std::span<const float> a, std::span<const float> b,
                                 std::uint32_t rows);
  [[nodiscard]] result<stored_run> store(std::span<const float> k, std::span<const float> v,
                                         std::uint32_t kv_heads, std::uint32_t head_dim,
                                         std::span<const std::uint16_t> pool,
                                         std::span<const std::uint32_t> pages,
                                         std::span<const position> positions);
  [[nodiscard]] result<std::vector<float>> attend(const attention_run& run);
  /// The highest of each row.
  [[nodiscard]] result<std::vector<std::uint32_t>> highest(std::span<const float> logits,
                                                           std::uint32_t rows);
  /// Of whole windows of `rows`: digests of the boundary behind `layer`, numbered from `window`.
  [[nodiscard]] result<std::vector<digest>> boundaries(std::span<const float> rows,
                                                       std::uint32_t dim, layer_index layer,
                                                       std::uint32_t window);

private:
  device& d_;
};

} // namespace ovir::compute
