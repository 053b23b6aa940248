#pragma once

#include "messages/durable_file.hpp"
#include "storage/env/env.hpp"
#include "tests/swarm/chance.hpp"
#include "tests/swarm/sparse_bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ovir::swarm {

/// How a crash treats what a disk was told and not asked to keep.
enum class crash_kind : std::uint8_t {
  process, ///< the operating system lives, and will write everything, unless the power goes before
  power,   ///< what was not synced is there, torn or gone, as the seed says
};

/// The disk of a simulated machine: it outlives the node's lives. A file's bytes are those that
/// were synced and, in order, what was written since.
class disk {
public:
  struct file {
    sparse_bytes bytes; ///< as the running system reads it
    struct write {
      std::uint64_t offset{0};
      std::vector<std::byte> bytes;  ///< none: the file was cut or lengthened to `offset`
      std::vector<std::byte> before; ///< what it replaced
      std::uint64_t size_before{0};  ///< of the file
    };
    std::deque<write> unsynced;
    std::uint64_t unsynced_bytes{0};
    bool secret{false};
  };
  static constexpr std::size_t sector_bytes = 512;
  /// Of one file. Beyond, the system writes by itself what was written first.
  static constexpr std::uint64_t unsynced_bytes_max = std::uint64_t{4} << 20U;

  /// Which of the writes that were not synced are there after a crash.
  void crash(crash_kind kind, chance& draws);
  /// Flips one bit of a file whose name contains `part`; false where there is none.
  bool flip(std::string_view part, chance& draws);
  /// Another one takes its place, with nothing on it.
  void lose();
  /// What files whose names contain `part` take.
  [[nodiscard]] std::uint64_t bytes_taken(std::string_view part) const;

  /// A copy of every file whose path begins so, and their return.
  using snapshot = std::map<std::string, std::vector<std::byte>>;
  [[nodiscard]] snapshot copy(std::string_view prefix) const;
  void restore(const snapshot& earlier, std::string_view prefix);

  static void write(file& f, std::uint64_t offset, std::span<const std::byte> bytes);
  static void truncate(file& f, std::uint64_t size);
  static void sync(file& f);
  void remove(const std::string& path);
  void sync_folder_of(const std::string& path);

  std::map<std::string, std::shared_ptr<file>> files;
  /// Removed, and no folder of theirs was synced since: a loss of power may bring them back.
  std::map<std::string, std::shared_ptr<file>> removed;
  std::set<std::string> locks;
  bool full{false};       ///< every write fails
  bool sync_fails{false}; ///< every sync does
  bool sync_lies{false};  ///< every sync says that it is done, and nothing was
  std::uint64_t flips{0}; ///< so many bits were
  std::map<std::string, std::uint64_t> written; ///< bytes in all, by the folder below "state"

private:
  static void forget_oldest(file& f);
  static void lose_power(file& f, chance& draws);
};

/// The environment of one life of a node: its files, its clocks, its generator. Once `end` was
/// called every call fails and changes nothing: what a dead process does next.
class disk_env final : public storage::env {
public:
  /// Steady time and the date, of this machine's own clocks.
  struct clocks {
    std::function<time_point()> now;
    std::function<std::uint64_t()> unix_seconds;
  };
  /// `kept` outlives it.
  disk_env(disk& kept, clocks time, chance draws);

  void end() { ended_ = true; }
  /// Told of each sync and each byte written, for what a slow disk costs.
  std::function<void(std::size_t bytes, bool sync)> spent;
  std::uint64_t memory{std::uint64_t{1} << 30U};

  result<std::unique_ptr<storage::mapped_file>> map(const std::string& path) override;
  result<std::string> read(const std::string& path, std::uint64_t bytes_max) override;
  result<std::unique_ptr<storage::staged_file>> stage(const std::string& path) override;
  std::uint64_t memory_bytes() override { return memory; }
  result<std::unique_ptr<storage::large_memory>> allocate(std::size_t bytes) override;
  result<std::unique_ptr<storage::held_lock>> lock(const std::string& folder) override;
  result<std::unique_ptr<storage::append_file>> create(const std::string& path) override;
  result<std::unique_ptr<durable_file>> open_durable(const std::string& path,
                                                     storage::durable_use use) override;
  result<std::unique_ptr<storage::tree_file>> open_tree(const std::string& path) override;
  result<void> rename(const std::string& from, const std::string& to) override;
  result<std::vector<std::string>> list(const std::string& folder) override;
  result<void> remove(const std::string& path) override;
  result<void> make_folder(const std::string& path) override;
  result<bool> make_secret_file(const std::string& path, std::span<const std::byte> bytes) override;
  result<std::size_t> read_secret_file(const std::string& path, std::span<std::byte> out) override;
  time_point now() override;
  std::uint64_t unix_seconds() override { return time_.unix_seconds(); }
  void random(std::span<std::byte> out) override { draws_.fill(out); }

  /// Whether a write may happen now.
  [[nodiscard]] result<void> writable(const std::string& path, std::size_t bytes);
  [[nodiscard]] result<void> synced(const std::string& path);
  [[nodiscard]] disk& kept() noexcept { return kept_; }

private:
  [[nodiscard]] result<std::shared_ptr<disk::file>> find(const std::string& path) const;
  [[nodiscard]] std::shared_ptr<disk::file> made(const std::string& path);

  disk& kept_;
  clocks time_;
  chance draws_;
  time_point last_{};
  bool ended_{false};
};

} // namespace ovir::swarm
