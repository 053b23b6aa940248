#include "compute/text/constraint.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "messages/limits/constraint.hpp"
#include "tests/support/byte_words.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

} // namespace

// Reads any bytes as a constraint. What is accepted can be kept to from every place that a model of
// no will reaches, until the answer is complete within its tokens.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::compute;
  static const ovir::test::byte_words words{ovir::test::byte_words::bytes_and(
      {"{\"", "\":", "}}", "true", "\",", "<tool_call>", "\xE6\x97"})};
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto made = token_matcher::make(text, words.words());
  if (!made) {
    require(!made.error().message.empty());
    return 0;
  }
  const auto what = constraint::make(text);
  require(what.has_value() &&
          (*what)->automaton().states.size() <= ovir::limits::constraint_states_max);
  constexpr std::uint32_t steps_max = 200;
  std::vector<ovir::token_id> output;
  std::uint64_t state = size;
  while (output.size() < std::min((*what)->tokens(), steps_max)) {
    const auto allowed = (*made)->allowed(output);
    require(allowed.has_value());
    std::vector<float> logits(words.vocabulary());
    for (float& x : logits) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      x = static_cast<float>(state >> 40U);
    }
    const ovir::token_id id = highest_of(logits, *allowed);
    if (words.ends_generation(id)) {
      return 0;
    }
    output.push_back(id);
  }
  return 0;
}
