#include "apps/ovir-verify/sandbox.hpp"

#include "messages/check.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <new>

namespace ovir::apps {

namespace {

constexpr int answer_fd = 3;
/// In a build with sanitizers: descriptors of the pipes by which they check types, in any thread.
constexpr std::uint64_t pipe_ends_max = 64;
// How a child ends whose answer is none.
constexpr int ended_out_of_memory = 101;
constexpr int ended_unconfined = 102;
constexpr int ended_by_exception = 103;

/// What a computation needs of the system: memory without code, its threads, the clock, its end.
constexpr std::array plain_calls{
    SCMP_SYS(brk),          SCMP_SYS(munmap),          SCMP_SYS(mremap),
    SCMP_SYS(madvise),      SCMP_SYS(futex),           SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),         SCMP_SYS(sched_yield),     SCMP_SYS(sched_getaffinity),
    SCMP_SYS(gettid),       SCMP_SYS(getpid),          SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday), SCMP_SYS(rt_sigprocmask),  SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),  SCMP_SYS(restart_syscall), SCMP_SYS(exit),
    SCMP_SYS(exit_group),   SCMP_SYS(rt_sigaction),    SCMP_SYS(getrandom),
};

/// Files are refused. Everything else ends the process, all of its threads.
bool confine() {
  const std::unique_ptr<void, void (*)(void*)> filter{seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                      seccomp_release};
  if (filter == nullptr) {
    return false;
  }
  bool ok = true;
  const auto allow = [&](int call, auto... conditions) {
    ok = ok && seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, sizeof...(conditions),
                                conditions...) == 0;
  };
  for (const int call : plain_calls) {
    allow(call);
  }
  constexpr std::uint64_t exec = PROT_EXEC;
  constexpr std::uint64_t fresh = MAP_ANONYMOUS;
  allow(SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0),
        SCMP_A3(SCMP_CMP_MASKED_EQ, fresh, fresh));
  allow(SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
  allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_EQ, answer_fd, 0));
  allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_EQ, STDERR_FILENO, 0));
  // Threads, not processes. The newer call keeps its flags where a filter cannot look: the system's
  // library takes the older one when told there is none.
  constexpr std::uint64_t thread = CLONE_THREAD;
  allow(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
  ok = ok && seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
  // The system's library asks files how many processors there are, and does without an answer.
  ok = ok && seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0) == 0;
  ok = ok && seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(EACCES), SCMP_SYS(open), 0) == 0;
  // A failed check of ours may end with a signal to itself, and no other process.
  allow(SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, static_cast<std::uint64_t>(::getpid()), 0));
  if (address_sanitized) { // a check of a virtual call looks at memory through a pipe
    allow(SCMP_SYS(pipe2));
    allow(SCMP_SYS(close));
    allow(SCMP_SYS(write), SCMP_A0(SCMP_CMP_LT, pipe_ends_max, 0));
  }
  return ok && seccomp_load(filter.get()) == 0; // sets no_new_privs first
}

bool limit(int what, rlim_t most) {
  const rlimit bound{most, most};
  return ::setrlimit(static_cast<__rlimit_resource>(what), &bound) == 0;
}

std::uint64_t address_space() {
  std::ifstream sizes{"/proc/self/statm"};
  std::uint64_t pages = 0;
  sizes >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

bool tell(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(answer_fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return false;
    }
    text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
  }
  return true;
}

/// An answer is one byte, 0 or the error's code, and text.
int answer(const std::function<result<std::string>()>& work) {
  try {
    const result<std::string> done = work();
    std::string text(1, done ? '\0' : static_cast<char>(done.error().code));
    text += done ? *done : done.error().message;
    return tell(text) ? 0 : ended_by_exception;
  } catch (const std::bad_alloc&) {
    return ended_out_of_memory;
  } catch (const std::exception& thrown) {
    (void)tell(std::string(1, static_cast<char>(errc::internal)) + thrown.what());
    return 0;
  }
}

[[noreturn]] void run_child(int pipe_end, pid_t parent, std::uint64_t memory_bytes,
                            const std::function<result<std::string>()>& work) {
  // One arena, because each takes address space of its own and the bound is on address space.
  ::mallopt(M_ARENA_MAX, 1);
  const std::uint64_t memory_bytes_max = address_space() + memory_bytes; // while files may be read
  bool ok = ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
  ok = ok && ::dup2(pipe_end, answer_fd) == answer_fd;
  ::close(STDIN_FILENO);
  ::close(STDOUT_FILENO);
  ok = ok && ::syscall(SYS_close_range, answer_fd + 1, ~0U, 0) == 0;
  ok = ok && limit(RLIMIT_CORE, 0) && limit(RLIMIT_NOFILE, address_sanitized ? pipe_ends_max : 0);
  ok = ok && (address_sanitized || limit(RLIMIT_AS, memory_bytes_max));
  if (!ok || !confine()) {
    ::_exit(ended_unconfined);
  }
  ::_exit(answer(work));
}

/// The child and our end of its pipe: nothing of either is left when this goes.
class child {
public:
  child(pid_t id, int fd) : id_(id), fd_(fd) {}
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() {
    ::close(fd_);
    if (id_ > 0) {
      ::kill(id_, SIGKILL);
      (void)wait();
    }
  }
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
    }
    id_ = 0;
    return status;
  }

private:
  pid_t id_;
  int fd_;
};

result<std::string> listen(const child& of, const sandbox_limits& bounds,
                           const std::atomic<bool>& interrupted) {
  using clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds look{100}; // how long an interrupt may go unseen
  const auto deadline = clock::now() + bounds.time;
  std::string heard;
  std::array<char, 65'536> part{};
  while (true) {
    if (interrupted.load()) {
      return fail(errc::cancelled, "interrupted; nothing was found wrong so far");
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
    if (left.count() <= 0) {
      return fail(errc::timed_out,
                  "the sandbox allows {} seconds, and this took longer; try --time-limit",
                  bounds.time.count());
    }
    pollfd waiting{of.fd(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(std::min(left, look).count())) <= 0) {
      continue;
    }
    const ssize_t got = ::read(of.fd(), part.data(), part.size());
    if (got == 0) {
      return heard;
    }
    heard.append(part.data(), got < 0 ? 0 : static_cast<std::size_t>(got));
    if (heard.size() > bounds.output_bytes_max) {
      return fail(errc::over_limit, "a sandboxed process may say {} bytes, this one said more",
                  bounds.output_bytes_max);
    }
  }
}

result<std::string> understand(int status, const std::string& heard, const sandbox_limits& bounds) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) {
    return fail(errc::internal, "the sandboxed process made a system call that it may not make, "
                                "and was ended; do not trust what made it do so");
  }
  if (WIFSIGNALED(status)) {
    return fail(errc::internal, "the sandboxed process was ended by signal {}", WTERMSIG(status));
  }
  switch (WEXITSTATUS(status)) {
  case ended_out_of_memory:
    return fail(errc::over_limit,
                "the sandbox allows {} MiB of memory, and this needs more; try --memory-limit",
                bounds.memory_bytes >> 20U);
  case ended_unconfined:
    return fail(errc::unsupported, "this system does not let a process confine itself (seccomp), "
                                   "and nothing is replayed without; try another machine");
  default: break;
  }
  if (WEXITSTATUS(status) != 0 || heard.empty()) {
    return fail(errc::internal, "the sandboxed process ended with {} and no answer",
                WEXITSTATUS(status));
  }
  if (heard.front() != '\0') {
    return error{static_cast<errc>(heard.front()), heard.substr(1)};
  }
  return heard.substr(1);
}

} // namespace

result<std::string> run_sandboxed(const sandbox_limits& bounds,
                                  const std::function<result<std::string>()>& work,
                                  const std::atomic<bool>& interrupted) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(errc::unsupported, "no pipe to a sandboxed process: {}", std::strerror(errno));
  }
  const pid_t parent = ::getpid();
  const pid_t id = ::fork();
  if (id == 0) {
    run_child(ends[1], parent, bounds.memory_bytes, work);
  }
  ::close(ends[1]);
  child confined{id, ends[0]};
  if (id < 0) {
    return fail(errc::unsupported, "no sandboxed process: {}", std::strerror(errno));
  }
  OVIR_ASSIGN(const std::string heard, listen(confined, bounds, interrupted));
  return understand(confined.wait(), heard, bounds);
}

} // namespace ovir::apps
