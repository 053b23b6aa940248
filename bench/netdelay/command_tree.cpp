#include "bench/netdelay/command_tree.hpp"

#include "bench/netdelay/inside.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string_view>

namespace ovir::netdelay {

namespace {

/// The parent of a process; 0: it has ended.
pid_t parent_of(pid_t process) {
  std::ifstream file{fmt::format("/proc/{}/stat", process)};
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')'); // the name may have any characters
  if (name_end == std::string::npos || name_end + 4 > line.size()) {
    return 0;
  }
  pid_t parent = 0;
  std::from_chars(line.data() + name_end + 4, line.data() + line.size(), parent);
  return parent;
}

/// All processes below this one.
std::set<pid_t> descendants() {
  std::multimap<pid_t, pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string name = entry.path().filename().string();
    pid_t process = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (wrong == std::errc{} && end == name.data() + name.size()) {
      children.emplace(parent_of(process), process);
    }
  }
  std::set<pid_t> found;
  std::vector<pid_t> open{::getpid()};
  while (!open.empty()) {
    const auto [first, last] = children.equal_range(open.back());
    open.pop_back();
    for (auto at = first; at != last; ++at) {
      if (found.insert(at->second).second) {
        open.push_back(at->second);
      }
    }
  }
  return found;
}

sigset_t taken_over() {
  sigset_t set{};
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    sigaddset(&set, signal);
  }
  return set;
}

} // namespace

command_tree::command_tree(reactor& in) : reactor_(in), grace_(in, [this] { next_stage(); }) {
  const sigset_t mask = taken_over();
  ::sigprocmask(SIG_BLOCK, &mask, &former_mask_);
  signals_ = made(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd failed");
  // Processes whose parent has ended become this one's children.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    fail_with_errno("becoming the parent of orphaned processes failed");
  }
  in.watch(signals_.get(), [this] { on_signal(); });
}

command_tree::~command_tree() {
  for (const pid_t process : descendants()) { // none, unless an exception ended the run
    ::kill(process, SIGKILL);
  }
  ::sigprocmask(SIG_SETMASK, &former_mask_, nullptr);
}

void command_tree::start(const std::vector<std::string>& command,
                         const std::function<void()>& before) {
  const pid_t parent = ::getpid();
  command_ = ::fork();
  if (command_ < 0) {
    fail_with_errno("starting a process failed");
  }
  if (command_ > 0) {
    return;
  }
  int code = 125;
  try {
    ::sigprocmask(SIG_SETMASK, &former_mask_, nullptr);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM); // a forwarder that was killed cannot clean up
    before();
    if (::getppid() == parent) {
      code = execute(command);
    }
  } catch (const std::exception& problem) {
    std::fputs(fmt::format("netdelay: {}\n", problem.what()).c_str(), stderr);
  }
  ::_exit(code);
}

int command_tree::exit_code() const {
  const std::set<pid_t> left = stage_ == stage::stuck ? descendants() : std::set<pid_t>{};
  if (!left.empty()) {
    throw std::runtime_error{fmt::format("{} processes did not end after SIGKILL, {} among them",
                                         left.size(), *left.begin())};
  }
  return exit_code_;
}

void command_tree::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    if (info.ssi_signo == SIGCHLD) {
      reap();
    } else {
      pass_on(static_cast<int>(info.ssi_signo), info.ssi_code == SI_KERNEL);
    }
  }
}

// The terminal sends Ctrl-C to the command as well, which may go on: an interactive program does.
void command_tree::pass_on(int signal, bool from_terminal) {
  if (!from_terminal && !ended_) {
    ::kill(command_, signal);
  }
  if (stage_ == stage::running && !(from_terminal && signal == SIGINT)) {
    next_stage();
  } else if (stage_ != stage::running) {
    next_stage(); // a second signal is impatience
  }
}

void command_tree::reap() {
  int status = 0;
  pid_t process = 0;
  while ((process = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (process == command_) {
      ended_ = true;
      exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
  }
  if (process < 0) { // no child is left
    reactor_.stop();
  } else if (ended_ && stage_ < stage::terminating) {
    stage_ = stage::asked_to_end;
    next_stage();
  } else {
    signal_others();
  }
}

void command_tree::next_stage() {
  stage_ = static_cast<stage>(static_cast<int>(stage_) + 1);
  signal_others();
  if (stage_ == stage::stuck) {
    reactor_.stop();
  } else {
    grace_.set(std::chrono::steady_clock::now() + end_grace);
  }
}

// Again at each process's end, because its children may have been born since.
void command_tree::signal_others() {
  if (stage_ < stage::terminating) {
    return;
  }
  for (const pid_t process : descendants()) {
    if (stage_ >= stage::killing) {
      ::kill(process, SIGKILL);
    } else if (told_.insert(process).second) {
      ::kill(process, SIGTERM);
    }
  }
}

} // namespace ovir::netdelay
