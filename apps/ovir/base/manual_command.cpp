#include "apps/completion.hpp"
#include "apps/manual.hpp"
#include "apps/ovir/base/package_commands.hpp"

namespace ovir::apps {

namespace {

struct manual_options {
  std::string folder;
  std::string completion; ///< the shell; empty: a page
};

result<exit_code> write_manual(const CLI::App& program, const manual_options& given,
                               surroundings& around) {
  if (!given.completion.empty()) {
    OVIR_ASSIGN(const std::string script, completion_for(program, given.completion));
    OVIR_TRY(write_output(script));
    return exit_code::done;
  }
  const auto pages = manual_pages(program, OVIR_VERSION);
  if (given.folder.empty()) {
    OVIR_TRY(write_output(pages.front().text));
    return exit_code::done;
  }
  OVIR_TRY(write_manual_pages(around.environment, given.folder, pages));
  return exit_code::done;
}

} // namespace

void add_manual(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("manual", "Print the manual page, or what shells complete commands by");
  const auto given = std::make_shared<manual_options>();
  command->footer("\nExamples:\n"
                  "  ovir manual | man -l -\n"
                  "  ovir manual --folder man1\n"
                  "  source <(ovir manual --completion)\n"
                  "  ovir manual --completion=fish | source");
  CLI::Option* const folder =
      command->add_option("--folder", given->folder, "Write a page for every command there");
  command
      ->add_flag("--completion{bash}", given->completion,
                 "Print a script for a shell instead: bash, =zsh or =fish")
      ->excludes(folder);
  command->callback([&app, given, &chosen] {
    chosen.run = [&app, given](surroundings& around) { return write_manual(app, *given, around); };
  });
}

} // namespace ovir::apps
