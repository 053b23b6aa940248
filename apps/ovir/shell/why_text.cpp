#include "apps/ovir/shell/why_text.hpp"

#include "compute/base/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

namespace ovir::apps {

namespace {

constexpr std::size_t bar_cells = 40;
constexpr std::size_t name_bytes_max = 24;

std::optional<double> number(const json& from, const char* key) {
  const bool there = from.is_object() && from.contains(key) && from[key].is_number();
  return there ? std::optional{from[key].get<double>()} : std::nullopt;
}

std::string word(const json& from, const char* key) {
  return from.is_object() && from.contains(key) && from[key].is_string()
             ? compute::printable(from[key].get_ref<const std::string&>(), name_bytes_max)
             : std::string{};
}

/// In eighths of a cell.
std::string bar(double share) {
  constexpr std::string_view parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto eighths = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * bar_cells * 8 + 0.5);
  std::string out;
  for (std::size_t i = 0; i < eighths / 8; ++i) {
    out += "█";
  }
  return out + std::string{parts[eighths % 8]};
}

struct row {
  std::string name;
  double ms{0};
};

std::vector<row> rows_of(const json& pace) {
  std::vector<row> rows;
  const json stages = pace.value("stages", json::array());
  double sum = 0;
  for (const json& stage : stages.is_array() ? stages : json::array()) {
    const double ms = std::max(number(stage, "ms").value_or(0), 0.0);
    sum += ms;
    rows.push_back(
        {fmt::format("{} {}-{}", word(stage, "name"), number(stage, "first_layer").value_or(0),
                     number(stage, "last_layer").value_or(0)),
         ms});
  }
  const double rest = number(pace, "token_ms").value_or(0) - sum;
  if (!rows.empty() && rest > 0) { // drawing, and what no stage had a part in
    rows.push_back({"scheduler", rest});
  }
  return rows;
}

std::string deadline_text(const json& pace) {
  const auto left = number(pace, "left_ms");
  const auto needed = number(pace, "needed_ms");
  if (!left || !needed) {
    return {};
  }
  return fmt::format("deadline: {:.1f} s are left and {:.1f} s needed at this pace: {}\n",
                     *left / 1e3, *needed / 1e3,
                     *needed > *left ? "it will be missed"
                                     : fmt::format("{:.1f} s of slack", (*left - *needed) / 1e3));
}

} // namespace

std::string why_text(const json& data) {
  const json job = data.is_object() ? data.value("job", json::object()) : json::object();
  const json pace = job.is_object() ? job.value("pace", json::object()) : json::object();
  const auto token = number(pace, "token_ms");
  if (!token) {
    return "nothing was seen of it yet: stages tell their times every 16 positions\n";
  }
  std::string out = fmt::format("a token takes {:.1f} ms", *token);
  if (const double planned = number(pace, "planned_ms").value_or(0); planned > 0) {
    out +=
        fmt::format("; {:.1f} ms were planned ({:+.0f} %)", planned, (*token / planned - 1) * 100);
  }
  out += "\n";
  const std::vector<row> rows = rows_of(pace);
  double most = 0;
  std::size_t width = 0;
  for (const row& r : rows) {
    most = std::max(most, r.ms);
    width = std::max(width, r.name.size());
  }
  for (const row& r : rows) {
    out += fmt::format("{:<{}}  {:>8.1f} ms  {}\n", r.name, width, r.ms,
                       bar(most > 0 ? r.ms / most : 0));
  }
  return out + deadline_text(pace);
}

} // namespace ovir::apps
