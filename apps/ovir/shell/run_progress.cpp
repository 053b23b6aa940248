#include "apps/ovir/shell/run_progress.hpp"

namespace ovir::apps {

std::string_view run_progress::text_at(std::size_t index) const {
  const std::size_t begin = index == 0 ? 0 : ends_[index - 1];
  return std::string_view{text_}.substr(begin, ends_[index] - begin);
}

result<std::string_view> run_progress::take(std::uint64_t index, token_id token,
                                            std::string_view text) {
  if (index >= limits::context_max) {
    return fail(errc::over_limit, "a token of index {}; an answer has at most {}", index,
                limits::context_max);
  }
  if (index > tokens_.size()) {
    return fail(errc::malformed, "token {} came before token {}", index, tokens_.size());
  }
  if (index == tokens_.size()) {
    tokens_.push_back(token);
    text_ += text;
    ends_.push_back(text_.size());
    return text_at(index);
  }
  const auto at = static_cast<std::size_t>(index);
  if (tokens_[at] != token || text_at(at) != text) {
    return fail(errc::digest_mismatch,
                "two nodes contradict each other: token {} was {} and is now {}", index,
                tokens_[at], token);
  }
  return std::string_view{};
}

result<std::string> run_progress::finish(const std::vector<token_id>& tokens,
                                         std::string_view text) const {
  if (tokens != tokens_) {
    return fail(errc::digest_mismatch,
                "the answer's {} tokens at the end are not the {} that were sent", tokens.size(),
                tokens_.size());
  }
  if (!text.starts_with(text_)) {
    return fail(errc::digest_mismatch, "the answer's text at the end is not the one that was sent");
  }
  return std::string{text.substr(text_.size())};
}

} // namespace ovir::apps
