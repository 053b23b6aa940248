#include "apps/ovir/node/bug_report.hpp"

#include "messages/limits/reports.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <set>

namespace ovir::apps {

namespace {

/// Keys whose texts are words of the program.
constexpr std::array<std::string_view, 9> program_words{"roles",   "reveal",      "when_away",
                                                        "clients", "rewards",     "level",
                                                        "format",  "chat_format", "privacy"};
constexpr std::string_view left_out = "…";

bool is_program_word(std::string_view key) {
  return std::ranges::find(program_words, key) != program_words.end();
}

json value_for_report(std::string_view key, const json& value) {
  if (value.is_object()) {
    json some = json::object();
    for (const auto& [name, inner] : value.items()) {
      some[name] = value_for_report(name, inner);
    }
    return some;
  }
  if (value.is_array() && key == "models") {
    json some = json::array();
    for (const json& model : value) {
      some.push_back(value_for_report("model", model));
    }
    return some;
  }
  if (value.is_array() && !is_program_word(key)) {
    return value.size();
  }
  if (value.is_string() && !is_program_word(key)) {
    return value.get_ref<const std::string&>().empty() ? "" : "(set)";
  }
  return value;
}

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// As 2026-11-30T12:00:00.123Z or a part of it between spaces.
bool is_time(std::string_view word) {
  const bool date = word.size() >= 10 && word[4] == '-' && word[7] == '-';
  const bool clock = word.size() >= 8 && word[2] == ':' && word[5] == ':';
  return (date || clock) && std::ranges::all_of(word, [](char c) {
           return is_digit(c) || std::string_view{"-:.TZ+"}.find(c) != std::string_view::npos;
         });
}

/// At most as many digits as no key and no address has, and at most one point.
bool is_number(std::string_view word) {
  return word.size() <= limits::report_number_digits_max && is_digit(word.front()) &&
         std::ranges::all_of(word, [](char c) { return is_digit(c) || c == '.'; }) &&
         std::ranges::count(word, '.') <= 1;
}

bool is_plain(std::string_view word) {
  return word == "-" || std::ranges::all_of(word, is_letter) || is_number(word) || is_time(word);
}

/// A word without the marks around it that sentences have.
std::string_view core_of(std::string_view word) {
  constexpr std::string_view before = "([";
  constexpr std::string_view behind = ")],;:.%";
  while (!word.empty() && before.find(word.front()) != std::string_view::npos) {
    word.remove_prefix(1);
  }
  while (!word.empty() && behind.find(word.back()) != std::string_view::npos) {
    word.remove_suffix(1);
  }
  return word;
}

using names = std::set<std::string, std::less<>>;

/// Texts that `value_for_report` leaves out.
void collect_names(std::string_view key, const json& value, names& into) {
  if (value.is_string() && !is_program_word(key)) {
    into.insert(value.get<std::string>());
  } else if (value.is_object()) {
    for (const auto& [name, inner] : value.items()) {
      collect_names(name, inner, into);
    }
  } else if (value.is_array()) {
    for (const json& inner : value) {
      collect_names(key, inner, into);
    }
  }
}

std::string words_for_report(std::string_view text, const names& unsaid) {
  std::string some;
  bool quoted = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    const auto marks = std::ranges::count_if(word, [](char c) { return c == '\'' || c == '"'; });
    const std::string_view core = core_of(word);
    some += some.empty() ? "" : " ";
    some += !quoted && marks == 0 && (core.empty() || (is_plain(core) && !unsaid.contains(core)))
                ? word
                : left_out;
    quoted = quoted != (marks % 2 == 1);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return some;
}

/// A line of the JSON log: its members, with the texts of all but the fixed ones cut.
std::string line_for_report(std::string_view line, const names& unsaid) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object()) {
    return words_for_report(line, unsaid);
  }
  json some = json::object();
  for (const auto& [name, value] : object.items()) {
    if (value.is_string()) {
      some[name] = words_for_report(value.get_ref<const std::string&>(), unsaid);
    } else if (value.is_boolean() || value.is_number()) {
      some[name] = value;
    } else {
      some[name] = left_out;
    }
  }
  return some.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

json config_for_report(const json& config) { return value_for_report("", config); }

std::vector<std::string> log_for_report(std::string_view log, const json& config) {
  names unsaid;
  collect_names("", config, unsaid);
  std::vector<std::string> lines;
  while (!log.empty() && lines.size() < limits::report_log_lines_max) {
    if (log.back() == '\n') {
      log.remove_suffix(1);
      continue;
    }
    const std::size_t before = log.rfind('\n');
    const std::size_t first = before == std::string_view::npos ? 0 : before + 1;
    lines.push_back(line_for_report(log.substr(first), unsaid));
    log = log.substr(0, first);
  }
  std::ranges::reverse(lines);
  return lines;
}

} // namespace ovir::apps
