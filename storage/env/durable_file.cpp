#include "storage/env/durable_file.hpp"

#include "storage/env/random_access_file.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

namespace ovir::storage {

namespace {

/// Zeros of a background job, written at once and between two syncs: few, because whoever writes
/// meanwhile waits for a write, and his sync for what is not synced yet. More syncs cost more than
/// they spare (docs/PERFORMANCE.md).
constexpr std::size_t zeros_at_once = 64U << 10U;
constexpr std::size_t zeros_per_sync = 8 * zeros_at_once;

class machine_file final : public durable_file {
public:
  machine_file(random_access_file file, bool writable, background_runner background)
      : file_(std::move(file)), writable_(writable), background_(std::move(background)) {}
  ~machine_file() override { extending_->wait(true); }
  machine_file(const machine_file&) = delete;
  machine_file& operator=(const machine_file&) = delete;

  result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    return file_.read_at(offset, out);
  }
  result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    OVIR_TRY(check_writable());
    return file_.write_at(offset, bytes);
  }
  result<void> sync() override {
    OVIR_TRY(check_writable());
    return file_.sync();
  }
  result<void> truncate(std::uint64_t bytes) override {
    OVIR_TRY(check_writable());
    return file_.truncate(bytes);
  }
  result<std::uint64_t> size() const override { return file_.size(); }
  std::uint64_t bytes_on_disk() const noexcept override { return file_.bytes_on_disk(); }

  void extend_soon(std::uint64_t from, std::uint64_t to) override {
    if (!background_ || !writable_ || from >= to || extending_->exchange(true)) {
      return;
    }
    // Told also when the job is dropped without having run.
    const std::shared_ptr<void> at_end{nullptr, [extending = extending_](void*) {
                                         *extending = false; // from here on the file may be gone
                                         extending->notify_all();
                                       }};
    background_([this, at_end, from, to] { write_zeros(from, to); });
  }
  std::uint64_t extended() override {
    extending_->wait(true);
    return extended_;
  }
  void sync_soon(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    if (writable_) {
      file_.sync_soon(offset, bytes);
    }
  }
  void release(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    if (writable_) {
      file_.release(offset, bytes);
    }
  }

private:
  /// As far as the disk allows; who needs more meets the error itself.
  void write_zeros(std::uint64_t from, std::uint64_t to) {
    const std::vector<std::byte> zeros(zeros_at_once);
    std::size_t unsynced = 0;
    while (from < to) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(to - from, zeros.size()));
      if (!file_.write_at(from, std::span{zeros}.first(part))) {
        return;
      }
      from += part;
      unsynced += part;
      if (unsynced >= zeros_per_sync || from == to) {
        if (!file_.sync()) {
          return;
        }
        unsynced = 0;
        extended_ = from;
      }
    }
  }
  [[nodiscard]] result<void> check_writable() const {
    return writable_ ? result<void>{} : fail(errc::io_failed, "the file was opened to read only");
  }

  random_access_file file_;
  bool writable_;
  background_runner background_;
  std::shared_ptr<std::atomic<bool>> extending_{std::make_shared<std::atomic<bool>>(false)};
  std::atomic<std::uint64_t> extended_{0};
};

/// The folder that `path` is in.
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

} // namespace

result<std::unique_ptr<durable_file>> open_durable_file(const std::string& path, bool make,
                                                        background_runner background) {
  if (!make) {
    const auto there = random_access_file::open_to_read(path);
    if (!there) {
      return there.error();
    }
  }
  OVIR_ASSIGN(random_access_file file, random_access_file::open(path));
  OVIR_TRY(file.size()); // refuses what is no regular file
  if (make) {
    sync_folder(folder_of(path));
  }
  return std::unique_ptr<durable_file>{
      std::make_unique<machine_file>(std::move(file), true, std::move(background))};
}

result<std::unique_ptr<durable_file>> open_durable_file_to_read(const std::string& path) {
  OVIR_ASSIGN(random_access_file file, random_access_file::open_to_read(path));
  OVIR_TRY(file.size());
  return std::unique_ptr<durable_file>{
      std::make_unique<machine_file>(std::move(file), false, background_runner{})};
}

} // namespace ovir::storage
