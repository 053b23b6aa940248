#include "tests/swarm/disk.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ovir::swarm {

namespace {

class shared_map final : public storage::mapped_file {
public:
  explicit shared_map(std::shared_ptr<disk::file> file) : file_(std::move(file)) {}
  std::span<const std::byte> bytes() const noexcept override { return file_->bytes; }

private:
  std::shared_ptr<disk::file> file_;
};

class plain_memory final : public storage::large_memory {
public:
  explicit plain_memory(std::size_t bytes)
      : bytes_(bytes),
        memory_(new (std::align_val_t{64}) std::byte[std::max<std::size_t>(bytes, 1)]{}) {}
  ~plain_memory() override { ::operator delete[](memory_, std::align_val_t{64}); }
  plain_memory(const plain_memory&) = delete;
  plain_memory& operator=(const plain_memory&) = delete;
  std::span<std::byte> bytes() noexcept override { return {memory_, bytes_}; }

private:
  std::size_t bytes_;
  std::byte* memory_;
};

class staged final : public storage::staged_file {
public:
  staged(disk_env& env, std::string path) : env_(env), path_(std::move(path)) {}

  result<void> append(std::span<const std::byte> bytes) override {
    OVIR_TRY(env_.writable(path_, bytes.size()));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return {};
  }
  result<void> commit() override {
    OVIR_TRY(env_.synced(path_));
    auto made = std::make_shared<disk::file>();
    made->bytes = std::move(bytes_);
    env_.kept().files[path_] = std::move(made);
    return {};
  }

private:
  disk_env& env_;
  std::string path_;
  std::vector<std::byte> bytes_;
};

class appended final : public storage::append_file {
public:
  appended(disk_env& env, std::string path, std::shared_ptr<disk::file> file)
      : env_(env), path_(std::move(path)), file_(std::move(file)) {}

  result<void> append(std::span<const std::byte> bytes) override {
    OVIR_TRY(env_.writable(path_, bytes.size()));
    disk::write(*file_, file_->bytes.size(), bytes);
    return {};
  }

private:
  disk_env& env_;
  std::string path_;
  std::shared_ptr<disk::file> file_;
};

class durable final : public durable_file {
public:
  durable(disk_env& env, std::string path, std::shared_ptr<disk::file> file, bool writable)
      : env_(env), path_(std::move(path)), file_(std::move(file)), writable_(writable) {}

  result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset >= file_->bytes.size()) {
      return std::size_t{0};
    }
    const std::size_t count = std::min<std::size_t>(out.size(), file_->bytes.size() - offset);
    std::copy_n(file_->bytes.begin() + static_cast<std::ptrdiff_t>(offset), count, out.begin());
    return count;
  }
  result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes) override {
    if (!writable_) {
      return fail(errc::io_failed, "{}: open to read", path_);
    }
    OVIR_TRY(env_.writable(path_, bytes.size()));
    disk::write(*file_, offset, bytes);
    return {};
  }
  result<void> sync() override {
    if (!writable_) {
      return fail(errc::io_failed, "{}: open to read", path_);
    }
    OVIR_TRY(env_.synced(path_));
    if (!env_.kept().sync_lies) {
      disk::sync(*file_);
    }
    return {};
  }
  result<std::uint64_t> size() const override { return file_->bytes.size(); }

private:
  disk_env& env_;
  std::string path_;
  std::shared_ptr<disk::file> file_;
  bool writable_;
};

class kept_index final : public derived_index {
public:
  kept_index(disk_env& env, std::string folder)
      : env_(env), folder_(std::move(folder)), records_(env.kept().indexes[folder_]) {}

  result<void> visit(const visitor& each) override {
    for (const auto& [key, record] : records_) {
      each(key, record);
    }
    return {};
  }
  result<std::optional<std::string>> find(const std::string& key) override {
    const auto found = records_.find(key);
    return found == records_.end() ? std::optional<std::string>{} : std::optional{found->second};
  }
  result<void> commit(const changes& what) override {
    OVIR_TRY(env_.writable(folder_, what.size() * key_bytes_max));
    OVIR_TRY(env_.synced(folder_));
    for (const auto& [key, record] : what) {
      if (record) {
        records_.insert_or_assign(key, *record);
      } else {
        records_.erase(key);
      }
    }
    return {};
  }
  result<void> clear() override {
    OVIR_TRY(env_.writable(folder_, 0));
    records_.clear();
    return {};
  }

private:
  disk_env& env_;
  std::string folder_;
  disk::index& records_;
};

class taken_lock final : public storage::held_lock {
public:
  taken_lock(disk& kept, std::string folder) : kept_(kept), folder_(std::move(folder)) {
    kept_.locks.insert(folder_);
  }
  ~taken_lock() override { kept_.locks.erase(folder_); }
  taken_lock(const taken_lock&) = delete;
  taken_lock& operator=(const taken_lock&) = delete;

private:
  disk& kept_;
  std::string folder_;
};

void put(std::vector<std::byte>& into, std::uint64_t offset, std::span<const std::byte> bytes) {
  into.resize(std::max<std::size_t>(into.size(), offset + bytes.size()));
  std::copy(bytes.begin(), bytes.end(), into.begin() + static_cast<std::ptrdiff_t>(offset));
}

} // namespace

disk::snapshot disk::copy(std::string_view prefix) const {
  snapshot now;
  for (const auto& [path, f] : files) {
    if (path.starts_with(prefix)) {
      now.files[path] = f->bytes;
    }
  }
  for (const auto& [folder, entries] : indexes) {
    if (folder.starts_with(prefix)) {
      now.indexes[folder] = entries;
    }
  }
  return now;
}

void disk::restore(const snapshot& earlier, std::string_view prefix) {
  std::erase_if(files, [&](const auto& one) { return one.first.starts_with(prefix); });
  std::erase_if(indexes, [&](const auto& one) { return one.first.starts_with(prefix); });
  for (const auto& [path, bytes] : earlier.files) {
    files[path] = std::make_shared<file>(file{bytes, {}, false});
  }
  for (const auto& [folder, entries] : earlier.indexes) {
    indexes[folder] = entries;
  }
}

void disk::write(file& f, std::uint64_t offset, std::span<const std::byte> bytes) {
  file::write w{offset, {bytes.begin(), bytes.end()}, {}, f.bytes.size()};
  if (offset < f.bytes.size()) {
    const auto first = f.bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    w.before.assign(first, first + static_cast<std::ptrdiff_t>(
                                       std::min(bytes.size(), f.bytes.size() - offset)));
  }
  f.unsynced.push_back(std::move(w));
  put(f.bytes, offset, bytes);
}

void disk::sync(file& f) { f.unsynced.clear(); }

// After a loss of power each sector of each write is there or not, as the disk liked.
void disk::crash(crash_kind kind, chance& draws) {
  for (auto& [path, f] : files) {
    if (!f->unsynced.empty() && kind == crash_kind::power) {
      std::vector<std::byte> left = f->bytes;
      for (auto w = f->unsynced.rbegin(); w != f->unsynced.rend(); ++w) {
        put(left, w->offset, w->before);
        left.resize(w->size_before);
      }
      const std::uint64_t mood = draws.below(3); // nothing, a prefix, any sectors
      for (const file::write& w : f->unsynced) {
        if (mood == 0 || (mood == 1 && draws.one_in(f->unsynced.size() + 1))) {
          break;
        }
        for (std::size_t at = 0; at < w.bytes.size(); at += sector_bytes) {
          if (mood == 1 || draws.one_in(2)) {
            const std::size_t count = std::min(sector_bytes, w.bytes.size() - at);
            put(left, w.offset + at, std::span{w.bytes}.subspan(at, count));
          }
        }
      }
      f = std::make_shared<file>(file{std::move(left), {}, f->secret});
    } else {
      sync(*f);
    }
  }
  locks.clear();
}

bool disk::flip(std::string_view part, chance& draws) {
  std::vector<file*> found;
  for (auto& [path, f] : files) {
    if (path.find(part) != std::string::npos && !f->bytes.empty() && !f->secret) {
      found.push_back(f.get());
    }
  }
  if (found.empty()) {
    return false;
  }
  file& f = *found[draws.below(found.size())];
  f.bytes[draws.below(f.bytes.size())] ^= static_cast<std::byte>(1U << draws.below(8));
  return true;
}

disk_env::disk_env(disk& kept, clocks time, chance draws)
    : kept_(kept), time_(std::move(time)), draws_(draws) {}

result<void> disk_env::writable(const std::string& path, std::size_t bytes) {
  if (ended_) {
    return fail(errc::io_failed, "{}: the process is dead", path);
  }
  if (kept_.full) {
    return fail(errc::io_failed, "{}: cannot be written (No space left on device)", path);
  }
  if (spent) {
    spent(bytes, false);
  }
  return {};
}

result<void> disk_env::synced(const std::string& path) {
  OVIR_TRY(writable(path, 0));
  if (kept_.sync_fails) {
    return fail(errc::io_failed, "{}: cannot be synced (Input/output error)", path);
  }
  if (spent) {
    spent(0, true);
  }
  return {};
}

result<std::shared_ptr<disk::file>> disk_env::find(const std::string& path) const {
  const auto found = kept_.files.find(path);
  if (found == kept_.files.end()) {
    return fail(errc::not_found, "{}: there is no such file", path);
  }
  return found->second;
}

result<std::unique_ptr<storage::mapped_file>> disk_env::map(const std::string& path) {
  OVIR_ASSIGN(auto file, find(path));
  return std::unique_ptr<storage::mapped_file>{std::make_unique<shared_map>(std::move(file))};
}

result<std::string> disk_env::read(const std::string& path, std::uint64_t bytes_max) {
  OVIR_ASSIGN(const auto file, find(path));
  if (file->bytes.size() > bytes_max) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed", path, bytes_max);
  }
  std::string text(file->bytes.size(), '\0');
  std::memcpy(text.data(), file->bytes.data(), text.size());
  return text;
}

result<std::unique_ptr<storage::staged_file>> disk_env::stage(const std::string& path) {
  OVIR_TRY(writable(path, 0));
  return std::unique_ptr<storage::staged_file>{std::make_unique<staged>(*this, path)};
}

result<std::unique_ptr<storage::large_memory>> disk_env::allocate(std::size_t bytes) {
  return std::unique_ptr<storage::large_memory>{std::make_unique<plain_memory>(bytes)};
}

result<std::unique_ptr<storage::held_lock>> disk_env::lock(const std::string& folder) {
  if (kept_.locks.contains(folder)) {
    return fail(errc::busy, "{}: another process works in this folder", folder);
  }
  return std::unique_ptr<storage::held_lock>{std::make_unique<taken_lock>(kept_, folder)};
}

result<std::unique_ptr<storage::append_file>> disk_env::create(const std::string& path) {
  OVIR_TRY(writable(path, 0));
  auto file = std::make_shared<disk::file>();
  kept_.files[path] = file;
  return std::unique_ptr<storage::append_file>{
      std::make_unique<appended>(*this, path, std::move(file))};
}

result<std::unique_ptr<durable_file>> disk_env::open_durable(const std::string& path,
                                                             storage::durable_use use) {
  const auto there = find(path);
  if (!there && use != storage::durable_use::make) {
    return there.error();
  }
  if (use != storage::durable_use::read) {
    OVIR_TRY(writable(path, 0));
  }
  if (!there) {
    kept_.files[path] = std::make_shared<disk::file>();
  }
  return std::unique_ptr<durable_file>{
      std::make_unique<durable>(*this, path, kept_.files[path], use != storage::durable_use::read)};
}

result<std::vector<std::string>> disk_env::list(const std::string& folder) {
  std::vector<std::string> names;
  const std::string begin = folder + "/";
  for (auto at = kept_.files.lower_bound(begin); at != kept_.files.end(); ++at) {
    if (!at->first.starts_with(begin)) {
      break;
    }
    if (at->first.find('/', begin.size()) == std::string::npos) {
      names.push_back(at->first.substr(begin.size()));
    }
  }
  return names;
}

result<void> disk_env::remove(const std::string& path) {
  OVIR_TRY(writable(path, 0));
  kept_.files.erase(path);
  return {};
}

result<void> disk_env::make_folder(const std::string& path) { return writable(path, 0); }

result<bool> disk_env::make_secret_file(const std::string& path, std::span<const std::byte> bytes) {
  if (kept_.files.contains(path)) {
    return false;
  }
  OVIR_TRY(writable(path, bytes.size()));
  OVIR_TRY(synced(path));
  auto file = std::make_shared<disk::file>();
  file->bytes.assign(bytes.begin(), bytes.end());
  file->secret = true;
  kept_.files[path] = std::move(file);
  return true;
}

result<std::size_t> disk_env::read_secret_file(const std::string& path, std::span<std::byte> out) {
  OVIR_ASSIGN(const auto file, find(path));
  if (file->bytes.size() > out.size()) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed", path, out.size());
  }
  std::copy(file->bytes.begin(), file->bytes.end(), out.begin());
  return file->bytes.size();
}

// Each call takes a microsecond, so that loops which measure or wait by calling it end.
disk_env::time_point disk_env::now() {
  last_ = std::max(last_ + std::chrono::microseconds{1}, time_.now());
  return last_;
}

result<std::unique_ptr<derived_index>> disk_env::open_index(const std::string& folder) {
  OVIR_TRY(writable(folder, 0));
  return std::unique_ptr<derived_index>{std::make_unique<kept_index>(*this, folder)};
}

} // namespace ovir::swarm
