#pragma once

#include "apps/console.hpp"

#include <string>
#include <string_view>
#include <vector>

/// What of a node goes into a report about a fault, which strangers read: no secret, no prompt, no
/// name or address of anyone. What is not known to be harmless is left out.
namespace ovir::apps {

/// Of `document_of(node_options)`: numbers, switches, and words of the program's own; of lists, how
/// long they are; of other texts, that they are set.
[[nodiscard]] json config_for_report(const json& config);

/// The last limits::report_log_lines_max lines of a node's log, text or JSON. Words, times and
/// plain numbers stay; keys, addresses, paths, names with digits, whatever is quoted, and words
/// that `config` has as a name become "…".
[[nodiscard]] std::vector<std::string> log_for_report(std::string_view log, const json& config);

} // namespace ovir::apps
