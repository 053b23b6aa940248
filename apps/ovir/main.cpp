#include "apps/console.hpp"
#include "apps/exit_code.hpp"
#include "apps/interrupt.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/http_commands.hpp"
#include "apps/ovir/base/package_commands.hpp"
#include "apps/ovir/learn/learn.hpp"
#include "apps/ovir/run/chat.hpp"
#include "apps/private_memory.hpp"
#include "storage/env/env.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::string_view program = "ovir";

void describe(CLI::App& app) {
  app.name(std::string{program});
  app.description(
      "OVIR runs language models in supervised segments, with the same bits everywhere.");
  app.footer(
      "Examples:\n"
      "  ovir run -p \"Once upon a time\"\n"
      "  ovir run -m MODEL.gguf -p \"Hello\" -n 64 --stages 3 --json\n"
      "  ovir model inspect MODEL.gguf\n"
      "  ovir doctor\n"
      "\nOVIR_ISA=reference|avx2|avx512 forces the kernels. Exit codes: 0 done, 1 the thing\n"
      "checked is wrong, 2 usage, 3 refused or not found, 4 unavailable or timed out.");
  app.set_version_flag("--version", std::string{program} + " " + OVIR_VERSION);
  app.require_subcommand(1);
}

/// The command a usage error is about, as typed, and what it did not understand.
struct command_seen {
  std::string names{program};
  std::vector<std::string> unknown;
  bool has_commands{false}; ///< it wants one of its own after it
};

command_seen command_in(const CLI::App& app) {
  command_seen seen;
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    seen.names += " " + at->get_name();
  }
  seen.unknown = at->remaining();
  std::erase(seen.unknown, "--json");
  seen.has_commands = at->get_require_subcommand_min() > 0;
  return seen;
}

int report_usage(const CLI::App& app, const CLI::ParseError& e, bool as_json) {
  const command_seen seen = command_in(app);
  std::string what = e.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  if (seen.has_commands && !seen.unknown.empty()) {
    // CLI11 would only say that a command is required.
    what = fmt::format("{} has no command or option '{}'", seen.names, seen.unknown.front());
  }
  write_error(program, fail(errc::invalid_argument, "{}; see {} --help", what, seen.names),
              as_json);
  return static_cast<int>(exit_code::usage);
}

int run_main(int argc, char** argv) {
  reserve_standard_descriptors();
  const std::atomic<bool>& interrupted = watch_for_interrupts();
  CLI::App app;
  describe(app);
  chosen_command chosen;
  add_run(app, chosen);
  add_chat(app, chosen);
  add_tokenize(app, chosen);
  add_perplexity(app, chosen);
  add_learn(app, chosen);
  add_bench(app, chosen);
  add_plan(app, chosen);
  add_model(app, chosen);
  add_node(app, chosen);
  add_keygen(app, chosen);
  add_key(app, chosen);
  add_token(app, chosen);
  add_attest(app, chosen);
  add_doctor(app, chosen);
  add_cache(app, chosen);
  add_ledger(app, chosen);
  add_serve(app, chosen);
  add_up(app, chosen);
  add_invite(app, chosen);
  add_init(app, chosen);
  add_manual(app, chosen);
  add_shell(app, chosen);
  add_receipt(app, chosen);
  add_prove(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      return app.exit(e); // --help or --version
    }
    return report_usage(app, e, wants_json(argc, argv));
  }
  if (const auto kept = keep_memory_private(); !kept) {
    write_error(program, kept.error(), chosen.as_json);
    return static_cast<int>(exit_code::unavailable);
  }
  const auto environment = storage::make_env_posix();
  surroundings around{*environment, interrupted};
  const auto done = chosen.run(around);
  if (done) {
    return static_cast<int>(*done);
  }
  if (output_closed()) {
    return static_cast<int>(exit_code::done); // `ovir run | head` has what it wanted
  }
  write_error(program, done.error(), chosen.as_json);
  return static_cast<int>(exit_code_of(done.error().code));
}

} // namespace

} // namespace ovir::apps

int main(int argc, char** argv) {
  try {
    return ovir::apps::run_main(argc, argv);
  } catch (const std::exception& e) {
    ovir::apps::write_error("ovir", ovir::apps::error_from(e), ovir::apps::wants_json(argc, argv));
    return static_cast<int>(ovir::apps::exit_code::unavailable);
  }
}
