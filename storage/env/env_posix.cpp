#include "storage/env/durable_file.hpp"
#include "storage/env/env.hpp"
#include "storage/env/lmdb_file.hpp"
#include "storage/env/random_access_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace ovir::storage {

namespace {

constexpr std::size_t stage_buffer_bytes = std::size_t{256} << 10U;
constexpr std::size_t read_step_bytes = std::size_t{64} << 10U;
constexpr int temporary_names_tried_max = 16;
constexpr int exit_code_unavailable = 4;

// A file that is being written: its name to be, these digits and this.
constexpr int temporary_digits = 8;
constexpr std::string_view temporary_suffix = ".part";

bool is_temporary(std::string_view name) {
  if (!name.ends_with(temporary_suffix)) {
    return false;
  }
  name.remove_suffix(temporary_suffix.size());
  const std::size_t dot = name.rfind('.');
  return dot != std::string_view::npos && dot > 0 && name.size() - dot - 1 == temporary_digits &&
         name.find_first_not_of("0123456789abcdef", dot + 1) == std::string_view::npos;
}

std::string reason_of(int code) { return std::generic_category().message(code); }

// An open file descriptor: a resource.
class descriptor {
public:
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  ~descriptor() { close(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&&) = delete;

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
  void close() noexcept {
    if (fd_ >= 0) {
      ::close(std::exchange(fd_, -1));
    }
  }

private:
  int fd_;
};

error open_error(const std::string& path, int code) {
  switch (code) {
  case ENOENT:
  case ENOTDIR: return fail(errc::not_found, "{}: there is no such file; check the path", path);
  case EACCES:
  case EPERM:
    return fail(errc::io_failed, "{}: may not be read ({}); check its permissions", path,
                reason_of(code));
  case EISDIR: return fail(errc::invalid_argument, "{}: is a directory; name a file in it", path);
  default: return fail(errc::io_failed, "{}: cannot be opened ({})", path, reason_of(code));
  }
}

error write_error(const std::string& path, int code) {
  const bool full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  return fail(errc::io_failed, "{}: cannot be written ({}); {}", path, reason_of(code),
              full ? "free some space or choose another place"
                   : "check the folder's permissions and the disk, or choose another place");
}

result<descriptor> open_to_read(const std::string& path) {
  // Without O_NONBLOCK a named pipe would hang here until somebody writes to it.
  descriptor fd{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!fd.valid()) {
    return open_error(path, errno);
  }
  return fd;
}

result<void> write_all(const descriptor& fd, std::span<const std::byte> bytes,
                       const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return write_error(path, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// Makes the entry of `path` in its folder last. It is there already; some filesystems cannot sync a
// folder, and for those it is as durable as it gets.
void sync_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  const descriptor fd{
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (fd.valid()) {
    ::fsync(fd.get());
  }
}

// The status of a file that must be a plain one.
result<struct stat> status_of_regular(const descriptor& fd, const std::string& path) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) {
    return open_error(path, errno);
  }
  if (S_ISDIR(status.st_mode)) {
    return open_error(path, EISDIR);
  }
  if (!S_ISREG(status.st_mode)) {
    return fail(errc::invalid_argument, "{}: is not a regular file; copy what it holds into one",
                path);
  }
  return status;
}

// Gives a complete file its name unless something has it: false then.
result<bool> rename_to_free_name(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) {
    return true;
  }
  // Network filesystems and old kernels do not know this rename, but a second name is as atomic.
  if (errno == EINVAL || errno == ENOSYS) {
    if (::link(from.c_str(), to.c_str()) == 0) {
      ::unlink(from.c_str());
      return true;
    }
  }
  if (errno == EEXIST) {
    return false;
  }
  return write_error(to, errno);
}

// A page of a mapped file that its file no longer has: the program cannot go on, but it can say
// why. Only async-signal-safe calls.
void report_lost_page(int /*signal*/, siginfo_t* /*info*/, void* /*context*/) {
  constexpr std::string_view text =
      "ovir: a mapped model file became shorter or unreadable while it was in use; restore the "
      "file and start again\n";
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, text.data(), text.size());
  ::_exit(exit_code_unavailable);
}

void watch_for_lost_pages() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = report_lost_page;
    action.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &action, nullptr);
  });
}

class posix_large_memory final : public large_memory {
public:
  posix_large_memory(void* address, std::size_t size) : address_(address), size_(size) {}
  ~posix_large_memory() override { ::munmap(address_, size_); }
  posix_large_memory(const posix_large_memory&) = delete;
  posix_large_memory& operator=(const posix_large_memory&) = delete;

  [[nodiscard]] std::span<std::byte> bytes() noexcept override {
    return {static_cast<std::byte*>(address_), size_};
  }

private:
  void* address_;
  std::size_t size_;
};

class posix_mapped_file final : public mapped_file {
public:
  posix_mapped_file(void* address, std::size_t size) : address_(address), size_(size) {}
  ~posix_mapped_file() override { ::munmap(address_, size_); }
  posix_mapped_file(const posix_mapped_file&) = delete;
  posix_mapped_file& operator=(const posix_mapped_file&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return {static_cast<const std::byte*>(address_), size_};
  }
  void release_pages() noexcept override { ::madvise(address_, size_, MADV_DONTNEED); }

private:
  void* address_;
  std::size_t size_;
};

// A file that has not got its name yet; removed when dropped before it has.
class temporary_file {
public:
  temporary_file(std::string path, descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  ~temporary_file() {
    if (!path_.empty()) {
      ::unlink(path_.c_str());
    }
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  temporary_file(temporary_file&& other) noexcept
      : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  temporary_file& operator=(temporary_file&&) = delete;

  /// Empty once it has its name.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] descriptor& fd() noexcept { return fd_; }
  void has_its_name() noexcept { path_.clear(); }

private:
  std::string path_;
  descriptor fd_;
};

class posix_staged_file final : public staged_file {
public:
  posix_staged_file(std::string path, temporary_file file)
      : path_(std::move(path)), file_(std::move(file)) {
    buffer_.reserve(stage_buffer_bytes);
  }

  result<void> append(std::span<const std::byte> bytes) override {
    if (buffer_.size() + bytes.size() > stage_buffer_bytes) {
      OVIR_TRY(flush());
    }
    if (bytes.size() >= stage_buffer_bytes) {
      return write_all(file_.fd(), bytes, path_);
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }

  result<void> commit() override {
    OVIR_CHECK(!file_.path().empty());
    OVIR_TRY(flush());
    if (::fsync(file_.fd().get()) != 0) {
      return write_error(path_, errno);
    }
    file_.fd().close();
    if (::rename(file_.path().c_str(), path_.c_str()) != 0) {
      return write_error(path_, errno);
    }
    file_.has_its_name();
    sync_folder_of(path_);
    return {};
  }

private:
  result<void> flush() {
    OVIR_TRY(write_all(file_.fd(), buffer_, path_));
    buffer_.clear();
    return {};
  }

  std::string path_;
  temporary_file file_;
  std::vector<std::byte> buffer_;
};

/// A number or "max".
constexpr std::uint64_t memory_text_bytes_max = 64;

class posix_lock final : public held_lock {
public:
  explicit posix_lock(descriptor fd) : fd_(std::move(fd)) {}

private:
  descriptor fd_; // the kernel lets go with the last descriptor, also after kill -9
};

class posix_append_file final : public append_file {
public:
  posix_append_file(std::string path, descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  result<void> append(std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) {
        continue;
      }
      if (written < 0) {
        return write_error(path_, errno);
      }
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
  }

private:
  std::string path_;
  descriptor fd_;
};

class env_posix final : public env {
public:
  env_posix() { watch_for_lost_pages(); }

  std::uint64_t memory_bytes() override {
    const long pages = ::sysconf(_SC_PHYS_PAGES);
    const long bytes = ::sysconf(_SC_PAGESIZE);
    std::uint64_t most = pages > 0 && bytes > 0
                             ? static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(bytes)
                             : 0;
    if (const auto text = read("/sys/fs/cgroup/memory.max", memory_text_bytes_max)) {
      std::uint64_t confined = 0;
      const auto [end, code] = std::from_chars(text->data(), text->data() + text->size(), confined);
      if (code == std::errc{} && (most == 0 || confined < most)) {
        most = confined;
      }
    }
    return most;
  }

  result<std::unique_ptr<held_lock>> lock(const std::string& folder) override {
    const std::string path = folder + "/lock";
    descriptor fd{::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (!fd.valid()) {
      return write_error(path, errno);
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      return fail(errc::busy,
                  "{}: another process works in this folder; end it, or name another "
                  "folder",
                  folder);
    }
    return std::unique_ptr<held_lock>{std::make_unique<posix_lock>(std::move(fd))};
  }

  result<std::unique_ptr<append_file>> create(const std::string& path) override {
    descriptor fd{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (!fd.valid()) {
      return write_error(path, errno);
    }
    return std::unique_ptr<append_file>{std::make_unique<posix_append_file>(path, std::move(fd))};
  }

  result<std::unique_ptr<durable_file>> open_durable(const std::string& path,
                                                     durable_use use) override {
    return use == durable_use::read ? open_durable_file_to_read(path)
                                    : open_durable_file(path, use == durable_use::make);
  }

  result<std::unique_ptr<tree_file>> open_tree(const std::string& path) override {
    OVIR_ASSIGN(lmdb_file file, lmdb_file::open(path));
    return std::unique_ptr<tree_file>{std::make_unique<lmdb_file>(std::move(file))};
  }

  result<void> rename(const std::string& from, const std::string& to) override {
    OVIR_TRY(rename_file(from, to));
    sync_folder_of(to);
    return {};
  }

  result<std::vector<std::string>> list(const std::string& folder) override {
    std::vector<std::string> names;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator{folder, failed}) {
      if (std::string name = entry.path().filename().string(); !is_temporary(name)) {
        names.push_back(std::move(name));
      }
    }
    if (failed && failed != std::errc::no_such_file_or_directory) {
      return fail(errc::io_failed, "{}: cannot be listed ({})", folder, failed.message());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
      return write_error(path, errno);
    }
    return {};
  }

  result<std::unique_ptr<mapped_file>> map(const std::string& path) override {
    OVIR_ASSIGN(const descriptor fd, open_to_read(path));
    OVIR_ASSIGN(const struct stat status, status_of_regular(fd, path));
    if (status.st_size == 0) {
      return fail(errc::malformed, "{}: is empty (0 bytes); fetch the file again", path);
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (address == MAP_FAILED) {
      return fail(errc::io_failed, "{}: {} bytes cannot be mapped ({})", path, size,
                  reason_of(errno));
    }
    return std::unique_ptr<mapped_file>{std::make_unique<posix_mapped_file>(address, size)};
  }

  result<std::unique_ptr<large_memory>> allocate(std::size_t bytes) override {
    void* const address =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED) {
      return fail(errc::over_limit, "no memory of {} MiB ({}); free some or raise the limit",
                  bytes >> 20U, reason_of(errno));
    }
    ::madvise(address, bytes, MADV_HUGEPAGE); // a wish; small pages serve as well
    return std::unique_ptr<large_memory>{std::make_unique<posix_large_memory>(address, bytes)};
  }

  result<std::string> read(const std::string& path, std::uint64_t bytes_max) override {
    OVIR_ASSIGN(const descriptor fd, open_to_read(path));
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
      return open_error(path, errno);
    }
    if (S_ISDIR(status.st_mode)) {
      return open_error(path, EISDIR);
    }
    // A pipe such as /dev/stdin may make us wait; only its opening must not.
    ::fcntl(fd.get(), F_SETFL, 0);
    std::string text;
    while (true) {
      const std::size_t had = text.size();
      text.resize(had + read_step_bytes);
      const ssize_t got = ::read(fd.get(), text.data() + had, read_step_bytes);
      text.resize(had + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got < 0 && errno == EINTR) {
        // Only a handler of ours comes between, and only while waiting for a pipe or a terminal.
        return fail(errc::cancelled, "{}: interrupted while waiting for it; nothing was done",
                    path);
      }
      if (got < 0) {
        return fail(errc::io_failed, "{}: cannot be read ({})", path, reason_of(errno));
      }
      if (text.size() > bytes_max) {
        return fail(errc::over_limit, "{}: is larger than the {} bytes allowed; split it", path,
                    bytes_max);
      }
      if (got == 0) {
        return text;
      }
    }
  }

  result<std::unique_ptr<staged_file>> stage(const std::string& path) override {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      return fail(errc::invalid_argument, "{}: is {} and cannot be replaced; choose another name",
                  path, S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
    }
    OVIR_ASSIGN(temporary_file made, make_temporary(path, 0666));
    return std::unique_ptr<staged_file>{std::make_unique<posix_staged_file>(path, std::move(made))};
  }

  result<void> make_folder(const std::string& path) override {
    std::filesystem::path so_far;
    for (const std::filesystem::path& part : std::filesystem::path{path}) {
      so_far /= part;
      if (::mkdir(so_far.c_str(), 0700) == 0) {
        sync_folder_of(so_far);
        continue;
      }
      const int code = errno; // of a parent we may not write to, it is not always EEXIST
      struct stat status {};
      if (::stat(so_far.c_str(), &status) != 0) {
        return write_error(so_far, code);
      }
      if (!S_ISDIR(status.st_mode)) {
        return fail(errc::io_failed, "{}: {} is not a directory; remove it or choose another place",
                    path, so_far.string());
      }
    }
    return {};
  }

  result<bool> make_secret_file(const std::string& path,
                                std::span<const std::byte> bytes) override {
    OVIR_TRY(make_folder(std::filesystem::path{path}.parent_path()));
    OVIR_ASSIGN(temporary_file made, make_temporary(path, 0600));
    // The process's mask may have taken rights from the owner too. Nothing is buffered here: a copy
    // of the secret would stay behind in memory.
    if (::fchmod(made.fd().get(), 0600) != 0) {
      return write_error(path, errno);
    }
    OVIR_TRY(write_all(made.fd(), bytes, path));
    if (::fsync(made.fd().get()) != 0) {
      return write_error(path, errno);
    }
    OVIR_ASSIGN(const bool named, rename_to_free_name(made.path(), path));
    if (named) {
      made.has_its_name();
      sync_folder_of(path);
    }
    return named;
  }

  result<std::size_t> read_secret_file(const std::string& path, std::span<std::byte> out) override {
    OVIR_ASSIGN(const descriptor fd, open_to_read(path));
    OVIR_ASSIGN(const struct stat status, status_of_regular(fd, path));
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      return fail(errc::io_failed,
                  "{}: others than its owner have access to this secret (mode {:04o}); run "
                  "chmod 600 on it, and make a new one if somebody may have read it",
                  path, status.st_mode & 07777U);
    }
    std::size_t size = 0;
    while (true) {
      // One byte too many is asked for, to see whether there is one.
      std::byte beyond{};
      const bool full = size == out.size();
      const ssize_t got = full ? ::read(fd.get(), &beyond, 1)
                               : ::read(fd.get(), out.data() + size, out.size() - size);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return fail(errc::io_failed, "{}: cannot be read ({})", path, reason_of(errno));
      }
      if (got == 0) {
        return size;
      }
      if (full) {
        return fail(errc::over_limit,
                    "{}: is larger than the {} bytes allowed; name the right file", path,
                    out.size());
      }
      size += static_cast<std::size_t>(got);
    }
  }

  time_point now() override { return std::chrono::steady_clock::now(); }

  std::uint64_t unix_seconds() override {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_1970).count();
    return static_cast<std::uint64_t>(std::max<decltype(seconds)>(seconds, 0));
  }

  void random(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t got = ::getrandom(out.data(), out.size(), 0);
      OVIR_CHECK(got >= 0 || errno == EINTR, errno);
      out = out.subspan(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
  }

private:
  // A new, empty file beside `path`, which becomes it when it is complete.
  result<temporary_file> make_temporary(const std::string& path, ::mode_t mode) {
    for (int tried = 0; tried < temporary_names_tried_max; ++tried) {
      std::array<std::uint32_t, 1> tag{};
      random(std::as_writable_bytes(std::span{tag}));
      std::string temporary =
          fmt::format("{}.{:0{}x}{}", path, tag[0], temporary_digits, temporary_suffix);
      descriptor fd{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)};
      if (fd.valid()) {
        return temporary_file{std::move(temporary), std::move(fd)};
      }
      if (errno == ENOENT || errno == ENOTDIR) {
        return fail(errc::not_found, "{}: its folder does not exist; make it first", path);
      }
      if (errno != EEXIST) {
        return write_error(path, errno);
      }
    }
    return fail(errc::io_failed, "{}: no free temporary name beside it; remove its .part files",
                path);
  }
};

} // namespace

std::unique_ptr<env> make_env_posix() { return std::make_unique<env_posix>(); }

} // namespace ovir::storage
