#pragma once

#include "ledger/audit/audit_draw.hpp"
#include "storage/env/env.hpp"

#include <string>
#include <vector>

namespace ovir::actors {

/// The hash chains of a verifier, whose links are its part of draws from the log: a secret seed
/// each, `STATE/audits/chain-NUMBER`, made before the ledger is told of its end. `env` outlives it.
class chain_files {
public:
  /// Those that are there; of limits::audit_chain_links links each. What cannot be read is left
  /// out.
  [[nodiscard]] static result<chain_files> open(storage::env& env, const std::string& state);

  /// A new one, which lasts.
  [[nodiscard]] result<void> add();
  /// Ascending: the newest is the last.
  [[nodiscard]] const std::vector<ledger::hash_chain>& chains() const noexcept { return chains_; }
  /// Forgets the oldest ones but `most`.
  void keep(std::size_t most);

private:
  chain_files(storage::env& env, std::string folder) : env_(&env), folder_(std::move(folder)) {}
  [[nodiscard]] std::string path_of(std::uint64_t number) const;

  storage::env* env_;
  std::string folder_;
  std::vector<std::uint64_t> numbers_;
  std::vector<ledger::hash_chain> chains_;
};

} // namespace ovir::actors
