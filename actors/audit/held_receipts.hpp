#pragma once

#include "messages/digest.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Receipts that wait for their audits, each a file `STATE/audits/held/NAME`, named by what its
/// request is about; of several about the same, as of parts of a request, those behind the first
/// `NAME.1`, `NAME.2` and so on. They survive the process. What the disk does not take is kept in
/// memory, within limits::held_receipts_memory_max. How many there are is for `drawn_audits` to
/// bound. `env` outlives it. One thread.
class held_receipts {
public:
  using bytes = std::shared_ptr<const std::vector<std::byte>>;

  /// What is no receipt about its name is removed.
  [[nodiscard]] static result<held_receipts> open(storage::env& env, const std::string& state);

  /// What earlier lives left, with its size.
  [[nodiscard]] const std::map<digest, std::size_t>& left() const noexcept { return left_; }
  /// Beside earlier ones; the oldest beyond limits::held_receipts_same_max goes. An error of the
  /// disk, where memory is full, too.
  [[nodiscard]] result<void> put(const digest& about, const bytes& receipt);
  /// Oldest first, without what the disk does not give now.
  [[nodiscard]] std::vector<bytes> get(const digest& about) const;
  void drop(const digest& about);

private:
  using place = std::pair<digest, std::uint32_t>;

  held_receipts(storage::env& env, std::string folder) : env_(&env), folder_(std::move(folder)) {}
  [[nodiscard]] std::string path_of(const place& which) const;
  void find_left();
  [[nodiscard]] bytes read(const place& which) const;
  [[nodiscard]] result<void> write(const place& which, const bytes& receipt);
  void remove(const place& which);

  storage::env* env_;
  std::string folder_;
  std::map<digest, std::size_t> left_;
  std::set<place> all_;
  std::map<place, bytes> unwritten_;
  std::size_t unwritten_bytes_{0};
};

} // namespace ovir::actors
