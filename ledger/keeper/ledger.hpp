#pragma once

#include "ledger/keeper/log_index.hpp"
#include "ledger/log/head.hpp"
#include "ledger/log/log.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/state.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// A ledger: its state, and the log that the state follows from.
namespace ovir::ledger {

/// Called with each entry once it is applied: the log's hash chain behind it, and the state after
/// it (ledger/audit/epoch_draw.hpp reads so). Within a batch it may not last yet: what was learned
/// is void where the ledger fails.
using entry_watch = std::function<void(std::uint64_t index, const entry& e, const digest& chain,
                                       const state& after)>;

struct ledger_options {
  std::uint64_t seed{0}; ///< chance, for hash tables
  log_options log;
  std::uint64_t entries_least{0}; ///< by a head seen earlier; a shorter log is an error
  /// Where to begin instead of at entry 0, and quick statements; must outlive the ledger.
  derived_index* index{nullptr};
  entry_watch watch{}; ///< of entries that are read, made and followed
};

/// What opening a ledger did.
struct open_report {
  log_report log;
  std::uint64_t entries_read{0}; ///< the others were in the index
  bool index_rebuilt{false};     ///< there was none, or it was of no use
  std::string index_trouble;     ///< why the ledger goes on without it, or why it was rebuilt
};

/// What became of one command of a batch.
struct command_outcome {
  std::optional<applied> done; ///< nothing: refused
  error why;                   ///< of a refusal
  std::size_t effects_end{0};  ///< its movements are those before this place, behind the last one's
};
struct batch_outcome {
  std::vector<command_outcome> commands; ///< in the order asked
  std::vector<posting> effects;
};

/// Whether the evidence of a conviction replays; handed in by whoever can.
using evidence_check = std::function<result<void>(const convict&)>;

/// Batches in, effects out. `commit` returns when the batch lasts; so whoever answers, answers
/// then, and whoever reads, reads then. It is never on the path of a token: reservations are made
/// before a request's first, everything else follows behind.
///
/// One thread at a time; `commit` waits for the disk, so an actor runs it on its executor,
/// gathering the next batch meanwhile.
class ledger {
public:
  /// Begins one in an empty file. The policy must deter (`check`).
  [[nodiscard]] static result<ledger> create(durable_file& file, const genesis& rules,
                                             std::uint64_t now, const ledger_options& options);
  /// Replays the log. Damage is `digest_mismatch` with the entry; nothing is changed then.
  [[nodiscard]] static result<ledger> open(durable_file& file, const ledger_options& options,
                                           log_report& report);
  /// As this one; with an index it reads what the index lacks. One that is missing, damaged, older
  /// or of another log costs time, nothing else.
  [[nodiscard]] static result<ledger> open(durable_file& file, const ledger_options& options,
                                           open_report& report);

  /// Applies what can be applied, in order, and makes it last: one write, one sync. At most
  /// `limits::ledger_batch_entries_max` commands; `now` in seconds since 1970, and a clock that
  /// went back does not matter. An error (`io_failed`) means that it is unknown what of the batch
  /// lasts: this object answers nothing any more, and the ledger must be opened anew. Every command
  /// can then be sent again.
  [[nodiscard]] result<batch_outcome> commit(std::span<const authentic_command> batch,
                                             std::uint64_t now);

  /// As a follower: takes the next entries if they lead to a head that most keepers signed, or, by
  /// the proof of consistency in `path`, to a beginning of its log. Signatures, form and rules are
  /// checked as the keepers should have. `digest_mismatch`: they do not lead there, and nothing was
  /// changed; nor by a head that too few keepers signed
  /// (`invalid_argument`). Any other error: the keepers signed what breaks the rules; this object
  /// answers nothing any more, and `entries` with the head is the evidence.
  [[nodiscard]] result<void> follow(std::span<const std::vector<std::byte>> entries,
                                    const signed_head& head, const evidence_check& evidence,
                                    std::span<const digest> path = {});

  /// Writes the index as of now: for when there is time, and before closing. `commit` does it by
  /// itself, after its sync, when more than `limits::ledger_index_lines_max` movements wait. An
  /// index that cannot be written is left alone until the ledger is opened anew.
  void absorb();
  /// Movements of an account, in order. `not_found` without an index.
  [[nodiscard]] result<std::vector<statement_line>> statement(const node_id& account) const;
  /// A page of them. An index that cannot be read is left alone from then on (`indexed`).
  [[nodiscard]] result<statement_page>
  statement(const node_id& account, const statement_place& from, std::size_t lines_max);
  /// It has an index that is in use.
  [[nodiscard]] bool indexed() const noexcept { return index_.has_value(); }

  [[nodiscard]] const state& view() const noexcept { return state_; }
  [[nodiscard]] const entry_log& log() const noexcept { return log_; }
  /// The ledger's name: the leaf of its genesis entry.
  [[nodiscard]] const digest& id() const noexcept { return id_; }
  [[nodiscard]] log_head head() const;
  /// The log begins with what this head is of.
  [[nodiscard]] bool extends(const log_head& head) const;
  /// It answers: no write failed.
  [[nodiscard]] bool sound() const noexcept { return !failed_; }

  /// An entry's way to the root of the first `size` entries (index < size <= log().size()).
  [[nodiscard]] result<inclusion> prove(std::uint64_t index, std::uint64_t size) const;
  /// That the first `second` entries begin with the first `first` (0 < first <= second).
  [[nodiscard]] result<std::vector<digest>> prove_consistency(std::uint64_t first,
                                                              std::uint64_t second) const;
  /// When an entry was taken, in seconds since 1970; of the last batches from memory.
  [[nodiscard]] result<std::uint64_t> time_of(std::uint64_t index) const;
  /// The promise that an entry keeps its index. `head` is a signed one of this log that holds it.
  [[nodiscard]] result<acknowledgement> acknowledge(std::uint64_t index,
                                                    const signed_head& head) const;

private:
  ledger(entry_log log, state s) : log_(std::move(log)), state_(std::move(s)) {}
  [[nodiscard]] error failed_before() const;

  [[nodiscard]] static result<ledger> open_with(durable_file& file, const ledger_options& options,
                                                open_report& report,
                                                std::optional<log_index>& index,
                                                std::optional<log_index::loaded> from);

  entry_log log_;
  state state_;
  std::optional<log_index> index_;
  entry_watch watch_;
  digest id_;
  /// Of a batch that `commit` took.
  struct batch_time {
    std::uint64_t first; ///< entry
    std::uint64_t time;
  };
  std::deque<batch_time> times_; ///< of the last batches, one behind the other
  bool failed_{false};
  std::vector<std::byte> scratch_;
};

} // namespace ovir::ledger
