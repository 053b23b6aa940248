#include "tests/tidy/orphans.hpp"

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

namespace ovir::tidy {

namespace {

std::string stem_of(std::string_view path) { return std::string{path.substr(0, path.rfind('.'))}; }

bool is_page(std::string_view path) { return path.ends_with(".md"); }

/// The comments of C++, everything else blanked; other texts as they are.
std::string prose_of(const source& file) {
  if (!is_cpp(file.path)) {
    return file.text;
  }
  std::string prose = file.text;
  const std::string code = without_comments(file.text);
  for (std::size_t i = 0; i < prose.size(); ++i) {
    if (code[i] == prose[i] && prose[i] != '\n') {
      prose[i] = ' ';
    }
  }
  return prose;
}

} // namespace

std::vector<finding> check_orphan_headers(const std::vector<source>& files) {
  std::set<std::string> included;
  for (const source& file : files) {
    if (!is_cpp(file.path)) {
      continue;
    }
    for (const include& i : includes_of(file.text)) {
      if (i.quoted && stem_of(i.target) != stem_of(file.path)) {
        included.insert(i.target);
      }
    }
  }
  std::vector<finding> found;
  for (const source& file : files) {
    if (file.path.ends_with(".hpp") && !included.contains(file.path)) {
      found.push_back({file.path, 0, "no other file includes this header"});
    }
  }
  return found;
}

std::vector<link> links_of(const source& page) {
  static const std::regex pattern{R"(\]\(([^)\s#]+)(#[^)]*)?\))"};
  const std::filesystem::path folder = std::filesystem::path{page.path}.parent_path();
  std::vector<link> links;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(page.text)) {
    ++number;
    std::regex_iterator<std::string_view::const_iterator> at{line.begin(), line.end(), pattern};
    for (; at != decltype(at){}; ++at) {
      const std::string target = (*at)[1].str();
      if (target.find("://") == std::string::npos && !target.starts_with("mailto:")) {
        std::string path = (folder / target).lexically_normal().generic_string();
        if (path.ends_with('/')) {
          path.pop_back();
        }
        links.push_back({std::move(path), number});
      }
    }
  }
  return links;
}

std::vector<finding> check_orphan_pages(const std::vector<source>& files) {
  std::set<std::string> linked;
  for (const source& file : files) {
    if (is_page(file.path)) {
      for (const link& l : links_of(file)) {
        if (l.target != file.path) {
          linked.insert(l.target);
        }
      }
    }
  }
  std::vector<finding> found;
  for (const source& file : files) {
    const bool reachable = linked.contains(file.path);
    if (is_page(file.path) && folder_of(file.path) == "docs" && !reachable) {
      found.push_back({file.path, 0, "no page links to this one; add it to docs/README.md"});
    }
  }
  return found;
}

std::vector<finding> check_orphan_scripts(const std::vector<source>& files) {
  std::string manuals;
  for (const source& file : files) {
    if (file.path == "README.md" || file.path == "CONTRIBUTING.md") {
      manuals += file.text;
    }
  }
  std::vector<finding> found;
  for (const source& file : files) {
    const bool named = std::regex_search(
        manuals, std::regex{std::regex_replace(file.path, std::regex{R"(\.)"}, "\\.") + R"(\b)"});
    if (folder_of(file.path) == "scripts" && !named) {
      found.push_back({file.path, 0, "neither README.md nor CONTRIBUTING.md names this script"});
    }
  }
  return found;
}

std::vector<finding> check_links(const std::vector<source>& files,
                                 const std::vector<std::string>& existing) {
  const std::set<std::string> known{existing.begin(), existing.end()};
  std::vector<finding> found;
  for (const source& file : files) {
    if (!is_page(file.path)) {
      continue;
    }
    for (const link& l : links_of(file)) {
      if (!known.contains(l.target)) {
        found.push_back({file.path, l.line, "links to " + l.target + ", which does not exist"});
      }
    }
  }
  return found;
}

std::vector<finding> check_mentions(const std::vector<source>& files,
                                    const std::vector<std::string>& existing) {
  static const std::regex pattern{R"(\bdocs/[\w/-]*\w(\.md)?)"};
  const auto exists = [&](const std::string& name) {
    return std::any_of(existing.begin(), existing.end(), [&](const std::string& path) {
      return path == name || (path.starts_with(name) && path[name.size()] == '-');
    });
  };
  std::vector<finding> found;
  for (const source& file : files) {
    if (is_page(file.path) || file.text.find("docs/") == std::string::npos) {
      continue; // the links of pages are checked, and they may speak of what is to come
    }
    std::size_t number = 0;
    const std::string prose = prose_of(file);
    for (const std::string_view line : lines_of(prose)) {
      ++number;
      std::regex_iterator<std::string_view::const_iterator> at{line.begin(), line.end(), pattern};
      for (; at != decltype(at){}; ++at) {
        if (!exists(at->str())) {
          found.push_back({file.path, number, "names " + at->str() + ", which does not exist"});
        }
      }
    }
  }
  return found;
}

} // namespace ovir::tidy
