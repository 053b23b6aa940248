#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

/// The log of one running request on disk. Removed by `done`, else kept for the next start.
class journal_entry {
public:
  explicit journal_entry(std::unique_ptr<storage::append_file> file) : file_(std::move(file)) {}

  /// Hands the token to the operating system before the requester hears of it, so that it survives
  /// the process. The disk itself is not waited for: a token is determined, and is drawn again.
  [[nodiscard]] result<void> append(const drawn_token& drawn);

private:
  std::unique_ptr<storage::append_file> file_;
};

/// The requests this node drives, a file each (docs/formats/request-log.md), so that a scheduler
/// that was killed goes on where it was. Thread-safe. A log that cannot be removed is tried again
/// whenever another begins or ends, and when this ends: a full disk brings no request back.
class request_journal {
public:
  ~request_journal() { remove_left(); }
  request_journal(const request_journal&) = delete;
  request_journal& operator=(const request_journal&) = delete;

  /// `env` outlives it. The folder is made when missing.
  [[nodiscard]] static result<std::unique_ptr<request_journal>> open(storage::env& env,
                                                                     std::string folder);

  /// Writes the request as it is now, over an older log of the same id.
  [[nodiscard]] result<std::unique_ptr<journal_entry>> begin(const request_log& log);
  /// Its client cancelled it: no later life of this node goes on with it, even after a loss of
  /// power. `io_failed` where the disk does not take that, and one may.
  [[nodiscard]] result<void> withdraw(request_id request);
  /// The request is over, or another drives it.
  void done(request_id request);
  /// What an earlier life of this node left unfinished. A log cut short by a crash is read up to
  /// there; one that is damaged in front is left where it is and skipped.
  [[nodiscard]] std::vector<request_log> unfinished();

private:
  request_journal(storage::env& env, std::string folder) : env_(env), folder_(std::move(folder)) {}
  [[nodiscard]] std::string path(request_id request) const;
  void remove_left();

  storage::env& env_;
  std::string folder_;
  std::mutex guard_;
  std::set<request_id> left_; ///< not removed yet; at most limits::requests_active_max
};

} // namespace ovir::actors
