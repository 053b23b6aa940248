#include "tests/swarm/disk.hpp"

#include "tests/swarm/tree.hpp"

#include <algorithm>
#include <utility>

namespace ovir::swarm {

namespace {

/// As the file was when it was mapped: nobody maps one that changes.
class copied_map final : public storage::mapped_file {
public:
  explicit copied_map(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  std::span<const std::byte> bytes() const noexcept override { return bytes_; }

private:
  std::vector<std::byte> bytes_;
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
    made->bytes.write(0, bytes_);
    env_.kept().files[path_] = std::move(made);
    env_.kept().sync_folder_of(path_);
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
    return file_->bytes.read(offset, out);
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
  result<void> truncate(std::uint64_t bytes) override {
    if (!writable_) {
      return fail(errc::io_failed, "{}: open to read", path_);
    }
    OVIR_TRY(env_.writable(path_, 0));
    disk::truncate(*file_, bytes);
    return {};
  }
  result<std::uint64_t> size() const override { return file_->bytes.size(); }
  std::uint64_t bytes_on_disk() const noexcept override { return file_->bytes.bytes_taken(); }
  void release(std::uint64_t offset, std::uint64_t bytes) noexcept override {
    if (env_.writable(path_, 0)) {
      file_->bytes.release(offset, bytes);
    }
  }

private:
  disk_env& env_;
  std::string path_;
  std::shared_ptr<disk::file> file_;
  bool writable_;
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

/// The folder below "state": who writes there.
std::string room_of(const std::string& path) {
  const std::size_t first = path.find('/') + 1;
  return path.substr(first, path.find('/', first) - first);
}

} // namespace

disk::snapshot disk::copy(std::string_view prefix) const {
  snapshot now;
  for (const auto& [path, f] : files) {
    if (path.starts_with(prefix)) {
      std::vector<std::byte>& bytes = now[path];
      bytes.resize(f->bytes.size());
      f->bytes.read(0, bytes);
    }
  }
  return now;
}

void disk::restore(const snapshot& earlier, std::string_view prefix) {
  std::erase_if(files, [&](const auto& one) { return one.first.starts_with(prefix); });
  for (const auto& [path, bytes] : earlier) {
    files[path] = std::make_shared<file>();
    files[path]->bytes.write(0, bytes);
  }
}

void disk::lose() {
  files.clear();
  removed.clear();
}

void disk::forget_oldest(file& f) {
  f.unsynced_bytes -= f.unsynced.front().bytes.size();
  f.unsynced.pop_front();
}

void disk::write(file& f, std::uint64_t offset, std::span<const std::byte> bytes) {
  file::write w{offset, {bytes.begin(), bytes.end()}, {}, f.bytes.size()};
  if (offset < f.bytes.size()) {
    w.before.resize(std::min<std::uint64_t>(bytes.size(), f.bytes.size() - offset));
    f.bytes.read(offset, w.before);
  }
  f.unsynced_bytes += bytes.size();
  f.unsynced.push_back(std::move(w));
  f.bytes.write(offset, bytes);
  while (f.unsynced_bytes > unsynced_bytes_max) {
    forget_oldest(f);
  }
}

void disk::truncate(file& f, std::uint64_t size) {
  file::write w{size, {}, {}, f.bytes.size()};
  if (size < f.bytes.size()) {
    w.before.resize(f.bytes.size() - size);
    f.bytes.read(size, w.before);
  }
  f.unsynced.push_back(std::move(w));
  f.bytes.resize(size);
}

void disk::sync(file& f) {
  f.unsynced.clear();
  f.unsynced_bytes = 0;
}

// Each sector of each write is there or not, as the disk liked.
void disk::lose_power(file& f, chance& draws) {
  const auto writes = std::exchange(f.unsynced, {});
  f.unsynced_bytes = 0;
  for (auto w = writes.rbegin(); w != writes.rend(); ++w) {
    f.bytes.write(w->offset, w->before);
    f.bytes.resize(w->size_before);
  }
  const std::uint64_t mood = draws.below(3); // nothing, a prefix, any sectors
  for (const file::write& w : writes) {
    if (mood == 0 || (mood == 1 && draws.one_in(writes.size() + 1))) {
      break;
    }
    if (w.bytes.empty() && (mood == 1 || draws.one_in(2))) {
      f.bytes.resize(w.offset);
    }
    for (std::size_t at = 0; at < w.bytes.size(); at += sector_bytes) {
      if (mood == 1 || draws.one_in(2)) {
        f.bytes.write(w.offset + at,
                      std::span{w.bytes}.subspan(at, std::min(sector_bytes, w.bytes.size() - at)));
      }
    }
  }
}

void disk::crash(crash_kind kind, chance& draws) {
  chance written = draws.split(0x3717);
  locks.clear();
  for (auto& [path, f] : files) {
    if (!f->unsynced.empty() && kind == crash_kind::power) {
      lose_power(*f, draws);
    }
    if (kind == crash_kind::power || written.one_in(2)) {
      sync(*f);
    }
  }
  if (kind == crash_kind::process) {
    return;
  }
  for (auto& [path, f] : std::exchange(removed, {})) {
    if (written.one_in(2) && !files.contains(path)) {
      lose_power(*f, written);
      files[path] = std::move(f);
    }
  }
}

void disk::remove(const std::string& path) {
  if (auto there = files.extract(path)) {
    removed.insert_or_assign(path, std::move(there.mapped()));
  }
}

void disk::sync_folder_of(const std::string& path) {
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  std::erase_if(removed, [&](const auto& one) {
    return one.first.substr(0, one.first.rfind('/') + 1) == folder;
  });
}

bool disk::flip(std::string_view part, chance& draws) {
  std::vector<file*> found;
  for (auto& [path, f] : files) {
    if (path.find(part) != std::string::npos && f->bytes.size() > 0 && !f->secret) {
      found.push_back(f.get());
    }
  }
  if (found.empty()) {
    return false;
  }
  file& f = *found[draws.below(found.size())];
  const std::uint64_t at = draws.below(f.bytes.size());
  ++flips;
  f.bytes.flip(at, static_cast<unsigned>(draws.below(8)));
  return true;
}

std::uint64_t disk::bytes_taken(std::string_view part) const {
  std::uint64_t sum = 0;
  for (const auto& [path, f] : files) {
    sum += path.find(part) == std::string::npos ? 0 : f->bytes.bytes_taken();
  }
  return sum;
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
  kept_.written[room_of(path)] += bytes;
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

/// What is there, or a new one.
std::shared_ptr<disk::file> disk_env::made(const std::string& path) {
  auto& file = kept_.files[path];
  if (!file) {
    file = std::make_shared<disk::file>();
  }
  return file;
}

result<std::unique_ptr<storage::mapped_file>> disk_env::map(const std::string& path) {
  OVIR_ASSIGN(const auto file, find(path));
  return std::unique_ptr<storage::mapped_file>{std::make_unique<copied_map>(file->bytes.all())};
}

result<std::string> disk_env::read(const std::string& path, std::uint64_t bytes_max) {
  OVIR_ASSIGN(const auto file, find(path));
  if (file->bytes.size() > bytes_max) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed", path, bytes_max);
  }
  std::string text(file->bytes.size(), '\0');
  file->bytes.read(0, std::as_writable_bytes(std::span{text}));
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
  kept_.files.erase(path);
  return std::unique_ptr<storage::append_file>{std::make_unique<appended>(*this, path, made(path))};
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
  return std::unique_ptr<durable_file>{
      std::make_unique<durable>(*this, path, made(path), use != storage::durable_use::read)};
}

result<std::unique_ptr<storage::tree_file>> disk_env::open_tree(const std::string& path) {
  OVIR_TRY(writable(path, 0));
  OVIR_ASSIGN(auto opened, tree::open(*this, path, made(path)));
  return std::unique_ptr<storage::tree_file>{std::move(opened)};
}

result<void> disk_env::rename(const std::string& from, const std::string& to) {
  OVIR_ASSIGN(auto file, find(from));
  OVIR_TRY(synced(to));
  kept_.files.erase(from);
  kept_.files[to] = std::move(file);
  kept_.sync_folder_of(to);
  return {};
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
  kept_.remove(path);
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
  file->bytes.write(0, bytes);
  file->secret = true;
  kept_.files[path] = std::move(file);
  kept_.sync_folder_of(path);
  return true;
}

result<std::size_t> disk_env::read_secret_file(const std::string& path, std::span<std::byte> out) {
  OVIR_ASSIGN(const auto file, find(path));
  if (file->bytes.size() > out.size()) {
    return fail(errc::over_limit, "{}: is larger than the {} bytes allowed", path, out.size());
  }
  return file->bytes.read(0, out);
}

// Each call takes a microsecond, so that loops which measure or wait by calling it end.
disk_env::time_point disk_env::now() {
  last_ = std::max(last_ + std::chrono::microseconds{1}, time_.now());
  return last_;
}

} // namespace ovir::swarm
