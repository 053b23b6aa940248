#pragma once

#include "messages/digest.hpp"

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

namespace ovir::storage {

/// What is kept in memory for reuse, by lookup key, up to a number of bytes: then the least
/// recently used goes. A value; for one thread at a time. Bytes that somebody still holds outlive
/// their eviction.
class memory_tier {
public:
  using bytes_pointer = std::shared_ptr<const std::vector<std::byte>>;

  /// Of bytes of content; 0 keeps nothing.
  explicit memory_tier(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// Null where it is not there; else it is now the last to go.
  [[nodiscard]] bytes_pointer find(const digest& key);
  [[nodiscard]] bool contains(const digest& key) const { return entries_.contains(key); }
  /// Replaces what was there. Content larger than the whole tier is not kept.
  void add(const digest& key, bytes_pointer bytes);
  void remove(const digest& key);
  void clear();

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t entries() const noexcept { return entries_.size(); }
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

private:
  struct entry {
    bytes_pointer bytes;
    std::list<digest>::iterator place;
  };

  std::size_t bytes_max_;
  std::size_t bytes_{0};
  std::uint64_t evicted_{0};
  std::map<digest, entry> entries_;
  std::list<digest> order_; ///< the least recently used first
};

} // namespace ovir::storage
