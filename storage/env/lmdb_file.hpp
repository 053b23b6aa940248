#pragma once

#include "messages/result.hpp"
#include "storage/env/tree_file.hpp"

#include <cstdint>
#include <memory>
#include <string>

struct MDB_env;

namespace ovir::storage {

/// The `tree_file` of this machine: the only place that knows LMDB's functions. Its map grows as
/// needed. Locking is switched off: the store's folder is locked as a whole, and readers do without
/// LMDB.
class lmdb_file final : public tree_file {
public:
  /// Made where there is none. The file must be sound if it exists.
  [[nodiscard]] static result<lmdb_file> open(const std::string& path);

  [[nodiscard]] result<void> commit(const index_changes& changes) override;
  [[nodiscard]] std::uint64_t transaction() const override;

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
