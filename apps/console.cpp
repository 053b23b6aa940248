#include "apps/console.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <new>
#include <system_error>

namespace ovir::apps {

namespace {

// One per process, like the descriptor it describes.
std::atomic<bool> reader_is_gone{false};

// Plain write(2): every piece of a stream is visible at once, and the first error is seen.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) {
      return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(written < 0 ? 0 : written));
  }
  return 0;
}

} // namespace

bool output_closed() noexcept { return reader_is_gone.load(); }

result<void> write_output(std::string_view text) {
  const int code = write_all(STDOUT_FILENO, text);
  if (code == 0) {
    return {};
  }
  if (code == EPIPE) {
    reader_is_gone.store(true);
    return fail(errc::io_failed, "the reader of standard output is gone");
  }
  return fail(errc::io_failed,
              "standard output cannot be written ({}); free some space or send it elsewhere",
              std::generic_category().message(code));
}

result<void> write_document(const json& document) { return write_output(to_text(document) + "\n"); }

std::string to_text(const json& document) {
  return document.dump(2, ' ', false, json::error_handler_t::replace);
}

void write_note(std::string_view text) { write_all(STDERR_FILENO, text); }

void write_error(std::string_view program, const error& e, bool as_json) {
  if (as_json) {
    const json document{{"error", {{"code", to_string(e.code)}, {"message", e.message}}}};
    // Nothing is left to say when even this fails.
    static_cast<void>(write_document(document));
  }
  write_note(fmt::format("{}: {}\n", program, e.message));
}

error error_from(const std::exception& thrown) {
  if (dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr) {
    return fail(errc::busy, "this machine has not enough memory for it now; free some, or use a "
                            "smaller model or fewer threads");
  }
  const bool refused = dynamic_cast<const std::system_error*>(&thrown) != nullptr;
  return {refused ? errc::busy : errc::internal, thrown.what()};
}

bool wants_json(int argc, const char* const* argv) {
  return std::find(argv, argv + argc, std::string_view{"--json"}) != argv + argc;
}

void reserve_standard_descriptors() noexcept {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
      // Lower ones are taken, so this is `fd`; opened the wrong way round, so that its use fails.
      ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

} // namespace ovir::apps
