#pragma once

#include "ledger/raft/journal.hpp"
#include "storage/env/env.hpp"

#include <string>
#include <utility>

namespace ovir::actors {

/// The journal of one of several keepers, as files in the folder of its ledger: `agreement/1` and
/// so on (docs/formats/raft-journal.md). One thread at a time; `environment` outlives it.
class journal_folder final : public raft::journal_files {
public:
  /// The folder of the ledger is there.
  journal_folder(storage::env& environment, const std::string& ledger)
      : env_(environment), folder_(ledger + "/agreement") {}

  [[nodiscard]] result<std::vector<std::uint64_t>> list() override;
  [[nodiscard]] result<std::unique_ptr<durable_file>> open(std::uint64_t number) override;
  [[nodiscard]] result<std::unique_ptr<durable_file>> create(std::uint64_t number) override;
  [[nodiscard]] result<void> remove(std::uint64_t number) override;

private:
  [[nodiscard]] std::string path_of(std::uint64_t number) const {
    return folder_ + "/" + std::to_string(number);
  }

  storage::env& env_;
  std::string folder_;
};

} // namespace ovir::actors
