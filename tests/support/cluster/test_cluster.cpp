#include "tests/support/cluster/test_cluster.hpp"

#include "tests/support/slowness.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace ovir::test {

namespace {

namespace fs = std::filesystem;
using clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds poll_pause{20};
constexpr std::size_t last_lines = 12;

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream file{path, std::ios::binary};
  file << text;
  if (!file.flush()) {
    throw std::runtime_error("cannot write " + path.string());
  }
}

/// Makes a key and returns its public half.
std::string make_key(const fs::path& path) {
  const child_result made = run_ovir({"keygen", "-o", path.string()});
  if (made.exit_code != 0 || made.out.size() != 65) {
    throw std::runtime_error("ovir keygen failed: " + made.err);
  }
  return made.out.substr(0, 64);
}

std::string quoted(const std::vector<std::string>& texts) {
  std::vector<std::string> all;
  all.reserve(texts.size());
  for (const std::string& text : texts) {
    all.push_back('"' + text + '"');
  }
  return fmt::format("[{}]", fmt::join(all, ", "));
}

std::string access_of(const std::string& key, const std::vector<std::string>& roles) {
  return fmt::format("[[access]]\nkey = \"{}\"\nroles = {}\n\n", key, quoted(roles));
}

std::string address_at(std::uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

std::string tail_of(const fs::path& path) {
  std::ifstream file{path};
  std::deque<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(line);
    if (lines.size() > last_lines) {
      lines.pop_front();
    }
  }
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

} // namespace

struct test_cluster::member {
  std::string key;
  std::string listen;
  std::string advertise;
  std::string admin_listen;
  std::unique_ptr<child_process> process{};
  bool frozen{false};
  std::string last_errors{}; ///< standard error of the process before
};

bool cluster_node::has_role(const std::string& role) const {
  return std::find(roles.begin(), roles.end(), role) != roles.end();
}

test_cluster::test_cluster(cluster_spec spec) : spec_(std::move(spec)) {
  if (spec_.folder.empty()) {
    own_folder_.emplace();
    folder_ = own_folder_->path();
  } else {
    folder_ = spec_.folder;
    fs::create_directories(folder_);
  }
  if (spec_.proxied) {
    proxy_ = std::make_unique<tcp_proxy>(
        [this](const std::vector<std::uint16_t>& ports) { return owners_of(ports); });
  }
  make_keys();
  for (std::size_t i = 0; i < size(); ++i) {
    write_config(i, spec_.joins_by_token && i > 0 ? token_for(i) : std::string{});
  }
}

test_cluster::~test_cluster() {
  proxy_.reset(); // its thread asks for the members
}

void test_cluster::make_keys() {
  admin_ = make_key(admin_key());
  for (const cluster_node& n : spec_.nodes) {
    auto m = std::make_unique<member>();
    m->key = make_key(folder_ / n.name / "node.key");
    m->listen = address_at(free_port());
    m->admin_listen = address_at(free_port());
    m->advertise = proxy_ ? proxy_->address(proxy_->add_route(m->listen)) : m->listen;
    members_.push_back(std::move(m));
  }
}

std::string test_cluster::token_for(std::size_t i) const {
  const child_result made =
      run_ovir({"token", "--admin-key", admin_key(), "--node", members_[i]->key, "--role",
                fmt::format("{}", fmt::join(node(i).roles, ",")), "--expires", "1h"});
  if (made.exit_code != 0) {
    throw std::runtime_error("ovir token failed: " + made.err);
  }
  return made.out.substr(0, made.out.find('\n'));
}

void test_cluster::write_config(std::size_t i, const std::string& token) const {
  const cluster_node& n = node(i);
  const member& m = *members_[i];
  std::string text = fmt::format("name = \"{}\"\ncluster = \"test\"\nroles = {}\nlisten = \"{}\"\n"
                                 "advertise = \"{}\"\nadmin_listen = \"{}\"\nstate = \"{}\"\n",
                                 n.name, quoted(n.roles), m.listen, m.advertise, m.admin_listen,
                                 state(i).string());
  std::vector<std::string> seeds;
  for (std::size_t other = 0; other < size(); ++other) {
    if (other != i && (!spec_.joins_by_token || other == 0)) {
      seeds.push_back(members_[other]->advertise);
    }
  }
  if (!seeds.empty() && !(spec_.joins_by_token && i == 0)) {
    text += fmt::format("seeds = {}\n", quoted(seeds));
  }
  if (spec_.joins_by_token) {
    text += fmt::format("admins = {}\n", quoted({admin_}));
  }
  if (!token.empty()) {
    text += fmt::format("join_token = \"{}\"\n", token);
  }
  text += "\n" + access_of(admin_, {"reader", "operator"});
  // With tokens, only the seed is known by its key to those that join.
  for (std::size_t other = 0; other < (spec_.joins_by_token ? 1 : size()); ++other) {
    if (other != i) {
      text += access_of(members_[other]->key, node(other).roles);
    }
  }
  for (const cluster_part& part : n.parts) {
    text += fmt::format("[[model]]\npath = \"{}\"\n", part.path);
    text += part.layers.empty() ? "" : fmt::format("layers = \"{}\"\n", part.layers);
    text += part.draft.empty() ? "" : fmt::format("draft = \"{}\"\n", part.draft);
  }
  text += fmt::format("\n[limits]\nthreads = {}\n{}\n", spec_.threads, spec_.limits);
  text += fmt::format("[drain]\nwait_s = {}\n\n", spec_.drain_wait_s);
  text += fmt::format("[log]\nlevel = \"{}\"\nfile = \"{}\"\n\n", spec_.log_level,
                      (folder_ / (n.name + ".log")).string());
  text += spec_.tables + "\n[chaos]\nenabled = true\n\n[cache]\n";
  text += spec_.cache.empty() ? "enabled = false\n" : spec_.cache + "\n";
  write_text(config(i), text);
}

std::size_t test_cluster::index_of(const std::string& name) const {
  for (std::size_t i = 0; i < size(); ++i) {
    if (node(i).name == name) {
      return i;
    }
  }
  throw std::runtime_error("no node " + name);
}

void test_cluster::start() {
  for (std::size_t i = 0; i < size(); ++i) {
    start(i);
  }
  wait_until_whole();
}

void test_cluster::start(std::size_t i) {
  child_options options;
  options.deadline = std::chrono::hours{24};
  options.dies_with_thread = true;
  options.environment["OVIR_HOME"] = state(i).string();
  for (const auto& [name, value] : node(i).environment) {
    options.environment[name] = value;
  }
  const std::string program = node(i).program.empty() ? ovir_program() : node(i).program;
  auto process = std::make_unique<child_process>(
      std::vector<std::string>{program, "node", "-c", config(i).string()}, options);
  const std::lock_guard lock{guard_};
  members_[i]->process = std::move(process);
  members_[i]->frozen = false;
}

void test_cluster::set_environment(std::size_t i, const std::string& name,
                                   const std::string& value) {
  spec_.nodes.at(i).environment[name] = value;
}

void test_cluster::kill(std::size_t i) {
  std::unique_ptr<child_process> process;
  {
    const std::lock_guard lock{guard_};
    process = std::move(members_[i]->process);
    members_[i]->frozen = false;
  }
  if (process) {
    process->send_signal(SIGKILL);
    members_[i]->last_errors = process->wait().err;
  }
}

void test_cluster::freeze(std::size_t i) {
  send_signal(i, SIGSTOP);
  members_[i]->frozen = running(i);
}

void test_cluster::thaw(std::size_t i) {
  send_signal(i, SIGCONT);
  members_[i]->frozen = false;
}

child_result test_cluster::terminate(std::size_t i) {
  std::unique_ptr<child_process> process;
  {
    const std::lock_guard lock{guard_};
    process = std::move(members_[i]->process);
  }
  if (!process) {
    throw std::runtime_error(node(i).name + " does not run");
  }
  process->send_signal(SIGTERM);
  child_result result = process->wait();
  members_[i]->last_errors = result.err;
  return result;
}

void test_cluster::send_signal(std::size_t i, int number) {
  const std::lock_guard lock{guard_};
  if (members_[i]->process) {
    members_[i]->process->send_signal(number);
  }
}

bool test_cluster::running(std::size_t i) const {
  const std::lock_guard lock{guard_};
  return members_[i]->process && members_[i]->process->running();
}

bool test_cluster::frozen(std::size_t i) const { return members_[i]->frozen; }

pid_t test_cluster::id(std::size_t i) const {
  const std::lock_guard lock{guard_};
  return members_[i]->process ? members_[i]->process->id() : -1;
}

std::optional<process_use> test_cluster::use(std::size_t i) const {
  const pid_t process = id(i);
  return process < 0 ? std::nullopt : use_of_process(process);
}

std::vector<std::size_t> test_cluster::owners_of(const std::vector<std::uint16_t>& ports) const {
  std::vector<pid_t> processes;
  for (std::size_t i = 0; i < members_.size(); ++i) {
    processes.push_back(id(i));
  }
  std::vector<std::size_t> owners = owners_of_ports(processes, ports);
  std::replace(owners.begin(), owners.end(), processes.size(), tcp_proxy::stranger);
  return owners;
}

bool test_cluster::wait_until(const std::function<bool()>& holds,
                              std::chrono::milliseconds within) const {
  std::mutex waiting;
  std::condition_variable nobody_tells;
  const clock::time_point end = clock::now() + slowness * within;
  while (!holds()) {
    if (clock::now() >= end) {
      return false;
    }
    std::unique_lock lock{waiting};
    nobody_tells.wait_for(lock, poll_pause);
  }
  return true;
}

bool test_cluster::knows_everybody(std::size_t i) const {
  const apps::json nodes = ask(i, "nodes", std::chrono::seconds{2}).at("nodes");
  for (std::size_t other = 0; other < size(); ++other) {
    const bool alive = std::any_of(nodes.begin(), nodes.end(), [&](const apps::json& n) {
      return n.value("node", "") == members_[other]->key && n.value("health", "") == "alive";
    });
    if (running(other) && !frozen(other) && !alive) {
      return false;
    }
  }
  return true;
}

void test_cluster::wait_until_whole(std::chrono::seconds within) {
  std::string trouble = "nobody answers";
  for (std::size_t i = 0; i < size(); ++i) {
    const auto ready = [&] {
      if (!running(i) || frozen(i)) {
        return id(i) < 0 || frozen(i);
      }
      try {
        trouble = node(i).name + " does not know all members";
        return knows_everybody(i);
      } catch (const std::runtime_error& failed) {
        trouble = node(i).name + ": " + failed.what();
        return false;
      }
    };
    if (!wait_until(ready, within)) {
      throw std::runtime_error("the cluster is not whole: " + trouble + "\n" + last_words());
    }
  }
}

cluster_shell test_cluster::shell(const std::vector<std::size_t>& nodes,
                                  std::chrono::milliseconds deadline) const {
  cluster_shell::options options{.key_file = admin_key(), .addresses = {}, .deadline = deadline};
  for (const std::size_t i : nodes.empty() ? with_role("scheduler") : nodes) {
    options.addresses.push_back(admin_address(i));
  }
  return cluster_shell{std::move(options)};
}

apps::json test_cluster::ask(std::size_t i, const std::string& line,
                             std::chrono::milliseconds deadline) const {
  return shell({i}, deadline).data(line);
}

std::vector<std::size_t> test_cluster::with_role(const std::string& role) const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < size(); ++i) {
    if (node(i).has_role(role)) {
      found.push_back(i);
    }
  }
  return found;
}

const std::string& test_cluster::admin_address(std::size_t i) const {
  return members_[i]->admin_listen;
}

std::string test_cluster::admin_key() const { return (folder_ / "admin.key").string(); }

fs::path test_cluster::config(std::size_t i) const { return folder_ / (node(i).name + ".toml"); }

fs::path test_cluster::state(std::size_t i) const { return folder_ / node(i).name; }

std::string test_cluster::ending_of(std::size_t i) const {
  const std::lock_guard lock{guard_};
  const auto& process = members_[i]->process;
  if (!process || process->running()) {
    return {};
  }
  const child_result ended = process->wait();
  return fmt::format("ended by itself: exit code {}, signal {}\n{}", ended.exit_code.value_or(-1),
                     ended.signal, ended.err);
}

std::string test_cluster::last_words() const {
  std::string text;
  for (std::size_t i = 0; i < size(); ++i) {
    text += fmt::format("--- {} ({}{})\n", node(i).name, running(i) ? "runs" : "does not run",
                        frozen(i) ? ", frozen" : "");
    text += tail_of(folder_ / (node(i).name + ".log"));
    text += members_[i]->last_errors + ending_of(i);
  }
  return text;
}

} // namespace ovir::test
