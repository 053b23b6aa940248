#include "storage/env/lmdb_file.hpp"

#include "messages/limits/store.hpp"

#include <lmdb.h>

#include <cerrno>
#include <utility>

namespace ovir::storage {

namespace {

// No MDB_NOSYNC and no MDB_NOMETASYNC: a commit that returns is on the disk. No MDB_WRITEMAP, which
// would let a wild pointer of ours change the file.
constexpr unsigned open_flags = MDB_NOSUBDIR | MDB_NOLOCK | MDB_NORDAHEAD;
constexpr mdb_mode_t file_mode = 0600;

error refused(const std::string& path, errc code, std::string_view what, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return fail(code, "{}: cannot be {} ({}); {}", path, what, mdb_strerror(reason),
              full ? "free some space or choose another place"
                   : "check its permissions and the disk");
}

MDB_val view_of(const std::string& bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

/// A write transaction, given up unless committed.
class write_transaction {
public:
  explicit write_transaction(MDB_env* env) : code_(mdb_txn_begin(env, nullptr, 0, &txn_)) {}
  ~write_transaction() {
    if (txn_ != nullptr) {
      mdb_txn_abort(txn_);
    }
  }
  write_transaction(const write_transaction&) = delete;
  write_transaction& operator=(const write_transaction&) = delete;

  [[nodiscard]] int code() const noexcept { return code_; }
  [[nodiscard]] MDB_txn* get() const noexcept { return txn_; }
  [[nodiscard]] int commit() { return mdb_txn_commit(std::exchange(txn_, nullptr)); }

private:
  MDB_txn* txn_{nullptr};
  int code_;
};

} // namespace

void lmdb_file::closer::operator()(MDB_env* env) const noexcept { mdb_env_close(env); }

lmdb_file::lmdb_file(std::string path, std::unique_ptr<MDB_env, closer> env)
    : path_(std::move(path)), env_(std::move(env)) {}

result<lmdb_file> lmdb_file::open(const std::string& path) {
  MDB_env* raw = nullptr;
  if (const int code = mdb_env_create(&raw); code != 0) {
    return refused(path, errc::io_failed, "opened", code);
  }
  std::unique_ptr<MDB_env, closer> env{raw};
  int code = mdb_env_set_mapsize(raw, limits::store_index_map_first);
  code = code != 0 ? code : mdb_env_open(raw, path.c_str(), open_flags, file_mode);
  if (code != 0) {
    return refused(path, errc::io_failed, "opened", code);
  }
  return lmdb_file{path, std::move(env)};
}

std::uint64_t lmdb_file::transaction() const {
  MDB_envinfo info{};
  mdb_env_info(env_.get(), &info);
  return info.me_last_txnid;
}

int lmdb_file::grow() {
  MDB_envinfo info{};
  mdb_env_info(env_.get(), &info);
  if (info.me_mapsize > limits::store_index_bytes_max / 2) {
    return ENOSPC;
  }
  // No transaction is open here: reading is not done through the map.
  return mdb_env_set_mapsize(env_.get(), info.me_mapsize * 2);
}

int lmdb_file::try_commit(const index_changes& changes, bool& committing) {
  committing = false;
  write_transaction txn{env_.get()};
  if (txn.code() != 0) {
    return txn.code();
  }
  MDB_dbi table = 0;
  if (const int code = mdb_dbi_open(txn.get(), nullptr, 0, &table); code != 0) {
    return code;
  }
  for (const auto& [key, record] : changes) {
    MDB_val name = view_of(key);
    int code = 0;
    if (record) {
      MDB_val bytes = view_of(*record);
      code = mdb_put(txn.get(), table, &name, &bytes, 0);
    } else {
      code = mdb_del(txn.get(), table, &name, nullptr);
      code = code == MDB_NOTFOUND ? 0 : code;
    }
    if (code != 0) {
      return code;
    }
  }
  committing = true;
  return txn.commit();
}

result<void> lmdb_file::commit(const index_changes& changes) {
  while (true) {
    bool committing = false;
    int code = try_commit(changes, committing);
    if (code == 0) {
      return {};
    }
    if (code == MDB_MAP_FULL) {
      code = grow();
      committing = false;
    } else if (code == MDB_MAP_RESIZED) {
      code = mdb_env_set_mapsize(env_.get(), 0); // as large as the file says
      committing = false;
    }
    if (code != 0) {
      // A commit that failed may have written its last page all the same.
      const bool known = !committing || code == ENOSPC || code == EDQUOT || code == EFBIG;
      const bool of_the_system = code > 0;
      return refused(path_, known && of_the_system ? errc::io_failed : errc::internal, "written",
                     code);
    }
  }
}

} // namespace ovir::storage
