#include "messages/request/params.hpp"

#include "messages/request/params_words.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <span>
#include <system_error>
#include <utility>

namespace ovir {

hasher& add_numbers(hasher& state, const sampling_params& params) {
  for_each_common_parameter([&](const auto& row) {
    const auto value = params.*row.value;
    if constexpr (sizeof(value) == sizeof(std::uint64_t)) {
      state.update_u64(std::bit_cast<std::uint64_t>(value));
    } else {
      state.update_u32(std::bit_cast<std::uint32_t>(value));
    }
  });
  return state.update_u64(params.seed);
}

bool has_further(const sampling_params& params) {
  bool set = !params.logit_bias.empty();
  for_each_further_parameter(
      [&](const auto& row) { set = set || params.*row.value != sampling_params{}.*row.value; });
  return set;
}

hasher& add_further(hasher& state, const sampling_params& params) {
  static_assert(std::endian::native == std::endian::little);
  const std::vector<std::uint64_t> words = words_of_further(params);
  if (!words.empty()) {
    state.update_u32(static_cast<std::uint32_t>(words.size()))
        .update(std::as_bytes(std::span{words}));
  }
  return state;
}

hasher& add_rules(hasher& state, const sampling_params& params) {
  if (!params.constraint.empty() || has_further(params)) {
    state.update_text(params.constraint);
  }
  return add_further(state, params);
}

namespace {

result<void> check_biases(const sampling_params& params) {
  const std::vector<token_bias>& all = params.logit_bias;
  if (all.size() > limits::token_biases_max) {
    return fail(errc::over_limit, "logit_bias has {} tokens; at most {} are allowed", all.size(),
                limits::token_biases_max);
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto [token, bias] = all[i];
    if (token >= limits::vocabulary_max || (i > 0 && token <= all[i - 1].token)) {
      return fail(errc::invalid_argument,
                  "logit_bias has token {}, but tokens ascend and are below {}", token,
                  limits::vocabulary_max);
    }
    if (bias == 0 || !(bias >= -limits::token_bias_most && bias <= limits::token_bias_most)) {
      return fail(errc::invalid_argument,
                  "logit_bias of token {} is {}, but must be from {} to {} and not 0", token, bias,
                  -limits::token_bias_most, limits::token_bias_most);
    }
  }
  return {};
}

} // namespace

result<void> check(const sampling_params& params) {
  result<void> good;
  for_each_parameter([&](const auto& row) {
    if (good && !row.allows(params.*row.value)) {
      good = fail(errc::invalid_argument, "{} is {}, but {}", row.name, params.*row.value,
                  range_of(row));
    }
  });
  OVIR_TRY(good);
  if (params.min_tokens > 0 && !params.constraint.empty()) {
    return fail(errc::invalid_argument,
                "min_tokens is {}, but a constrained answer ends where its constraint says",
                params.min_tokens);
  }
  return check_biases(params);
}

result<std::vector<token_bias>> ordered_biases(std::vector<token_bias> biases) {
  const auto before = [](const token_bias& a, const token_bias& b) { return a.token < b.token; };
  const auto same = [](const token_bias& a, const token_bias& b) { return a.token == b.token; };
  std::sort(biases.begin(), biases.end(), before);
  if (const auto twice = std::adjacent_find(biases.begin(), biases.end(), same);
      twice != biases.end()) {
    return fail(errc::invalid_argument, "logit_bias has token {} twice", twice->token);
  }
  std::erase_if(biases, [](const token_bias& one) { return one.bias == 0; });
  return biases;
}

result<std::vector<token_bias>> biases_from(std::span<const std::string> texts) {
  std::vector<token_bias> biases;
  for (const std::string& text : texts) {
    token_bias one;
    const char* const end = text.data() + text.size();
    const auto [middle, wrong] = std::from_chars(text.data(), end, one.token);
    const bool split = wrong == std::errc{} && middle != end && *middle == '=';
    const auto [last, wrong_bias] = std::from_chars(split ? middle + 1 : end, end, one.bias);
    if (!split || wrong_bias != std::errc{} || last != end) {
      return fail(errc::invalid_argument,
                  "logit_bias '{}' is not a token and a number, as in 17=-1.5", text);
    }
    biases.push_back(one);
  }
  return ordered_biases(std::move(biases));
}

result<speculation> speculation_from(std::string_view name) {
  if (name == "auto") {
    return speculation::automatic;
  }
  if (name == "on" || name == "off") {
    return name == "on" ? speculation::on : speculation::off;
  }
  return fail(errc::invalid_argument, "speculate is '{}', but must be auto, on or off", name);
}

} // namespace ovir
