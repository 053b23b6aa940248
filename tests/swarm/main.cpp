#include "tests/swarm/swarm.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>

namespace {

using namespace ovir::swarm;

struct settings {
  std::uint64_t seed{1};
  std::uint64_t count{1};
  std::string arithmetic{"stand-in"};
  std::string history;
  std::string plan_file;
  bool verbose{false};
  intensity how;
};

int run_all(const settings& s) {
  tiny_model model{s.arithmetic == "kernels" ? arithmetic::kernels : arithmetic::stand_in};
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < s.count; ++i) {
    plan p = draw_plan(s.seed + i, s.how);
    if (!s.plan_file.empty()) {
      std::ifstream in{s.plan_file};
      std::stringstream text;
      text << in.rdbuf();
      const auto read = plan_from(text.str());
      if (!read) {
        fmt::print(stderr, "{}: {}\n", s.plan_file, read.error().message);
        return 2;
      }
      p = *read;
    }
    swarm::options how;
    how.keep_history = !s.history.empty();
    if (s.verbose) {
      how.says = [](nanoseconds when, const std::string& line) {
        fmt::print("{:10.6f} {}\n", static_cast<double>(when.count()) / 1e9, line);
      };
    }
    swarm one{p, model, how};
    const outcome o = one.run();
    failed += o.violations.empty() ? 0 : 1;
    fmt::print("seed {} {} {}: {} events, {} turns, {} messages, {:.1f} s, {} answered, {} "
               "cancelled, {} attempts, {} lives, {} entries, digest {:016x}\n",
               p.seed, s.arithmetic, o.violations.empty() ? "holds" : "FAILS", o.events, o.turns,
               o.messages, static_cast<double>(o.virtual_time.count()) / 1e9, o.answered,
               o.cancelled, o.attempts, o.lives, o.entries, o.trace);
    for (const std::string& v : o.violations) {
      fmt::print("  {}\n", v);
    }
    if (!s.history.empty()) {
      std::ofstream out{s.history};
      for (const std::string& line : one.told().lines()) {
        out << line << "\n";
      }
    }
  }
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("{} runs, {} failed, {:.1f} s, {:.0f} runs an hour\n", s.count, failed, took,
             static_cast<double>(s.count) / took * 3'600);
  return failed == 0 ? 0 : 1;
}

} // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  settings s;
  CLI::App app{"A whole swarm in one process, under one seed"};
  app.add_option("--seed", s.seed, "First seed");
  app.add_option("--count", s.count, "Runs, with one seed after another");
  app.add_option("--arithmetic", s.arithmetic, "kernels or stand-in")
      ->check(CLI::IsMember({"kernels", "stand-in"}));
  app.add_option("--nodes", s.how.nodes, "Nodes")->check(CLI::Range(2, 2'000));
  app.add_option("--requests", s.how.requests, "Requests");
  app.add_option("--faults", s.how.faults, "Faults");
  app.add_option("--history", s.history, "File for what clients asked and were told");
  app.add_option("--plan", s.plan_file, "Runs this plan instead of a drawn one");
  app.add_flag("-v,--verbose", s.verbose, "Shows what happens");
  CLI11_PARSE(app, argc, argv);
  return run_all(s);
}
