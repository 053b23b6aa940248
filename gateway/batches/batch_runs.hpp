#pragma once

#include "gateway/api/api_annex.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/batches/batch_folder.hpp"
#include "gateway/batches/batch_shelf.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ovir::gateway {

/// Runs the first on a thread that may wait for the disk, and then the second on the server's; in
/// the order in which it was asked to.
using disk_work = std::function<void(std::function<void()> work, std::function<void()> then)>;

/// Asks the lines of batches, a few at a time, and writes what comes of them. On the server's
/// thread alone; the folder is used on that of the disk, so that no body of a client that waits has
/// to wait for it.
///
/// A line is done once its answer is on the disk: after a crash it is never asked again. One that
/// was under way is asked again under its id, so that the cluster goes on with it. A line that is
/// refused for the moment (429, 503) is asked again later, until its batch expires.
class batch_runs {
public:
  /// All outlive it. `lines_at_once`: of all batches, at least 1.
  batch_runs(const api_surroundings& around, api_asker& asker, batch_shelf& shelf,
             batch_folder& folder, disk_work on_disk, std::uint32_t lines_at_once);
  ~batch_runs();
  batch_runs(const batch_runs&) = delete;
  batch_runs& operator=(const batch_runs&) = delete;

  /// Goes on with a batch of the shelf that is not over. `restored`: an earlier life began it.
  void take(const batch_record& batch, bool restored);
  /// Ends a batch early; `done` hears its record as it then lasts, or why it does not.
  void cancel(const std::string& id, std::function<void(const result<batch_record>&)> done);
  void tick();

  [[nodiscard]] std::uint64_t lines_completed() const noexcept { return completed_; }
  [[nodiscard]] std::uint64_t lines_failed() const noexcept { return failed_; }

private:
  struct run;
  class line_exchange;
  using run_pointer = std::shared_ptr<run>;

  void go_on(const run_pointer& r);
  void scan(const run_pointer& r);
  void load(const run_pointer& r);
  void begin_lines();
  [[nodiscard]] std::optional<std::uint32_t> next_line(run& r) const;
  void read_line(const run_pointer& r, std::uint32_t index);
  void ask(const run_pointer& r, std::uint32_t index, batch_line line);
  void take_answer(const run_pointer& r, std::uint32_t index, const http_reply& reply);
  void ask_later(const run_pointer& r, std::uint32_t index, std::uint32_t tries,
                 std::chrono::milliseconds least);
  void write(const run_pointer& r);
  void write_rest(const run_pointer& r);
  void begin_end(const run_pointer& r, batch_state state, std::optional<batch_fault> rest);
  void end(const run_pointer& r);
  void fail_input(const run_pointer& r, std::vector<batch_fault> faults);
  void stall(run& r, const error& why);
  /// Runs the first on the disk's thread while nothing else is done for `r`, and then the second.
  void elsewhere(const run_pointer& r, std::function<result<void>()> work,
                 std::function<void(const result<void>&)> then);

  const api_surroundings& around_;
  api_asker& asker_;
  batch_shelf& shelf_;
  batch_folder& folder_;
  const disk_work on_disk_;
  const std::uint32_t lines_at_once_;
  std::map<std::string, run_pointer> runs_; ///< by the batch's id
  std::string turn_;                        ///< of the batch whose line was begun last
  std::uint32_t under_way_{0};              ///< lines of all batches
  std::uint64_t completed_{0};
  std::uint64_t failed_{0};
};

} // namespace ovir::gateway
