#pragma once

#include "messages/node_id.hpp"

#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace ovir::actors {

/// Whose nodes these are: two nodes of one operator are one witness. Thread-safe.
class operator_names {
public:
  operator_names() = default;
  explicit operator_names(std::map<node_id, std::string> named) : named_(std::move(named)) {}
  /// As the configuration has them.
  void replace(std::map<node_id, std::string> named) {
    const std::lock_guard lock{guard_};
    named_ = std::move(named);
  }
  /// The name given, else the node's key: it is its own operator.
  [[nodiscard]] std::string of(const node_id& node) const {
    const std::lock_guard lock{guard_};
    const auto found = named_.find(node);
    return found == named_.end() ? to_hex(node) : "operator " + found->second;
  }

private:
  mutable std::mutex guard_;
  std::map<node_id, std::string> named_;
};

} // namespace ovir::actors
