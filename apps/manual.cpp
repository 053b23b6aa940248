#include "apps/manual.hpp"

#include "apps/command_tree.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <span>
#include <string_view>

namespace ovir::apps {

namespace {

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

} // namespace ovir::apps
