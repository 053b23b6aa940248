// A drill on a cluster of its own, for tests/chaos/kill_matrix and scripts/soak: progress and a
// table on standard error, one JSON document on standard output.
#include "tests/chaos/chaos_run.hpp"

#include <CLI/CLI.hpp>

#include <csignal>
#include <exception>
#include <iostream>

int main(int argc, char** argv) {
  using namespace ovir::chaos;
  std::signal(SIGPIPE, SIG_IGN);
  chaos_options options;
  options.talks = true;
  double minutes = 0;
  CLI::App app{"Kills nodes of a cluster while it answers, and checks every answer"};
  app.add_option("--model", options.model, "GGUF file of at least 8 layers (default: synthetic)");
  app.add_option("--seed", options.seed, "Of prompts, kills and pauses")->capture_default_str();
  app.add_option("--kills", options.kills, "Ends after so many")->capture_default_str();
  app.add_option("--minutes", minutes, "Ends after so long at the latest (default: no limit)");
  app.add_option("--clients", options.clients, "Requests at once")->check(CLI::Range(1, 64));
  app.add_option("--tokens", options.tokens_max, "Tokens of an answer")->check(CLI::Range(8, 1000));
  app.add_option("--folder", options.folder, "Keeps configurations and logs here");
  app.add_flag("--placed", options.placed, "Schedulers say which layers the workers hold");
  app.add_flag("--soak", options.soak, "Spares two nodes and watches for growth");
  CLI11_PARSE(app, argc, argv);
  options.length_max = std::chrono::seconds{static_cast<std::int64_t>(minutes * 60)};
  if (options.soak) {
    options.pause_max = std::chrono::milliseconds{4'000};
  }
  try {
    const chaos_report report = run_chaos(options);
    std::cerr << report.table();
    std::cout << report.document().dump(2) << "\n";
    return report.good() ? 0 : 1;
  } catch (const std::exception& failed) {
    std::cerr << "chaos: " << failed.what() << "\n";
    return 4;
  }
}
