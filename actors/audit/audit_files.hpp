#pragma once

#include "ledger/audit/track_record.hpp"
#include "messages/evidence/audit.hpp"
#include "storage/env/env.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {

/// What a node keeps of audits below its state folder (docs/formats/audit.md): `audits/events-N`,
/// one file of events for each life of a verifier, `audits/convictions/KEY`, and
/// `audits/open/NAME`, receipts in which something was found that is not settled yet. What was
/// appended survives the process. `env` outlives it. One thread.
class audit_files {
public:
  /// Makes the folders. `state`: the node's.
  [[nodiscard]] static result<audit_files> open(storage::env& env, const std::string& state);

  /// All events of earlier lives, oldest first. Of a file that is damaged, those before the damage.
  /// The oldest files beyond limits::audit_log_entries_max events are removed.
  [[nodiscard]] result<std::vector<ledger::track_event>> read_events();
  [[nodiscard]] result<void> append(std::span<const ledger::track_event> events);

  /// Every conviction that was kept and still reads as one.
  [[nodiscard]] std::vector<conviction> read_convictions();
  [[nodiscard]] result<void> keep(const conviction& c);
  /// Until it is dropped. `over_limit`.
  [[nodiscard]] result<void> keep_open(std::span<const std::byte> receipt);
  void drop_open(const digest& name);
  /// Each by its name, which is its `receipt_digest`.
  [[nodiscard]] std::vector<std::pair<digest, std::vector<std::byte>>> read_open();
  /// What was kept for reuse before this conviction is gone, from the disk as well.
  [[nodiscard]] result<void> note_quarantine(const node_id& guilty);
  [[nodiscard]] bool is_quarantined(const node_id& guilty) const;
  /// The one of this key. `not_found`, or what is wrong with it.
  [[nodiscard]] result<conviction> read_conviction(const node_id& guilty);

private:
  [[nodiscard]] result<conviction> read_file(const std::string& path);
  audit_files(storage::env& env, std::string folder) : env_(&env), folder_(std::move(folder)) {}

  storage::env* env_;
  std::string folder_;
  std::unique_ptr<storage::append_file> events_; ///< of this life
  std::array<std::byte, 16> last_{};
};

/// For who keeps the ledger: the conviction of a node that this node's own verifier examined, and
/// replayed where the model is, as one message. `busy` where there is none yet.
[[nodiscard]] std::function<result<std::vector<std::byte>>(const node_id& guilty)>
examined_convictions(storage::env& env, const std::string& state);

} // namespace ovir::actors
