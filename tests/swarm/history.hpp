#pragma once

#include "tests/swarm/event_queue.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::swarm {

/// What clients asked and were told, line by line, for a witness who knows the API alone
/// (tests/swarm/witness).
class history {
public:
  explicit history(bool kept) : kept_(kept) {}

  /// `more`: further members of the JSON object, or nothing.
  void add(nanoseconds when, std::size_t client, std::string_view event, std::string more = {});
  /// Of no client.
  void add(nanoseconds when, std::string_view event, const std::string& more);
  [[nodiscard]] const std::vector<std::string>& lines() const noexcept { return lines_; }
  [[nodiscard]] bool kept() const noexcept { return kept_; }

private:
  bool kept_;
  std::vector<std::string> lines_;
};

} // namespace ovir::swarm
