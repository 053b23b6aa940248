#include "tests/tidy/classes.hpp"

#include "tests/tidy/shape.hpp"

#include <algorithm>
#include <regex>
#include <set>

namespace ovir::tidy {

namespace {

/// What begins a class, without bases: `struct name` or `class name`.
std::string class_in(const std::string& head) {
  static const std::regex kind{R"((?:^|[\s>;{}:])(?:struct|class)\s+(?:alignas\([^)]*\)\s*)?)"
                               R"((?:\[\[\w+\]\]\s*)?((?:\w+::)*\w+)(?:<[^{]*>)?(?:\s+final)?)"
                               R"(\s*(?::[^:][^]*)?$)"};
  static const std::regex enumeration{R"(\benum\s+(class|struct)\b)"};
  std::smatch found;
  if (std::regex_search(head, enumeration) || !std::regex_search(head, found, kind)) {
    return {};
  }
  return found[1].str();
}

bool is_member(std::string statement) {
  static const std::regex noise{R"(^\s*((public|private|protected)\s*:\s*)*)"};
  static const std::regex other{
      R"(^(using|typedef|friend|static|inline static|enum|struct|class|union|template|explicit)"
      R"(|virtual|constexpr|OVIR_\w+)\b)"};
  static const std::regex attribute{R"(\[\[[^\]]*\]\]\s*)"};
  static const std::regex arguments{R"(<[^<>]*>)"};
  statement = std::regex_replace(statement, noise, "");
  statement = std::regex_replace(statement, attribute, "");
  if (std::regex_search(statement, other)) {
    return false;
  }
  for (std::string before; before != statement;) { // std::function<void(int)> has parentheses
    before = statement;
    statement = std::regex_replace(statement, arguments, "");
  }
  const std::string declared = statement.substr(0, statement.find_first_of("={"));
  static const std::regex name{R"(\w[\s*&]+\w+(\[[^\]]*\])*\s*(:\s*\d+\s*)?$)"};
  return declared.find('(') == std::string::npos && std::regex_search(declared, name);
}

/// Walks over code and counts the members of each class it is in.
class class_finder {
public:
  std::vector<class_extent> run(std::string_view code) {
    for (const char c : code) {
      line_ += c == '\n' ? 1 : 0;
      if (c == '{') {
        open();
      } else if (c == '}') {
        close();
      } else if (c == ';') {
        end_statement();
      } else {
        statement_ += c;
      }
    }
    std::sort(found_.begin(), found_.end(),
              [](const class_extent& a, const class_extent& b) { return a.line < b.line; });
    return std::move(found_);
  }

private:
  struct scope {
    std::string text; ///< what stood before the brace
    class_extent type;
    bool is_class{false};
  };

  void open() {
    scope inner{statement_, {class_in(statement_), line_, 0}, false};
    inner.is_class = !inner.type.name.empty();
    scopes_.push_back(std::move(inner));
    statement_.clear();
  }
  void close() {
    if (scopes_.empty()) {
      return;
    }
    const scope ended = std::move(scopes_.back());
    scopes_.pop_back();
    statement_.clear();
    if (ended.is_class) {
      found_.push_back(ended.type);
    } else if (is_initializer(ended.text)) {
      statement_ = ended.text + "{}"; // the declaration goes on
    }
  }
  void end_statement() {
    if (!scopes_.empty() && scopes_.back().is_class && is_member(statement_)) {
      ++scopes_.back().type.members;
    }
    statement_.clear();
  }
  /// `int a_{`, `int a_ = {`, and no function, namespace or loop.
  static bool is_initializer(const std::string& text) {
    return !text.empty() && text.back() != ' ' && text.back() != '\n';
  }

  std::vector<scope> scopes_;
  std::vector<class_extent> found_;
  std::string statement_;
  std::size_t line_{1};
};

/// The qualified name before a definition's first parenthesis, without what is behind the last
/// `::`: `lead::stage` of `void lead::stage::take(int n)`.
std::string owner_of(const std::string& head) {
  static const std::regex qualified{
      R"(((?:[a-z]\w*(?:<[^()]*>)?::)+))"
      R"((?:~?\w+|operator[^\w\s(]+|operator\s*\(\)|operator\s+\w+)\s*$)"};
  const std::string before = head.substr(0, head.find('('));
  std::smatch found;
  if (!std::regex_search(before, found, qualified)) {
    return {};
  }
  const std::string chain = found[1].str();
  return chain.substr(0, chain.size() - 2);
}

std::set<std::string> namespaces_of(const std::vector<source>& files) {
  static const std::regex space{R"(\bnamespace\s+([\w:]+))"};
  std::set<std::string> names{"std"};
  for (const source& file : files) {
    const std::string code = is_cpp(file.path) ? without_comments(file.text) : std::string{};
    std::sregex_iterator at{code.begin(), code.end(), space};
    for (; at != std::sregex_iterator{}; ++at) {
      const std::string whole = (*at)[1].str();
      names.insert(whole);
      names.insert(whole.substr(whole.rfind(':') == std::string::npos ? 0 : whole.rfind(':') + 1));
    }
  }
  return names;
}

std::string listed(const std::set<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) {
    text += (text.empty() ? "" : ", ") + path;
  }
  return text;
}

} // namespace

std::vector<class_extent> classes_of(std::string_view text) {
  return class_finder{}.run(without_directives(without_comments_and_strings(text)));
}

std::vector<finding>
check_members(const std::vector<source>& files,
              const std::map<std::string, std::string, std::less<>>& exceptions) {
  std::vector<finding> found;
  std::set<std::string, std::less<>> unused;
  for (const auto& [type, reason] : exceptions) {
    unused.insert(type);
  }
  if (exceptions.size() > member_exceptions_max) {
    found.push_back({"tests/tidy", 0, "more than 5 types may have any number of members"});
  }
  for (const source& file : files) {
    if (!is_cpp(file.path) || file.path.starts_with("tests/") || file.path.starts_with("bench/")) {
      continue;
    }
    for (const class_extent& type : classes_of(file.text)) {
      if (type.members > members_max && exceptions.contains(type.name)) {
        unused.erase(type.name);
      } else if (type.members > members_max) {
        found.push_back({file.path, type.line,
                         type.name + " has " + std::to_string(type.members) +
                             " data members, more than 25; group them into parts with names"});
      }
    }
  }
  for (const std::string& type : unused) {
    found.push_back({"tests/tidy", 0, type + " needs no exception"});
  }
  return found;
}

std::vector<finding> check_one_source(const std::vector<source>& files,
                                      const std::vector<std::string>& folders) {
  const std::set<std::string> spaces = namespaces_of(files);
  std::set<std::string> shared; // declared in headers: others are local to their source
  for (const source& file : files) {
    if (file.path.ends_with(".hpp")) {
      for (const class_extent& type : classes_of(file.text)) {
        shared.insert(type.name);
      }
    }
  }
  std::map<std::string, std::set<std::string>> places; // folder and class to sources
  for (const source& file : files) {
    const std::string folder{folder_of(file.path)};
    if (!file.path.ends_with(".cpp") ||
        std::find(folders.begin(), folders.end(), folder) == folders.end()) {
      continue;
    }
    for (const function_extent& function : functions_of(file.text)) {
      const std::string owner = owner_of(function.head);
      if (!spaces.contains(owner) && shared.contains(owner.substr(0, owner.find(':')))) {
        places[folder + "/ " + owner].insert(file.path);
      }
    }
  }
  std::vector<finding> found;
  for (const auto& [place, sources] : places) {
    const std::string type = place.substr(place.find(' ') + 1);
    if (sources.size() > 1) {
      found.push_back(
          {*sources.begin(), 0,
           type + " is defined in several files; split it by noun: " + listed(sources)});
    }
  }
  return found;
}

std::vector<finding> check_core_tests(const std::vector<source>& files) {
  constexpr std::string_view suffix = "_core.hpp";
  std::set<std::string> tests;
  for (const source& file : files) {
    if (file.path.starts_with("tests/")) {
      tests.insert(file.path.substr(file.path.rfind('/') + 1));
    }
  }
  std::vector<finding> found;
  for (const source& file : files) {
    if (file.path.ends_with(suffix) && !file.path.starts_with("tests/")) {
      const std::string name = file.path.substr(file.path.rfind('/') + 1);
      const std::string test = name.substr(0, name.size() - 4) + "_test.cpp";
      if (!tests.contains(test)) {
        found.push_back({file.path, 0, "a core has a test named after it: " + test});
      }
    }
  }
  return found;
}

} // namespace ovir::tidy
