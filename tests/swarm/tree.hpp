#pragma once

#include "storage/env/lmdb_file.hpp"
#include "tests/swarm/disk.hpp"

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

namespace ovir::swarm {

/// LMDB itself on a simulated disk. It maps and writes a file in this process's memory; each of its
/// writes and syncs is one of the simulated disk first, and fails if that does.
class tree final : public storage::tree_file {
public:
  /// `in` outlives it.
  [[nodiscard]] static result<std::unique_ptr<tree>> open(disk_env& in, std::string path,
                                                          std::shared_ptr<disk::file> file);
  ~tree() override;
  tree(const tree&) = delete;
  tree& operator=(const tree&) = delete;

  result<void> commit(const storage::index_changes& changes) override {
    return lmdb_->commit(changes);
  }
  std::uint64_t transaction() const override { return lmdb_->transaction(); }

  /// The system's calls, as LMDB makes them. False: refused.
  [[nodiscard]] bool write(std::uint64_t offset, std::span<const std::byte> bytes);
  [[nodiscard]] bool sync();

private:
  tree(disk_env& in, std::string path, std::shared_ptr<disk::file> file, ino_t number);

  disk_env& env_;
  std::string path_;
  std::shared_ptr<disk::file> file_;
  ino_t number_; ///< of the file in memory
  std::optional<storage::lmdb_file> lmdb_;
};

} // namespace ovir::swarm
