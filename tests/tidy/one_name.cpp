#include "tests/tidy/one_name.hpp"

#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <utility>

namespace ovir::tidy {

namespace {

/// What a brace belongs to. Only named namespaces have types that other files can see.
struct scope {
  bool open{false}; ///< a named namespace
  std::string name;
};

struct place {
  std::string path;
  std::size_t line{0};
};

scope scope_of(const std::string& head, const std::vector<scope>& around, std::string& type) {
  static const std::regex space{R"(^\s*(?:inline\s+)?namespace\s*([\w:]*)\s*$)"};
  static const std::regex kind{
      R"((?:^|[\s>])(?:struct|class|union|enum)\s+(?:class\s+)?(?:\[\[\w+\]\]\s*)?)"
      R"((\w+)(?:\s+final)?\s*(?::[^:][^]*)?$)"};
  std::smatch found;
  if (std::regex_search(head, found, space)) {
    return {found[1].length() > 0, found[1].str()};
  }
  const bool visible =
      std::all_of(around.begin(), around.end(), [](const scope& s) { return s.open; });
  if (visible && head.find('(') == std::string::npos && std::regex_search(head, found, kind)) {
    type = found[1].str();
  }
  return {};
}

} // namespace

std::vector<finding> check_one_name(const std::vector<source>& files) {
  std::map<std::string, place> defined;
  std::vector<finding> findings;
  for (const source& file : files) {
    if (!is_cpp(file.path)) {
      continue;
    }
    const std::string text = without_directives(without_comments_and_strings(file.text));
    std::vector<scope> around;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
      if (text[at] == '{') {
        std::string type;
        scope inner = scope_of(text.substr(begin, at - begin), around, type);
        if (!type.empty()) {
          std::string name;
          for (const scope& s : around) {
            name += s.name + "::";
          }
          const auto line = static_cast<std::size_t>(
              1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
          const auto [known, fresh] = defined.emplace(name + type, place{file.path, line});
          if (!fresh && known->second.path != file.path) {
            findings.push_back({file.path, line,
                                "defines " + name + type + ", as does " + known->second.path +
                                    ": the linker would mix them"});
          }
        }
        around.push_back(std::move(inner));
      } else if (text[at] == '}' && !around.empty()) {
        around.pop_back();
      }
      if (text[at] == '{' || text[at] == '}' || text[at] == ';') {
        begin = at + 1;
      }
    }
  }
  return findings;
}

} // namespace ovir::tidy
