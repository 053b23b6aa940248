#pragma once

#include "compute/devices/device.hpp"
#include "compute/devices/device_products.hpp"
#include "compute/model/model_config.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>

/// What stands between the products of a layer, on a device's memory (compute/devices/source). Rows
/// are positions of requests.
namespace ovir::compute {

/// y = norm of `count` vectors of `n` elements. `y` may be `x`.
void norm_rows(device& d, const device_memory& x, const device_memory& w, std::uint32_t n,
               float epsilon, std::size_t count, const device_memory& y);

/// Where the K and V of a layer lie, and of each row its position and which pages are its request's
/// (source/attention.cl).
struct device_pages {
  const device_memory* pool{nullptr};
  const device_memory* pages{nullptr};
  const device_memory* table_of{nullptr};
  const device_memory* position{nullptr};
};

/// Rotates `heads` heads of every row in place. `cos_sin` [position][pairs][2].
struct device_rotation {
  rotary_pairs which{rotary_pairs::neighbours};
  std::uint32_t pairs{0};
  const device_memory* cos_sin{nullptr};
};
void rotate_rows(device& d, const device_memory& x, std::uint32_t rows, std::uint32_t heads,
                 std::uint32_t head_dim, const device_rotation& rotation,
                 const device_memory& position);

/// Shape of attention.
struct device_heads {
  std::uint32_t heads{0};
  std::uint32_t kv_heads{0};
  std::uint32_t head_dim{0};
};

/// Puts K and V of `rows` rows into their pages, and side by side to `fresh` from row `fresh_first`
/// on: [rows][k or v][kv heads * head_dim] as fp16.
void store_rows(device& d, const device_memory& k, const device_memory& v, std::uint32_t rows,
                const device_heads& shape, const device_pages& at, const device_memory& fresh,
                std::uint32_t fresh_first, device_failures failed);

/// Scratch memory of attention.
struct device_scores {
  device_memory_ptr scores;
  device_memory_ptr highest;
  device_memory_ptr outputs;
  device_memory_ptr sums;
};

/// How a layer looks at positions.
struct device_view {
  std::uint32_t window{0}; ///< as `layer_kind::window`
  float scale{1};
  float cap{0};
  std::uint32_t positions{0}; ///< more than any row's
};

/// Attention of `rows` rows of q [rows][heads][head_dim] to y, as many at once as
/// limits::device_scores_bytes_max allows. `over_limit`.
[[nodiscard]] result<void> attend_rows(device& d, device_scores& scratch, const device_memory& q,
                                       std::uint32_t rows, const device_heads& shape,
                                       const device_pages& at, const device_view& view,
                                       const device_memory& y);

/// out = f(gate) * up, n elements. `out` may be `gate`.
void gate_elements(device& d, gate_function function, const device_memory& gate,
                   const device_memory& up, std::uint32_t n, const device_memory& out);

/// Adds `rows` rows of `n` elements to those of `a`.
void add_rows(device& d, const device_memory& a, const device_memory& b, std::uint32_t rows,
              std::uint32_t n, device_failures failed);

/// The key of boundaries' digests, which kernels begin with.
[[nodiscard]] result<device_memory_ptr> put_boundary_key(device& d);

/// Digests of boundaries behind `layer`: window i of `windows` begins at row first_rows[i] of
/// `rows`
/// [..][dim] and has the number numbers[i]; its digest becomes number to + i of `digests`.
struct device_windows {
  std::uint32_t count{0};
  const device_memory* first_rows{nullptr};
  const device_memory* numbers{nullptr};
  const device_memory* key{nullptr};
};
[[nodiscard]] result<void> digest_windows(device& d, device_memory_ptr& scratch,
                                          const device_memory& rows, std::uint32_t dim,
                                          layer_index layer, const device_windows& windows,
                                          const device_memory& digests, std::uint32_t to);

} // namespace ovir::compute
