#pragma once

#include "compute/devices/device.hpp"
#include "compute/devices/device_kv.hpp"
#include "compute/devices/device_layer.hpp"
#include "compute/devices/device_products.hpp"
#include "compute/devices/device_weights.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/model/model_config.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// The rows of one tile of a pass on a device, and one layer over them.
namespace ovir::compute {

/// Rows [from, from + count) of a session.
struct tile_part {
  std::size_t session;
  std::uint32_t from;
  std::uint32_t count;
};

/// At most limits::device_rows_max rows of a pass. No window that the device digests is cut.
struct pass_tile {
  std::vector<tile_part> parts;
  std::uint32_t rows{0};
};

/// Cuts a pass into tiles, without sessions that failed.
[[nodiscard]] std::vector<pass_tile> tiles_of(std::span<const engine_session> sessions);

/// What a device has of a tile: where its rows are, and what the host wants of it. Grows only.
struct tile_memory {
  std::uint32_t rows{0};
  std::uint32_t positions{0};  ///< more than any row's
  std::uint32_t kept{0};       ///< rows whose boundaries go to the host
  std::uint32_t windows{0};    ///< digested on the device
  device_memory_ptr position;  ///< [rows]
  device_memory_ptr table_of;  ///< [rows]
  device_memory_ptr pages;     ///< of all requests, one behind the other
  device_memory_ptr failed;    ///< [rows]
  device_memory_ptr kept_rows; ///< [kept]
  device_memory_ptr window_rows;
  device_memory_ptr window_numbers;
  device_memory_ptr boundaries; ///< [layers hashed][kept][dim]
  device_memory_ptr digests;    ///< [layers hashed][windows]
  device_memory_ptr fresh;      ///< [layers][rows][k or v][kv_dim] as fp16
};

/// Memory of a layer's rows. Grows only.
struct layer_memory {
  device_memory_ptr stream; ///< [rows][dim]
  device_memory_ptr hidden; ///< [rows][dim or q_dim or ffn_dim]: inputs of products
  device_memory_ptr rest;   ///< likewise
  device_memory_ptr q;
  device_memory_ptr k; ///< [two terms][rows][kv_dim]
  device_memory_ptr v; ///< likewise
  device_memory_ptr gate;
  device_memory_ptr up;
  device_memory_ptr residual;
  device_batch a32;
  device_batch a256;
  device_scores scores;

  [[nodiscard]] result<void> reshape(device& d, const model_config& config, std::uint32_t rows);
};

/// Input of products, [rows][cols], quantised in the forms that `readers` take: with two terms
/// where any of a form wants them.
struct product_reader {
  const device_matrix* matrix;
  const device_memory* output; ///< [rows][matrix->rows], twice as many where there are two terms
  bool two_terms{false};
};
[[nodiscard]] result<void> multiply_all(device& d, layer_memory& memory, const device_memory& input,
                                        std::uint32_t rows, std::span<const product_reader> readers,
                                        device_failures failed);

/// A view that binds one layer to one tile, as `layer_step` does on the processor.
class device_layer_step {
public:
  device& d;
  const model_config& config;
  const device_weights& weights;
  layer_index layer;
  layer_kind kind;
  const device_memory& cos_sin;
  const device_memory& pool;
  tile_memory& tile;
  layer_memory& memory;
  std::uint32_t fresh_first; ///< the layer's first row in `tile.fresh`

  [[nodiscard]] result<void> run() const;

private:
  [[nodiscard]] result<void> attention() const;
  [[nodiscard]] result<void> feed_forward() const;
  void finish_queries_and_keys() const;
  [[nodiscard]] const device_memory& block_input(const device_memory_ptr& norm) const;
  void add_block_output(const device_memory_ptr& norm, std::uint32_t place) const;
  [[nodiscard]] device_failures at(std::uint32_t place) const;
};

/// What is written for a row that failed in `place` (`layer_places`) of a layer: earlier ones are
/// less.
inline constexpr std::uint32_t places_of_layer = 8;
inline constexpr std::uint32_t no_device_failure = 0xFFFFFFFF;

} // namespace ovir::compute
