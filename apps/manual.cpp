#include "apps/manual.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string_view>

namespace ovir::apps {

namespace {

using command_path = std::vector<const CLI::App*>;

/// Text that roff prints as it stands. A line that began with a dot or an apostrophe would be a
/// request.
std::string escaped(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    line_begins = c == '\n';
  }
  return out;
}

std::string joined(const command_path& path, std::string_view between) {
  std::string out;
  for (const CLI::App* const app : path) {
    out += (out.empty() ? "" : std::string{between}) + app->get_name();
  }
  return out;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* child) {
    return !child->get_name().empty() && !child->get_group().empty();
  });
}

/// Those that `--help` shows; positional ones apart.
std::vector<const CLI::Option*> options_of(const CLI::App& app, bool positional) {
  return app.get_options([positional](const CLI::Option* option) {
    return option->get_positional() == positional && !option->get_group().empty();
  });
}

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) {
    names.push_back("-" + name);
  }
  for (const std::string& name : option.get_lnames()) {
    names.push_back("--" + name);
  }
  return names;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

/// The type alone: what a check adds ("TEXT:INT in [1 - 256]") stays, behind a blank.
std::string value_of(const CLI::Option& option) {
  return takes_value(option) ? option.get_type_name() : std::string{};
}

std::string option_paragraph(const CLI::Option& option) {
  std::string head;
  for (const std::string& name : names_of(option)) {
    head += fmt::format("{}\\fB{}\\fR", head.empty() ? "" : ", ", escaped(name));
  }
  if (option.get_positional()) {
    head = fmt::format("\\fI{}\\fR", escaped(option.get_name(true)));
  } else if (const std::string value = value_of(option); !value.empty()) {
    head += fmt::format(" \\fI{}\\fR", escaped(value));
  }
  std::string text = option.get_description();
  if (!option.get_default_str().empty() && takes_value(option)) {
    text += fmt::format(" (default: {})", option.get_default_str());
  }
  if (option.get_required()) {
    text += " (required)";
  }
  return fmt::format(".TP\n{}\n{}\n", head, escaped(text));
}

std::string synopsis(const command_path& path) {
  const CLI::App& app = *path.back();
  std::string line = fmt::format("\\fB{}\\fR [\\fIOPTIONS\\fR]", escaped(joined(path, " ")));
  for (const CLI::Option* const option : options_of(app, true)) {
    const std::string name = escaped(option->get_name(true));
    line += option->get_required() ? fmt::format(" \\fI{}\\fR", name)
                                   : fmt::format(" [\\fI{}\\fR]", name);
  }
  if (!commands_of(app).empty()) {
    line += app.get_require_subcommand_min() > 0 ? " \\fICOMMAND\\fR" : " [\\fICOMMAND\\fR]";
  }
  return ".SH SYNOPSIS\n" + line + "\n";
}

std::string see_also(const command_path& path, const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> pages;
  if (path.size() > 1) {
    pages.push_back(joined({path.begin(), path.end() - 1}, "-"));
  }
  for (const CLI::App* const command : commands) {
    command_path below = path;
    below.push_back(command);
    pages.push_back(joined(below, "-"));
  }
  std::string out;
  for (const std::string& page : pages) {
    out += fmt::format("{}\\fB{}\\fR(1)", out.empty() ? ".SH SEE ALSO\n" : ",\n", escaped(page));
  }
  return out.empty() ? out : out + "\n";
}

std::string page_text(const command_path& path, const std::string& version) {
  const CLI::App& app = *path.back();
  const std::string name = joined(path, "-");
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  std::string out = fmt::format(".TH {} 1 \"\" \"{} {}\" \"OVIR\"\n", escaped(upper),
                                escaped(path.front()->get_name()), escaped(version));
  out += fmt::format(".SH NAME\n{} \\- {}\n", escaped(name), escaped(app.get_description()));
  out += synopsis(path);
  const auto commands = commands_of(app);
  if (!commands.empty()) {
    out += ".SH COMMANDS\n";
    for (const CLI::App* const command : commands) {
      out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", escaped(command->get_name()),
                         escaped(command->get_description()));
    }
  }
  out += ".SH OPTIONS\n";
  for (const bool positional : {true, false}) {
    for (const CLI::Option* const option : options_of(app, positional)) {
      out += option_paragraph(*option);
    }
  }
  if (const std::string footer = app.get_footer(); !footer.empty()) {
    out += fmt::format(".SH NOTES\n.nf\n{}\n.fi\n", escaped(footer));
  }
  return out + see_also(path, commands);
}

void add_pages(const command_path& path, const std::string& version,
               std::vector<manual_page>& pages) {
  pages.push_back({joined(path, "-"), page_text(path, version)});
  for (const CLI::App* const command : commands_of(*path.back())) {
    command_path below = path;
    below.push_back(command);
    add_pages(below, version, pages);
  }
}

/// A line per command for the script: what may follow it.
void add_words(const command_path& path, std::string& steps, std::string& words) {
  std::string follow;
  for (const CLI::App* const command : commands_of(*path.back())) {
    follow += command->get_name() + " ";
    command_path below = path;
    below.push_back(command);
    steps += fmt::format("      '{}') at='{}' ;;\n", joined(below, " "), joined(below, " "));
    add_words(below, steps, words);
  }
  std::string options;
  for (const CLI::Option* const option : options_of(*path.back(), false)) {
    for (const std::string& name : names_of(*option)) {
      options += name + " ";
    }
  }
  words +=
      fmt::format("    '{}') commands='{}' options='{}' ;;\n", joined(path, " "), follow, options);
}

} // namespace

std::vector<manual_page> manual_pages(const CLI::App& program, const std::string& version) {
  std::vector<manual_page> pages;
  add_pages({&program}, version, pages);
  return pages;
}

result<void> write_manual_pages(storage::env& environment, const std::string& folder,
                                const std::vector<manual_page>& pages) {
  OVIR_TRY(environment.make_folder(folder));
  for (const manual_page& page : pages) {
    OVIR_ASSIGN(const auto file,
                environment.stage((std::filesystem::path{folder} / (page.name + ".1")).string()));
    OVIR_TRY(file->append(std::as_bytes(std::span{page.text})));
    OVIR_TRY(file->commit());
  }
  return {};
}

std::string bash_completion(const CLI::App& program) {
  std::string steps;
  std::string words;
  add_words({&program}, steps, words);
  std::string function = "_" + program.get_name();
  std::replace(function.begin(), function.end(), '-', '_');
  return fmt::format("# bash completion of {0}, written by it\n"
                     "{1}() {{\n"
                     "  local at='{0}' commands='' options='' i\n"
                     "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                     "    case \"$at ${{COMP_WORDS[i]}}\" in\n"
                     "{2}"
                     "      *) ;;\n"
                     "    esac\n"
                     "  done\n"
                     "  case $at in\n"
                     "{3}"
                     "  esac\n"
                     "  local current=${{COMP_WORDS[COMP_CWORD]}}\n"
                     "  if [[ $current == -* ]]; then commands=$options; fi\n"
                     "  mapfile -t COMPREPLY < <(compgen -W \"$commands\" -- \"$current\")\n"
                     "}}\n"
                     "complete -o default -F {1} {0}\n",
                     program.get_name(), function, steps, words);
}

} // namespace ovir::apps
