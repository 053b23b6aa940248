#include "tests/swarm/tree.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>

namespace ovir::swarm {

namespace {

// The calls below have no other way to the trees. A simulation has one thread.
std::map<ino_t, tree*>& trees() {
  static std::map<ino_t, tree*> all;
  return all;
}

tree* tree_of(int fd) {
  if (trees().empty()) {
    return nullptr;
  }
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return nullptr;
  }
  const auto found = trees().find(status.st_ino);
  return found == trees().end() ? nullptr : found->second;
}

/// LMDB's second descriptor, for the page that ends a transaction.
bool writes_through(int fd) { return (::fcntl(fd, F_GETFL) & O_DSYNC) != 0; }

bool allowed(int fd, const void* bytes, std::size_t size, std::uint64_t offset) {
  tree* const of = tree_of(fd);
  if (of == nullptr) {
    return true;
  }
  if (!of->write(offset, {static_cast<const std::byte*>(bytes), size})) {
    errno = ENOSPC;
    return false;
  }
  if (writes_through(fd) && !of->sync()) {
    errno = EIO;
    return false;
  }
  return true;
}

} // namespace

tree::tree(disk_env& in, std::string path, std::shared_ptr<disk::file> file, ino_t number)
    : env_(in), path_(std::move(path)), file_(std::move(file)), number_(number) {
  trees()[number_] = this;
}

tree::~tree() {
  lmdb_.reset();
  trees().erase(number_);
}

result<std::unique_ptr<tree>> tree::open(disk_env& in, std::string path,
                                         std::shared_ptr<disk::file> file) {
  const int fd = ::memfd_create("tree", MFD_CLOEXEC);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    return fail(errc::io_failed, "{}: no memory for it", path);
  }
  const std::vector<std::byte> bytes = file->bytes.all();
  const bool filled =
      ::syscall(SYS_pwrite64, fd, bytes.data(), bytes.size(), 0) == static_cast<long>(bytes.size());
  const std::string name = fmt::format("/proc/self/fd/{}", fd);
  std::unique_ptr<tree> made{new tree{in, std::move(path), std::move(file), status.st_ino}};
  auto opened = storage::lmdb_file::open(name);
  ::close(fd);
  if (!filled || !opened) {
    return fail(errc::io_failed, "{}: LMDB does not open it", made->path_);
  }
  made->lmdb_ = std::move(*opened);
  return made;
}

bool tree::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (!env_.writable(path_, bytes.size())) {
    return false;
  }
  disk::write(*file_, offset, bytes);
  return true;
}

bool tree::sync() {
  if (!env_.synced(path_)) {
    return false;
  }
  if (!env_.kept().sync_lies) {
    disk::sync(*file_);
  }
  return true;
}

} // namespace ovir::swarm

// This program stands between LMDB and the system.
extern "C" {

ssize_t pwrite(int fd, const void* bytes, std::size_t size, off_t offset) {
  using namespace ovir::swarm;
  return allowed(fd, bytes, size, static_cast<std::uint64_t>(offset))
             ? ::syscall(SYS_pwrite64, fd, bytes, size, offset)
             : -1;
}

ssize_t writev(int fd, const struct iovec* parts, int count) {
  using namespace ovir::swarm;
  if (tree_of(fd) != nullptr) {
    auto at = static_cast<std::uint64_t>(::lseek(fd, 0, SEEK_CUR));
    for (int i = 0; i < count; ++i) {
      if (!allowed(fd, parts[i].iov_base, parts[i].iov_len, at)) {
        return -1;
      }
      at += parts[i].iov_len;
    }
  }
  return ::syscall(SYS_writev, fd, parts, count);
}

int fdatasync(int fd) {
  using namespace ovir::swarm;
  if (tree* const of = tree_of(fd)) {
    errno = EIO;
    return of->sync() ? 0 : -1;
  }
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

} // extern "C"
