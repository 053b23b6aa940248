#include "gateway/api/token_logprobs_json.hpp"

#include "compute/base/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace ovir::gateway {

namespace {

/// A token's bytes; control tokens have those of their names.
std::string bytes_of(token_id token, const compute::tokenizer& vocabulary) {
  return vocabulary.piece(token, true);
}

/// As it is where it is text; else, because it has a part of a character, byte by byte. No two
/// tokens of different bytes have the same.
std::string text_of(const std::string& bytes) {
  if (compute::replace_invalid_utf8(bytes) == bytes) {
    return bytes;
  }
  std::string text = "bytes:";
  for (const char byte : bytes) {
    text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}

json entry_of(token_id token, float logprob, const compute::tokenizer& vocabulary) {
  const std::string text = bytes_of(token, vocabulary);
  json bytes = json::array();
  for (const char byte : text) {
    bytes.push_back(static_cast<unsigned char>(byte));
  }
  return {{"token", text_of(text)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

json chat_logprobs(const told_tokens& told, const compute::tokenizer& vocabulary) {
  json content = json::array();
  for (const told_token& one : told.tokens) {
    if (vocabulary.ends_generation(one.token)) {
      continue;
    }
    json entry = entry_of(one.token, one.logprobs->drawn, vocabulary);
    json& top = entry["top_logprobs"] = json::array();
    for (const token_logprob& other : one.logprobs->top) {
      top.push_back(entry_of(other.token, other.logprob, vocabulary));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

json completion_logprobs(const told_tokens& told, const compute::tokenizer& vocabulary) {
  json tokens = json::array();
  json logprobs = json::array();
  json tops = json::array();
  json offsets = json::array();
  std::size_t offset = told.offset;
  for (const told_token& one : told.tokens) {
    if (vocabulary.ends_generation(one.token)) {
      continue;
    }
    const std::string text = text_of(bytes_of(one.token, vocabulary));
    json top = json::object();
    for (const token_logprob& other : one.logprobs->top) {
      // Of tokens with the same bytes, the likelier comes first and stays.
      top.emplace(text_of(bytes_of(other.token, vocabulary)), other.logprob);
    }
    top.emplace(text, one.logprobs->drawn);
    tokens.push_back(text);
    logprobs.push_back(one.logprobs->drawn);
    tops.push_back(std::move(top));
    offsets.push_back(offset);
    offset += characters_of(one.token, vocabulary);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

} // namespace

json logprobs_json(api_kind kind, const told_tokens& told, const compute::tokenizer& vocabulary) {
  return kind == api_kind::chat ? chat_logprobs(told, vocabulary)
                                : completion_logprobs(told, vocabulary);
}

std::size_t characters_of(token_id token, const compute::tokenizer& vocabulary) {
  constexpr unsigned char kind_bits = 0xC0;
  constexpr unsigned char continuation = 0x80;
  const std::string bytes = vocabulary.piece(token, false);
  return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & kind_bits) != continuation;
  }));
}

} // namespace ovir::gateway
