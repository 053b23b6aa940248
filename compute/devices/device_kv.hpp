#pragma once

#include "compute/devices/device.hpp"
#include "compute/forward/kv_cache.hpp"
#include "compute/forward/layer_engine.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace ovir::compute {

/// K and V of a segment's layers on a device: pages of limits::window_positions positions, one pool
/// for each layer (source/attention.cl). A page of a pool has the bytes of a `kv_block`'s K and V.
/// Requests keep their pages as long as their state lives.
class device_kv {
public:
  /// Pages of one request, in order of position.
  struct request final : engine_state {
    std::vector<std::uint32_t> pages;
    position synced{0}; ///< positions before it are in the pages
  };

  device_kv(device& d, const model_config& config, layer_range layers);

  /// The pages of a session for positions [0, end), with K and V before `first` as in its cache.
  /// What `own` holds becomes this request's. `over_limit` where the device has no memory left.
  [[nodiscard]] result<request*> prepare(std::shared_ptr<engine_state>& own, const kv_cache& from,
                                         position first, position end);

  /// What is in the pages counts no more: the device failed.
  void forget();

  [[nodiscard]] const device_memory& pool(layer_index layer) const {
    return *pools_[layer - layers_.first];
  }

private:
  [[nodiscard]] request* known(const std::shared_ptr<engine_state>& own) const;
  void reclaim();
  [[nodiscard]] result<void> make_room(std::size_t pages);
  void upload(const kv_cache& from, std::uint32_t page, std::uint32_t window, position end);

  device& d_;
  layer_range layers_;
  std::uint32_t kv_heads_;
  std::uint32_t head_dim_;
  std::size_t page_bytes_;
  std::uint32_t pages_made_{0};
  std::vector<std::uint32_t> free_;
  std::vector<std::shared_ptr<request>> requests_;
  std::vector<device_memory_ptr> pools_;
  std::vector<std::uint16_t> page_; ///< one that is copied
};

} // namespace ovir::compute
