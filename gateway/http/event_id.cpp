#include "gateway/http/event_id.hpp"

#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>

namespace ovir::gateway {

namespace {

constexpr std::size_t id_digits = 16;
constexpr std::size_t count_digits_max = 7;

} // namespace

std::string to_text(request_id id) { return fmt::format("{:016x}", id.value); }

result<request_id> request_id_from(std::string_view text) {
  request_id id;
  const bool digits =
      text.size() == id_digits && text.find_first_not_of("0123456789abcdef") == text.npos;
  if (digits) {
    std::from_chars(text.data(), text.data() + text.size(), id.value, 16);
  }
  if (!digits || id.value == 0) {
    return fail(errc::malformed,
                "a request's id is 16 lower-case hexadecimal digits, not all of them 0");
  }
  return id;
}

std::string to_text(const event_id& id) {
  std::string text = to_text(id.request);
  char separator = ':';
  for (const std::uint32_t count : id.received) {
    text += separator;
    text += fmt::format("{}", count);
    separator = ',';
  }
  return text;
}

result<event_id> event_id_from(std::string_view text) {
  const error wrong = fail(errc::malformed,
                           "an event's id is a request's id, a colon and up to {} "
                           "numbers with commas between them",
                           limits::api_choices_max);
  if (text.size() > id_digits + limits::api_choices_max * (count_digits_max + 1) ||
      text.size() <= id_digits + 1 || text[id_digits] != ':') {
    return wrong;
  }
  event_id id;
  OVIR_ASSIGN(id.request, request_id_from(text.substr(0, id_digits)));
  text.remove_prefix(id_digits + 1);
  while (true) {
    const std::string_view number = text.substr(0, text.find(','));
    std::uint32_t count = 0;
    const auto [end, why] = std::from_chars(number.data(), number.data() + number.size(), count);
    const bool whole = why == std::errc{} && end == number.data() + number.size();
    const bool shortest = number.size() == 1 || number.starts_with('0') == false;
    if (!whole || !shortest || count > limits::context_max + 1 ||
        id.received.size() == limits::api_choices_max) {
      return wrong;
    }
    id.received.push_back(count);
    if (number.size() == text.size()) {
      return id;
    }
    text.remove_prefix(number.size() + 1);
  }
}

} // namespace ovir::gateway
