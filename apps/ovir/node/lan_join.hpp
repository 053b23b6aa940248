#pragma once

#include "actors/reach/found_table.hpp"
#include "actors/reach/lan.hpp"
#include "messages/result.hpp"
#include "messages/swarm_line.hpp"

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::apps {

/// What a search of the local network found, and how.
struct lan_findings {
  std::vector<actors::found_cluster> clusters;
  std::vector<std::string> warnings;
  std::size_t nodes{0};
  std::chrono::milliseconds last{0}; ///< from the start to the last new node
};

/// Searches for at most limits::lan_search_time. `own`: where this machine's node is to listen,
/// HOST:PORT; empty: not known. `now` is a clock that never goes back.
[[nodiscard]] result<lan_findings>
look_around(actors::lan& where, const std::string& own, const std::function<bool()>& stop,
            const std::function<std::chrono::steady_clock::time_point()>& now);

/// "2 nodes of 1 cluster, the last after 0.41 s", with the table.
[[nodiscard]] std::string findings_text(const lan_findings& found);

/// A line that a person types, after a question.
using line_asker = std::function<result<std::string>(std::string_view question)>;

/// The only cluster found, or the one that the person names. `not_found` where there is none.
[[nodiscard]] result<actors::found_cluster> chosen_by_lan(const lan_findings& found,
                                                          const line_asker& ask);
/// The line that the person has of it, completed by the addresses found.
[[nodiscard]] result<swarm_line> line_for(const actors::found_cluster& chosen,
                                          const line_asker& ask);
/// The line to join by: of the only cluster found, or of the one that the person names, completed
/// by the addresses found. Its key decides: a line of another cluster than the chosen one is
/// refused. `not_found` where nothing was found.
[[nodiscard]] result<swarm_line> line_by_lan(const lan_findings& found, const line_asker& ask);

/// Asks on standard error and reads standard input.
[[nodiscard]] result<std::string> ask_person(std::string_view question);

} // namespace ovir::apps
