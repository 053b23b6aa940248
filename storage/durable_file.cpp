#include "storage/durable_file.hpp"

#include "storage/random_access_file.hpp"

#include <utility>

namespace ovir::storage {

namespace {

class machine_file final : public durable_file {
public:
  machine_file(random_access_file file, bool writable)
      : file_(std::move(file)), writable_(writable) {}

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
  result<std::uint64_t> size() const override { return file_.size(); }

private:
  [[nodiscard]] result<void> check_writable() const {
    return writable_ ? result<void>{} : fail(errc::io_failed, "the file was opened to read only");
  }

  random_access_file file_;
  bool writable_;
};

/// The folder that `path` is in.
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

} // namespace

result<std::unique_ptr<durable_file>> open_durable_file(const std::string& path, bool make) {
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
  return std::unique_ptr<durable_file>{std::make_unique<machine_file>(std::move(file), true)};
}

result<std::unique_ptr<durable_file>> open_durable_file_to_read(const std::string& path) {
  OVIR_ASSIGN(random_access_file file, random_access_file::open_to_read(path));
  OVIR_TRY(file.size());
  return std::unique_ptr<durable_file>{std::make_unique<machine_file>(std::move(file), false)};
}

} // namespace ovir::storage
