#include "gateway/access/key_spend.hpp"

#include "messages/digest.hpp"
#include "messages/limits/access.hpp"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <optional>

namespace ovir::gateway {

namespace {

constexpr std::string_view title = "ovir-key-spend-v1";
constexpr std::size_t id_digits = 16;
constexpr std::size_t check_digits = 2 * digest::size;

std::string check_of(std::string_view text) {
  return to_hex(hash("ovir/key-spend/v1", std::as_bytes(std::span{text.data(), text.size()})));
}

/// Takes what stands before `end` away from `text`; nothing when there is no `end`.
std::optional<std::string_view> take(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  if (at == text.npos) {
    return std::nullopt;
  }
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + 1);
  return taken;
}

/// The number that is written like this and no other way.
std::optional<std::uint64_t> number_from(std::optional<std::string_view> text) {
  std::uint64_t value = 0;
  if (!text || text->empty() || (text->size() > 1 && text->front() == '0')) {
    return std::nullopt;
  }
  const auto [end, why] = std::from_chars(text->data(), text->data() + text->size(), value);
  return why == std::errc{} && end == text->data() + text->size() ? std::optional{value}
                                                                  : std::nullopt;
}

std::optional<key_spend> key_from(std::string_view line) {
  const auto id = take(line, ' ');
  const auto day = number_from(take(line, ' '));
  const auto spent = number_from(take(line, ' '));
  const auto millis = number_from(take(line, ' '));
  const auto seconds = number_from(line);
  if (!id || id->size() != id_digits || id->find_first_not_of("0123456789abcdef") != id->npos ||
      !day || !spent || !millis || !seconds) {
    return std::nullopt;
  }
  return key_spend{std::string{*id}, *day, *spent, *millis, *seconds};
}

} // namespace

std::string text_of(const spend_record& record) {
  std::string text = fmt::format("{}\nclosed {}\n", title, record.closed_day);
  for (const key_spend& k : record.keys) {
    fmt::format_to(std::back_inserter(text), "{} {} {} {} {}\n", k.id, k.day, k.spent,
                   k.begun_millis, k.begun_seconds);
  }
  return text + check_of(text) + "\n";
}

result<spend_record> spend_from(std::string_view text) {
  if (text.size() > limits::api_spend_file_bytes_max) {
    return fail(errc::over_limit, "what keys spent has {} bytes, more than {}", text.size(),
                limits::api_spend_file_bytes_max);
  }
  const error damaged = fail(errc::malformed, "what keys spent is damaged");
  if (text.size() < check_digits + 1 || text.back() != '\n') {
    return damaged;
  }
  std::string_view body = text.substr(0, text.size() - check_digits - 1);
  if (text.substr(body.size(), check_digits) != check_of(body)) {
    return damaged;
  }
  spend_record record;
  const auto first = take(body, '\n');
  const auto word = take(body, ' ');
  const auto closed = number_from(take(body, '\n'));
  if (first != title || word != "closed" || !closed) {
    return damaged;
  }
  record.closed_day = *closed;
  while (!body.empty()) {
    const auto line = take(body, '\n');
    auto key = line ? key_from(*line) : std::nullopt;
    if (!key || record.keys.size() == limits::api_keys_max ||
        (!record.keys.empty() && record.keys.back().id >= key->id)) {
      return damaged;
    }
    record.keys.push_back(std::move(*key));
  }
  return record;
}

} // namespace ovir::gateway
