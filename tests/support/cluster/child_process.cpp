#include "tests/support/cluster/child_process.hpp"

#include "tests/support/shared_files.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace ovir::test {

namespace {

using clock = std::chrono::steady_clock;

struct pipe_ends {
  int read{-1};
  int write{-1};
};

pipe_ends make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("cannot make a pipe");
  }
  return {fds[0], fds[1]};
}

void close_end(int& fd) {
  if (fd >= 0) {
    ::close(fd);
    fd = -1;
  }
}

// Between fork and exec: only async-signal-safe calls, everything else is prepared by the parent.
[[noreturn]] void become(const std::vector<char*>& arguments, const std::vector<char*>& environment,
                         int in, int out, int err, const child_options& options) {
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  // What other threads have open is not the child's: it would keep connections alive.
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  if (options.file_bytes_max) {
    const struct rlimit limit { *options.file_bytes_max, *options.file_bytes_max };
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (options.memory_bytes_max) {
    const struct rlimit limit { *options.memory_bytes_max, *options.memory_bytes_max };
    ::setrlimit(RLIMIT_AS, &limit);
  }
  if (options.user && (::setgroups(0, nullptr) != 0 ||
                       ::setresgid(*options.user, *options.user, *options.user) != 0 ||
                       ::setresuid(*options.user, *options.user, *options.user) != 0)) {
    ::_exit(126);
  }
  if (options.dies_with_thread) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  ::execve(arguments.front(), arguments.data(), environment.data());
  ::_exit(127);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_with(const std::map<std::string, std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    // A setting of whoever runs the tests must not steer the program under test.
    const auto is = [&text](const char* name) { return text.rfind(name, 0) == 0; };
    if (!is("OVIR_ISA=") && !is("OVIR_HOME=") && !is("OVIR_OPERATOR=") &&
        !is("OVIR_ALLOW_DEBUG=") && !added.contains(text.substr(0, text.find('=')))) {
      all.push_back(text);
    }
  }
  for (const auto& [name, value] : added) {
    all.push_back(name + "=" + value);
  }
  return all;
}

} // namespace

struct child_process::parts {
  std::optional<temporary_folder> home;
  std::optional<temporary_folder> operators; ///< empty, so that no key of ours is taken
  pid_t id{-1};
  clock::time_point deadline;
  std::thread out_reader;
  std::thread err_reader;
  std::mutex lock;
  std::condition_variable changed;
  std::string out;
  std::string err;
  bool out_closed{false};
  bool stop_reading{false};
  bool reaped{false};
  int status{0}; ///< once reaped

  void join() {
    for (std::thread* reader : {&out_reader, &err_reader}) {
      if (reader->joinable()) {
        reader->join();
      }
    }
  }

  void read_all(int fd, std::string& into, bool is_out) {
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t got = ::read(fd, buffer.data(), buffer.size());
      const std::lock_guard guard{lock};
      if (got > 0) {
        into.append(buffer.data(), static_cast<std::size_t>(got));
      }
      changed.notify_all();
      if (got <= 0 || (is_out && stop_reading)) {
        break;
      }
    }
    ::close(fd);
    const std::lock_guard guard{lock};
    out_closed = out_closed || is_out;
    changed.notify_all();
  }
};

child_process::child_process(const std::vector<std::string>& arguments, child_options options)
    : parts_(std::make_unique<parts>()) {
  pipe_ends in = make_pipe();
  pipe_ends out = make_pipe();
  pipe_ends err = make_pipe();
  if (!options.out_path.empty()) {
    close_end(out.write);
    out.write = ::open(options.out_path.c_str(), O_WRONLY | O_CLOEXEC);
  }
  // Tests look at descriptors and memory of nodes, which the system shows to root alone where a
  // process keeps its memory to itself.
  if (::geteuid() != 0 && !options.environment.contains("OVIR_ALLOW_DEBUG")) {
    options.environment["OVIR_ALLOW_DEBUG"] = "1";
  }
  const bool has_home = options.environment.contains("OVIR_HOME") ||
                        options.environment.contains("XDG_STATE_HOME") ||
                        options.environment.contains("HOME");
  if (!has_home) {
    options.environment["OVIR_HOME"] = parts_->home.emplace().path();
  }
  if (!options.environment.contains("OVIR_OPERATOR") && !options.environment.contains("HOME")) {
    options.environment["OVIR_OPERATOR"] = parts_->operators.emplace().path();
  }
  std::vector<std::string> argument_texts = arguments;
  std::vector<std::string> environment_texts = environment_with(options.environment);
  const std::vector<char*> argument_pointers = pointers_to(argument_texts);
  const std::vector<char*> environment_pointers = pointers_to(environment_texts);
  parts_->deadline = clock::now() + options.deadline;
  parts_->id = ::fork();
  if (parts_->id == 0) {
    become(argument_pointers, environment_pointers, in.read, out.write, err.write, options);
  }
  close_end(in.read);
  close_end(out.write);
  close_end(err.write);
  if (parts_->id < 0) {
    throw std::runtime_error("cannot start " + arguments.front());
  }
  // Inputs of tests are small enough for the pipe's buffer.
  if (!options.input.empty() && ::write(in.write, options.input.data(), options.input.size()) !=
                                    static_cast<ssize_t>(options.input.size())) {
    throw std::runtime_error("cannot write to " + arguments.front());
  }
  close_end(in.write);
  parts_->out_reader =
      std::thread{[p = parts_.get(), fd = out.read] { p->read_all(fd, p->out, true); }};
  parts_->err_reader =
      std::thread{[p = parts_.get(), fd = err.read] { p->read_all(fd, p->err, false); }};
}

child_process::~child_process() {
  if (!parts_->reaped) {
    ::kill(parts_->id, SIGKILL);
    ::waitpid(parts_->id, nullptr, 0);
  }
  parts_->join();
}

// A process that was reaped has given up its id, which may be another's by now.
void child_process::send_signal(int number) const {
  if (!parts_->reaped) {
    ::kill(parts_->id, number);
  }
}

pid_t child_process::id() const { return parts_->id; }

bool child_process::running() {
  if (!parts_->reaped && ::waitpid(parts_->id, &parts_->status, WNOHANG) == parts_->id) {
    parts_->reaped = true;
  }
  return !parts_->reaped;
}

void child_process::stop_reading() {
  std::unique_lock guard{parts_->lock};
  parts_->stop_reading = true;
  // The reader leaves after its next piece.
  parts_->changed.wait_until(guard, parts_->deadline, [this] { return parts_->out_closed; });
}

std::string child_process::wait_for_output(std::size_t bytes) {
  std::unique_lock guard{parts_->lock};
  parts_->changed.wait_until(guard, parts_->deadline, [this, bytes] {
    return parts_->out.size() >= bytes || parts_->out_closed;
  });
  return parts_->out;
}

child_result child_process::wait() {
  // The end of a child cannot be waited for with a deadline in a portable way, hence this loop.
  while (running()) {
    if (clock::now() > parts_->deadline) {
      const std::lock_guard guard{parts_->lock};
      throw std::runtime_error("a program did not end in time; it said: " + parts_->out +
                               parts_->err);
    }
    std::this_thread::yield();
    std::unique_lock guard{parts_->lock};
    parts_->changed.wait_for(guard, std::chrono::milliseconds{2});
  }
  parts_->join();
  child_result result;
  const int status = parts_->status;
  if (WIFEXITED(status)) {
    result.exit_code = WEXITSTATUS(status);
  } else {
    result.signal = WTERMSIG(status);
  }
  result.out = parts_->out;
  result.err = parts_->err;
  return result;
}

child_result run_child(const std::vector<std::string>& arguments, const child_options& options) {
  child_process child{arguments, options};
  return child.wait();
}

std::string ovir_program() { return std::string{OVIR_BINARY_DIR} + "/ovir"; }
std::string ovir_verify_program() { return std::string{OVIR_BINARY_DIR} + "/ovir-verify"; }

child_result run_ovir(std::vector<std::string> arguments, const child_options& options) {
  arguments.insert(arguments.begin(), ovir_program());
  return run_child(arguments, options);
}

child_result run_ovir_verify(std::vector<std::string> arguments, const child_options& options) {
  arguments.insert(arguments.begin(), ovir_verify_program());
  return run_child(arguments, options);
}

} // namespace ovir::test
