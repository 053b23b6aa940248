#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ovir::storage {

/// A file read and written at any place, one system call each: no mapping, so that a file that
/// shrinks or a disk that fails is an error and never a signal. Reads may run on several threads
/// while one writes; who reads what is being written gets either bytes, or a mixture.
class random_access_file {
public:
  /// Made with mode 0600 where there is none.
  [[nodiscard]] static result<random_access_file> open(const std::string& path);
  /// `not_found` where there is none.
  [[nodiscard]] static result<random_access_file> open_to_read(const std::string& path);

  ~random_access_file();
  random_access_file(random_access_file&& other) noexcept;
  random_access_file& operator=(random_access_file&& other) noexcept;
  random_access_file(const random_access_file&) = delete;
  random_access_file& operator=(const random_access_file&) = delete;

  /// How many bytes there were: fewer than asked only at the file's end.
  [[nodiscard]] result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const;
  /// All of it or an error; beyond the end the file grows, and the gap reads as zeros.
  [[nodiscard]] result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  /// When it returns, what was written survives a loss of power.
  [[nodiscard]] result<void> sync();
  /// The disk may begin with what was written there; promises nothing.
  void sync_soon(std::uint64_t offset, std::uint64_t bytes) noexcept;
  /// Gives a range back to the disk where the filesystem can: it reads as zeros afterwards, or as
  /// before.
  void release(std::uint64_t offset, std::uint64_t bytes) noexcept;
  [[nodiscard]] result<void> truncate(std::uint64_t bytes);

  [[nodiscard]] result<std::uint64_t> size() const;
  /// What it takes of the disk, which is less than its size where it has holes.
  [[nodiscard]] std::uint64_t bytes_on_disk() const noexcept;

private:
  random_access_file(std::string path, int fd) noexcept;

  std::string path_;
  int fd_{-1};
};

/// Makes the names in a folder last over a loss of power, where the filesystem can.
void sync_folder(const std::string& folder) noexcept;
/// Gives the file at `from` the name `to`, in place of what has it; lasting once the folder is
/// synced.
[[nodiscard]] result<void> rename_file(const std::string& from, const std::string& to);

} // namespace ovir::storage
