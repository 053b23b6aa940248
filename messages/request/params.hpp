#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// How the tokens of a request are chosen.
namespace ovir {

/// What is added to the logit of one token.
struct token_bias {
  token_id token{0};
  float bias{0}; ///< not 0, -limits::token_bias_most .. limits::token_bias_most
  friend bool operator==(const token_bias&, const token_bias&) = default;
};

/// How a token is drawn from logits. Greedy when `temperature` is 0 and nothing changes a logit.
struct sampling_params {
  float temperature{0};    ///< 0, or 1e-3 .. 1e3
  std::uint32_t top_k{0};  ///< 0: all
  double top_p{1};         ///< 0 < p <= 1
  double min_p{0};         ///< 0 <= p < 1
  float repeat_penalty{1}; ///< 0.01 .. 100; 1: none
  std::uint64_t seed{0};
  std::string constraint{};             ///< as of compute/text/constraint.hpp; empty: none
  float presence_penalty{0};            ///< -2 .. 2, once from each token the answer has
  float frequency_penalty{0};           ///< -2 .. 2, from a token as often as the answer has it
  std::uint32_t min_tokens{0};          ///< tokens before which no answer ends; 0 where constrained
  std::vector<token_bias> logit_bias{}; ///< ids ascend

  friend bool operator==(const sampling_params&, const sampling_params&) = default;
};

/// What every door needs to know of a parameter that is a number: HTTP, shells, command lines,
/// files.
template <class Number>
struct sampling_row {
  std::string_view name;   ///< in JSON and in errors
  std::string_view option; ///< on command lines
  std::string_view help;
  Number sampling_params::*value;
  Number least;
  Number most;
  bool or_zero{false};     ///< 0 is allowed, too
  bool above_least{false}; ///< `least` itself is not allowed
  bool below_most{false};  ///< `most` itself is not allowed

  [[nodiscard]] bool allows(Number n) const {
    return (or_zero && n == 0) ||
           (n >= least && n <= most && !(above_least && n == least) && !(below_most && n == most));
  }
};

/// Calls `f` with the row of each number that every digest and message has, in their order. The
/// seed, which every door chooses in its own way, is the last number and has no row.
template <class F>
void for_each_common_parameter(F&& f) {
  using p = sampling_params;
  f(sampling_row<float>{.name = "temperature",
                        .option = "--temp",
                        .help = "Temperature; 0 is greedy",
                        .value = &p::temperature,
                        .least = 1e-3F,
                        .most = 1e3F,
                        .or_zero = true});
  f(sampling_row<std::uint32_t>{.name = "top_k",
                                .option = "--top-k",
                                .help = "Draw among the k likeliest; 0 is all",
                                .value = &p::top_k,
                                .least = 0,
                                .most = limits::vocabulary_max});
  f(sampling_row<double>{.name = "top_p",
                         .option = "--top-p",
                         .help = "Draw among the likeliest that hold this share",
                         .value = &p::top_p,
                         .least = 0,
                         .most = 1,
                         .above_least = true});
  f(sampling_row<double>{.name = "min_p",
                         .option = "--min-p",
                         .help = "Leave out what is this much less likely than the best",
                         .value = &p::min_p,
                         .least = 0,
                         .most = 1,
                         .below_most = true});
  f(sampling_row<float>{.name = "repeat_penalty",
                        .option = "--repeat-penalty",
                        .help = "Penalty on the last 64 tokens; 1: none",
                        .value = &p::repeat_penalty,
                        .least = 0.01F,
                        .most = 100});
}

/// The same for those that are in digests and messages only where one of them, or a bias, is set.
template <class F>
void for_each_further_parameter(F&& f) {
  using p = sampling_params;
  f(sampling_row<float>{.name = "presence_penalty",
                        .option = "--presence-penalty",
                        .help = "Taken once from each token the answer has",
                        .value = &p::presence_penalty,
                        .least = -2,
                        .most = 2});
  f(sampling_row<float>{.name = "frequency_penalty",
                        .option = "--frequency-penalty",
                        .help = "Taken from a token as often as the answer has it",
                        .value = &p::frequency_penalty,
                        .least = -2,
                        .most = 2});
  f(sampling_row<std::uint32_t>{.name = "min_tokens",
                                .option = "--min-tokens",
                                .help = "Tokens before which the answer does not end",
                                .value = &p::min_tokens,
                                .least = 0,
                                .most = limits::context_max});
}

/// Every number but the seed.
template <class F>
void for_each_parameter(F&& f) {
  for_each_common_parameter(f);
  for_each_further_parameter(f);
}

/// "must be 0, or at least 0.001 and at most 1000", "must be above 0 and at most 1".
template <class Number>
[[nodiscard]] std::string range_of(const sampling_row<Number>& row) {
  return fmt::format("must be {}{} {} and {} {}", row.or_zero ? "0, or " : "",
                     row.above_least ? "above" : "at least", row.least,
                     row.below_most ? "below" : "at most", row.most);
}

/// The common numbers in the order of their rows, and the seed: as every digest of a request has
/// them.
hasher& add_numbers(hasher& state, const sampling_params& params);

/// Whether not every token may come at any place.
[[nodiscard]] inline bool restricts_tokens(const sampling_params& params) {
  return !params.constraint.empty() || params.min_tokens > 0;
}

/// Whether any further number or a bias is set.
[[nodiscard]] bool has_further(const sampling_params& params);
/// Of these the number of words, and the words of `words_of_further`; nothing where none is set.
hasher& add_further(hasher& state, const sampling_params& params);
/// The constraint and what `add_further` adds, each only where it is there: the end of a digest.
hasher& add_rules(hasher& state, const sampling_params& params);

/// `invalid_argument` names the parameter, its value and its range, `over_limit` too many biases.
/// `token_matcher::make` checks the constraint.
[[nodiscard]] result<void> check(const sampling_params& params);

/// In order of their tokens, without those of 0, as `sampling_params` has them. `invalid_argument`
/// where a token is there twice; `check` sees the rest.
[[nodiscard]] result<std::vector<token_bias>> ordered_biases(std::vector<token_bias> biases);

/// Of texts "TOKEN=BIAS", as command lines and shells give them. `invalid_argument` names the text.
[[nodiscard]] result<std::vector<token_bias>> biases_from(std::span<const std::string> texts);

/// What the hidden rows of a text become in its embedding.
enum class pooling : std::uint8_t {
  mean = 1, ///< the mean of all positions
  last = 2, ///< the last position
};

/// Whether a request computes guessed tokens along with the known one. Its bits do not depend on
/// it.
enum class speculation : std::uint8_t {
  automatic, ///< while that is measured to be faster
  on,        ///< whenever there is a guess
  off,
};

/// The mode that an option names: auto, on or off. Else `invalid_argument`.
[[nodiscard]] result<speculation> speculation_from(std::string_view name);

} // namespace ovir
