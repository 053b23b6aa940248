#include "apps/key_file.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/state_folder.hpp"

namespace ovir::apps {

namespace {

struct keygen_options {
  std::string file; ///< empty: the state folder's
  bool as_json{false};
};

result<exit_code> keygen(const keygen_options& given, surroundings& around) {
  std::string path = given.file;
  if (path.empty()) {
    OVIR_ASSIGN(const std::string folder, state_folder());
    path = key_path_in(folder);
  }
  OVIR_ASSIGN(const kept_key kept, keep_key(around.environment, path));
  const std::string name = to_hex(kept.key.id());
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"public_key", name}, {"file", path}, {"made", kept.made}}));
    return exit_code::done;
  }
  write_note(kept.made ? fmt::format("made a new secret key in {}; keep it to yourself\n", path)
                       : fmt::format("{} holds a key already; it was left as it is\n", path));
  OVIR_TRY(write_output(name + "\n"));
  return exit_code::done;
}

} // namespace

void add_keygen(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("keygen", "Make a node's secret key and print its public one");
  const auto given = std::make_shared<keygen_options>();
  command->footer(
      "The public key is the node's name. A file that is there already is kept, and "
      "its public key printed.\n\nExamples:\n  ovir keygen\n  ovir keygen -o b/node.key");
  command
      ->add_option("-o,--output", given->file,
                   "File for the secret key (default: node.key in $OVIR_HOME, else "
                   "$XDG_STATE_HOME/ovir, else ~/.local/state/ovir)")
      ->check([](const std::string& text) -> std::string {
        return text.empty() || text == "-" ? "needs the name of a file" : "";
      });
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return keygen(*given, around); };
  });
}

} // namespace ovir::apps
