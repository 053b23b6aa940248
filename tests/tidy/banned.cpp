#include "tests/tidy/banned.hpp"

#include <algorithm>
#include <regex>
#include <string>

namespace ovir::tidy {

namespace {

struct ban {
  std::vector<std::string> where;  ///< patterns of paths it holds in
  std::vector<std::string> except; ///< patterns of paths it does not hold in
  std::vector<std::string> hints; ///< a text without any of these cannot match: saves most searches
  std::regex pattern;
  std::string why;
  bool with_literals{false}; ///< looks into string literals too
};

const std::vector<std::string> cores{"messages/*", "compute/*", "learning/*", "templates/*",
                                     "storage/*",  "ledger/*",  "verify/*"};
/// The machine that the cores are handed (storage/README.md).
const std::vector<std::string> machine{"storage/env/env_posix*", "storage/env/thread_runner*"};
const std::vector<std::string> shells{"actors/*", "supervision/*", "node/*"};
const std::vector<std::string> code{"*.cpp", "*.hpp"};

/// The bans of the pure cores: what would let a result depend on something else than its inputs.
std::vector<ban> core_bans() {
  return {
      {cores,
       {},
       {"rand", "mt19937"},
       std::regex{R"(\b(s?rand|drand48|random_device|mt19937(_64)?)\b\s*[({;])"},
       "cores get randomness as a parameter"},
      {cores,
       machine,
       {"time", "clock"},
       std::regex{R"((^|[^.>\w])(std::)?(time|clock|gettimeofday)\s*\()"},
       "cores get the time as a parameter"},
      {cores,
       machine,
       {"_clock"},
       std::regex{R"(\b(system_clock|steady_clock|high_resolution_clock)::now\b)"},
       "cores get the time as a parameter"},
      {cores,
       machine,
       {"std::"},
       std::regex{R"(\bstd::(jthread|thread|async|this_thread)\b)"},
       "cores own no threads; they take a parallel_runner"},
      {cores,
       machine,
       {"<thread>", "<future>", "<mutex>", "<condition_variable>"},
       std::regex{R"(#\s*include\s*<(thread|future|mutex|condition_variable)>)"},
       "cores own no threads; they take a parallel_runner"},
      {cores,
       machine,
       {"getenv"},
       std::regex{R"(\bgetenv\s*\()"},
       "cores do not read the environment"},
      {cores, {}, {"<iostream>"}, std::regex{R"(#\s*include\s*<iostream>)"}, "cores print nothing"},
  };
}

/// The bans of the exact path: what would let two machines disagree.
std::vector<ban> exact_bans() {
  return {
      {{"compute/*", "learning/*"},
       {},
       {"exp", "log", "pow", "sin", "cos", "tan", "cbrt", "hypot", "erf"},
       std::regex{R"((^|[^.>\w])(std::)?(exp|exp2|expm1|log|log2|log10|log1p|pow|sin|cos|tan|)"
                  R"(asin|acos|atan|atan2|sinh|cosh|tanh|cbrt|hypot|erf)[fl]?\s*\()"},
       "libm differs between machines; use compute/base/exact_math.hpp"},
      {{"compute/*", "learning/*"},
       {},
       {"_mm"},
       std::regex{R"(\b_mm(256|512)?_\w*(rsqrt|rcp)\w*\s*\()"},
       "estimates differ between processors; use true division and square root"},
      {{"compute/*", "learning/*"},
       {},
       {"reduce", "execution"},
       std::regex{R"(\bstd::(reduce|transform_reduce|execution::\w+)\b)"},
       "the order of a sum is part of exact-1"},
      {{"compute/model/transcript*", "ledger/*"},
       {},
       {"unordered"},
       std::regex{R"(\bunordered_(map|set)\b)"},
       "no hash table may be iterated into a digest"},
  };
}

std::vector<ban> other_bans() {
  return {
      {code,
       {"apps/*", "tests/*", "bench/*"},
       {"catch"},
       std::regex{R"(\bcatch\s*\(\s*\.\.\.\s*\))"},
       "catches everything; only main may"},
      {shells,
       {},
       {"[="},
       std::regex{R"(\[\s*=\s*[\],])"},
       "captures copies of everything; name them"},
      {shells,
       {},
       {"[&"},
       std::regex{R"(\b(set_\w+_handler|then|await|schedule\w*)\s*\(\s*\[\s*&\s*[\],])"},
       "a handler outlives the function; name what it captures"},
      {shells,
       {},
       {"rand"},
       std::regex{R"((^|[^.>\w])(std::)?s?rand\s*\()"},
       "randomness comes from the environment"},
      {code,
       {},
       {"sleep"},
       std::regex{R"(\b(sleep_for|sleep_until|usleep|nanosleep)\b|(^|[^.>\w])sleep\s*\(\s*\w)"},
       "sleeps; wait for the event instead"},
      {{"tests/*"},
       {"tests/tidy/*"},
       {"127.0.0.1", "localhost", "0.0.0.0", "[::1]", "htons"},
       std::regex{R"((127\.0\.0\.1|localhost|0\.0\.0\.0|\[::1\]):[1-9]|htons\s*\(\s*[1-9])"},
       "a fixed port; bind port 0 and read it back",
       true},
      {{"tests/*"}, {}, {"DISABLED_"}, std::regex{R"(\bDISABLED_)"}, "a switched-off test"},
      {code,
       {},
       {"strcpy", "strcat", "sprintf", "gets", "alloca"},
       std::regex{R"(\b(strcpy|strcat|sprintf|gets|alloca)\s*\()"},
       "writes without a bound"},
  };
}

const std::vector<ban>& all_bans() {
  static const std::vector<ban> bans = [] {
    std::vector<ban> joined = core_bans();
    for (auto* more : {&exact_bans, &other_bans}) {
      for (ban& b : more()) {
        joined.push_back(std::move(b));
      }
    }
    return joined;
  }();
  return bans;
}

bool any_within(const std::vector<std::string>& hints, std::string_view text) {
  return std::any_of(hints.begin(), hints.end(), [&](const std::string& hint) {
    return text.find(hint) != std::string_view::npos;
  });
}

bool any_matches(const std::vector<std::string>& patterns, const std::string& path) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, path); });
}

void search(const std::string& path, std::string_view text, const std::regex& pattern,
            const std::string& why, std::vector<finding>& found) {
  std::size_t number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    std::match_results<std::string_view::const_iterator> match;
    if (std::regex_search(line.begin(), line.end(), match, pattern)) {
      std::string what{"'"};
      what += match[0].str();
      what += "': ";
      what += why;
      found.push_back({path, number, std::move(what)});
    }
  }
}

} // namespace

std::vector<finding> check_banned_calls(const source& file) {
  const std::string plain = without_comments_and_strings(file.text);
  const std::string with_literals = without_comments(file.text);
  std::vector<finding> found;
  for (const ban& b : all_bans()) {
    const std::string& text = b.with_literals ? with_literals : plain;
    if (any_matches(b.where, file.path) && !any_matches(b.except, file.path) &&
        any_within(b.hints, text)) {
      search(file.path, text, b.pattern, b.why, found);
    }
  }
  return found;
}

std::vector<finding> check_words(const source& file) {
  struct word {
    std::vector<std::string> hints;
    std::regex pattern;
    std::string why;
  };
  // The words are put together here so that this file does not contain them.
  static const std::vector<word> words{
      {{std::string{"TO"} + "DO", std::string{"FIX"} + "ME", std::string{"HA"} + "CK",
        std::string{"XX"} + "X", std::string{"not imple"} + "mented"},
       std::regex{std::string{R"(\b(TO)"} + R"(DO|FIX)" + R"(ME|HA)" + R"(CK|XX)" +
                  R"(X)\b|not imple)" + "mented"},
       "finish it, or say in the documents what is absent"},
      {{std::string{"/ho"} + "me/", std::string{"/ro"} + "ot/", std::string{"/wo"} + "rk/"},
       std::regex{std::string{R"((^|[\s"'`(=:])/(ho)"} + R"(me|ro)" + R"(ot|wo)" + R"(rk)/)"},
       "a path of one machine"},
      {{std::string{"registry.np"} + "mjs", std::string{"deb.deb"} + "ian.org"},
       std::regex{std::string{R"(registry\.np)"} + R"(mjs|deb\.deb)" + R"(ian\.org)"},
       "a registry's address; its client knows it"},
  };
  std::vector<finding> found;
  for (const word& w : words) {
    if (any_within(w.hints, file.text)) {
      search(file.path, file.text, w.pattern, w.why, found);
    }
  }
  return found;
}

std::vector<finding> check_plain_english(const source& page) {
  static const std::regex riddles{R"(\b(who(m)?ever|(no|some)body)\b)", std::regex::icase};
  // Code keeps its length, so that lines stay what they are.
  std::string text = page.text;
  bool code = false;
  for (char& c : text) {
    code = (c == '`') != code;
    c = code && c != '\n' ? ' ' : c;
  }
  std::vector<finding> found;
  search(page.path, text, riddles, "say who does it", found);
  return found;
}

} // namespace ovir::tidy
