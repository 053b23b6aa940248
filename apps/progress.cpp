#include "apps/progress.hpp"

#include "apps/console.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace ovir::apps {

namespace {

constexpr std::chrono::milliseconds quiet_time{1'000};
constexpr std::chrono::milliseconds redraw_every{100};
constexpr std::chrono::milliseconds line_every{3'000};
constexpr std::size_t bar_columns = 30;

} // namespace

progress::progress(storage::env& environment, std::string label)
    : environment_(environment), label_(std::move(label)), terminal_(::isatty(STDERR_FILENO) == 1),
      started_(environment.now()), next_(started_ + quiet_time) {}

progress::~progress() {
  if (drawn_ && terminal_) {
    write_note("\r\x1b[K");
  }
}

void progress::update(std::uint64_t done, std::uint64_t total) {
  const auto now = environment_.now();
  if (now < next_) {
    return;
  }
  next_ = now + (terminal_ ? redraw_every : line_every);
  drawn_ = true;
  const auto seconds = std::chrono::duration<double>(now - started_).count();
  const double share =
      total == 0 ? 0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const double left = share > 0 ? seconds / share - seconds : 0;
  if (!terminal_) {
    write_note(fmt::format("{}: {:.0f} %, about {:.0f} s left\n", label_, 100 * share, left));
    return;
  }
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(bar_columns));
  write_note(fmt::format("\r\x1b[K{} [{}{}] {:3.0f} %  {:.0f} s left", label_,
                         std::string(filled, '#'), std::string(bar_columns - filled, '.'),
                         100 * share, left));
}

} // namespace ovir::apps
