#pragma once

#include "messages/evidence/audit.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What a verifier finds of a receipt while it looks, until it tells.
class addendum_notes {
public:
  /// `stage`: its place in the receipt. What was computed is not undone by what was missing.
  void note(std::size_t stage, std::uint32_t window, audit_finding what) {
    if (stage > std::numeric_limits<std::uint16_t>::max()) {
      return;
    }
    const std::pair unit{static_cast<std::uint16_t>(stage), window};
    const auto [at, fresh] = found_.try_emplace(unit, what);
    if (!fresh && what != audit_finding::missing && at->second != audit_finding::wrong) {
      at->second = what;
    }
  }
  /// With what all of it is computed: a node computes with one set of kernels.
  void use(const audit_means& means) { means_ = means; }

  [[nodiscard]] bool empty() const noexcept { return found_.empty(); }
  [[nodiscard]] const audit_means& means() const noexcept { return means_; }
  /// In order, as much as an addendum holds.
  [[nodiscard]] std::vector<unit_finding> units(std::size_t most) const {
    std::vector<unit_finding> all;
    for (const auto& [unit, what] : found_) {
      if (all.size() == most) {
        break;
      }
      all.push_back({unit.first, unit.second, what});
    }
    return all;
  }

private:
  std::map<std::pair<std::uint16_t, std::uint32_t>, audit_finding> found_;
  audit_means means_;
};

} // namespace ovir::actors
