#include "apps/ovir/base/partial_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace ovir::apps {

namespace {

error system_failure(std::string_view doing, const std::string& path) {
  return fail(errc::io_failed, "{} {}: {}", doing, path,
              std::error_code{errno, std::generic_category()}.message());
}

} // namespace

result<partial_file> partial_file::open(const std::string& target) {
  std::string path = target + ".part";
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file < 0) {
    return system_failure("opening", path);
  }
  partial_file out{target, std::move(path), file, 0};
  if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    return fail(errc::busy, "{} is being fetched by another process; wait for it", target);
  }
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || ::lseek(file, 0, SEEK_END) < 0) {
    return system_failure("opening", out.path_);
  }
  if (!S_ISREG(facts.st_mode)) {
    return fail(errc::invalid_argument, "{} is no regular file; remove it", out.path_);
  }
  out.size_ = static_cast<std::uint64_t>(facts.st_size);
  return out;
}

partial_file::~partial_file() {
  if (file_ >= 0) {
    ::close(file_);
  }
}

partial_file::partial_file(partial_file&& other) noexcept
    : target_(std::move(other.target_)), path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)), size_(other.size_) {}

result<void> partial_file::clear() {
  if (::ftruncate(file_, 0) != 0 || ::lseek(file_, 0, SEEK_SET) < 0) {
    return system_failure("emptying", path_);
  }
  size_ = 0;
  return {};
}

result<void> partial_file::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return system_failure("writing", path_);
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

result<void> partial_file::finish() {
  if (::fsync(file_) != 0) {
    return system_failure("writing", path_);
  }
  // A link fails where a rename would replace what somebody else put there meanwhile.
  if (::link(path_.c_str(), target_.c_str()) != 0) {
    if (errno == EEXIST) {
      return fail(errc::invalid_argument, "{} is there already; remove it or choose another name",
                  target_);
    }
    if (::rename(path_.c_str(), target_.c_str()) != 0) { // a file system without links
      return system_failure("naming", target_);
    }
  } else {
    ::unlink(path_.c_str());
  }
  const std::filesystem::path parent = std::filesystem::path{target_}.parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool lasting = handle >= 0 && ::fsync(handle) == 0;
  if (handle >= 0) {
    ::close(handle);
  }
  return lasting ? result<void>{} : system_failure("naming", target_);
}

void partial_file::discard() { ::unlink(path_.c_str()); }

} // namespace ovir::apps
