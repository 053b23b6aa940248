#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

/// Stands between this program (LMDB included) and the system calls that change files: its
/// definitions of `pwrite`, `writev`, `fdatasync` and their kin are found before the C library's.
/// Unless told otherwise they only pass on.
namespace ovir::test {

/// One change of a file, as the disk might see it.
struct disk_event {
  enum class what : std::uint8_t { write, truncate, sync, rename, sync_folder };
  what kind{what::write};
  ino_t file{0};
  std::uint64_t offset{0}; ///< of a truncation: the new length
  std::string bytes;       ///< of a rename: the new name
  bool at_once{false};     ///< O_DSYNC: on the disk when the call returns
};

/// Writes down what happens below `folder` from now on.
void start_recording(const std::filesystem::path& folder);
[[nodiscard]] std::vector<disk_event> stop_recording();
/// How many events were written down so far.
[[nodiscard]] std::size_t events_recorded();

/// Makes the image that a loss of power after the first `count` events leaves in `folder`, which
/// must not exist: of what was not synced by then, each write is there, missing, or torn at a
/// sector of 512 bytes; likewise each rename is there or not.
void make_power_loss_image(const std::vector<disk_event>& events, std::size_t count,
                           const std::map<ino_t, std::string>& first_names, std::mt19937_64& random,
                           const std::filesystem::path& folder);
/// Under which name each file was first written to.
[[nodiscard]] std::map<ino_t, std::string> names_recorded();

/// The process kills itself (SIGKILL) at the `n`th changing call from now on; a write may have
/// happened in part. For children of a test.
void kill_at_call(std::uint64_t n);
/// Syncs return at once. They matter only when the power goes.
void skip_syncs(bool skip);
/// Writes beyond so many bytes in all fail with ENOSPC, as on a full disk.
void fail_writes_after(std::uint64_t bytes);
void fail_no_writes();
/// This thread's `n`th read from now on (0: the next) stands still until `meanwhile` returns.
void stop_at_read(std::uint64_t n, std::function<void()> meanwhile);

} // namespace ovir::test
