#pragma once

#include "apps/exit_code.hpp"
#include "apps/ovir/shell/shell_client.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace ovir::apps {

/// Runs lines of commands and shows what comes of them: text of answers and tables on standard
/// output, notes, summaries and errors on standard error.
class shell_session {
public:
  /// All outlive it. `as_json`: each line prints one document and nothing else on standard output:
  /// a command's data, a list of them for several, {"error": {"code", "message"}} in place of the
  /// one that failed.
  shell_session(shell_client& client, storage::env& environment, bool as_json)
      : client_(client), environment_(environment), as_json_(as_json) {}

  /// Sends a command to the node that a failure with code `elsewhere` names.
  using other_node = std::function<shell_outcome(
      const shell_failure& where, const shell_command& command, const shell_listener& listener)>;
  void on_elsewhere(other_node call) { elsewhere_ = std::move(call); }

  /// Runs the commands of a line until one fails, whose exit code it returns; `io_failed` when
  /// nobody reads standard output.
  [[nodiscard]] result<exit_code> run_line(std::string_view line);
  /// True after `exit`.
  [[nodiscard]] bool over() const noexcept { return over_; }

private:
  [[nodiscard]] shell_outcome run_words(const std::vector<std::string>& words);
  [[nodiscard]] shell_outcome run_command(shell_command command);
  [[nodiscard]] result<exit_code> report(const shell_failure& failure) const;
  [[nodiscard]] result<void> keep_receipt(const std::string& path, json& data);
  [[nodiscard]] result<void> fetch_receipt(const json& data, storage::staged_file& file);
  [[nodiscard]] result<void> read_head(shell_command& command) const;
  [[nodiscard]] result<void> keep_proof(const std::string& path, json& data);
  [[nodiscard]] result<void> keep_trace(const std::string& path, json& data);
  void show(std::string_view text);
  void show_event(const shell_command& command, const json& event);

  shell_client& client_;
  storage::env& environment_;
  bool as_json_;
  other_node elsewhere_;
  bool over_{false};
  std::optional<error> output_failed_;
};

} // namespace ovir::apps
