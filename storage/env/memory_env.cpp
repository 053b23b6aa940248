#include "storage/env/memory_env.hpp"

#include <cstring>
#include <utility>

namespace ovir::storage {

namespace {

class memory_mapped_file final : public mapped_file {
public:
  explicit memory_mapped_file(std::shared_ptr<const std::string> content)
      : content_(std::move(content)) {}
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept override {
    return std::as_bytes(std::span{*content_});
  }

private:
  std::shared_ptr<const std::string> content_;
};

} // namespace

class memory_env::staged final : public staged_file {
public:
  staged(memory_env& owner, std::string path, std::uint64_t number)
      : owner_(owner), path_(std::move(path)), number_(number) {}
  ~staged() override { owner_.staged_.erase(number_); }
  staged(const staged&) = delete;
  staged& operator=(const staged&) = delete;

  result<void> append(std::span<const std::byte> bytes) override {
    const auto own = owner_.staged_.find(number_);
    if (own == owner_.staged_.end()) {
      return fail(errc::io_failed, "{}: cannot be written (the power went)", path_);
    }
    if (owner_.bytes_used() + bytes.size() > owner_.disk_bytes_) {
      return fail(errc::io_failed,
                  "{}: cannot be written (No space left on device); free some space or choose "
                  "another place",
                  path_);
    }
    own->second.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  }

  result<void> commit() override {
    const auto own = owner_.staged_.find(number_);
    if (own == owner_.staged_.end() || owner_.sync_fails_) {
      return fail(errc::io_failed, "{}: cannot be written (Input/output error)", path_);
    }
    owner_.files_[path_] = std::make_shared<const std::string>(std::move(own->second));
    owner_.private_.erase(path_);
    owner_.staged_.erase(own);
    return {};
  }

private:
  memory_env& owner_;
  std::string path_;
  std::uint64_t number_;
};

memory_env::memory_env(std::uint64_t seed) : seed_(seed) {}
memory_env::~memory_env() = default;

result<std::shared_ptr<const std::string>> memory_env::find(const std::string& path) const {
  if (folders_.contains(path)) {
    return fail(errc::invalid_argument, "{}: is a directory; name a file in it", path);
  }
  const auto found = files_.find(path);
  if (found == files_.end()) {
    return fail(errc::not_found, "{}: there is no such file; check the path", path);
  }
  if (unreadable_.contains(path)) {
    return fail(errc::io_failed, "{}: cannot be read (Input/output error)", path);
  }
  return found->second;
}

result<std::unique_ptr<mapped_file>> memory_env::map(const std::string& path) {
  OVIR_ASSIGN(auto content, find(path));
  if (content->empty()) {
    return fail(errc::malformed, "{}: is empty (0 bytes); fetch the file again", path);
  }
  return std::unique_ptr<mapped_file>{std::make_unique<memory_mapped_file>(std::move(content))};
}

result<std::string> memory_env::read(const std::string& path, std::uint64_t bytes_max) {
  OVIR_ASSIGN(const auto content, find(path));
  if (content->size() > bytes_max) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed; split it", path,
                bytes_max);
  }
  return std::string{*content};
}

result<std::unique_ptr<staged_file>> memory_env::stage(const std::string& path) {
  if (folders_.contains(path)) {
    return fail(errc::invalid_argument, "{}: is a directory and cannot be replaced", path);
  }
  const std::uint64_t number = next_staged_++;
  staged_.emplace(number, std::string{});
  return std::unique_ptr<staged_file>{std::make_unique<staged>(*this, path, number)};
}

result<void> memory_env::make_folder(const std::string& path) {
  if (files_.contains(path)) {
    return fail(errc::io_failed, "{}: is not a directory; remove it or choose another place", path);
  }
  folders_.insert(path);
  return {};
}

result<bool> memory_env::make_secret_file(const std::string& path,
                                          std::span<const std::byte> bytes) {
  if (files_.contains(path) || folders_.contains(path)) {
    return false;
  }
  OVIR_ASSIGN(const auto file, stage(path));
  OVIR_TRY(file->append(bytes));
  OVIR_TRY(file->commit());
  make_private(path);
  return true;
}

result<std::size_t> memory_env::read_secret_file(const std::string& path,
                                                 std::span<std::byte> out) {
  OVIR_ASSIGN(const auto content, find(path));
  if (!private_.contains(path)) {
    return fail(errc::io_failed,
                "{}: others than its owner have access to this secret; run chmod 600 on it, and "
                "make a new one if somebody may have read it",
                path);
  }
  if (content->size() > out.size()) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed; name the right file",
                path, out.size());
  }
  std::memcpy(out.data(), content->data(), content->size());
  return content->size();
}

std::uint64_t memory_env::unix_seconds() {
  const auto passed = std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch());
  return first_unix_seconds + static_cast<std::uint64_t>(passed.count());
}

void memory_env::random(std::span<std::byte> out) {
  // A fresh stream per call, so that the bytes do not depend on how earlier ones were asked for.
  std::string bytes(out.size(), '\0');
  hasher{"ovir/memory-env/v1/random"}.update_u64(seed_).update_u64(draws_++).finish_into(
      {reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()});
  std::memcpy(out.data(), bytes.data(), out.size());
}

void memory_env::add_file(const std::string& path, std::string content) {
  files_[path] = std::make_shared<const std::string>(std::move(content));
  private_.erase(path);
}

void memory_env::remove_file(const std::string& path) {
  files_.erase(path);
  private_.erase(path);
}

bool memory_env::has_file(const std::string& path) const { return files_.contains(path); }

void memory_env::lose_power() { staged_.clear(); }

std::uint64_t memory_env::bytes_used() const noexcept {
  std::uint64_t sum = 0;
  for (const auto& [path, content] : files_) {
    sum += content->size();
  }
  for (const auto& [number, content] : staged_) {
    sum += content.size();
  }
  return sum;
}

} // namespace ovir::storage
