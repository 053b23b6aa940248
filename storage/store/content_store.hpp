#pragma once

#include "messages/durable_file.hpp"
#include "messages/limits/store.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"
#include "storage/store/extent_map.hpp"
#include "storage/store/store_index.hpp"
#include "storage/store/store_reader.hpp"
#include "storage/store/store_record.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

/// The content-addressed store of a node: what was computed or fetched once, kept over restarts.
namespace ovir::storage {

/// The most that each kind may take of the disk, in bytes of whole blocks.
struct store_limits {
  std::array<std::uint64_t, content_kinds.size()> bytes{};

  [[nodiscard]] static store_limits none() noexcept {
    store_limits out;
    out.bytes.fill(std::numeric_limits<std::uint64_t>::max());
    return out;
  }
};

struct store_options {
  store_limits limits{store_limits::none()};
  std::uint64_t seed{0}; ///< of the samples among which eviction chooses
};

// What a batch consists of.

/// Keeps content. Where it is there already, only its key is added, and what is better known of it
/// now: that it was verified.
struct put_content {
  content_kind kind{content_kind::weights};
  content_owner owner{};
  std::span<const std::byte> bytes{}; ///< valid until `commit` returns; not empty
  std::optional<digest> key{};        ///< unsalted; leads to this content from now on
  std::optional<digest> expected{};   ///< the content's digest, where it is known
  std::uint64_t cost_us{0};
  provenance from{};
  bool pinned{false};
};
/// Forgets an entry, pinned or not, and every key that leads to it.
struct remove_content {
  key_target target;
};
/// What is pinned is never evicted.
struct pin_content {
  key_target target;
  bool pinned{true};
};
/// Somebody computed it again, to the same bytes.
struct mark_verified {
  key_target target;
  digest statement{};
};
using store_change = std::variant<put_content, remove_content, pin_content, mark_verified>;

enum class change_outcome : std::uint8_t {
  done,
  present,      ///< a put of what was there
  no_such,      ///< the entry is not there
  too_large,    ///< alone larger than its kind's limit, or than any entry may be
  no_room,      ///< everything else of its kind is pinned or in use
  disk_full,    ///< or it refuses to be written: nothing is kept at present
  wrong_digest, ///< the bytes are not those of `expected`
  disputed,     ///< the key leads to other content, which was verified and stays
};
[[nodiscard]] std::string_view to_string(change_outcome outcome) noexcept;

/// Keeps an entry from being evicted as long as it lives. May end on any thread.
class content_lease {
public:
  content_lease() = default;

private:
  friend class content_store;
  explicit content_lease(std::shared_ptr<const int> token) : token_(std::move(token)) {}

  std::shared_ptr<const int> token_;
};

/// What a kind holds and what happened to it.
struct kind_usage {
  std::uint64_t entries{0};
  std::uint64_t bytes{0};       ///< of content
  std::uint64_t bytes_taken{0}; ///< in whole blocks: what the limit is for
  std::uint64_t pinned{0};
  std::uint64_t unverified{0};
};

using entry_place = std::pair<content_kind, digest>;

/// What lookups said of an entry since the last commit.
struct noted_use {
  std::uint32_t uses{0};
  std::uint64_t last_use{0};
  std::optional<std::uint64_t> damaged_at; ///< the offset whose bytes were wrong
};

class store_batch;

/// One folder, one process: the folder is locked, and a second process is refused with `busy`.
/// Index and blocks are files of their own (docs/adr/0018-storage.md): `index.mdb`, written by LMDB
/// and read with care, and `blocks`, where content lies in runs of whole 4 KiB blocks that no two
/// entries share.
///
/// A batch is written at once: blocks first, synced, then the index in one transaction, synced.
/// Whatever ends the process or the machine in between, a batch that `commit` confirmed is there,
/// and one that it did not confirm is there whole or not at all. Content is believed only by its
/// digest, and each record of the index only by its check, so damage of any byte of any file costs
/// entries, which are dropped and counted, and is never served.
///
/// One thread owns the store and commits; readers (`reader()`) look up beside it. Time comes from
/// the caller, in seconds since 1970.
class content_store {
public:
  /// Makes the folder where there is none. `environment` outlives the store. `busy`: another
  /// process has it. `io_failed`: the disk refuses. `unsupported`: of another version. Damage is
  /// mended and reported, no error.
  [[nodiscard]] static result<std::unique_ptr<content_store>>
  open(env& environment, const std::string& folder, const store_options& options);
  ~content_store();
  content_store(const content_store&) = delete;
  content_store& operator=(const content_store&) = delete;

  /// Writes a batch of at most `limits::store_changes_max` changes, in order, and with it what was
  /// noted since the last one; evicts what the limits demand. Outcomes in the order of the changes.
  /// Outcomes are final: the batch is on the disk. An error (`io_failed`, `unsupported`) means that
  /// the store cannot be used at all; a full disk is none, but an outcome and a warning.
  [[nodiscard]] result<std::vector<change_outcome>> commit(std::span<const store_change> changes,
                                                           std::uint64_t now);

  /// For lookups on other threads; ask again after `generation()` changed.
  [[nodiscard]] store_reader reader() const { return store_reader{view_}; }
  /// Grows whenever the files had to be opened anew, which leaves older readers with nothing.
  [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }

  /// Remembers what a lookup found: a use, a miss, or damage. Written with the next commit; uses
  /// beyond `limits::store_notes_max` are forgotten.
  void note(const lookup_answer& answer, std::uint64_t now);
  /// A lookup and its note.
  [[nodiscard]] lookup_answer get(content_kind kind, const content_owner& owner,
                                  const digest& content, std::uint64_t now);
  [[nodiscard]] lookup_answer get_by_key(const content_owner& owner, const digest& key,
                                         std::uint64_t now);

  [[nodiscard]] content_lease lease(const key_target& target);

  [[nodiscard]] const kind_usage& usage(content_kind kind) const noexcept {
    return usage_[index_of(kind)];
  }
  /// Including what was noted and is not yet written.
  [[nodiscard]] const kind_counters& counters(content_kind kind) const noexcept {
    return counters_[index_of(kind)];
  }
  [[nodiscard]] const store_limits& limits() const noexcept { return options_.limits; }
  /// Of opening it, this time.
  [[nodiscard]] const index_report& report() const noexcept { return report_; }
  [[nodiscard]] std::uint64_t bytes_on_disk() const noexcept;

  /// Every entry, by kind and name.
  [[nodiscard]] result<void> visit(const std::function<void(const entry&)>& visitor) const;

  /// A sentence for the log, once, after something went wrong that is not an error of the caller's:
  /// the disk is full, damage was mended.
  [[nodiscard]] std::optional<std::string> take_warning();

  /// Writes the index anew without gaps and gives free blocks back to the disk. Readers must be
  /// asked for again.
  [[nodiscard]] result<void> compact();

private:
  /// What the index says in all, gathered while it is read.
  struct loaded;

  content_store(env& environment, std::string folder, const store_options& options,
                std::unique_ptr<held_lock> lock);
  [[nodiscard]] result<void> reopen();
  [[nodiscard]] result<std::vector<change_outcome>>
  try_commit(std::span<const store_change> changes, std::uint64_t now);
  [[nodiscard]] result<std::vector<change_outcome>> plan(store_batch& b,
                                                         std::span<const store_change> changes);
  [[nodiscard]] result<bool> write(store_batch& b);
  void settle(store_batch& b);
  void give_up(store_batch& b);
  void disk_refused(const error& why, std::uint64_t now);
  void give_back_blocks();

  std::string folder_;
  store_options options_;
  std::unique_ptr<held_lock> lock_;
  std::optional<store_index> index_;
  std::shared_ptr<durable_file> blocks_;
  std::shared_ptr<store_view> view_;
  extent_map extents_;
  std::array<kind_usage, content_kinds.size()> usage_{};
  std::array<kind_counters, content_kinds.size()> counters_{};
  index_report report_;
  std::uint64_t generation_{0};
  std::uint64_t draws_{0};
  std::map<entry_place, noted_use> notes_;
  std::array<bool, content_kinds.size()> counted_{}; ///< counters differ from the index
  std::map<entry_place, std::weak_ptr<const int>> leases_;
  bool suspect_{false};                   ///< a lookup met a damaged page of the index
  std::optional<std::uint64_t> retry_at_; ///< the disk refused; nothing is kept until then
  std::optional<std::string> warning_;
  env& env_;
};

} // namespace ovir::storage
