#include "templates/lexer.hpp"

#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 27> signs{"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                 "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                 ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", "!"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string with_plain_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) {
    out.pop_back();
  }
  return out;
}

class lexer {
public:
  explicit lexer(std::string source) : source_(std::move(source)) {}

  result<std::vector<token>> run() {
    while (at_ < source_.size()) {
      OVIR_TRY(read_data());
      if (tokens_.size() > limits::template_tokens_max) {
        return fail(errc::over_limit, "the template has more than {} parts",
                    limits::template_tokens_max);
      }
    }
    add(token_kind::end, {});
    return std::move(tokens_);
  }

private:
  [[nodiscard]] std::string_view rest() const { return std::string_view{source_}.substr(at_); }
  [[nodiscard]] bool sees(std::string_view text) const { return rest().starts_with(text); }
  [[nodiscard]] error wrong(std::string_view what) const {
    return fail(errc::malformed, "line {} of the template: {}", line_, what);
  }
  void add(token_kind what, std::string text) { tokens_.push_back({what, std::move(text), line_}); }
  void advance(std::size_t bytes) {
    line_ += static_cast<std::uint32_t>(
        std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                   source_.begin() + static_cast<std::ptrdiff_t>(at_ + bytes), '\n'));
    if (bytes > 0) {
      line_starts_ = source_[at_ + bytes - 1] == '\n';
    }
    at_ += bytes;
  }

  /// Adds `bytes` of data that stand before a tag whose second character is `kind`, less what the
  /// tag strips. `sign` stands behind the tag's two characters.
  void add_data(std::size_t bytes, char kind, char sign) {
    std::string text = source_.substr(at_, bytes);
    if (sign == '-') {
      text.resize(text.size() - trailing_space(text));
    } else if (sign != '+' && kind != '{' && kind != 0) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
      if ((begin > 0 || line_starts_) &&
          leading_space(std::string_view{text}.substr(begin)) == text.size() - begin) {
        text.resize(begin);
      }
    }
    if (!text.empty()) {
      add(token_kind::data, std::move(text));
    }
    advance(bytes);
  }

  result<void> read_data() {
    std::size_t tag = source_.find('{', at_);
    while (tag != std::string::npos &&
           (tag + 1 == source_.size() ||
            std::string_view{"{%#"}.find(source_[tag + 1]) == std::string_view::npos)) {
      tag = source_.find('{', tag + 1);
    }
    if (tag == std::string::npos) {
      add_data(source_.size() - at_, 0, 0);
      return {};
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_data(tag - at_, kind, sign);
    advance(sign == '-' || sign == '+' ? 3 : 2);
    if (kind == '#') {
      return skip_comment();
    }
    if (kind == '%' && begins_raw()) {
      return read_raw();
    }
    add(kind == '{' ? token_kind::print_begin : token_kind::block_begin, {});
    return read_tag(kind == '{' ? "}}" : "%}");
  }

  /// What goes behind the end of a tag.
  void end_tag(bool minus, bool plus, bool is_block) {
    if (minus) {
      advance(leading_space(rest()));
    } else if (is_block && !plus && sees("\n")) {
      advance(1);
    }
  }

  result<void> skip_comment() {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string::npos) {
      return wrong("a comment does not end");
    }
    const char before = end > at_ ? source_[end - 1] : '\0';
    advance(end + 2 - at_);
    end_tag(before == '-', before == '+', true);
    return {};
  }

  /// Skips "raw" and the end of its tag, if that is what the tag says.
  bool begins_raw() {
    std::size_t i = at_ + leading_space(rest());
    if (std::string_view{source_}.substr(i, 3) != "raw") {
      return false;
    }
    i += 3;
    i += leading_space(std::string_view{source_}.substr(i));
    const std::string_view end = std::string_view{source_}.substr(i);
    if (!end.starts_with("%}") && !end.starts_with("-%}")) {
      return false;
    }
    const bool minus = end.starts_with('-');
    advance(i + (minus ? 3 : 2) - at_);
    end_tag(minus, true, true); // the newline behind it is data
    return true;
  }

  result<void> read_raw() {
    for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      std::string_view inside = std::string_view{source_}.substr(tag + 2);
      const char sign = inside.empty() ? '\0' : inside.front();
      inside.remove_prefix(sign == '-' || sign == '+' ? 1 : 0);
      inside.remove_prefix(leading_space(inside));
      if (!inside.starts_with("endraw")) {
        continue;
      }
      inside.remove_prefix(6);
      inside.remove_prefix(leading_space(inside));
      const bool minus = inside.starts_with("-%}");
      const bool plus = inside.starts_with("+%}");
      if (!minus && !plus && !inside.starts_with("%}")) {
        continue;
      }
      inside.remove_prefix(minus || plus ? 3 : 2);
      const std::size_t end = source_.size() - inside.size();
      add_data(tag - at_, '%', sign);
      advance(end - at_);
      end_tag(minus, plus, true);
      return {};
    }
    return wrong("'raw' does not end");
  }

  result<void> read_tag(std::string_view end) {
    const bool is_block = end == "%}";
    std::vector<char> open;
    while (true) {
      advance(leading_space(rest()));
      if (at_ == source_.size()) {
        return wrong("a tag does not end");
      }
      if (open.empty()) {
        const bool minus = sees(is_block ? "-%}" : "-}}");
        const bool plus = is_block && sees("+%}");
        if (minus || plus || sees(end)) {
          advance(minus || plus ? 3 : 2);
          add(is_block ? token_kind::block_end : token_kind::print_end, {});
          end_tag(minus, plus, is_block);
          return {};
        }
      }
      OVIR_TRY(read_token(open));
      if (tokens_.size() > limits::template_tokens_max) {
        return fail(errc::over_limit, "the template has more than {} parts",
                    limits::template_tokens_max);
      }
    }
  }

  result<void> read_token(std::vector<char>& open) {
    const char c = source_[at_];
    if (is_digit(c)) {
      return read_number();
    }
    if (begins_name(c)) {
      std::size_t end = at_ + 1;
      while (end < source_.size() && (begins_name(source_[end]) || is_digit(source_[end]))) {
        ++end;
      }
      add(token_kind::name, source_.substr(at_, end - at_));
      advance(end - at_);
      return {};
    }
    if (c == '\'' || c == '"') {
      return read_text(c);
    }
    const auto* const found =
        std::find_if(signs.begin(), signs.end(), [&](std::string_view sign) { return sees(sign); });
    if (found == signs.end() || *found == "!" || *found == ";") {
      return wrong("'" + compute::printable(rest().substr(0, 1)) + "' has no meaning there");
    }
    if (*found == "(" || *found == "[" || *found == "{") {
      if (open.size() == limits::template_depth_max) {
        return wrong("brackets lie too deep in each other");
      }
      open.push_back(*found == "(" ? ')' : *found == "[" ? ']' : '}');
    } else if (*found == ")" || *found == "]" || *found == "}") {
      if (open.empty() || open.back() != found->front()) {
        return wrong("'" + std::string{*found} + "' closes nothing");
      }
      open.pop_back();
    }
    add(token_kind::sign, std::string{*found});
    advance(found->size());
    return {};
  }

  result<void> read_number() {
    std::size_t end = at_;
    const auto digits = [&] {
      while (end < source_.size() && is_digit(source_[end])) {
        ++end;
      }
    };
    const auto digit_at = [&](std::size_t i) { return i < source_.size() && is_digit(source_[i]); };
    digits();
    bool whole = true;
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      whole = false;
      ++end;
      digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool has_sign =
          end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + (has_sign ? 2 : 1))) {
        whole = false;
        end += has_sign ? 2 : 1;
        digits();
      }
    }
    if (end < source_.size() && begins_name(source_[end])) {
      return wrong("a number is followed by a letter");
    }
    add(whole ? token_kind::integer : token_kind::number, source_.substr(at_, end - at_));
    advance(end - at_);
    return {};
  }

  result<void> read_text(char quote) {
    std::string text;
    std::size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] != '\\') {
        text += source_[i++];
      } else if (!unescape(i, text)) {
        return wrong("a string has a '\\' before what is no escape known here");
      }
    }
    if (i >= source_.size()) {
      return wrong("a string does not end");
    }
    add(token_kind::text, std::move(text));
    advance(i + 1 - at_);
    return {};
  }

  /// Reads the escape at `i`, as Python does.
  bool unescape(std::size_t& i, std::string& text) {
    constexpr std::string_view letters = "\\'\"abfnrtv";
    constexpr std::string_view meant = "\\'\"\a\b\f\n\r\t\v";
    if (i + 1 >= source_.size()) {
      return false;
    }
    const char c = source_[i + 1];
    if (const std::size_t at = letters.find(c); at != std::string_view::npos) {
      text += meant[at];
      i += 2;
      return true;
    }
    if (c == '\n') {
      i += 2;
      return true;
    }
    if (c == 'x' || c == 'u' || c == 'U') {
      return unescape_digits(i, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, 2, text);
    }
    if (c >= '0' && c <= '7') {
      std::size_t count = 1;
      while (count < 3 && i + 1 + count < source_.size() && source_[i + 1 + count] >= '0' &&
             source_[i + 1 + count] <= '7') {
        ++count;
      }
      return unescape_digits(i, count, 8, 1, text);
    }
    if (c == 'N') {
      return false; // names of characters
    }
    text += '\\'; // stays where it means nothing
    ++i;
    return true;
  }

  bool unescape_digits(std::size_t& i, std::size_t count, std::uint32_t base, std::size_t skip,
                       std::string& text) {
    if (i + skip + count > source_.size()) {
      return false;
    }
    std::uint32_t code = 0;
    for (const char c : source_.substr(i + skip, count)) {
      const std::uint32_t digit = is_digit(c)            ? static_cast<std::uint32_t>(c - '0')
                                  : c >= 'a' && c <= 'f' ? static_cast<std::uint32_t>(c - 'a') + 10
                                  : c >= 'A' && c <= 'F' ? static_cast<std::uint32_t>(c - 'A') + 10
                                                         : 99;
      if (digit >= base || code > 0x10FFFF) {
        return false;
      }
      code = code * base + digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return false;
    }
    compute::append_utf8(text, static_cast<char32_t>(code));
    i += skip + count;
    return true;
  }

  std::string source_;
  std::size_t at_{0};
  std::uint32_t line_{1};
  bool line_starts_{true};
  std::vector<token> tokens_;
};

} // namespace

bool is_space(char32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::size_t leading_space(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto step = compute::read_utf8(text.substr(at));
    if (step.status != compute::utf8_status::character || !is_space(step.value)) {
      break;
    }
    at += step.bytes;
  }
  return at;
}

std::size_t trailing_space(std::string_view text) noexcept {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 &&
           (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) {
      --begin;
    }
    const auto step = compute::read_utf8(text.substr(begin, end - begin));
    if (step.status != compute::utf8_status::character || step.bytes != end - begin ||
        !is_space(step.value)) {
      break;
    }
    end = begin;
  }
  return text.size() - end;
}

result<std::vector<token>> tokens_of(std::string_view source) {
  if (source.size() > limits::template_bytes_max) {
    return fail(errc::over_limit, "the chat template has {} bytes, at most {} are read",
                source.size(), limits::template_bytes_max);
  }
  if (!compute::is_utf8(source)) {
    return fail(errc::malformed, "the chat template is not UTF-8");
  }
  return lexer{with_plain_newlines(source)}.run();
}

} // namespace ovir::templates
