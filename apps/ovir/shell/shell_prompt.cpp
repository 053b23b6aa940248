#include "apps/ovir/shell/shell_prompt.hpp"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>

namespace ovir::apps {

namespace {

constexpr int history_lines_max = 1'000;
constexpr int poll_milliseconds = 100; // a signal may come just before the wait begins
constexpr int one_character = 1;
constexpr int no_character = -1;

std::string_view shared_beginning(const std::vector<std::string>& words) {
  std::string_view shared = words.front();
  for (const std::string& word : words) {
    const auto [differs, unused] =
        std::mismatch(shared.begin(), shared.end(), word.begin(), word.end());
    shared = shared.substr(0, static_cast<std::size_t>(differs - shared.begin()));
  }
  return shared;
}

} // namespace

struct line_prompt::parts {
  std::string text;
  std::string history_path;
  std::function<std::vector<std::string>(std::string_view)> completions;
  const std::atomic<bool>* interrupted{nullptr};
  std::mbstate_t half_character{};
  ::History* history{nullptr};
  ::EditLine* editor{nullptr};

  ~parts() {
    if (editor != nullptr) {
      ::el_end(editor);
    }
    if (history != nullptr) {
      ::history_end(history);
    }
  }

  static parts& of(::EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return *static_cast<parts*>(data);
  }

  static char* prompt(::EditLine* editor) { return of(editor).text.data(); }

  /// In place of libedit's own, which goes on waiting after a signal.
  static int next_character(::EditLine* editor, wchar_t* out) {
    parts& self = of(editor);
    while (true) {
      if (self.interrupted->load()) {
        errno = EINTR;
        return no_character;
      }
      ::pollfd input{STDIN_FILENO, POLLIN, 0};
      if (::poll(&input, 1, poll_milliseconds) <= 0) {
        continue;
      }
      char byte = 0;
      const auto got = ::read(STDIN_FILENO, &byte, 1);
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got <= 0) {
        return static_cast<int>(got);
      }
      const std::size_t used = std::mbrtowc(out, &byte, 1, &self.half_character);
      if (used == static_cast<std::size_t>(-1)) {
        self.half_character = {}; // no character: it is left out
      } else if (used != static_cast<std::size_t>(-2)) {
        return one_character;
      }
    }
  }

  static unsigned char complete(::EditLine* editor, int) {
    const ::LineInfo* const line = ::el_line(editor);
    const std::string_view before{line->buffer,
                                  static_cast<std::size_t>(line->cursor - line->buffer)};
    const std::vector<std::string> words = of(editor).completions(before);
    if (words.empty()) {
      return CC_ERROR;
    }
    const std::size_t typed = before.size() - (before.find_last_of(" \t;") + 1);
    std::string rest{shared_beginning(words).substr(typed)};
    if (words.size() == 1) {
      rest += ' ';
    } else if (rest.empty()) {
      std::fputc('\n', stdout);
      for (const std::string& word : words) {
        std::fprintf(stdout, "%s  ", word.c_str());
      }
      std::fputc('\n', stdout);
      return CC_REDISPLAY;
    }
    return ::el_insertstr(editor, rest.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
  }
};

line_prompt::line_prompt(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
line_prompt::~line_prompt() = default;

result<std::unique_ptr<line_prompt>>
line_prompt::make(std::string text, std::string history_path,
                  std::function<std::vector<std::string>(std::string_view)> completions,
                  const std::atomic<bool>& interrupted) {
  std::setlocale(LC_CTYPE, ""); // for characters beyond ASCII; nothing else changes
  auto p = std::make_unique<parts>();
  p->text = std::move(text);
  p->history_path = std::move(history_path);
  p->completions = std::move(completions);
  p->interrupted = &interrupted;
  p->history = ::history_init();
  p->editor = ::el_init("ovir", stdin, stdout, stderr);
  if (p->history == nullptr || p->editor == nullptr) {
    return fail(errc::io_failed, "the terminal cannot be used for editing; give commands with -e");
  }
  ::HistEvent event{};
  ::history(p->history, &event, H_SETSIZE, history_lines_max);
  ::history(p->history, &event, H_SETUNIQUE, 1);
  if (!p->history_path.empty()) {
    ::history(p->history, &event, H_LOAD, p->history_path.c_str()); // none yet: nothing to load
  }
  ::el_set(p->editor, EL_CLIENTDATA, p.get());
  ::el_set(p->editor, EL_PROMPT, &parts::prompt);
  ::el_set(p->editor, EL_EDITOR, "emacs");
  ::el_set(p->editor, EL_HIST, ::history, p->history);
  ::el_set(p->editor, EL_GETCFN, &parts::next_character);
  ::el_set(p->editor, EL_ADDFN, "ovir-complete", "Complete a word", &parts::complete);
  ::el_set(p->editor, EL_BIND, "^I", "ovir-complete", nullptr);
  return std::unique_ptr<line_prompt>{new line_prompt{std::move(p)}};
}

line_prompt::input line_prompt::read() {
  int count = 0;
  const char* const typed = ::el_gets(parts_->editor, &count);
  if (parts_->interrupted->load()) {
    return {ended::interrupted, {}};
  }
  if (typed == nullptr || count <= 0) {
    return {ended::end_of_input, {}};
  }
  std::string line{typed, static_cast<std::size_t>(count)};
  line.erase(line.find_last_not_of("\r\n") + 1);
  if (line.find_first_not_of(" \t") != std::string::npos) {
    ::HistEvent event{};
    ::history(parts_->history, &event, H_ENTER, line.c_str());
    if (!parts_->history_path.empty()) {
      ::history(parts_->history, &event, H_SAVE, parts_->history_path.c_str());
    }
  }
  return {ended::line, std::move(line)};
}

} // namespace ovir::apps
