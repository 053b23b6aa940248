#include "tests/readme/commands.hpp"

namespace ovir::test {

namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

} // namespace

std::vector<std::string> executed_commands(std::string_view page) {
  std::vector<std::string> commands;
  bool marked = false;
  bool inside = false;
  while (!page.empty()) {
    const std::size_t end = page.find('\n');
    const std::string line{page.substr(0, end)};
    page.remove_prefix(end == std::string_view::npos ? page.size() : end + 1);
    if (inside) {
      inside = !line.starts_with("```");
      if (inside && !line.empty() && line.front() != '#') {
        commands.push_back(line);
      }
    } else {
      inside = marked && line == "```sh";
      marked = line == "<!-- executed -->";
    }
  }
  return commands;
}

std::string runnable(const std::string& command, const std::string& binary_folder) {
  if (command.starts_with("scripts/test")) {
    return "scripts/test --list";
  }
  std::string changed = command;
  replace_all(changed, "build/release/ovir", binary_folder + "/ovir");
  return changed;
}

} // namespace ovir::test
