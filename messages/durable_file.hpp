#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace ovir {

/// A file as a core sees it that keeps what must not be lost: bytes at places, and a promise that
/// they last. Whoever owns the disk implements it; so a core that may not know the disk can still
/// decide what is written, and when it may be believed (docs/adr/0024).
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
};

} // namespace ovir
