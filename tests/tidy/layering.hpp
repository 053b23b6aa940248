#pragma once

#include "tests/tidy/source_text.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The arrows between folders. Each folder with C++ in it has a README with one line
///
///     May include: messages, compute/tensor, std, fmt; PCRE2 in pretokenizer.cpp
///
/// in which clauses are separated by semicolons, names by commas, and `in` limits a clause to files
/// of the folder (patterns with `*`). A name is a folder and all below it, `std`, or a library of
/// the table in layering.cpp. A folder may always include itself. `everything` allows everything.
/// A room is a folder of the second level, such as compute/tensor.
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

/// Includes of `file`, which lies in or below `folder`, that the `allowances` of the folder do not
/// allow.
[[nodiscard]] std::vector<finding> check_layering(const source& file, std::string_view folder,
                                                  const std::vector<allowance>& allowances);

/// The first two levels of a path's folder: `compute/kernels` of `compute/kernels/x86/panel.hpp`.
[[nodiscard]] std::string room_of(std::string_view path);

/// Includes that close a circle between rooms of the same of `folders`.
[[nodiscard]] std::vector<finding> check_circles(const std::vector<source>& files,
                                                 const std::vector<std::string>& folders);

/// CAF anywhere but in `*_actor.*`, messages/caf and supervision; and headers of actors that other
/// sources of actors/ include.
[[nodiscard]] std::vector<finding> check_actors_apart(const source& file);

inline constexpr std::size_t files_per_folder_max = 60;

/// Folders with more than `files_per_folder_max` sources.
[[nodiscard]] std::vector<finding> check_folder_sizes(const std::vector<source>& files);

/// Libraries the offline auditor must not be linked with, found among the output of
/// `readelf --dynamic`.
[[nodiscard]] std::vector<finding> check_auditor_links(std::string_view readelf_output);

} // namespace ovir::tidy
