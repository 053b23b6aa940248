#pragma once

#include "messages/durable_file.hpp"
#include "messages/result.hpp"
#include "storage/env/tree_file.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Everything the cores and actors need from the outside, as interfaces: files, time, randomness.
/// `env_posix` is the real one; tests and simulations bring their own.
namespace ovir::storage {

/// A file mapped read-only. The bytes stay valid for the object's lifetime; a file that shrinks
/// underneath is the operator's fault and is reported by the page fault handler of `env_posix`.
class mapped_file {
public:
  virtual ~mapped_file() = default;
  [[nodiscard]] virtual std::span<const std::byte> bytes() const noexcept = 0;
  /// Gives the pages read so far back; they are read again when touched. For whoever went through a
  /// file of which it will use a part.
  virtual void release_pages() noexcept {}
};

/// Memory for large tables that are read again and again, aligned to 64 bytes and all zeros.
class large_memory {
public:
  virtual ~large_memory() = default;
  [[nodiscard]] virtual std::span<std::byte> bytes() noexcept = 0;
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

/// Something this process has for itself until it lets go.
class held_lock {
public:
  virtual ~held_lock() = default;
};

/// A file that grows at its end.
class append_file {
public:
  virtual ~append_file() = default;
  /// All of it or an error; after one the file's end is unknown. In the hands of the operating
  /// system when it returns, not necessarily on the disk.
  [[nodiscard]] virtual result<void> append(std::span<const std::byte> bytes) = 0;
};

/// What a durable file is opened for.
enum class durable_use : std::uint8_t {
  read,  ///< writing and syncing are refused
  write, ///< `not_found` where there is none
  make,  ///< made with mode 0600 where there is none, its name lasting
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

  // What keeps state over restarts. An environment without a disk of its own says so.

  /// Of the machine, or of the control group this process is confined to where that is less; 0:
  /// unknown.
  [[nodiscard]] virtual std::uint64_t memory_bytes() { return 0; }
  /// In large pages where the machine has them. `over_limit` when there is no such memory.
  [[nodiscard]] virtual result<std::unique_ptr<large_memory>> allocate(std::size_t bytes);
  /// Takes a folder for this process alone, as long as the result lives and however the process
  /// ends. `busy` when another has it.
  [[nodiscard]] virtual result<std::unique_ptr<held_lock>> lock(const std::string& folder);
  /// An empty file for appending, over one that is there.
  [[nodiscard]] virtual result<std::unique_ptr<append_file>> create(const std::string& path);
  /// For a core that keeps its own log.
  [[nodiscard]] virtual result<std::unique_ptr<durable_file>> open_durable(const std::string& path,
                                                                           durable_use use);
  /// Names in a folder, sorted; none where there is no folder. A staged file is not among them
  /// before it is committed, nor what a writer that died left of one.
  [[nodiscard]] virtual result<std::vector<std::string>> list(const std::string& folder);
  /// Success also when there is no such file.
  [[nodiscard]] virtual result<void> remove(const std::string& path);
  /// Makes a folder and those missing above it, for their owner alone (mode 0700). Folders that are
  /// there already stay as they are.
  [[nodiscard]] virtual result<void> make_folder(const std::string& path) = 0;
  /// Makes a file for its owner alone (mode 0600), and the folders missing above it. It appears
  /// whole and lasting, or not at all. False when something has this name already; that stays
  /// untouched.
  [[nodiscard]] virtual result<bool> make_secret_file(const std::string& path,
                                                      std::span<const std::byte> bytes) = 0;
  /// Reads a whole file into `out` and returns its size; no other copy is made. `io_failed` when
  /// anyone but its owner has access to it, `over_limit` when it is larger than `out`, else as
  /// `map`.
  [[nodiscard]] virtual result<std::size_t> read_secret_file(const std::string& path,
                                                             std::span<std::byte> out) = 0;

  /// For waiting and measuring: it never jumps and says nothing about the date.
  [[nodiscard]] virtual time_point now() = 0;
  /// Seconds since 1970 by the machine's clock, which may jump: for dates such as a token's end.
  [[nodiscard]] virtual std::uint64_t unix_seconds() = 0;
  /// Fills from the system's generator.
  virtual void random(std::span<std::byte> out) = 0;

  /// A tree of records: made where there is none. What is there must be sound.
  [[nodiscard]] virtual result<std::unique_ptr<tree_file>> open_tree(const std::string& path);
  /// Gives the file at `from` the name `to`, in place of what has it. It lasts when it returns.
  [[nodiscard]] virtual result<void> rename(const std::string& from, const std::string& to);
};

/// The machine itself.
[[nodiscard]] std::unique_ptr<env> make_env_posix();

} // namespace ovir::storage
