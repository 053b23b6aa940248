#pragma once

#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

/// Everything the cores and actors need from the outside, as interfaces: files, time, randomness.
/// `env_posix` is the real one; tests and simulations bring their own.
namespace ovir::storage {

/// A file mapped read-only. The bytes stay valid for the object's lifetime; a file that shrinks
/// underneath is the operator's fault and is reported by the page fault handler of `env_posix`.
class mapped_file {
public:
  virtual ~mapped_file() = default;
  [[nodiscard]] virtual std::span<const std::byte> bytes() const noexcept = 0;
};

/// A file being written beside its target: invisible under its name until `commit`, removed when
/// dropped, so that nothing half-written is left.
class staged_file {
public:
  virtual ~staged_file() = default;
  /// `io_failed` with the system's reason ("no space left on device").
  [[nodiscard]] virtual result<void> append(std::span<const std::byte> bytes) = 0;
  /// Flushes, syncs and renames to the final name.
  [[nodiscard]] virtual result<void> commit() = 0;
};

class env {
public:
  using time_point = std::chrono::steady_clock::time_point;

  virtual ~env() = default;

  /// `not_found`, `invalid_argument` (a directory, not a regular file) or `io_failed`.
  [[nodiscard]] virtual result<std::unique_ptr<mapped_file>> map(const std::string& path) = 0;
  /// Whole file, at most `bytes_max`; else `over_limit`. `cancelled` where a signal ended the wait
  /// for a pipe or a terminal.
  [[nodiscard]] virtual result<std::string> read(const std::string& path,
                                                 std::uint64_t bytes_max) = 0;
  [[nodiscard]] virtual result<std::unique_ptr<staged_file>> stage(const std::string& path) = 0;

  [[nodiscard]] virtual time_point now() = 0;
  /// Fills from the system's generator.
  virtual void random(std::span<std::byte> out) = 0;
};

/// The machine itself.
[[nodiscard]] std::unique_ptr<env> make_env_posix();

} // namespace ovir::storage
