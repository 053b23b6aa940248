#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

struct MDB_env;

namespace ovir::storage {

/// Keys with their new records; nothing where the record goes. Sorted, as the tree is.
using index_changes = std::map<std::string, std::optional<std::string>, std::less<>>;

/// A file of LMDB, opened to write: the only place that knows LMDB's functions. Records are read by
/// `index_pages`, which trusts no page; LMDB does, so whoever writes has the pages checked first.
/// Locking is switched off: the store's folder is locked as a whole, and readers do without LMDB.
class lmdb_file {
public:
  /// Made where there is none. The file must be sound if it exists.
  [[nodiscard]] static result<lmdb_file> open(const std::string& path);

  /// All changes or none, on the disk when it returns. The map grows as needed. After `io_failed`
  /// nothing was changed, for lack of space or because the disk refused; after `internal` it is not
  /// known what was, and the file must be opened anew.
  [[nodiscard]] result<void> commit(const index_changes& changes);

  /// The number of the last transaction.
  [[nodiscard]] std::uint64_t transaction() const;

private:
  struct closer {
    void operator()(MDB_env* env) const noexcept;
  };

  lmdb_file(std::string path, std::unique_ptr<MDB_env, closer> env);
  [[nodiscard]] int try_commit(const index_changes& changes, bool& committing);
  [[nodiscard]] int grow();

  std::string path_;
  std::unique_ptr<MDB_env, closer> env_;
};

} // namespace ovir::storage
