#pragma once

#include "ledger/log/merkle.hpp"
#include "ledger/log/recent_leaves.hpp"
#include "messages/digest.hpp"
#include "messages/durable_file.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

/// The append-only log of a ledger in one file (docs/formats/ledger-log.md).
namespace ovir::ledger {

/// What reading a log to its end found.
struct log_report {
  bool torn{false};            ///< a batch that was never finished lay behind the last entry
  std::uint64_t torn_bytes{0}; ///< of it
  /// The first entry that is not as it was written, or is gone: what a reader's error is about.
  std::optional<std::uint64_t> damaged_entry;
};

struct log_options {
  std::uint64_t step_bytes{limits::ledger_log_step_bytes}; ///< prepared (zeroed) at a time
  bool needs_entries{false}; ///< a log without any is left as it is, whatever lies in it
};

/// Called for each entry in order while a log is read; an error ends the reading.
using entry_visitor =
    std::function<result<void>(std::uint64_t index, std::span<const std::byte> bytes)>;

struct log_place {
  std::uint64_t first{0};  ///< index of a batch's first entry
  std::uint64_t offset{0}; ///< where the batch begins
};

/// What a log knew at one of its sizes: enough to go on from there without reading what lies before
/// (`log_index.hpp` keeps it). It is believed only where the log's own last batch leads to `chain`.
struct log_checkpoint {
  std::uint64_t size{0};       ///< entries; above 0
  std::uint64_t end{0};        ///< offset behind the last batch
  std::uint64_t last_batch{0}; ///< offset of it
  digest chain;
  merkle_frontier block;           ///< over the leaves behind the last complete run
  std::vector<digest> block_roots; ///< of all complete runs
  std::vector<log_place> places;   ///< of some batches, ascending
};

/// Batches of entries, each batch one write and one sync, in a file that is zeroed ahead, so that a
/// sync has no size and no blocks to record. A batch is there whole or not at all: its sectors are
/// never all zeros, so one that lacks a sector was torn by a loss of power and was never
/// acknowledged; one that has all its sectors and does not check is damaged, and is never dropped.
///
/// One thread at a time. `file` must outlive it.
class entry_log {
public:
  /// Begins a log in an empty file. `invalid_argument` when the file has anything in it.
  [[nodiscard]] static result<entry_log> create(durable_file& file, const log_options& options);

  /// Reads all of it, visiting each entry, removes a torn batch, and makes the rest last: another
  /// process may have written the last batch and never synced it. `digest_mismatch` names the
  /// first entry that is damaged; the file is left as it is then. `malformed` for another kind of
  /// file. With `entries_least`, a shorter log is an error: it lost what it once held. With `from`
  /// it reads and visits only what lies behind; `not_found` where that is not of this log.
  [[nodiscard]] static result<entry_log> open(durable_file& file, const log_options& options,
                                              const entry_visitor& visit, log_report& report,
                                              std::uint64_t entries_least = 0,
                                              const log_checkpoint* from = nullptr);
  /// As `open`, but changes nothing, and nothing can be appended.
  [[nodiscard]] static result<entry_log> read(durable_file& file, const entry_visitor& visit,
                                              log_report& report, std::uint64_t entries_least = 0);

  /// Adds an entry to the batch being put together. Precondition: `room_for(bytes)`.
  void stage(std::span<const std::byte> bytes);
  [[nodiscard]] bool room_for(std::size_t bytes) const noexcept;
  /// Writes the batch and waits until it lasts. Nothing to do without entries. After an error the
  /// log takes nothing more: it must be opened anew, which shows what the disk has.
  [[nodiscard]] result<void> flush();

  /// Entries that last; those staged do not count.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] digest root() const { return frontier().root(); }
  [[nodiscard]] const digest& chain() const noexcept { return chain_; }
  /// The same behind the entries that are staged.
  [[nodiscard]] const digest& staged_chain() const noexcept {
    return staged_leaves_.empty() ? chain_ : staged_chain_;
  }
  [[nodiscard]] merkle_frontier frontier() const;
  [[nodiscard]] log_checkpoint checkpoint() const;
  /// Bytes of the file in use.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return end_; }

  /// The entry's bytes, checked. `not_found` beyond the end.
  [[nodiscard]] result<std::vector<std::byte>> entry_at(std::uint64_t index) const;
  /// Visits `count` entries from `first` on, in order, each checked, until one is damaged or
  /// `visit` fails. Precondition: first + count <= size.
  [[nodiscard]] result<void> visit_range(std::uint64_t first, std::uint64_t count,
                                         const entry_visitor& visit) const;
  /// What `leaf_hash` gives for an entry; of a recent one from memory. Precondition: index < size.
  [[nodiscard]] result<digest> leaf_at(std::uint64_t index) const;
  /// As `range_root`, over this log; where no entry of an earlier time is meant, from memory.
  [[nodiscard]] result<digest> root_between(std::uint64_t first, std::uint64_t count) const;

private:
  class scanner;
  struct batch_in_file;

  explicit entry_log(durable_file& file, const log_options& options)
      : file_(&file), options_(options) {}

  [[nodiscard]] result<void> scan(const entry_visitor& visit, log_report& report, bool repair,
                                  const log_checkpoint* from = nullptr);
  [[nodiscard]] result<void> go_on_from(const log_checkpoint& from);
  [[nodiscard]] result<void> sync_last_batch();
  [[nodiscard]] result<void> prepare(std::uint64_t end);
  /// The tree with leaves that do not count yet.
  struct grown {
    merkle_frontier tree;
    merkle_frontier block;
    std::vector<digest> block_roots; ///< of the runs that became complete
    std::vector<digest> leaves;
    void append(const digest& leaf);
  };
  void take(grown&& next);
  void extend_soon();
  void note_place(std::uint64_t first, std::uint64_t offset);

  durable_file* file_;
  log_options options_;
  bool writable_{true};
  std::uint64_t size_{0};
  std::uint64_t end_{0};      ///< offset behind the last batch
  std::uint64_t last_{0};     ///< offset of the last batch
  std::uint64_t prepared_{0}; ///< the file's size: zeros from `end_` on
  digest chain_;
  merkle_frontier tree_;          ///< over the complete runs of `block_leaves`
  std::vector<log_place> places_; ///< of some batches, ascending
  merkle_nodes block_roots_;      ///< its leaves: the root of each complete run of `block_leaves`
  merkle_frontier block_;         ///< over the leaves of the last, incomplete one
  recent_leaves recent_;

  // The batch being put together.
  std::vector<std::byte> batch_;
  std::vector<digest> staged_leaves_;
  digest staged_chain_;
};

/// H("ovir/ledger/v1/chain"; before, leaf): what the log's hash chain is after an entry.
[[nodiscard]] digest chain_after(const digest& before, const digest& leaf);

} // namespace ovir::ledger
