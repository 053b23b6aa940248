#pragma once

#include "ledger/rules/command.hpp"
#include "ledger/rules/epochs.hpp"
#include "ledger/rules/state.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

/// Who has to audit what, drawn from the log: everybody who has it draws the same, and nobody
/// chooses (docs/adr/0023-draw-from-the-log.md).
namespace ovir::ledger {

/// One window of positions of one signer of one request, as one share pays for it.
struct audit_unit {
  escrow_id request;
  std::uint32_t window{0}; ///< of positions
  node_id signer;
  digest statement; ///< of the share
  friend bool operator==(const audit_unit&, const audit_unit&) = default;
};
struct drawn_unit {
  audit_unit unit;
  std::vector<node_id> verifiers; ///< who have to audit it; none where nobody may
  friend bool operator==(const drawn_unit&, const drawn_unit&) = default;
};

/// H("ovir/ledger/v1/unit"; its fields).
[[nodiscard]] digest digest_of(const audit_unit& u);
/// H("ovir/ledger/v1/seed"; chain, count, key and link of each).
[[nodiscard]] digest epoch_seed(const digest& chain, std::span<const epoch_verifier> verifiers);

/// What one accrual says of the units that it pays for.
struct epoch_accrual {
  struct share {
    node_id signer;
    digest statement;
    std::uint64_t rate_ppm{0}; ///< of its signer when the epoch was closed; convicted: 0
  };
  escrow_id request;
  std::uint32_t first{0}; ///< window of positions
  std::uint32_t windows{0};
  std::vector<std::uint16_t> barred; ///< places of verifiers that are of its path, or pay, or drive
  std::vector<share> shares;
};

/// An epoch of which everything is known.
struct epoch_draw {
  std::uint64_t number{0};
  std::uint64_t first{0}; ///< its first entry
  std::uint64_t last{0};  ///< the one that closed it
  digest chain;           ///< the log's hash chain behind that
  std::uint32_t auditors{0};
  std::vector<epoch_verifier> verifiers; ///< ascending; a link of zeros is overdue
  std::vector<epoch_accrual> accruals;   ///< at most limits::epoch_units_max units

  /// Every link is there.
  [[nodiscard]] bool complete() const;
  [[nodiscard]] digest seed() const { return epoch_seed(chain, verifiers); }
  /// Each unit that is drawn, in the order of the log. Nothing without verifiers.
  void each_drawn(const std::function<void(const drawn_unit&)>& visit) const;
};

/// Those that `verifier` has to audit.
[[nodiscard]] std::vector<audit_unit> duties_of(const epoch_draw& d, const node_id& verifier);

/// Reads a log entry by entry (`entry_watch`, `verify_log`) and tells each epoch once: when its
/// last link is in the log, or when it is final. Keeps the shares of two epochs. One that begins
/// within a log begins with the first epoch that it sees whole.
class epoch_reader {
public:
  /// The next entry, the hash chain behind it, and the state after it.
  [[nodiscard]] std::vector<epoch_draw> take(std::uint64_t index, const entry& e,
                                             const digest& chain, const state& after);

  /// To go on later behind the entry that was taken last.
  [[nodiscard]] std::vector<std::byte> snapshot() const;
  /// Inverse of `snapshot`. `malformed` for anything else.
  [[nodiscard]] static result<epoch_reader> restore(std::span<const std::byte> bytes);

private:
  void note(const accrue& x, const state& after);
  void close(std::uint64_t index, const digest& chain, const state& after);

  std::optional<epoch_draw> current_; ///< none before it saw one begin
  std::optional<epoch_draw> closed_;  ///< waits for links
};

} // namespace ovir::ledger
