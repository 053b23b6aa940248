#include "compute/devices/device_kv.hpp"

#include "messages/limits/devices.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::compute {

namespace {

constexpr std::uint32_t page_positions = limits::window_positions;

} // namespace

device_kv::device_kv(device& d, const model_config& config, layer_range layers)
    : d_(d), layers_(layers), kv_heads_(config.kv_heads), head_dim_(config.head_dim),
      page_bytes_(std::size_t{2} * config.kv_dim() * page_positions * sizeof(std::uint16_t)),
      pools_(layers.size()), page_(page_bytes_ / sizeof(std::uint16_t)) {}

// The list decides, not the type: a state may come from another segment on the same device.
device_kv::request* device_kv::known(const std::shared_ptr<engine_state>& own) const {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const auto& r) { return r.get() == own.get(); });
  return found == requests_.end() ? nullptr : found->get();
}

// States are dropped on other threads: a request that this list alone holds stays so.
void device_kv::reclaim() {
  const auto dropped = std::partition(requests_.begin(), requests_.end(),
                                      [](const auto& r) { return r.use_count() > 1; });
  for (auto at = dropped; at != requests_.end(); ++at) {
    free_.insert(free_.end(), (*at)->pages.begin(), (*at)->pages.end());
  }
  requests_.erase(dropped, requests_.end());
}

// Room for so many more pages.
result<void> device_kv::make_room(std::size_t pages) {
  if (free_.size() >= pages) {
    return {};
  }
  const std::size_t wanted = pages_made_ + (pages - free_.size());
  const std::size_t made =
      std::max({wanted, std::size_t{2} * pages_made_, std::size_t{limits::device_pages_first}});
  std::vector<device_memory_ptr> larger;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    OVIR_ASSIGN(device_memory_ptr pool, d_.allocate(made * page_bytes_));
    larger.push_back(std::move(pool));
  }
  for (std::size_t i = 0; i < pools_.size() && pages_made_ > 0; ++i) {
    d_.copy(*pools_[i], 0, *larger[i], 0, pages_made_ * page_bytes_);
  }
  OVIR_TRY(d_.settle()); // before the old ones go
  pools_ = std::move(larger);
  for (auto page = static_cast<std::uint32_t>(made); page > pages_made_; --page) {
    free_.push_back(page - 1);
  }
  pages_made_ = static_cast<std::uint32_t>(made);
  return {};
}

// Copies what `from` has of a window before position `end` to a page.
void device_kv::upload(const kv_cache& from, std::uint32_t page, std::uint32_t window,
                       position end) {
  const position first = window * page_positions;
  const std::size_t there = std::size_t{std::min(end - first, page_positions)} * head_dim_;
  for (layer_index l = layers_.first; l < layers_.last; ++l) {
    std::fill(page_.begin(), page_.end(), std::uint16_t{0});
    for (std::uint32_t h = 0; h < 2 * kv_heads_; ++h) {
      const std::uint16_t* const rows =
          h < kv_heads_ ? from.keys(l, h) : from.values(l, h - kv_heads_);
      std::copy_n(rows + std::size_t{first} * head_dim_, there,
                  page_.begin() + std::ptrdiff_t{h} * page_positions * head_dim_);
    }
    d_.write(*pools_[l - layers_.first], page * page_bytes_,
             std::as_bytes(std::span{std::as_const(page_)}));
  }
}

result<device_kv::request*> device_kv::prepare(std::shared_ptr<engine_state>& own,
                                               const kv_cache& from, position first, position end) {
  request* known_one = known(own);
  if (known_one == nullptr) {
    reclaim();
  }
  const std::size_t held = known_one == nullptr ? 0 : known_one->pages.size();
  const std::size_t needed = (end + page_positions - 1) / page_positions;
  if (needed > held) {
    OVIR_TRY(make_room(needed - held));
  }
  if (known_one == nullptr) {
    auto made = std::make_shared<request>();
    known_one = made.get();
    own = made;
    requests_.push_back(std::move(made));
  }
  while (known_one->pages.size() < needed) {
    known_one->pages.push_back(free_.back());
    free_.pop_back();
  }
  const position synced = std::min(known_one->synced, first);
  if (synced < first) {
    const std::uint32_t end_window = (first + page_positions - 1) / page_positions;
    for (std::uint32_t window = synced / page_positions; window < end_window; ++window) {
      upload(from, known_one->pages[window], window, first);
    }
  }
  known_one->synced = first;
  return known_one;
}

void device_kv::forget() {
  for (const auto& r : requests_) {
    r->synced = 0;
  }
}

} // namespace ovir::compute
