#include "apps/interrupt.hpp"
#include "apps/key_file.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/shell/shell_prompt.hpp"
#include "apps/ovir/shell/shell_session.hpp"
#include "apps/state_folder.hpp"

#include <unistd.h>

#include <iostream>

namespace ovir::apps {

namespace {

struct options {
  std::vector<std::string> connect;
  std::string key;
  std::vector<std::string> nodes;
  std::vector<std::string> lines;
  double deadline{120};
  bool as_json{false};
};

result<shell_target> target_of(const options& given) {
  shell_target target;
  target.addresses = given.connect;
  for (const std::string& address : given.connect) {
    if (const auto good = check_address(address, address_use::connect); !good) {
      return in_context("--connect " + address, good.error());
    }
  }
  for (const std::string& text : given.nodes) {
    const auto node = node_id_from_hex(text);
    if (!node) {
      return fail(errc::invalid_argument, "--node {}: a node's key has 64 hexadecimal digits",
                  text);
    }
    target.nodes.push_back(*node);
  }
  return target;
}

// Without --key the operator's, as `ovir init` left it, else the state folder's, made when there is
// none: its owner must then be let in.
result<secret_key> key_of(const options& given, surroundings& around) {
  if (!given.key.empty()) {
    return load_key(around.environment, given.key);
  }
  if (const auto own = operator_folder(); own) {
    auto admin = load_key(around.environment, admin_key_path_in(*own));
    if (admin || admin.error().code != errc::not_found) {
      return admin;
    }
  }
  OVIR_ASSIGN(const std::string folder, state_folder());
  OVIR_ASSIGN(kept_key kept, keep_key(around.environment, key_path_in(folder)));
  if (kept.made) {
    write_note(fmt::format("note: made the key {}; a node lets it in when its configuration names "
                           "it under 'access'\n",
                           to_hex(kept.key.id())));
  }
  return std::move(kept.key);
}

std::string history_path(surroundings& around) {
  const auto folder = state_folder();
  return folder && around.environment.make_folder(*folder) ? *folder + "/shell_history"
                                                           : std::string{};
}

result<exit_code> run_lines(const options& given, shell_session& session) {
  for (const std::string& line : given.lines) {
    OVIR_ASSIGN(const exit_code code, session.run_line(line));
    if (code != exit_code::done || session.over()) {
      return code;
    }
  }
  return exit_code::done;
}

// Commands from a pipe or file, a line each.
result<exit_code> run_input(shell_session& session) {
  std::string line;
  while (!session.over() && std::getline(std::cin, line)) {
    OVIR_ASSIGN(const exit_code code, session.run_line(line));
    if (code != exit_code::done) {
      return code;
    }
  }
  return exit_code::done;
}

result<exit_code> run_terminal(shell_session& session, surroundings& around) {
  OVIR_ASSIGN(const auto prompt,
              line_prompt::make("ovir> ", history_path(around), completions, around.interrupted));
  write_note("'help' shows the commands; Ctrl-C ends the one that runs, Ctrl-D the shell\n");
  while (!session.over()) {
    const auto input = prompt->read();
    if (input.how == line_prompt::ended::end_of_input) {
      write_note("\n");
      break;
    }
    if (input.how == line_prompt::ended::line) {
      OVIR_TRY(session.run_line(input.line)); // what failed was said; the shell goes on
    } else {
      write_note("^C\n");
    }
    if (asked_to_end()) {
      break;
    }
    forget_interrupts();
  }
  return exit_code::done;
}

// An order for another node goes to that node, and to nobody who merely answers at its address.
shell_outcome call_at(const secret_key& key, const shell_failure& where,
                      const shell_patience& patience, const std::atomic<bool>& interrupted,
                      const shell_command& command, const shell_listener& listener) {
  OVIR_TRY(check_address(where.address, address_use::connect));
  OVIR_ASSIGN(const node_id node, node_id_from_hex(where.node));
  OVIR_ASSIGN(const auto link, shell_link::make(key, {{where.address}, {node}}));
  shell_client client{*link, patience, interrupted};
  return client.call(command, listener);
}

result<exit_code> run(const options& given, surroundings& around) {
  OVIR_ASSIGN(shell_target target, target_of(given));
  OVIR_ASSIGN(const secret_key key, key_of(given, around));
  OVIR_ASSIGN(const auto link, shell_link::make(key, std::move(target)));
  shell_patience patience;
  patience.deadline = std::chrono::milliseconds{static_cast<std::int64_t>(given.deadline * 1e3)};
  shell_client client{*link, patience, around.interrupted};
  shell_account account{key, [] {
                          const auto now = std::chrono::system_clock::now().time_since_epoch();
                          return static_cast<std::uint64_t>(
                              std::chrono::duration_cast<std::chrono::microseconds>(now).count());
                        }};
  client.use_account(account);
  shell_session session{client, around.environment, given.as_json};
  session.on_elsewhere([&](const shell_failure& where, const shell_command& command,
                           const shell_listener& listener) -> shell_outcome {
    return call_at(key, where, patience, around.interrupted, command, listener);
  });
  if (!given.lines.empty()) {
    return run_lines(given, session);
  }
  if (given.as_json || ::isatty(STDIN_FILENO) == 0) {
    return run_input(session);
  }
  return run_terminal(session, around);
}

} // namespace

void add_shell(CLI::App& app, chosen_command& chosen) {
  constexpr double deadline_min = 0.1;
  constexpr double deadline_max = 86'400;
  CLI::App* const command = app.add_subcommand("shell", "Look at a running cluster and operate it");
  const auto given = std::make_shared<options>();
  command->footer(
      "Without -e it asks for commands, or reads them from standard input, a line each. A request\n"
      "that runs is followed from node to node when one dies: name several addresses.\n"
      "\nExamples:\n"
      "  ovir shell --connect 127.0.0.1:7411\n"
      "  ovir shell --connect 127.0.0.1:7411 -e nodes --json\n"
      "  ovir shell --connect a:7411,b:7411 -e 'run \"Once upon a time\" -n 64'\n"
      "  ovir shell --connect 127.0.0.1:7411 -e 'nodes; jobs'");
  command->add_option("--connect", given->connect, "HOST:PORT of nodes, separated by commas")
      ->required()
      ->delimiter(',');
  command->add_option("--key", given->key,
                      "File with your secret key (default: the operator's, as ovir init made it, "
                      "else node.key in the state folder)");
  command->add_option("--node", given->nodes,
                      "Believe only this node's key; may be given several times (default: "
                      "whoever answers)");
  command->add_option("-e,--execute", given->lines, "Run this and end; several separated by ;")
      ->allow_extra_args(false);
  command
      ->add_option("--deadline", given->deadline,
                   "Seconds without news after which a command is given up")
      ->check(CLI::Range(deadline_min, deadline_max))
      ->capture_default_str();
  command->add_flag("--json", given->as_json,
                    "Print one JSON document on standard output for each -e");
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return run(*given, around); };
  });
}

} // namespace ovir::apps
