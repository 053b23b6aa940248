#pragma once

#include "actors/link/network.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace ovir::actors {

/// Counts the bytes of one connection that were received and are still held by somebody. Each
/// message counts limits::message_overhead_bytes besides, so that many small ones are bounded as
/// well. At most `bytes_max` are out at once, or a single message. Any thread; outlives its
/// connection for as long as a message is held.
class receive_budget : public std::enable_shared_from_this<receive_budget> {
public:
  /// `resume` is called, on the thread that lets go, when a message that was refused now fits. It
  /// must only post.
  receive_budget(std::size_t bytes_max, std::function<void()> resume);

  /// Reserves for a message of `bytes` bytes. False: not now; `resume` will be called once.
  [[nodiscard]] bool reserve(std::size_t bytes);
  /// Makes the message, which gives its reservation back when the last owner lets go.
  [[nodiscard]] received_bytes hand_out(std::vector<std::byte> message);
  /// Gives back what was reserved for a message that never came to be.
  void release(std::size_t bytes);
  /// From now on nobody is called, whatever is let go and whenever.
  void detach();

  [[nodiscard]] std::size_t outstanding() const;

private:
  [[nodiscard]] bool fits(std::size_t charge) const noexcept;

  const std::size_t bytes_max_;
  mutable std::mutex mutex_;
  std::function<void()> resume_;
  std::size_t outstanding_{0};
  std::size_t refused_{0}; ///< charge of the message that waits; 0: none
};

} // namespace ovir::actors
