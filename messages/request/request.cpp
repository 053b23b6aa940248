#include "messages/request/request.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/logprobs.hpp"

#include <bit>
#include <span>

namespace ovir {

result<void> check(const request_terms& terms) {
  if (terms.prompt.empty()) {
    return fail(errc::invalid_argument, "the prompt has no tokens; give at least one");
  }
  if (terms.stop.size() > limits::stop_strings_max) {
    return fail(errc::over_limit, "{} stop strings; at most {} are allowed", terms.stop.size(),
                limits::stop_strings_max);
  }
  for (const std::string& stop : terms.stop) {
    if (stop.empty() || stop.size() > limits::stop_string_bytes_max) {
      return fail(errc::invalid_argument, "a stop string has 1 to {} bytes, not {}",
                  limits::stop_string_bytes_max, stop.size());
    }
  }
  if (terms.logprobs.value_or(0) > limits::logprobs_top_max) {
    return fail(errc::over_limit, "{} likeliest tokens with each; at most {} are told",
                *terms.logprobs, limits::logprobs_top_max);
  }
  if (terms.embedding && *terms.embedding != pooling::mean && *terms.embedding != pooling::last) {
    return fail(errc::invalid_argument, "pooling {} of an embedding; 1 (mean) and 2 (last) exist",
                static_cast<unsigned>(*terms.embedding));
  }
  if (terms.embedding && terms.max_tokens > 0) {
    return fail(errc::invalid_argument, "a request for an embedding draws no tokens");
  }
  if (terms.sampling.min_tokens > terms.max_tokens) {
    return fail(errc::invalid_argument, "min_tokens is {}, but at most {} tokens may be drawn",
                terms.sampling.min_tokens, terms.max_tokens);
  }
  return check(terms.sampling);
}

result<reveal_when> reveal_from(std::string_view name) {
  if (name == "at_once") {
    return reveal_when::at_once;
  }
  if (name == "after") {
    return reveal_when::after;
  }
  return fail(errc::invalid_argument, "reveal '{}' is not at_once or after", name);
}

std::string_view to_string(reveal_when when) noexcept {
  return when == reveal_when::after ? "after" : "at_once";
}

digest digest_of(const request_terms& terms) {
  static_assert(std::endian::native == std::endian::little);
  hasher state{"ovir/request-terms/v1"};
  state.update(terms.model)
      .update_u64(terms.prompt.size())
      .update(std::as_bytes(std::span{terms.prompt}));
  add_numbers(state, terms.sampling)
      .update_text(terms.sampling.constraint)
      .update_u32(terms.max_tokens)
      .update_u64(terms.stop.size());
  for (const std::string& text : terms.stop) {
    state.update_text(text);
  }
  // One more than the number, so that none is a value of its own.
  state.update_u64(terms.logprobs ? std::uint64_t{*terms.logprobs} + 1 : 0)
      .update_u32(terms.embedding ? static_cast<std::uint32_t>(*terms.embedding) : 0)
      .update_u32(terms.receipt ? 1 : 0);
  add_further(state, terms.sampling);
  return state.finish();
}

} // namespace ovir
