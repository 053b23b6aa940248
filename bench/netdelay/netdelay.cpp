// A network between processes of this machine, with a stated delay, jitter, loss and rate.
// scripts/netdelay runs it; its --help is the manual, README.md beside this file the method.
#include "bench/netdelay/command_tree.hpp"
#include "bench/netdelay/forwarder.hpp"
#include "bench/netdelay/inside.hpp"
#include "bench/netdelay/priority.hpp"
#include "bench/netdelay/probe.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace ovir::netdelay {
namespace {

constexpr int wrong_usage = 2;
constexpr int no_world = 125; ///< as env(1) and timeout(1) say that they themselves failed

struct run_options {
  std::size_t nodes{2};
  link_settings link;
  std::vector<pair_settings> pairs;
  std::uint64_t seed{1};
  bool verbose{false};
  std::vector<std::string> command;
};

/// What the command line says, before its words are read.
struct run_words {
  std::string delay{"0"};
  std::string jitter{"0"};
  std::string loss{"0"};
  std::string rate;
  std::string buffer;
  std::vector<std::string> between;
  bool can{false};
  bool measure{false};
};

/// An option's value, or its name and what is wrong with it.
template <class Parse>
auto read_option(const char* name, const std::string& text, Parse parse) {
  try {
    return parse(text);
  } catch (const std::invalid_argument& problem) {
    throw std::invalid_argument{fmt::format("{}: {}", name, problem.what())};
  }
}

void read_words(const run_words& words, run_options& options) {
  options.link.delay = read_option("--delay", words.delay, parse_duration);
  options.link.jitter = read_option("--jitter", words.jitter, parse_duration);
  options.link.loss = read_option("--loss", words.loss, parse_share);
  if (!words.rate.empty()) {
    options.link.rate = read_option("--rate", words.rate, parse_rate);
  }
  if (!words.buffer.empty()) {
    options.link.buffer_bytes = read_option("--buffer", words.buffer, parse_bytes);
  }
  check_settings(options.link);
  for (const std::string& text : words.between) {
    options.pairs.push_back(read_option("--between", text, [&](const std::string& pair) {
      return parse_pair(pair, options.nodes, options.link);
    }));
  }
}

std::vector<link_settings> links_of(const run_options& options) {
  std::vector<link_settings> links(options.nodes * options.nodes, options.link);
  for (const pair_settings& p : options.pairs) {
    links[(p.first - 1) * options.nodes + p.second - 1] = p.link;
    links[(p.second - 1) * options.nodes + p.first - 1] = p.link;
  }
  return links;
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

/// "26867 packets, 26434 arrived, 433 found the buffer full".
std::string text_of(const link_counts& c) {
  const std::uint64_t ended = c.arrived + c.lost + c.no_room + c.no_memory + c.refused;
  std::string text = fmt::format("{} packets, {} arrived", c.sent, c.arrived);
  const auto add = [&](std::uint64_t count, const char* what) {
    text += count > 0 ? fmt::format(", {} {}", count, what) : "";
  };
  add(c.lost, "lost");
  add(c.no_room, "found the buffer full");
  add(c.no_memory, "exceeded the forwarder's memory");
  add(c.refused, "refused by the receiver");
  add(c.sent - ended, "on their way at the end");
  return text;
}

void print_counts(const std::vector<machine>& machines, const forwarder& f, const char* priority) {
  for (std::size_t from = 0; from < machines.size(); ++from) {
    for (std::size_t to = 0; to < machines.size(); ++to) {
      if (const link_counts& c = f.counts(from, to); c.sent > 0) {
        fmt::print(stderr, "netdelay: {} to {}: {}\n", from + 1, to + 1, text_of(c));
      }
    }
    if (const std::uint64_t dropped = dropped_by_device(machines[from])) {
      fmt::print(stderr,
                 "netdelay: machine {}: the kernel dropped {} packets that waited for the "
                 "forwarder\n",
                 from + 1, dropped);
    }
  }
  const lateness& late = f.late();
  if (late.packets > 0) {
    const double milliseconds = 1e-6 * static_cast<double>(late.sum.count());
    fmt::print(stderr,
               "netdelay: delayed packets arrived {:.3f} ms late on average, {:.3f} ms at most\n",
               milliseconds / static_cast<double>(late.packets),
               1e-6 * static_cast<double>(late.most.count()));
  }
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  fmt::print(stderr, "netdelay: the forwarder had {} and used {:.2f} s of a processor\n", priority,
             seconds(used.ru_utime) + seconds(used.ru_stime));
}

int run(const run_options& options) {
  reactor events;
  const std::vector<machine> machines = make_world(options.nodes);
  const std::vector<link_settings> links = links_of(options);
  forwarder carries{events, machines, links, options.seed};
  command_tree processes{events};
  const char* const priority = take_priority();
  processes.start(options.command, [&, self = ::getpid()] {
    set_environment(machines, self);
    enter(machines.front().network, 1);
  });
  events.run();
  if (options.verbose) {
    print_counts(machines, carries, priority);
  }
  return processes.exit_code();
}

/// A run of this program, as a process of its own: the exit code.
int run_self(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), own_program());
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child < 0) {
    fail_with_errno("starting a process failed");
  }
  if (child == 0) {
    ::_exit(execute(arguments));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : no_world;
}

/// What the forwarder adds itself, on standard output.
int measure() {
  const std::string self = own_program();
  fmt::print("two machines, no delay:\n");
  int code = run_self({"--", self, "ping", "2"});
  code = code != 0 ? code : run_self({"--", self, "bulk", "2"});
  if (code == 0) {
    fmt::print("two machines, --delay 10ms:\n");
    code = run_self({"--delay", "10ms", "--", self, "ping", "2", "--beyond", "20ms"});
  }
  return code;
}

/// Whether a world can be made here: exit code 0, or 1 and why not.
int can_run() {
  try {
    static_cast<void>(make_world(1));
    return 0;
  } catch (const std::runtime_error& problem) {
    fmt::print("{}\n", problem.what());
    return 1;
  }
}

void declare(CLI::App& app, run_words& words, run_options& options) {
  app.add_option("--nodes", options.nodes, "machines (default 2)")
      ->check(CLI::Range(std::size_t{1}, nodes_max));
  app.add_option("--delay", words.delay, "one way, such as 10ms or 250us (default 0)");
  app.add_option("--jitter", words.jitter, "the delay varies by this, less or more (default 0)");
  app.add_option("--loss", words.loss, "share of the packets, such as 0.1% (default 0%)");
  app.add_option("--rate", words.rate, "of each direction, such as 100mbit (default: no limit)");
  app.add_option("--buffer", words.buffer, "bytes that wait for the rate (default 256KiB)");
  app.add_option("--between", words.between, "another link for a pair: 1,3=200ms[,rate=10mbit...]")
      ->take_all()
      ->expected(1)
      ->delimiter('\0');
  app.add_option("--seed", options.seed, "of jitter and loss (default 1)");
  app.add_flag("-v,--verbose", options.verbose, "say at the end what the network did and adds");
  app.add_flag("--measure", words.measure, "measure what the forwarder adds itself");
  app.add_flag("--can", words.can, "say whether it can run here");
}

int main_run(std::vector<std::string> arguments) {
  run_options options;
  run_words words;
  CLI::App app{"A network with delay, jitter, loss and rate between processes of this machine",
               "netdelay"};
  declare(app, words, options);
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  if (end != arguments.end()) {
    options.command.assign(end + 1, arguments.end());
  }
  arguments.erase(end, arguments.end());
  std::reverse(arguments.begin(), arguments.end()); // as CLI11 takes them
  app.parse(arguments);
  read_words(words, options);
  if (words.can) {
    return can_run();
  }
  if (words.measure) {
    return measure();
  }
  if (options.command.empty()) {
    throw std::invalid_argument{"say what to run in machine 1: netdelay [OPTION...] -- COMMAND..."};
  }
  const int code = run(options);
  if (options.verbose) {
    measure();
  }
  return code;
}

/// on K COMMAND...: what follows K is the command's, options too.
int main_on(const std::vector<std::string>& arguments) {
  std::size_t node = 0;
  if (arguments.size() < 3 || !CLI::detail::lexical_cast(arguments[1], node)) {
    throw std::invalid_argument{"'on' takes a machine's number and a command: on 2 COMMAND..."};
  }
  enter(network_of(node), node);
  return execute({arguments.begin() + 2, arguments.end()});
}

int main_probe(std::vector<std::string> arguments) {
  CLI::App app{"Measurements within a world", "netdelay"};
  ping_options ping_to;
  std::string wait{"2s"};
  std::string beyond{"0"};
  CLI::App* const ping_command = app.add_subcommand("ping", "round trips of datagrams");
  ping_command->add_option("machine", ping_to.to)->required();
  ping_command->add_option("--count", ping_to.count)->check(CLI::Range(std::size_t{1}, echoes_max));
  ping_command->add_option("--wait", wait, "for each echo (default 2s)");
  ping_command->add_option("--beyond", beyond, "say by how much the median is more than this");
  bulk_options bulk_to;
  std::string time{"1s"};
  CLI::App* const bulk_command = app.add_subcommand("bulk", "the speed of a TCP stream");
  bulk_command->add_option("machine", bulk_to.to)->required();
  bulk_command->add_option("--time", time, "how long (default 1s)");
  std::reverse(arguments.begin(), arguments.end());
  app.parse(arguments);
  if (ping_command->parsed()) {
    ping_to.wait = read_option("--wait", wait, parse_duration);
    ping_to.beyond = read_option("--beyond", beyond, parse_duration);
    return ping(ping_to);
  }
  bulk_to.time = read_option("--time", time, parse_duration);
  return bulk(bulk_to);
}

int dispatch(const std::vector<std::string>& arguments) {
  const std::string first = arguments.empty() ? "" : arguments.front();
  if (first == "on") {
    return main_on(arguments);
  }
  return first == "ping" || first == "bulk" ? main_probe(arguments) : main_run(arguments);
}

} // namespace
} // namespace ovir::netdelay

int main(int argc, char** argv) {
  using namespace ovir::netdelay;
  try {
    return dispatch({argv + 1, argv + argc});
  } catch (const CLI::CallForHelp&) {
    fmt::print("scripts/netdelay --help is the manual\n");
    return 0;
  } catch (const CLI::ParseError& problem) {
    fmt::print(stderr, "netdelay: {}; try scripts/netdelay --help\n", problem.what());
    return wrong_usage;
  } catch (const std::invalid_argument& problem) {
    fmt::print(stderr, "netdelay: {}; try scripts/netdelay --help\n", problem.what());
    return wrong_usage;
  } catch (const std::exception& problem) {
    fmt::print(stderr, "netdelay: {}\n", problem.what());
    return no_world;
  }
}
