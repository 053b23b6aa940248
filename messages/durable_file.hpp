#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ovir {

/// A file as a core sees it that keeps what must not be lost: bytes at places, and a promise that
/// they last. Whoever owns the disk implements it; so a core that may not know the disk can still
/// decide what is written, and when it may be believed (docs/adr/0016-ledger.md).
class durable_file {
public:
  virtual ~durable_file() = default;

  /// How many bytes there were: fewer than asked only at the file's end.
  [[nodiscard]] virtual result<std::size_t> read_at(std::uint64_t offset,
                                                    std::span<std::byte> out) const = 0;
  /// All of it or an error, after which it is unknown what was written.
  [[nodiscard]] virtual result<void> write_at(std::uint64_t offset,
                                              std::span<const std::byte> bytes) = 0;
  /// When it returns, what was written survives a loss of power. After an error nothing is known of
  /// what was written since the last success.
  [[nodiscard]] virtual result<void> sync() = 0;
  [[nodiscard]] virtual result<std::uint64_t> size() const = 0;

  // Hints, for speed alone; by default nothing happens.

  /// Zeros will be wanted from `from`, the file's end, up to `to`: whoever can writes and syncs
  /// them meanwhile, beside what the caller writes before `from`.
  virtual void extend_soon(std::uint64_t /*from*/, std::uint64_t /*to*/) {}
  /// Waits for what `extend_soon` began. Up to where zeros last because of it; 0 for nowhere.
  [[nodiscard]] virtual std::uint64_t extended() { return 0; }
  /// What was written there will be synced next: the disk may begin with it.
  virtual void sync_soon(std::uint64_t /*offset*/, std::uint64_t /*bytes*/) noexcept {}

  // For files with holes.

  /// The file ends at `bytes`: it is cut, or zeros that take no room are added.
  [[nodiscard]] virtual result<void> truncate(std::uint64_t bytes) = 0;
  /// What it takes of the disk, which is less than its size where it has holes.
  [[nodiscard]] virtual std::uint64_t bytes_on_disk() const noexcept = 0;
  /// Gives a range back to the disk where the filesystem can: it reads as zeros afterwards, or as
  /// before.
  virtual void release(std::uint64_t /*offset*/, std::uint64_t /*bytes*/) noexcept {}
};

} // namespace ovir
