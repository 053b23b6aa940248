#include "tests/chaos/chaos_run.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::chaos {

namespace {

struct spread {
  std::size_t count{0};
  double p50{0};
  double p99{0};
  double most{0};
};

spread spread_of(std::vector<double> values) {
  if (values.empty()) {
    return {};
  }
  std::sort(values.begin(), values.end());
  const auto at = [&values](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {values.size(), at(0.5), at(0.99), values.back()};
}

double rounded(double ms) { return static_cast<double>(static_cast<std::int64_t>(ms * 10)) / 10; }

apps::json document_of(const std::vector<double>& values) {
  const spread s = spread_of(values);
  return {{"count", s.count},
          {"p50", rounded(s.p50)},
          {"p99", rounded(s.p99)},
          {"max", rounded(s.most)}};
}

std::string lines_of(const char* what, const std::vector<std::string>& texts) {
  std::string text;
  for (const std::string& one : texts) {
    text += fmt::format("{}: {}\n", what, one);
  }
  return text;
}

std::string counts_of(const std::map<std::string, std::uint64_t>& counts) {
  std::string text;
  for (const auto& [name, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, count);
  }
  return text;
}

} // namespace

bool chaos_report::good() const {
  return streams.lost.empty() && streams.changed.empty() && fallen.empty() && left.empty() &&
         grown.empty() && streams.requests > 0;
}

apps::json chaos_report::document() const {
  apps::json waits = apps::json::object();
  for (const auto& [kind, wait] : streams.waits) {
    waits[kind] = {{"next_token_ms", document_of(wait.next_token)},
                   {"stall_ms", document_of(wait.stall)}};
  }
  return {{"ok", good()},
          {"seed", options.seed},
          {"seconds", rounded(seconds)},
          {"kills", done.kills},
          {"harms", done.by_harm},
          {"kills_by_moment", done.by_moment},
          {"kills_by_victim", done.by_victim},
          {"kills_by_node", done.by_node},
          {"requests", streams.requests},
          {"tokens", streams.tokens},
          {"recoveries", streams.recoveries},
          {"lost", streams.lost},
          {"changed", streams.changed},
          {"waits", std::move(waits)},
          {"fallen", fallen},
          {"left", left},
          {"grown", grown}};
}

std::string chaos_report::table() const {
  std::string text =
      fmt::format("seed {}: {:.0f} s, {} answers, {} tokens, {} recoveries\n"
                  "  harms    {}\n  moments  {}\n  victims  {}\n  nodes    {}\n",
                  options.seed, seconds, streams.requests, streams.tokens, streams.recoveries,
                  counts_of(done.by_harm), counts_of(done.by_moment), counts_of(done.by_victim),
                  counts_of(done.by_node));
  text += fmt::format("  {:<10} {:>7}  {:>28}  {:>28}\n", "", "streams",
                      "next token ms p50/p99/max", "longest stall ms p50/p99/max");
  for (const auto& [kind, wait] : streams.waits) {
    const spread next = spread_of(wait.next_token);
    const spread stall = spread_of(wait.stall);
    text += fmt::format("  {:<10} {:>7}  {:>28}  {:>28}\n", kind, next.count,
                        fmt::format("{:.0f} / {:.0f} / {:.0f}", next.p50, next.p99, next.most),
                        fmt::format("{:.0f} / {:.0f} / {:.0f}", stall.p50, stall.p99, stall.most));
  }
  text += lines_of("LOST", streams.lost) + lines_of("CHANGED", streams.changed) +
          lines_of("FELL", fallen) + lines_of("LEFT", left) + lines_of("GREW", grown);
  text +=
      fmt::format("{} streams lost, {} changed, {} things left or grown: {}\n", streams.lost.size(),
                  streams.changed.size(), left.size() + grown.size(), good() ? "good" : "NOT GOOD");
  return good() ? text : text + last_words;
}

} // namespace ovir::chaos
