#include "apps/completion.hpp"

#include "apps/command_tree.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::apps {

namespace {

/// A name that shells take for a function.
std::string function_name(const CLI::App& program) {
  std::string name = program.get_name();
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// The text's first line in single quotes; `escape` is what a quote within becomes.
std::string quoted(std::string_view text, std::string_view escape) {
  std::string out{"'"};
  for (const char c : text.substr(0, text.find('\n'))) {
    out += c == '\'' ? std::string{escape} : std::string(c == '\\' ? 2 : 1, c);
  }
  return out + "'";
}

/// Calls `visit(path)` for the program and everything below it.
template <typename visitor>
void for_each_command(const command_path& path, visitor&& visit) {
  visit(path);
  for (const CLI::App* const command : commands_of(*path.back())) {
    command_path below = path;
    below.push_back(command);
    for_each_command(below, visit);
  }
}

/// `'ovir model inspect') at='ovir model inspect' ;;` for every command: how far a line has come.
std::string steps_of(const CLI::App& program) {
  std::string steps;
  for_each_command({&program}, [&](const command_path& path) {
    if (path.size() > 1) {
      steps += fmt::format("      '{0}') at='{0}' ;;\n", joined(path, " "));
    }
  });
  return steps;
}

std::string bash_completion(const CLI::App& program) {
  std::string words;
  for_each_command({&program}, [&](const command_path& path) {
    std::string commands;
    for (const CLI::App* const command : commands_of(*path.back())) {
      commands += command->get_name() + " ";
    }
    std::string options;
    for (const CLI::Option* const option : options_of(*path.back(), false)) {
      for (const std::string& name : names_of(*option)) {
        options += name + " ";
      }
    }
    words += fmt::format("    '{}') commands='{}' options='{}' ;;\n", joined(path, " "), commands,
                         options);
  });
  return fmt::format("# bash completion of {0}, written by it\n"
                     "_{1}() {{\n"
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
                     "complete -o default -F _{1} {0}\n",
                     program.get_name(), function_name(program), steps_of(program), words);
}

std::string zsh_completion(const CLI::App& program) {
  // _describe wants NAME:TEXT.
  const auto line = [](const std::string& name, const std::string& text) {
    return quoted(name + ":" + text, "'\\''") + " ";
  };
  std::string words;
  for_each_command({&program}, [&](const command_path& path) {
    std::string commands;
    for (const CLI::App* const command : commands_of(*path.back())) {
      commands += line(command->get_name(), command->get_description());
    }
    std::string options;
    for (const CLI::Option* const option : options_of(*path.back(), false)) {
      for (const std::string& name : names_of(*option)) {
        options += line(name, option->get_description());
      }
    }
    words += fmt::format("    '{}') commands=({}) options=({}) ;;\n", joined(path, " "), commands,
                         options);
  });
  return fmt::format("#compdef {0}\n"
                     "# zsh completion of {0}, written by it\n"
                     "_{1}() {{\n"
                     "  local at='{0}' i\n"
                     "  local -a commands options\n"
                     "  for ((i = 2; i < CURRENT; i++)); do\n"
                     "    case \"$at ${{words[i]}}\" in\n"
                     "{2}"
                     "    esac\n"
                     "  done\n"
                     "  case $at in\n"
                     "{3}"
                     "  esac\n"
                     "  if [[ ${{words[CURRENT]}} == -* ]]; then\n"
                     "    _describe -o option options\n"
                     "  elif (( ${{#commands}} )); then\n"
                     "    _describe command commands\n"
                     "  else\n"
                     "    _files\n"
                     "  fi\n"
                     "}}\n"
                     "if [[ $funcstack[1] == _{1} ]]; then\n"
                     "  _{1} \"$@\"\n"
                     "else\n"
                     "  compdef _{1} {0}\n"
                     "fi\n",
                     program.get_name(), function_name(program), steps_of(program), words);
}

std::string fish_completion(const CLI::App& program) {
  const auto text = [](const std::string& t) { return quoted(t, "\\'"); };
  std::string steps;
  std::string lines;
  for_each_command({&program}, [&](const command_path& path) {
    if (path.size() > 1) {
      steps += fmt::format(" {}", text(joined(path, " ")));
    }
    const std::string here =
        fmt::format("complete -c {} -n \"test (__{}_at) = '{}'\"", program.get_name(),
                    function_name(program), joined(path, " "));
    for (const CLI::App* const command : commands_of(*path.back())) {
      lines += fmt::format("{} -f -a {} -d {}\n", here, command->get_name(),
                           text(command->get_description()));
    }
    for (const CLI::Option* const option : options_of(*path.back(), false)) {
      lines += here;
      for (const std::string& name : names_of(*option)) {
        lines += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      lines += fmt::format("{} -d {}\n", takes_value(*option) ? " -r" : "",
                           text(option->get_description()));
    }
  });
  return fmt::format("# fish completion of {0}, written by it\n"
                     "function __{1}_at\n"
                     "  set -l at {0}\n"
                     "  for word in (commandline -opc)[2..-1]\n"
                     "    if contains -- \"$at $word\"{2}\n"
                     "      set at \"$at $word\"\n"
                     "    end\n"
                     "  end\n"
                     "  echo $at\n"
                     "end\n"
                     "{3}",
                     program.get_name(), function_name(program), steps, lines);
}

} // namespace

result<std::string> completion_for(const CLI::App& program, std::string_view shell) {
  if (shell == "bash") {
    return bash_completion(program);
  }
  if (shell == "zsh") {
    return zsh_completion(program);
  }
  if (shell == "fish") {
    return fish_completion(program);
  }
  return fail(errc::invalid_argument,
              "there is no completion for '{}'; there is one for bash, zsh "
              "and fish",
              shell);
}

} // namespace ovir::apps
