#pragma once

#include "ledger/raft/journal.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace ovir::test {

/// The files of a journal in memory, with a power switch: what is written waits for a sync.
class raft_disk final : public raft::journal_files {
public:
  struct content {
    std::vector<std::byte> now;
    std::vector<std::byte> lasting;
    std::vector<std::pair<std::uint64_t, std::vector<std::byte>>> waiting; ///< offset and bytes
  };

  [[nodiscard]] result<std::vector<std::uint64_t>> list() override;
  [[nodiscard]] result<std::unique_ptr<durable_file>> open(std::uint64_t number) override;
  [[nodiscard]] result<std::unique_ptr<durable_file>> create(std::uint64_t number) override;
  [[nodiscard]] result<void> remove(std::uint64_t number) override;

  /// Of what waits for a sync, each sector is there or not.
  void cut_power(std::mt19937_64& chance);
  void lose() { files.clear(); }
  /// Counts a call; false once too many were made.
  [[nodiscard]] bool works();

  std::map<std::uint64_t, std::shared_ptr<content>> files;
  std::uint64_t calls_until_failure{~std::uint64_t{0}};
};

} // namespace ovir::test
