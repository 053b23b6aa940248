#include "tests/support/cluster/metrics_page.hpp"

#include "tests/support/cluster/child_process.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <cstdlib>
#include <filesystem>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace ovir::test {

namespace {

std::set<std::string> labels_of(const std::string& braces) {
  static const std::regex name{R"((\w+)(?:=|,|\}|$))"};
  std::set<std::string> labels;
  for (auto it = std::sregex_iterator{braces.begin(), braces.end(), name};
       it != std::sregex_iterator{}; ++it) {
    labels.insert((*it)[1]);
  }
  return labels;
}

/// What stands from `at` on, to the end.
double value_of(const std::string& line, std::size_t at) {
  if (at != std::string::npos) {
    const char* const begin = line.c_str() + at;
    char* end = nullptr;
    const double value = std::strtod(begin, &end);
    if (end != begin && *end == '\0') {
      return value;
    }
  }
  throw std::invalid_argument("a sample without a number: '" + line + "'");
}

} // namespace

metrics_page::metrics_page(std::string text) : text_(std::move(text)) {
  std::istringstream lines{text_};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) {
      const std::size_t end = line.find(' ', 7);
      if (!types_.emplace(line.substr(7, end - 7), line.substr(end + 1)).second) {
        throw std::runtime_error("twice in a page of metrics: " + line);
      }
    } else if (!line.empty() && line[0] != '#') {
      const std::size_t end = line.rfind(' ');
      samples_[line.substr(0, end)] = value_of(line, end);
    }
  }
}

double metrics_page::at(const std::string& sample) const {
  const auto found = samples_.find(sample);
  return found == samples_.end() ? 0 : found->second;
}

std::string metrics_page::family_of(const std::string& sample) const {
  const std::string name = sample.substr(0, sample.find('{'));
  for (const char* end : {"", "_bucket", "_sum", "_count"}) {
    const std::string tail{end};
    if (name.ends_with(tail) && types_.contains(name.substr(0, name.size() - tail.size()))) {
      return name.substr(0, name.size() - tail.size());
    }
  }
  throw std::runtime_error("a sample of no family: " + sample);
}

std::set<std::string> metrics_page::labels(const std::string& family) const {
  std::set<std::string> all;
  for (const auto& [sample, value] : samples_) {
    if (const std::size_t begin = sample.find('{');
        begin != std::string::npos && family_of(sample) == family) {
      static const std::regex name{R"re((\w+)="[^"]*")re"};
      const std::string braces = sample.substr(begin);
      for (auto it = std::sregex_iterator{braces.begin(), braces.end(), name};
           it != std::sregex_iterator{}; ++it) {
        if ((*it)[1] != "le") {
          all.insert((*it)[1]);
        }
      }
    }
  }
  return all;
}

std::set<std::string> metrics_page::moved_since(const metrics_page& before) const {
  std::set<std::string> moved;
  for (const auto& [sample, value] : samples_) {
    if (value != before.at(sample)) {
      moved.insert(family_of(sample));
    }
  }
  return moved;
}

metrics_page read_metrics(std::uint16_t port) {
  http_answer answer = http_ask(port, "GET", "/metrics");
  if (answer.status != 200) {
    throw std::runtime_error("no page of metrics: " + std::to_string(answer.status) + " " +
                             answer.body);
  }
  return metrics_page{std::move(answer.body)};
}

std::map<std::string, documented_metric> documented_metrics() {
  std::map<std::string, documented_metric> all;
  std::istringstream lines{read_file(source_file("docs/metrics.md"))};
  static const std::regex row{R"(\| `(\w+)(?:\{([\w,]+)\})?` \| (\w+) \| [^|]+ \|)"};
  for (std::string line; std::getline(lines, line);) {
    if (std::smatch parts; std::regex_match(line, parts, row)) {
      if (!all.emplace(parts[1], documented_metric{parts[3], labels_of(parts[2])}).second) {
        throw std::runtime_error("documented twice: " + line);
      }
    } else if (line.starts_with("| `")) {
      throw std::runtime_error("no row of a metric: " + line);
    }
  }
  return all;
}

std::vector<promtool_answer> ask_promtool(const std::string& page) {
  const auto unpacked = std::filesystem::path{OVIR_SOURCE_DIR} / "build/tools/promtool";
  const std::string promtool = std::filesystem::exists(unpacked) ? unpacked.string() : "promtool";
  if (run_child({"/usr/bin/env", promtool, "--version"}).exit_code != 0) {
    return {};
  }
  child_options options;
  options.input = page;
  const child_result done = run_child({"/usr/bin/env", promtool, "check", "metrics"}, options);
  return std::vector<promtool_answer>{
      promtool_answer{done.exit_code.value_or(-1), done.out + done.err}};
}

} // namespace ovir::test
