#pragma once

#include "messages/digest.hpp"
#include "messages/evidence/addendum.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"
#include "verify/addendum_check.hpp"

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {

/// The receipts of this node's requests, and what verifiers signed about them: what an endpoint
/// shows of an answer. Receipts are in memory, the latest within limits::kept_answers_bytes_max;
/// addenda are files below `audits/addenda/` as well, by their receipt's digest, those of the
/// latest limits::addenda_receipts_max receipts. Thread-safe; no caller waits for the disk but who
/// puts something down.
class addendum_shelf {
public:
  using receipt_bytes = std::shared_ptr<const std::vector<std::byte>>;
  using time_point = storage::env::time_point;
  struct answer {
    digest name; ///< of the receipt
    receipt_bytes bytes;
  };
  /// What is known about a receipt beside what it says.
  struct news {
    std::vector<addendum> addenda;
    std::optional<std::chrono::nanoseconds> age; ///< since it was closed here; none: it was not
    bool unentered{false}; ///< no entry of a log is about it, within limits::audit_entry_wait
  };

  /// Makes the folder and reads what is in it. `env` outlives it. What cannot be read is not kept.
  [[nodiscard]] static std::unique_ptr<addendum_shelf> open(storage::env& env,
                                                            const std::string& state);

  /// The answer to `request` has this receipt. `closed_now`: else it was kept from before.
  void hold(request_id request, receipt_bytes bytes, bool closed_now);
  void note_unentered(const digest& receipt);
  /// Keeps it, if it counts. `not_found`: no receipt of this name is here. `over_limit`: others
  /// said enough. Any other error is of the addendum, in `fault`.
  [[nodiscard]] result<void> take(const addendum& a, std::optional<compute::addendum_fault>& fault);

  [[nodiscard]] std::optional<answer> find(request_id request) const;
  [[nodiscard]] news about(const digest& receipt) const;

private:
  struct entry {
    receipt_bytes bytes;                                      ///< null: addenda of an earlier life
    std::shared_ptr<const compute::addendum_subject> subject; ///< from the first check on
    std::vector<addendum> addenda;
    std::optional<time_point> closed;
    bool unentered{false};
  };

  addendum_shelf(storage::env& env, std::string folder) : env_(env), folder_(std::move(folder)) {}
  void read_all();
  void drop_oldest();
  [[nodiscard]] result<void> write(const digest& receipt, const std::vector<addendum>& all);

  storage::env& env_;
  const std::string folder_;
  mutable std::mutex guard_;
  std::map<digest, entry> entries_;
  std::map<request_id, digest> requests_;
  std::deque<std::pair<request_id, digest>> order_; ///< oldest first
  std::size_t bytes_{0};
  std::deque<digest> written_; ///< oldest first
};

} // namespace ovir::actors
