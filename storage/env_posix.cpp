#include "storage/env.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace ovir::storage {

namespace {

constexpr std::size_t stage_buffer_bytes = std::size_t{256} << 10U;
constexpr std::size_t read_step_bytes = std::size_t{64} << 10U;
constexpr int temporary_names_tried_max = 16;
constexpr int exit_code_unavailable = 4;

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

class posix_mapped_file final : public mapped_file {
public:
  posix_mapped_file(void* address, std::size_t size) : address_(address), size_(size) {}
  ~posix_mapped_file() override { ::munmap(address_, size_); }
  posix_mapped_file(const posix_mapped_file&) = delete;
  posix_mapped_file& operator=(const posix_mapped_file&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return {static_cast<const std::byte*>(address_), size_};
  }

private:
  void* address_;
  std::size_t size_;
};

class posix_staged_file final : public staged_file {
public:
  posix_staged_file(std::string path, std::string temporary, descriptor fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {
    buffer_.reserve(stage_buffer_bytes);
  }
  ~posix_staged_file() override {
    if (!committed_) {
      fd_.close();
      ::unlink(temporary_.c_str());
    }
  }
  posix_staged_file(const posix_staged_file&) = delete;
  posix_staged_file& operator=(const posix_staged_file&) = delete;

  result<void> append(std::span<const std::byte> bytes) override {
    if (buffer_.size() + bytes.size() > stage_buffer_bytes) {
      OVIR_TRY(flush());
    }
    if (bytes.size() >= stage_buffer_bytes) {
      return write_all(bytes);
    }
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
    return {};
  }

  result<void> commit() override {
    OVIR_CHECK(!committed_);
    OVIR_TRY(flush());
    if (::fsync(fd_.get()) != 0) {
      return write_error(path_, errno);
    }
    fd_.close();
    if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
      return write_error(path_, errno);
    }
    committed_ = true;
    sync_folder();
    return {};
  }

private:
  result<void> flush() {
    OVIR_TRY(write_all(buffer_));
    buffer_.clear();
    return {};
  }

  result<void> write_all(std::span<const std::byte> bytes) {
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

  // The file is complete under its name already; some filesystems cannot sync a folder, and for
  // those the rename is as durable as it gets.
  void sync_folder() const {
    const std::filesystem::path folder = std::filesystem::path{path_}.parent_path();
    const descriptor fd{
        ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (fd.valid()) {
      ::fsync(fd.get());
    }
  }

  std::string path_;
  std::string temporary_;
  descriptor fd_;
  std::vector<std::byte> buffer_;
  bool committed_{false};
};

class env_posix final : public env {
public:
  env_posix() { watch_for_lost_pages(); }

  result<std::unique_ptr<mapped_file>> map(const std::string& path) override {
    OVIR_ASSIGN(const descriptor fd, open_to_read(path));
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
      return open_error(path, errno);
    }
    if (S_ISDIR(status.st_mode)) {
      return open_error(path, EISDIR);
    }
    if (!S_ISREG(status.st_mode)) {
      return fail(errc::invalid_argument,
                  "{}: is not a regular file and cannot be mapped; copy it into one", path);
    }
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
    for (int tried = 0; tried < temporary_names_tried_max; ++tried) {
      std::array<std::uint32_t, 1> tag{};
      random(std::as_writable_bytes(std::span{tag}));
      std::string temporary = fmt::format("{}.{:08x}.part", path, tag[0]);
      descriptor fd{::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
      if (fd.valid()) {
        return std::unique_ptr<staged_file>{
            std::make_unique<posix_staged_file>(path, std::move(temporary), std::move(fd))};
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

  time_point now() override { return std::chrono::steady_clock::now(); }

  void random(std::span<std::byte> out) override {
    while (!out.empty()) {
      const ssize_t got = ::getrandom(out.data(), out.size(), 0);
      OVIR_CHECK(got >= 0 || errno == EINTR, errno);
      out = out.subspan(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    }
  }
};

} // namespace

std::unique_ptr<env> make_env_posix() { return std::make_unique<env_posix>(); }

} // namespace ovir::storage
