#include "storage/store/memory_tier.hpp"

#include "messages/check.hpp"

#include <utility>

namespace ovir::storage {

memory_tier::bytes_pointer memory_tier::find(const digest& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    return nullptr;
  }
  order_.splice(order_.end(), order_, found->second.place);
  return found->second.bytes;
}

void memory_tier::add(const digest& key, bytes_pointer bytes) {
  OVIR_CHECK(bytes != nullptr);
  remove(key);
  if (bytes->size() > bytes_max_) {
    return;
  }
  while (bytes_ + bytes->size() > bytes_max_) {
    remove(digest{order_.front()});
    ++evicted_;
  }
  bytes_ += bytes->size();
  order_.push_back(key);
  entries_.emplace(key, entry{std::move(bytes), std::prev(order_.end())});
}

void memory_tier::clear() {
  entries_.clear();
  order_.clear();
  bytes_ = 0;
}

void memory_tier::remove(const digest& key) {
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    bytes_ -= found->second.bytes->size();
    order_.erase(found->second.place);
    entries_.erase(found);
  }
}

} // namespace ovir::storage
