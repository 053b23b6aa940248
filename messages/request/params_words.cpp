#include "messages/request/params_words.hpp"

#include <bit>
#include <type_traits>

namespace ovir {

namespace {

/// The unsigned integer of a number's size.
template <class Number>
using bits_of_number = std::conditional_t<sizeof(Number) == 8, std::uint64_t, std::uint32_t>;

} // namespace

std::vector<std::uint64_t> words_of_further(const sampling_params& params) {
  std::vector<std::uint64_t> words;
  if (!has_further(params)) {
    return words;
  }
  for_each_further_parameter([&]<class Number>(const sampling_row<Number>& row) {
    words.push_back(std::bit_cast<bits_of_number<Number>>(params.*row.value));
  });
  for (const token_bias& one : params.logit_bias) {
    words.push_back(one.token | std::uint64_t{std::bit_cast<std::uint32_t>(one.bias)} << 32U);
  }
  return words;
}

result<void> read_further(std::span<const std::uint64_t> words, sampling_params& params) {
  std::size_t numbers = 0;
  for_each_further_parameter([&](const auto&) { ++numbers; });
  if (words.size() < numbers) {
    return fail(errc::malformed, "{} further numbers of a request; there are {}", words.size(),
                numbers);
  }
  const auto biases = words.subspan(numbers);
  if (biases.size() > limits::token_biases_max) {
    return fail(errc::over_limit, "{} biases of tokens; at most {} are allowed", biases.size(),
                limits::token_biases_max);
  }
  std::size_t at = 0;
  for_each_further_parameter([&]<class Number>(const sampling_row<Number>& row) {
    params.*row.value = std::bit_cast<Number>(static_cast<bits_of_number<Number>>(words[at++]));
  });
  params.logit_bias.clear();
  for (const std::uint64_t word : biases) {
    params.logit_bias.push_back({static_cast<token_id>(word & 0xffffffffU),
                                 std::bit_cast<float>(static_cast<std::uint32_t>(word >> 32U))});
  }
  if (!has_further(params)) {
    return fail(errc::malformed, "further numbers of a request, none of which is set");
  }
  return {};
}

std::vector<std::uint64_t> words_of_numbers(const sampling_params& params) {
  std::vector<std::uint64_t> words;
  for_each_common_parameter([&]<class Number>(const sampling_row<Number>& row) {
    words.push_back(std::bit_cast<bits_of_number<Number>>(params.*row.value));
  });
  words.push_back(params.seed);
  const std::vector<std::uint64_t> further = words_of_further(params);
  words.insert(words.end(), further.begin(), further.end());
  return words;
}

result<void> read_numbers(std::span<const std::uint64_t> words, sampling_params& params) {
  const std::size_t wanted = words_of_numbers(sampling_params{}).size();
  if (words.size() < wanted) {
    return fail(errc::malformed, "{} numbers of a request; there are {}", words.size(), wanted);
  }
  std::size_t at = 0;
  for_each_common_parameter([&]<class Number>(const sampling_row<Number>& row) {
    params.*row.value = std::bit_cast<Number>(static_cast<bits_of_number<Number>>(words[at++]));
  });
  params.seed = words[at];
  return words.size() == wanted ? result<void>{} : read_further(words.subspan(wanted), params);
}

} // namespace ovir
