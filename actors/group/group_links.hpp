#pragma once

#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ovir::actors {

/// The ways from one member of a group to the others. Used by the one thread that computes the
/// member's passes, which waits here and nowhere else.
class group_links {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using bytes = std::shared_ptr<const std::vector<std::byte>>;
  struct letter {
    std::uint32_t from{0}; ///< as the link knows it, whatever the bytes say
    bytes message;
  };

  virtual ~group_links() = default;

  /// Does not wait. What is sent to one member arrives in order; to one that is gone it is lost.
  virtual void send(std::uint32_t member, bytes message) = 0;
  /// The next letter of any member; nothing when `until` comes first. `peer_lost`, which names the
  /// member, once one is gone.
  [[nodiscard]] virtual result<std::optional<letter>> receive(time_point until) = 0;
  [[nodiscard]] virtual time_point now() const = 0;
};

} // namespace ovir::actors
