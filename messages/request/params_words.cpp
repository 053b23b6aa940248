#include "messages/request/params_words.hpp"

#include <bit>
#include <type_traits>

namespace ovir {

namespace {

/// The unsigned integer of a number's size.
template <class Number>
using bits_of_number = std::conditional_t<sizeof(Number) == 8, std::uint64_t, std::uint32_t>;

} // namespace

std::vector<std::uint64_t> words_of_numbers(const sampling_params& params) {
  std::vector<std::uint64_t> words;
  for_each_parameter([&]<class Number>(const sampling_row<Number>& row) {
    words.push_back(std::bit_cast<bits_of_number<Number>>(params.*row.value));
  });
  words.push_back(params.seed);
  return words;
}

result<void> read_numbers(std::span<const std::uint64_t> words, sampling_params& params) {
  const std::size_t wanted = words_of_numbers(params).size();
  if (words.size() != wanted) {
    return fail(errc::malformed, "{} numbers of a request; there are {}", words.size(), wanted);
  }
  std::size_t at = 0;
  for_each_parameter([&]<class Number>(const sampling_row<Number>& row) {
    params.*row.value = std::bit_cast<Number>(static_cast<bits_of_number<Number>>(words[at++]));
  });
  params.seed = words[at];
  return {};
}

} // namespace ovir
