#include "gateway/api/system_prompt.hpp"

#include "gateway/api/tool_prompt.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ovir::gateway {

namespace {

/// The first line that says something: templates may trim and indent the whole.
std::string_view first_words(std::string_view text) {
  constexpr std::string_view space = " \t\r\n\f\v";
  const std::size_t first = std::min(text.find_first_not_of(space), text.size());
  text = text.substr(first);
  text = text.substr(0, text.find_first_of("\r\n"));
  return text.substr(0, text.find_last_not_of(space) + 1);
}

} // namespace

std::optional<std::vector<chat_message>>
with_system_folded(std::span<const chat_message> messages) {
  std::vector<chat_message> out;
  std::string waiting;
  bool folded = false;
  for (const chat_message& m : messages) {
    if (m.role == "system") {
      waiting = joined(waiting, m.content);
      folded = true;
      continue;
    }
    out.push_back(m);
    if (m.role == "user") {
      out.back().content = joined(std::exchange(waiting, {}), m.content);
    }
  }
  const auto last = std::find_if(out.rbegin(), out.rend(),
                                 [](const chat_message& m) { return m.role == "user"; });
  if (!folded || last == out.rend()) {
    return std::nullopt;
  }
  last->content = joined(last->content, waiting);
  return out;
}

bool leaves_out_system(std::span<const chat_message> messages,
                       std::span<const prompt_part> written) {
  std::string whole;
  for (const prompt_part& part : written) {
    whole += part.text;
  }
  return std::any_of(messages.begin(), messages.end(), [&whole](const chat_message& m) {
    return m.role == "system" && whole.find(first_words(m.content)) == std::string::npos;
  });
}

} // namespace ovir::gateway
