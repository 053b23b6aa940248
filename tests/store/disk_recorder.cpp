#include "tests/store/disk_recorder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

namespace ovir::test {

namespace {

constexpr std::uint64_t sector_bytes = 512;
constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

struct recorder_state {
  std::optional<std::string> folder;
  std::vector<disk_event> events;
  std::map<ino_t, std::string> names;
  std::uint64_t calls_left{unlimited};
  std::uint64_t bytes_left{unlimited};
  bool skip_syncs{false};
};

struct stopped_read {
  std::uint64_t reads_before{0};
  std::function<void()> meanwhile;
};
thread_local stopped_read to_stop;

// The calls below have no other way to their state. Tests that set something have one thread.
recorder_state& state() {
  static recorder_state only;
  return only;
}

std::string path_of(int fd) {
  std::array<char, 4096> name{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t n = ::readlink(link.c_str(), name.data(), name.size());
  return n > 0 ? std::string{name.data(), static_cast<std::size_t>(n)} : std::string{};
}

bool recorded(int fd, ino_t& file) {
  if (!state().folder) {
    return false;
  }
  const std::string path = path_of(fd);
  if (!path.starts_with(*state().folder)) {
    return false;
  }
  struct stat status {};
  ::fstat(fd, &status);
  file = status.st_ino;
  if (S_ISREG(status.st_mode)) {
    state().names.emplace(file, std::filesystem::path{path}.filename().string());
  }
  return true;
}

void note_write(int fd, std::uint64_t offset, const void* bytes, std::size_t size) {
  ino_t file = 0;
  if (recorded(fd, file)) {
    const bool at_once = (::fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    state().events.push_back({disk_event::what::write, file, offset,
                              std::string{static_cast<const char*>(bytes), size}, at_once});
  }
}

/// True when the process is to end at this call.
bool last_call() { return state().calls_left != unlimited && --state().calls_left == 0; }

[[noreturn]] void die() {
  ::raise(SIGKILL);
  ::_exit(127);
}

ssize_t write_at(int fd, const void* bytes, std::size_t size, std::uint64_t offset) {
  recorder_state& s = state();
  if (last_call()) {
    // A part of it arrives.
    ::syscall(SYS_pwrite64, fd, bytes, size / 2, offset);
    die();
  }
  if (size > s.bytes_left) {
    errno = ENOSPC;
    return -1;
  }
  // Without a limit this changes nothing: files may have threads of their own.
  if (s.bytes_left != unlimited) {
    s.bytes_left -= size;
  }
  const ssize_t written = ::syscall(SYS_pwrite64, fd, bytes, size, offset);
  if (written > 0) {
    note_write(fd, offset, bytes, static_cast<std::size_t>(written));
  }
  return written;
}

int sync_file(int fd) {
  recorder_state& s = state();
  if (last_call()) {
    die();
  }
  ino_t file = 0;
  if (recorded(fd, file)) {
    struct stat status {};
    ::fstat(fd, &status);
    s.events.push_back(
        {S_ISDIR(status.st_mode) ? disk_event::what::sync_folder : disk_event::what::sync,
         file,
         0,
         {},
         false});
  }
  return s.skip_syncs || s.folder ? 0 : static_cast<int>(::syscall(SYS_fdatasync, fd));
}

/// A file of an image being made.
struct image_file {
  std::string bytes;

  void write(std::uint64_t offset, std::string_view what) {
    if (bytes.size() < offset + what.size()) {
      bytes.resize(offset + what.size());
    }
    bytes.replace(offset, what.size(), what);
  }
};

} // namespace

void start_recording(const std::filesystem::path& folder) {
  state() = recorder_state{};
  state().folder = std::filesystem::canonical(folder).string();
}

std::vector<disk_event> stop_recording() {
  state().folder.reset();
  return std::move(state().events);
}

std::size_t events_recorded() { return state().events.size(); }
std::map<ino_t, std::string> names_recorded() { return state().names; }
void kill_at_call(std::uint64_t n) { state().calls_left = n; }
void skip_syncs(bool skip) { state().skip_syncs = skip; }
void fail_writes_after(std::uint64_t bytes) { state().bytes_left = bytes; }
void fail_no_writes() { state().bytes_left = unlimited; }

void make_power_loss_image(const std::vector<disk_event>& events, std::size_t count,
                           const std::map<ino_t, std::string>& first_names, std::mt19937_64& random,
                           const std::filesystem::path& folder) {
  using what = disk_event::what;
  const auto synced_later = [&](std::size_t i) {
    const what by = events[i].kind == what::rename ? what::sync_folder : what::sync;
    for (std::size_t k = i + 1; k < count; ++k) {
      if (events[k].kind == by && (by == what::sync_folder || events[k].file == events[i].file)) {
        return true;
      }
    }
    return events[i].at_once;
  };
  std::map<ino_t, image_file> files;
  std::map<std::string, ino_t> names;
  for (const auto& [file, name] : first_names) {
    names[name] = file;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const disk_event& e = events[i];
    const std::uint64_t fate = synced_later(i) ? 0 : random() % 3; // there, missing, torn
    if (e.kind == what::write && fate != 1) {
      std::string_view part = e.bytes;
      if (fate == 2) {
        part = part.substr(0, random() % (part.size() / sector_bytes + 1) * sector_bytes);
      }
      files[e.file].write(e.offset, part);
    } else if (e.kind == what::truncate && fate == 0) {
      files[e.file].bytes.resize(e.offset);
    } else if (e.kind == what::rename && fate != 1) {
      std::erase_if(names, [&](const auto& n) { return n.second == e.file; });
      names[e.bytes] = e.file;
    }
  }
  std::filesystem::create_directories(folder);
  for (const auto& [name, file] : names) {
    std::ofstream{folder / name, std::ios::binary} << files[file].bytes;
  }
}

} // namespace ovir::test

namespace ovir::test {

void stop_at_read(std::uint64_t n, std::function<void()> meanwhile) {
  to_stop = {n, std::move(meanwhile)};
}

namespace {

void before_read() {
  if (to_stop.meanwhile && to_stop.reads_before-- == 0) {
    std::exchange(to_stop.meanwhile, nullptr)();
  }
}

} // namespace
} // namespace ovir::test

extern "C" {

ssize_t pread(int fd, void* bytes, std::size_t size, off_t offset) {
  ovir::test::before_read();
  return ::syscall(SYS_pread64, fd, bytes, size, offset);
}

ssize_t pread64(int fd, void* bytes, std::size_t size, off64_t offset) {
  return ::pread(fd, bytes, size, offset);
}

ssize_t pwrite(int fd, const void* bytes, std::size_t size, off_t offset) {
  return ovir::test::write_at(fd, bytes, size, static_cast<std::uint64_t>(offset));
}

ssize_t pwrite64(int fd, const void* bytes, std::size_t size, off64_t offset) {
  return ovir::test::write_at(fd, bytes, size, static_cast<std::uint64_t>(offset));
}

// LMDB seeks and then writes its pages with this. Pipes and terminals have no position.
ssize_t writev(int fd, const struct iovec* parts, int count) {
  const off_t at = ::lseek(fd, 0, SEEK_CUR);
  if (at < 0) {
    return ::syscall(SYS_writev, fd, parts, count);
  }
  std::string all;
  for (int i = 0; i < count; ++i) {
    all.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  }
  const ssize_t written =
      ovir::test::write_at(fd, all.data(), all.size(), static_cast<std::uint64_t>(at));
  if (written > 0) {
    ::lseek(fd, at + written, SEEK_SET);
  }
  return written;
}

int fdatasync(int fd) { return ovir::test::sync_file(fd); }
int fsync(int fd) { return ovir::test::sync_file(fd); }

int ftruncate(int fd, off_t length) noexcept {
  using namespace ovir::test;
  if (last_call()) {
    die();
  }
  ino_t file = 0;
  if (recorded(fd, file)) {
    state().events.push_back(
        {disk_event::what::truncate, file, static_cast<std::uint64_t>(length), {}, false});
  }
  return static_cast<int>(::syscall(SYS_ftruncate, fd, length));
}

int rename(const char* from, const char* to) noexcept {
  using namespace ovir::test;
  if (last_call()) {
    die();
  }
  struct stat status {};
  if (state().folder && std::string_view{to}.starts_with(*state().folder) &&
      ::stat(from, &status) == 0) {
    state().events.push_back({disk_event::what::rename, status.st_ino, 0,
                              std::filesystem::path{to}.filename().string(), false});
  }
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

} // extern "C"
