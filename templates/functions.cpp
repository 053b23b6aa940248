#include "templates/functions.hpp"

#include "compute/base/printable.hpp"

#include <algorithm>
#include <array>
#include <chrono>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 5> functions{"range", "namespace", "dict", "raise_exception",
                                                    "strftime_now"};

value make_range(rendering& r, const bound& with) {
  const std::int64_t first = r.integer_or(with[0], 0);
  const bool one = with[1].is_undefined();
  const std::int64_t from = one ? 0 : first;
  const std::int64_t to = one ? first : r.integer_or(with[1], 0);
  const std::int64_t step = r.integer_or(with[2], 1);
  if (step == 0) {
    return r.wrong(errc::malformed, "the step of a range is 0");
  }
  std::vector<value> items;
  for (std::int64_t i = from; (step > 0 ? i < to : i > to) && r.charge(1, sizeof(value));) {
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) {
      break;
    }
  }
  return r.made_list(std::move(items));
}

value time_text(rendering& r, const value& format, std::optional<civil_time> now) {
  constexpr std::array<std::string_view, 12> months{
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                 "Thursday", "Friday", "Saturday"};
  if (!now || format.as_text() == nullptr) {
    return r.wrong(errc::unsupported, "the template asks for the time, which is not given to it");
  }
  const std::chrono::sys_seconds when{std::chrono::seconds{now->seconds}};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date{day};
  const auto second = (when - day).count();
  const auto hour = second / 3600;
  const auto month = months[static_cast<unsigned>(date.month()) - 1];
  const auto weekday = days[std::chrono::weekday{day}.c_encoding()];
  const auto of_month = static_cast<unsigned>(date.day());
  std::string out;
  const std::string& text = format.as_text()->bytes();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
    case 'Y': out += fmt::format("{}", static_cast<int>(date.year())); break;
    case 'm': out += fmt::format("{:02}", static_cast<unsigned>(date.month())); break;
    case 'd': out += fmt::format("{:02}", of_month); break;
    case 'e': out += fmt::format("{:2}", of_month); break;
    case 'b': out += month.substr(0, 3); break;
    case 'B': out += month; break;
    case 'a': out += weekday.substr(0, 3); break;
    case 'A': out += weekday; break;
    case 'H': out += fmt::format("{:02}", hour); break;
    case 'I': out += fmt::format("{:02}", hour % 12 == 0 ? 12 : hour % 12); break;
    case 'M': out += fmt::format("{:02}", second / 60 % 60); break;
    case 'S': out += fmt::format("{:02}", second % 60); break;
    case 'p': out += hour < 12 ? "AM" : "PM"; break;
    case '%': out += '%'; break;
    default:
      return r.wrong(errc::unsupported, fmt::format("the template asks for '%{}' of the time",
                                                    compute::printable(text.substr(i, 1))));
    }
  }
  return r.made({out, author::model});
}

} // namespace

bool is_function(std::string_view name) {
  return std::find(functions.begin(), functions.end(), name) != functions.end();
}

value call_function(rendering& r, std::string_view name, const call_values& with,
                    std::optional<civil_time> now) {
  if (name == "namespace" || name == "dict") {
    dict_value members;
    if (with.plain.size() == 1 && with.plain[0].as_dict() != nullptr) {
      members = *with.plain[0].as_dict();
    } else if (!with.plain.empty()) {
      return r.wrong(errc::unsupported,
                     fmt::format("'{}' is given what it cannot be made of", name));
    }
    for (const auto& [key, v] : with.named) {
      members.set(value::text(key), v);
    }
    if (name == "dict") {
      return r.made_dict(std::move(members));
    }
    return r.made_namespace(std::move(members));
  }
  constexpr std::array<std::string_view, 3> range_parameters{"start", "stop", "step"};
  constexpr std::array<std::string_view, 1> one_parameter{"message"};
  if (name == "range") {
    const auto values = r.bind(name, with, range_parameters);
    return values && with.named.empty() ? make_range(r, *values)
                                        : r.wrong(errc::malformed, "'range' takes plain numbers");
  }
  const auto values = r.bind(name, with, one_parameter);
  if (!values) {
    return {};
  }
  if (name == "raise_exception") {
    const marked_text said = r.text_of((*values)[0]);
    return r.wrong(errc::invalid_argument,
                   fmt::format("the model's chat template refuses this conversation: {}",
                               compute::printable(said.bytes(), 300)));
  }
  return time_text(r, (*values)[0], now);
}

} // namespace ovir::templates
