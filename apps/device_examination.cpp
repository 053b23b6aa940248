#include "apps/device_examination.hpp"

#include "messages/limits/devices.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace ovir::apps {

namespace {

constexpr char made = '+'; ///< before what the work made
constexpr char said = '-'; ///< before why it made nothing

[[noreturn]] void run_apart(int out, const std::function<result<std::string>()>& work) {
  const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
  const auto outcome = work();
  const std::string text =
      outcome ? std::string{made} + *outcome : std::string{said} + outcome.error().message;
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = ::write(out, text.data() + at, text.size() - at);
    if (written < 0 && errno != EINTR) {
      break;
    }
    at += written > 0 ? static_cast<std::size_t>(written) : 0;
  }
  ::_exit(0); // without what a driver does at the end
}

/// All that is written to `in` until its end; an error after `patience`, or where there is too
/// much.
result<std::string> hear(int in, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::string heard;
  std::array<char, 4'096> piece{};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    pollfd wait{in, POLLIN, 0};
    const int ready = left.count() <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left.count()));
    if (ready == 0) {
      return fail(errc::unsupported,
                  "a driver of this machine did not answer within {} s; its devices are not used",
                  std::chrono::duration_cast<std::chrono::seconds>(patience).count());
    }
    const ssize_t count = ready < 0 ? -1 : ::read(in, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0 || heard.size() > limits::device_findings_bytes_max) {
      return fail(errc::unsupported, "what drivers say of this machine's devices cannot be read");
    }
    if (count == 0) {
      return heard;
    }
    heard.append(piece.data(), static_cast<std::size_t>(count));
  }
}

} // namespace

result<std::string> apart_from_drivers(const std::function<result<std::string>()>& work,
                                       std::chrono::milliseconds patience) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail(errc::unsupported, "devices cannot be asked: no pipe ({})", std::strerror(errno));
  }
  const pid_t id = ::fork();
  if (id == 0) {
    ::close(ends[0]);
    run_apart(ends[1], work);
  }
  const int reason = errno;
  ::close(ends[1]);
  if (id < 0) {
    ::close(ends[0]);
    return fail(errc::unsupported, "devices cannot be asked: no process ({})",
                std::strerror(reason));
  }
  auto heard = hear(ends[0], patience);
  ::close(ends[0]);
  if (!heard) {
    ::kill(id, SIGKILL);
  }
  int status = 0;
  while (::waitpid(id, &status, 0) < 0 && errno == EINTR) {
  }
  OVIR_TRY(heard);
  if (heard->empty()) {
    return fail(errc::unsupported,
                "a driver of this machine ended the process that asked it ({} {}); its devices are "
                "not used",
                WIFSIGNALED(status) ? "signal" : "exit code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  std::string rest = heard->substr(1);
  if (heard->front() != made) {
    return fail(errc::unsupported, "{}", rest);
  }
  return rest;
}

} // namespace ovir::apps
