#pragma once

#include "messages/digest.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace ovir::actors {

/// The names of blocks that were used last, up to a number of them: what a node claims to have. A
/// value.
class place_list {
public:
  explicit place_list(std::size_t places_max) : places_max_(places_max) {}

  /// It is here, and used now.
  void touch(const digest& place);
  void forget(const digest& place);
  void clear();
  /// Whether other places are in the list than when it was last looked at.
  [[nodiscard]] bool changed() const noexcept { return changed_; }
  [[nodiscard]] std::vector<digest> look();
  [[nodiscard]] std::size_t size() const noexcept { return used_.size(); }

private:
  std::size_t places_max_;
  std::map<digest, std::uint64_t> used_; ///< when, in touches
  std::map<std::uint64_t, digest> order_;
  std::uint64_t touches_{0};
  bool changed_{false};
};

} // namespace ovir::actors
