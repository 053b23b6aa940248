#pragma once

#include "tests/tidy/source_text.hpp"

#include <string>
#include <vector>

/// Files that nothing leads to, and links that lead nowhere. Each rule looks at the whole tree.
namespace ovir::tidy {

/// Headers that no other file but their own .cpp includes.
[[nodiscard]] std::vector<finding> check_orphan_headers(const std::vector<source>& files);

/// Pages below docs/ that no other page links to.
[[nodiscard]] std::vector<finding> check_orphan_pages(const std::vector<source>& files);

/// Scripts named neither in README.md nor in CONTRIBUTING.md.
[[nodiscard]] std::vector<finding> check_orphan_scripts(const std::vector<source>& files);

/// Links between pages whose target is no file or folder of `existing` (paths from the root).
[[nodiscard]] std::vector<finding> check_links(const std::vector<source>& files,
                                               const std::vector<std::string>& existing);

/// Pages below docs/ that comments name ("docs/formats/digest.md", "docs/adr/0001") without there
/// being such a page. Files that are not C++ are searched whole.
[[nodiscard]] std::vector<finding> check_mentions(const std::vector<source>& files,
                                                  const std::vector<std::string>& existing);

/// Targets of the links of a Markdown page, as paths from the root, without web addresses and
/// links within a page.
struct link {
  std::string target;
  std::size_t line{0};
};
[[nodiscard]] std::vector<link> links_of(const source& page);

} // namespace ovir::tidy
