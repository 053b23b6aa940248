#include "tests/support/ledger/raft_disk.hpp"

#include <algorithm>
#include <utility>

namespace ovir::test {

namespace {

error refused() { return fail(errc::io_failed, "the disk refused"); }

void write_into(std::vector<std::byte>& bytes, std::uint64_t offset,
                std::span<const std::byte> from) {
  bytes.resize(std::max<std::size_t>(bytes.size(), offset + from.size()));
  std::copy(from.begin(), from.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset));
}

class file_of_disk final : public durable_file {
public:
  file_of_disk(raft_disk& disk, std::shared_ptr<raft_disk::content> file)
      : disk_(disk), file_(std::move(file)) {}

  result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= file_->now.size()) {
      return std::size_t{0};
    }
    const std::size_t count = std::min<std::size_t>(out.size(), file_->now.size() - offset);
    std::copy_n(file_->now.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  }
  result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (!disk_.works()) {
      return refused();
    }
    write_into(file_->now, offset, bytes);
    file_->waiting.emplace_back(offset, std::vector<std::byte>{bytes.begin(), bytes.end()});
    return {};
  }
  result<void> sync() override {
    if (!disk_.works()) {
      return refused();
    }
    for (const auto& [offset, bytes] : std::exchange(file_->waiting, {})) {
      write_into(file_->lasting, offset, bytes);
    }
    return {};
  }
  result<void> truncate(std::uint64_t bytes) override {
    file_->now.resize(bytes);
    return {};
  }
  result<std::uint64_t> size() const override { return file_->now.size(); }
  std::uint64_t bytes_on_disk() const noexcept override { return file_->now.size(); }

private:
  raft_disk& disk_;
  std::shared_ptr<raft_disk::content> file_;
};

} // namespace

result<std::vector<std::uint64_t>> raft_disk::list() {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, file] : files) {
    numbers.push_back(number);
  }
  return numbers;
}

result<std::unique_ptr<durable_file>> raft_disk::open(std::uint64_t number) {
  const auto found = files.find(number);
  if (found == files.end()) {
    return fail(errc::not_found, "no such file");
  }
  return std::unique_ptr<durable_file>{std::make_unique<file_of_disk>(*this, found->second)};
}

result<std::unique_ptr<durable_file>> raft_disk::create(std::uint64_t number) {
  if (!works()) {
    return refused();
  }
  files[number] = std::make_shared<content>();
  return open(number);
}

result<void> raft_disk::remove(std::uint64_t number) {
  if (!works()) {
    return refused();
  }
  files.erase(number);
  return {};
}

void raft_disk::cut_power(std::mt19937_64& chance) {
  constexpr std::size_t sector = 512;
  for (auto& [number, file] : files) {
    for (const auto& [offset, bytes] : file->waiting) {
      for (std::size_t at = 0; at < bytes.size(); at += sector) {
        if (chance() % 2 == 0) {
          write_into(file->lasting, offset + at,
                     std::span{bytes}.subspan(at, std::min(sector, bytes.size() - at)));
        }
      }
    }
    file->waiting.clear();
    file->now = file->lasting;
  }
  calls_until_failure = ~std::uint64_t{0};
}

bool raft_disk::works() {
  if (calls_until_failure == 0) {
    return false;
  }
  --calls_until_failure;
  return true;
}

} // namespace ovir::test
