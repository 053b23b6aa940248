#pragma once

#include "messages/digest.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Receipts that wait for their audits, each a file `STATE/audits/held/NAME`, named by what its
/// request is about. They survive the process. What the disk does not take is kept in memory,
/// within limits::held_receipts_memory_max. How many there are is for `drawn_audits` to bound.
/// `env` outlives it. One thread.
class held_receipts {
public:
  using bytes = std::shared_ptr<const std::vector<std::byte>>;

  [[nodiscard]] static result<held_receipts> open(storage::env& env, const std::string& state);

  /// What earlier lives left, with its size. What is no receipt about its name is removed.
  [[nodiscard]] std::vector<std::pair<digest, std::size_t>> left() const;
  /// In place of an earlier one. An error of the disk, where memory is full, too.
  [[nodiscard]] result<void> put(const digest& about, const bytes& receipt);
  /// Null: the disk does not give it now.
  [[nodiscard]] bytes get(const digest& about) const;
  void drop(const digest& about);

private:
  held_receipts(storage::env& env, std::string folder) : env_(&env), folder_(std::move(folder)) {}
  [[nodiscard]] std::string path_of(const digest& about) const;
  bool forget_unwritten(const digest& about);
  [[nodiscard]] result<void> write(const digest& about, const bytes& receipt);

  storage::env* env_;
  std::string folder_;
  std::map<digest, bytes> unwritten_;
  std::size_t unwritten_bytes_{0};
};

} // namespace ovir::actors
