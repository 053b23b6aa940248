#pragma once

#include "tests/tidy/source_text.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The arrows between folders. Each folder's README has one line
///
///     May include: messages, std, fmt; PCRE2 in pre_tokenizer.cpp
///
/// in which clauses are separated by semicolons, names by commas, and `in` limits a clause to files
/// of the folder (patterns with `*`). A name is a folder, `std`, or a library of the table in
/// layering.cpp. A folder may always include itself. `everything` allows everything.
namespace ovir::tidy {

/// One clause of the line.
struct allowance {
  std::vector<std::string> names;
  std::vector<std::string> files; ///< patterns relative to the folder; empty: every file
};

/// The clauses of a README, or nothing when it has no such line.
[[nodiscard]] std::optional<std::vector<allowance>> parse_may_include(std::string_view readme);

/// Names the parsed line uses that mean nothing; a typing error would otherwise allow nothing and
/// be found much later.
[[nodiscard]] std::vector<finding> check_names(const source& readme,
                                               const std::vector<std::string>& folders);

/// Includes of `file` that `allowances`, those of its folder, do not allow.
[[nodiscard]] std::vector<finding> check_layering(const source& file,
                                                  const std::vector<allowance>& allowances);

/// Libraries the offline auditor must not be linked with, found among the output of
/// `readelf --dynamic`.
[[nodiscard]] std::vector<finding> check_auditor_links(std::string_view readelf_output);

} // namespace ovir::tidy
