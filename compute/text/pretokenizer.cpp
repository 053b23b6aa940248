#include "compute/text/pretokenizer.hpp"

#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <utility>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace ovir::compute {

namespace {

// White space is spelled \p{White_Space} and not \s, because PCRE2's \s also holds U+180E, which
// Unicode has not counted as a space since version 6.3. All repeats are possessive: the class that
// follows is always disjoint, so backtracking could find nothing, only take time.
//
// A run of white space that nothing else takes is captured as group 1, and `trimmed_run` decides
// how much of it is the word. The published patterns express that with `\s*[\r\n]+` and
// `\s+(?!\S)`, which backtrack over the run character by character; the result is the same.

constexpr std::string_view gpt2_words = R"('s|'t|'re|'ve|'m|'ll|'d)"
                                        R"(| ?\p{L}++)"
                                        R"(| ?\p{N}++)"
                                        R"(| ?[^\p{White_Space}\p{L}\p{N}]++)"
                                        R"(|(\p{White_Space}++))";

constexpr std::string_view llama_words = R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE]))"
                                         R"(|[^\r\n\p{L}\p{N}]?\p{L}++)"
                                         R"(|\p{N}{1,3}+)"
                                         R"(| ?[^\p{White_Space}\p{L}\p{N}]++[\r\n]*+)"
                                         R"(|(\p{White_Space}++))";

// As llama's, but every digit is a word.
constexpr std::string_view qwen_words = R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE]))"
                                        R"(|[^\r\n\p{L}\p{N}]?\p{L}++)"
                                        R"(|\p{N})"
                                        R"(| ?[^\p{White_Space}\p{L}\p{N}]++[\r\n]*+)"
                                        R"(|(\p{White_Space}++))";

constexpr std::string_view single_numbers = R"(\p{N})";
constexpr std::string_view punctuation_runs = R"([\p{P}$+<=>^~|]++)";
constexpr std::string_view number_runs = R"(\p{N}++)";
constexpr std::string_view digit_triples = R"([0-9][0-9][0-9])";

/// What becomes of a run of white space before further text.
enum class white_space_rule : std::uint8_t {
  keep,            ///< the pattern has no such run
  leave_last,      ///< its last character is left for the word behind it
  end_at_new_line, ///< as far as its last line break; without one, like leave_last
};

/// One pattern, applied to every word there is so far: its matches become words, and so does what
/// lies between them.
struct step {
  std::string_view pattern;
  white_space_rule rule{white_space_rule::keep};
};

constexpr std::array gpt2_steps{step{gpt2_words, white_space_rule::leave_last}};
constexpr std::array llama_steps{step{llama_words, white_space_rule::end_at_new_line}};
constexpr std::array qwen_steps{step{qwen_words, white_space_rule::end_at_new_line}};
constexpr std::array starcoder_steps{step{single_numbers},
                                     step{gpt2_words, white_space_rule::leave_last}};
constexpr std::array default_steps{step{punctuation_runs},
                                   step{gpt2_words, white_space_rule::leave_last},
                                   step{number_runs}, step{digit_triples}};

/// What `tokenizer.ggml.pre` may say. Names that llama.cpp takes for the same are the same here.
struct named_rules {
  std::string_view name;
  std::span<const step> steps;
  bool takes_whole_words{false};
  bool adds_bos{false};
};

constexpr std::array known_rules{
    named_rules{"default", default_steps},
    named_rules{"gpt-2", gpt2_steps},
    named_rules{"phi-2", gpt2_steps},
    named_rules{"mpt", gpt2_steps},
    named_rules{"olmo", gpt2_steps},
    named_rules{"jais", gpt2_steps},
    named_rules{"llama-bpe", llama_steps, true, true},
    named_rules{"llama3", llama_steps, true, true},
    named_rules{"llama-v3", llama_steps, true, true},
    named_rules{"falcon3", llama_steps, true, true},
    named_rules{"dbrx", llama_steps},
    named_rules{"smaug-bpe", llama_steps},
    named_rules{"qwen2", qwen_steps},
    named_rules{"deepseek-r1-qwen", qwen_steps},
    named_rules{"stablelm2", qwen_steps},
    named_rules{"starcoder", starcoder_steps},
    named_rules{"refact", starcoder_steps},
    named_rules{"smollm", starcoder_steps},
    named_rules{"codeshell", starcoder_steps},
    named_rules{"command-r", starcoder_steps},
};

std::string known_names() {
  std::string names;
  for (const named_rules& rules : known_rules) {
    names += fmt::format("{}'{}'", names.empty() ? "" : ", ", rules.name);
  }
  return names;
}

struct code_deleter {
  void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
};
struct match_data_deleter {
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};
struct match_context_deleter {
  void operator()(pcre2_match_context* context) const noexcept {
    pcre2_match_context_free(context);
  }
};

struct compiled_step {
  std::unique_ptr<pcre2_code, code_deleter> code;
  white_space_rule rule{white_space_rule::keep};
};

/// Bytes of the character that ends at the end of `text`, which is valid UTF-8 and not empty.
std::size_t last_character_bytes(std::string_view text) noexcept {
  std::size_t bytes = 1;
  while (bytes < text.size() &&
         (static_cast<std::uint8_t>(text[text.size() - bytes]) & 0xC0U) == 0x80U) {
    ++bytes;
  }
  return bytes;
}

/// How many bytes of `run`, a run of white space, are a word of their own.
std::size_t trimmed_run(std::string_view run, bool at_end, white_space_rule rule) noexcept {
  if (rule == white_space_rule::end_at_new_line) {
    const std::size_t line_break = run.find_last_of("\r\n");
    if (line_break != std::string_view::npos) {
      return line_break + 1;
    }
  }
  const std::size_t last = last_character_bytes(run);
  return at_end || last == run.size() ? run.size() : run.size() - last;
}

result<compiled_step> compile(const step& source) {
  int error_number = 0;
  PCRE2_SIZE error_offset = 0;
  compiled_step compiled;
  compiled.rule = source.rule;
  compiled.code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(source.pattern.data()),
                                    source.pattern.size(), PCRE2_UTF | PCRE2_UCP, &error_number,
                                    &error_offset, nullptr));
  if (compiled.code == nullptr) {
    return fail(errc::internal,
                "pre-tokenizer: PCRE2 refuses a pattern with error {} at {}; OVIR needs PCRE2 10.40"
                " or newer with Unicode",
                error_number, error_offset);
  }
  // Where the system forbids memory that is both writable and executable there is no JIT, and
  // pcre2_match interprets the pattern: slower, same matches.
  static_cast<void>(pcre2_jit_compile(compiled.code.get(), PCRE2_JIT_COMPLETE));
  return compiled;
}

} // namespace

struct pretokenizer_rules {
  std::vector<compiled_step> steps;
  std::unique_ptr<pcre2_match_context, match_context_deleter> context;
  bool takes_whole_words{false};
  bool adds_bos{false};

  /// Appends the words that `current` makes of `text`, which is valid UTF-8.
  [[nodiscard]] result<void> apply(const compiled_step& current, std::string_view text,
                                   pcre2_match_data* data,
                                   std::vector<std::string_view>& words) const;
  /// All steps over `text`, which is valid UTF-8.
  [[nodiscard]] result<void> split_valid(std::string_view text,
                                         std::vector<std::string_view>& words) const;
};

result<void> pretokenizer_rules::apply(const compiled_step& current, std::string_view text,
                                       pcre2_match_data* data,
                                       std::vector<std::string_view>& words) const {
  std::size_t at = 0;
  while (at < text.size()) {
    // The caller has checked the encoding; PCRE2 would do so again at every call.
    const int groups = pcre2_match(current.code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                   text.size(), at, PCRE2_NO_UTF_CHECK, data, context.get());
    if (groups == PCRE2_ERROR_NOMATCH) {
      break;
    }
    if (groups < 0) {
      return fail(errc::over_limit,
                  "pre-tokenizer: PCRE2 gives up with error {} at byte {} of the text; shorten it",
                  groups, at);
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    const std::size_t begin = bounds[0];
    std::size_t end = bounds[1];
    if (groups > 1 && bounds[2] != PCRE2_UNSET) {
      end = begin + trimmed_run(text.substr(begin, end - begin), end == text.size(), current.rule);
    }
    OVIR_CHECK(begin >= at && end > begin && end <= text.size(), at, begin, end, text.size());
    if (begin > at) {
      words.push_back(text.substr(at, begin - at));
    }
    words.push_back(text.substr(begin, end - begin));
    at = end;
  }
  if (at < text.size()) {
    words.push_back(text.substr(at));
  }
  return {};
}

result<void> pretokenizer_rules::split_valid(std::string_view text,
                                             std::vector<std::string_view>& words) const {
  const std::unique_ptr<pcre2_match_data, match_data_deleter> data{
      pcre2_match_data_create(2, nullptr)};
  if (data == nullptr) {
    throw std::bad_alloc{};
  }
  if (steps.size() == 1) {
    return apply(steps.front(), text, data.get(), words);
  }
  std::vector<std::string_view> pieces{text};
  std::vector<std::string_view> finer;
  for (const compiled_step& current : steps) {
    finer.clear();
    for (const std::string_view piece : pieces) {
      OVIR_TRY(apply(current, piece, data.get(), finer));
    }
    pieces.swap(finer);
  }
  words.insert(words.end(), pieces.begin(), pieces.end());
  return {};
}

pretokenizer::pretokenizer(std::unique_ptr<pretokenizer_rules> rules) : rules_(std::move(rules)) {}
pretokenizer::pretokenizer(pretokenizer&&) noexcept = default;
pretokenizer& pretokenizer::operator=(pretokenizer&&) noexcept = default;
pretokenizer::~pretokenizer() = default;

result<pretokenizer> pretokenizer::make(std::string_view name) {
  const auto* const known = std::find_if(known_rules.begin(), known_rules.end(),
                                         [&](const named_rules& one) { return one.name == name; });
  if (known == known_rules.end()) {
    return fail(errc::unsupported,
                "tokenizer.ggml.pre: the pre-tokenizer '{}' is unknown to this build; it knows {}",
                printable(name), known_names());
  }
  auto rules = std::make_unique<pretokenizer_rules>();
  for (const step& source : known->steps) {
    OVIR_ASSIGN(compiled_step compiled, compile(source));
    rules->steps.push_back(std::move(compiled));
  }
  rules->takes_whole_words = known->takes_whole_words;
  rules->adds_bos = known->adds_bos;
  rules->context.reset(pcre2_match_context_create(nullptr));
  if (rules->context == nullptr) {
    throw std::bad_alloc{};
  }
  pcre2_set_match_limit(rules->context.get(), limits::pcre_match_limit);
  return pretokenizer{std::move(rules)};
}

result<void> pretokenizer::split(std::string_view text,
                                 std::vector<std::string_view>& words) const {
  while (!text.empty()) {
    const utf8_status kind = read_utf8(text).status == utf8_status::character
                                 ? utf8_status::character
                                 : utf8_status::invalid;
    std::size_t bytes = 0;
    while (bytes < text.size()) {
      const utf8_step next = read_utf8(text.substr(bytes));
      if ((next.status == utf8_status::character) != (kind == utf8_status::character)) {
        break;
      }
      bytes += next.bytes;
    }
    if (kind == utf8_status::character) {
      OVIR_TRY(rules_->split_valid(text.substr(0, bytes), words));
    } else {
      words.push_back(text.substr(0, bytes));
    }
    text.remove_prefix(bytes);
  }
  return {};
}

bool pretokenizer::takes_whole_words() const noexcept { return rules_->takes_whole_words; }
bool pretokenizer::adds_bos() const noexcept { return rules_->adds_bos; }

} // namespace ovir::compute
