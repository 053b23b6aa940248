#pragma once

#include "apps/ovir/base/command.hpp"
#include "node/local_cluster.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace ovir::apps {

/// What `ovir run` keeps for the next time, unless told otherwise.
struct cache_options {
  bool off{false};
  bool explain{false}; ///< say what was reused, and why the rest was computed
  std::string memory{"256M"};
  std::string disk{"4G"};
};
void add_cache_options(CLI::App& command, cache_options& options);

/// A file as the system knows it. As long as nobody writes to a file, these stay; whoever writes
/// cannot set `changed` back.
struct file_identity {
  std::uint64_t device{0};
  std::uint64_t file{0};
  std::uint64_t bytes{0};
  std::uint64_t modified_ns{0};
  std::uint64_t changed_ns{0};
  friend bool operator==(const file_identity&, const file_identity&) = default;
};
/// Nothing where `path` is empty or is no file.
[[nodiscard]] std::optional<file_identity> identity_of(const std::string& path);

/// The cache over the store of the state folder. Nothing where it was switched off, or, with a note
/// why, where there is no store to be had: then everything is computed. `before`: the model file's
/// identity before it was opened; where it is the same now, the model's name is looked up by it.
/// Fails for sizes that are none.
[[nodiscard]] result<std::optional<supervision::cluster_cache>>
open_cache(const cache_options& options, const ready_model& model,
           const std::optional<file_identity>& before, surroundings& around);

/// What the cache did for a run, in lines for people.
[[nodiscard]] std::string explanation_of(const supervision::run_report& run,
                                         const actors::cache_report& cache, bool off);

} // namespace ovir::apps
