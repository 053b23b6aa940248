#include "bench/netdelay/link_settings.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <span>
#include <stdexcept>

namespace ovir::netdelay {

namespace {

struct unit {
  std::string_view name;
  double factor{1};
};

/// A number of zero or more and its unit, as a multiple of the unit with factor 1.
std::optional<double> measure_in(std::string_view text, std::span<const unit> units) {
  double number = 0;
  const auto [end, wrong] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (wrong != std::errc{} || !std::isfinite(number) || std::signbit(number)) {
    return std::nullopt;
  }
  const std::string_view name{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  for (const unit& u : units) {
    if (u.name == name) {
      return number * u.factor;
    }
  }
  return std::nullopt;
}

[[noreturn]] void refuse(std::string_view text, std::string_view expected) {
  throw std::invalid_argument{fmt::format("'{}' is not {}", text, expected)};
}

std::size_t parse_node(std::string_view text, std::size_t nodes) {
  std::size_t node = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), node);
  if (wrong != std::errc{} || end != text.data() + text.size() || node < 1 || node > nodes) {
    refuse(text, fmt::format("a machine from 1 to {}", nodes));
  }
  return node;
}

/// Takes what stands before the separator off the text.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t at = text.find(separator);
  const std::string_view part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

void apply(std::string_view term, link_settings& link) {
  std::string_view value = term;
  const std::string_view name = take(value, '=');
  if (name == "jitter") {
    link.jitter = parse_duration(value);
  } else if (name == "loss") {
    link.loss = parse_share(value);
  } else if (name == "rate") {
    link.rate = parse_rate(value);
  } else if (name == "buffer") {
    link.buffer_bytes = parse_bytes(value);
  } else {
    refuse(term, "jitter=TIME, loss=SHARE, rate=RATE or buffer=BYTES");
  }
}

} // namespace

nanoseconds parse_duration(std::string_view text) {
  static constexpr unit units[] = {{"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
  const std::optional<double> time = text == "0" ? 0.0 : measure_in(text, units);
  if (!time || *time > static_cast<double>(delay_max.count())) {
    refuse(text, "a time from 0 to 60s, such as 10ms or 250us");
  }
  return nanoseconds{std::llround(*time)};
}

double parse_share(std::string_view text) {
  static constexpr unit units[] = {{"%", 1}};
  const std::optional<double> percent = text == "0" ? 0.0 : measure_in(text, units);
  if (!percent || *percent > 100) {
    refuse(text, "a share from 0% to 100%, such as 0.1%");
  }
  return *percent / 100;
}

std::uint64_t parse_rate(std::string_view text) {
  static constexpr unit units[] = {{"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}};
  const std::optional<double> rate = measure_in(text, units);
  if (!rate || *rate < static_cast<double>(rate_min) || *rate > static_cast<double>(rate_max)) {
    refuse(text, "a rate from 8kbit to 100gbit, such as 100mbit");
  }
  return static_cast<std::uint64_t>(std::llround(*rate));
}

std::uint64_t parse_bytes(std::string_view text) {
  static constexpr unit units[] = {{"", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}};
  const std::optional<double> bytes = measure_in(text, units);
  if (!bytes || *bytes < static_cast<double>(buffer_bytes_min) ||
      *bytes > static_cast<double>(buffer_bytes_max)) {
    refuse(text, "a size from 1500 bytes to 64MiB, such as 256KiB");
  }
  return static_cast<std::uint64_t>(std::llround(*bytes));
}

pair_settings parse_pair(std::string_view text, std::size_t nodes, const link_settings& others) {
  std::string_view rest = text;
  std::string_view machines = take(rest, '=');
  if (machines.find(',') == std::string_view::npos || rest.empty()) {
    refuse(text, "two machines and a delay, such as 1,3=200ms");
  }
  pair_settings pair;
  pair.link = others;
  pair.first = parse_node(take(machines, ','), nodes);
  pair.second = parse_node(machines, nodes);
  if (pair.first == pair.second) {
    refuse(text, "a pair: both machines are the same");
  }
  pair.link.delay = parse_duration(take(rest, ','));
  while (!rest.empty()) {
    apply(take(rest, ','), pair.link);
  }
  check_settings(pair.link);
  return pair;
}

void check_settings(const link_settings& settings) {
  if (settings.jitter > settings.delay) {
    throw std::invalid_argument{"the jitter is larger than the delay; packets cannot arrive before "
                                "they are sent"};
  }
  const double seconds = 1e-9 * static_cast<double>((settings.delay + settings.jitter).count());
  const double bytes =
      seconds * static_cast<double>(settings.rate) / 8 + static_cast<double>(settings.buffer_bytes);
  // Small packets need more memory than their bytes; the queue counts that and then drops packets.
  if (bytes > static_cast<double>(flight_bytes_max)) {
    throw std::invalid_argument{fmt::format(
        "a link of this rate and delay holds {:.0f} MiB, more than {} MiB; lower one of them",
        bytes / (1024 * 1024), flight_bytes_max / (1024 * 1024))};
  }
}

} // namespace ovir::netdelay
