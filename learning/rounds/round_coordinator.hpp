#pragma once

#include "learning/rounds/letters.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::learning {

/// What a coordinator waits for.
enum class round_phase : std::uint8_t {
  keys,    ///< adverts
  shares,  ///< sealed shares
  updates, ///< masked updates; in the mode open, updates
  votes,   ///< on the list of survivors
  openings,
  summed, ///< there is a sum
  failed,
};

[[nodiscard]] std::string_view to_string(round_phase phase) noexcept;

struct round_sum {
  std::vector<node_id> survivors; ///< sorted
  std::vector<std::int64_t> sum;  ///< of their updates with noise, exactly
};

/// The coordinator of one round. Letters in and out; when a phase ends is the caller's to say. The
/// same letters and ends in the same order give the same state: a journal of them restores it.
/// Holds the running sum of updates, not each of them.
class round_coordinator {
public:
  /// Precondition: `check_task` accepts the task.
  explicit round_coordinator(round_task task);

  /// Takes a letter of `from`, whose key the link proved. The same letter again is a success that
  /// changes nothing. `malformed` or `digest_mismatch` where it breaks the protocol, `timed_out`
  /// where its phase is over, `superseded` for a second letter of other content: the first stays.
  [[nodiscard]] result<void> take(const node_id& from, const letter& in);
  /// Whether `take` of this letter would change anything: what a journal has to hold.
  [[nodiscard]] bool is_new(const letter& in) const;

  [[nodiscard]] round_phase phase() const noexcept { return phase_; }
  /// All have answered that may.
  [[nodiscard]] bool is_complete() const;
  /// Enough have answered to go on without the others.
  [[nodiscard]] bool is_enough() const;
  /// Goes on to the next phase with those who answered; `failed` where they are too few, or where
  /// secrets cannot be rebuilt. Precondition: neither summed nor failed.
  void end_phase();

  /// What this worker should hear now; nothing while it is its turn or others' to answer.
  [[nodiscard]] std::optional<letter> letter_for(const node_id& worker) const;

  /// Whether this worker's letter of this phase came.
  [[nodiscard]] bool has_answered(const node_id& worker) const;
  /// Who answered to the end: they wait for the receipt. In the phase `summed`.
  [[nodiscard]] std::vector<node_id> finishers() const;

  /// In the phase `summed`.
  [[nodiscard]] const round_sum& outcome() const noexcept { return outcome_; }
  /// In the phase `failed`: one sentence.
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const round_task& task() const noexcept { return task_; }
  /// Workers whose letter of this phase came, and of how many.
  [[nodiscard]] std::size_t answered() const;
  [[nodiscard]] std::size_t expected() const;

private:
  /// Of an update that came.
  struct taken_update {
    digest name; ///< of the letter
    digest commitment;
  };

  [[nodiscard]] result<void> take_new(const letter& in);
  [[nodiscard]] result<void> take_advert(const key_advert& a);
  [[nodiscard]] result<void> take_shares(const sealed_shares& s);
  [[nodiscard]] result<void> take_update(const std::vector<std::uint64_t>& values,
                                         const node_id& from, taken_update taken);
  [[nodiscard]] result<void> take_vote(const survivor_vote& v);
  [[nodiscard]] result<void> take_opening(const opened_shares& o);
  [[nodiscard]] std::size_t needed() const;
  [[nodiscard]] result<void> unmask();
  [[nodiscard]] result<void> take_self_mask(const node_id& survivor);
  [[nodiscard]] result<void> take_pair_masks(const node_id& vanished);
  template <class Right>
  [[nodiscard]] result<secret32> secret_of(const node_id& worker, share_kind kind,
                                           const Right& is_right) const;
  [[nodiscard]] std::vector<node_id> survivors() const;
  [[nodiscard]] share_delivery delivery_for(const node_id& worker) const;
  void fail_round(std::string reason);

  round_task task_;
  digest name_;
  round_phase phase_;
  std::map<node_id, key_advert> adverts_;
  key_list keys_;
  digest keys_name_;
  std::map<node_id, sealed_shares> shares_;
  std::map<node_id, taken_update> updates_;
  std::map<node_id, survivor_vote> votes_;
  std::map<node_id, opened_shares> openings_;
  std::vector<std::uint64_t> sum_; ///< modulo 2^64
  round_sum outcome_;
  std::string reason_;
};

} // namespace ovir::learning
