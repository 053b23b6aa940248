#pragma once

#include "messages/digest.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>

namespace ovir::storage {

/// An `env` without a machine: files in memory, a clock that only moves when told, randomness from
/// a seed, and faults on demand. For tests and simulations; not thread-safe.
///
/// Paths are plain names; "/" has no meaning but that `add_folder` and `make_folder` make a name a
/// directory.
/// Mapped and staged files must not outlive it.
class memory_env final : public env {
public:
  static constexpr std::uint64_t first_unix_seconds = 1'700'000'000;

  explicit memory_env(std::uint64_t seed = 0);
  ~memory_env() override;
  memory_env(const memory_env&) = delete;
  memory_env& operator=(const memory_env&) = delete;

  [[nodiscard]] result<std::unique_ptr<mapped_file>> map(const std::string& path) override;
  [[nodiscard]] result<std::string> read(const std::string& path, std::uint64_t bytes_max) override;
  [[nodiscard]] result<std::unique_ptr<staged_file>> stage(const std::string& path) override;
  [[nodiscard]] result<void> make_folder(const std::string& path) override;
  [[nodiscard]] result<bool> make_secret_file(const std::string& path,
                                              std::span<const std::byte> bytes) override;
  [[nodiscard]] result<std::size_t> read_secret_file(const std::string& path,
                                                     std::span<std::byte> out) override;
  [[nodiscard]] time_point now() override { return now_; }
  /// Begins at `first_unix_seconds` and moves with `now`.
  [[nodiscard]] std::uint64_t unix_seconds() override;
  void random(std::span<std::byte> out) override;

  void advance(std::chrono::nanoseconds by) { now_ += by; }

  /// As another program would make it: others may read it.
  void add_file(const std::string& path, std::string content);
  /// Takes the access of others away, as chmod 600 does.
  void make_private(const std::string& path) { private_.insert(path); }
  void add_folder(const std::string& path) { folders_.insert(path); }
  void remove_file(const std::string& path);
  [[nodiscard]] bool has_file(const std::string& path) const;
  /// Names ending in ".part": what a writer left behind.
  [[nodiscard]] std::size_t leftovers() const noexcept { return staged_.size(); }

  /// The disk holds `bytes` in all: the append that goes beyond fails.
  void set_disk_bytes(std::uint64_t bytes) noexcept { disk_bytes_ = bytes; }
  /// Every map and read of `path` fails with `io_failed`.
  void make_unreadable(const std::string& path) { unreadable_.insert(path); }
  /// Flushes fail: `commit` returns `io_failed` and changes nothing.
  void set_sync_fails(bool fails) noexcept { sync_fails_ = fails; }
  /// The power goes: what was not committed is gone, and files staged before then only fail.
  void lose_power();

private:
  class staged;

  [[nodiscard]] result<std::shared_ptr<const std::string>> find(const std::string& path) const;
  [[nodiscard]] std::uint64_t bytes_used() const noexcept;

  std::map<std::string, std::shared_ptr<const std::string>> files_;
  std::map<std::uint64_t, std::string>
      staged_; ///< by number, as a real disk would keep .part files
  std::set<std::string> folders_;
  std::set<std::string> unreadable_;
  std::set<std::string> private_; ///< files only their owner has access to
  std::uint64_t disk_bytes_{std::numeric_limits<std::uint64_t>::max()};
  std::uint64_t next_staged_{0};
  std::uint64_t draws_{0};
  std::uint64_t seed_{0};
  bool sync_fails_{false};
  time_point now_{};
};

} // namespace ovir::storage
