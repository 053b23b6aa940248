#include "compute/text/constraint.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/http/bounded_json.hpp"
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

constexpr std::uint32_t tokens_max = 400;

/// Draws an answer from a model of no will, until it ends; empty: it is not complete in time.
std::string answer_to(ovir::compute::token_matcher& matcher, const ovir::test::byte_words& words,
                      std::uint64_t state) {
  std::vector<ovir::token_id> output;
  std::string text;
  while (output.size() < tokens_max) {
    const auto allowed = matcher.allowed(output);
    require(allowed.has_value());
    std::vector<float> logits(words.vocabulary());
    for (float& x : logits) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      x = static_cast<float>(state >> 40U);
    }
    const ovir::token_id id = ovir::compute::highest_of(logits, *allowed);
    if (words.ends_generation(id)) {
      return text;
    }
    text += words.piece(id, false);
    output.push_back(id);
  }
  return text; // as long as the constraint lets it be: complete, too
}

} // namespace

// Reads any bytes as the JSON schema of a tool that must be called, and of an answer. What is
// refused is refused as a client's fault; what is taken has answers that are JSON, of a call that
// there is.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir::gateway;
  static const ovir::test::byte_words words{
      ovir::test::byte_words::bytes_and({"{\"", "\":", "}}", "true", "\",", "<tool_call>"})};
  const std::string schema{reinterpret_cast<const char*>(data), size};
  const bool is_json = json::accept(schema);
  for (const bool tool : {true, false}) {
    const std::string body =
        R"({"model":"m","messages":[{"role":"user","content":"x"}],)" +
        (tool ? R"("tool_choice":"required","parallel_tool_calls":false,"tools":[{"type":"function",
                "function":{"name":"f","parameters":)" +
                    schema + "}}]}"
              : R"("response_format":{"type":"json_schema","json_schema":{"name":"f","schema":)" +
                    schema + "}}}");
    const auto parsed = parse_completion(api_kind::chat, body);
    if (const auto* const refused = std::get_if<api_error>(&parsed)) {
      require(refused->status == 400 && !refused->message.empty());
      continue;
    }
    const auto& request = std::get<completion_request>(parsed);
    if (!is_json) {
      continue; // the bytes ended the schema and said something else
    }
    require(!request.constraint.empty());
    const auto made = ovir::compute::token_matcher::make(
        ovir::compute::constraint_text(tokens_max, request.constraint), words.words());
    if (!made) {
      require(!made.error().message.empty());
      continue;
    }
    const std::string text = answer_to(**made, words, size);
    require(tool ? text.starts_with("<tool_call>") && text.ends_with("</tool_call>")
                 : json::accept(text));
  }
  return 0;
}
