#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace ovir::test {

/// Name and type of every metric.
using metric_types = std::map<std::string, std::string>;

/// A page of /metrics, read by the rules of Prometheus' text format. Throws a std::exception
/// where it breaks them.
class metrics_page {
public:
  explicit metrics_page(std::string text);

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] const metric_types& types() const noexcept { return types_; }
  [[nodiscard]] bool has(const std::string& family) const { return types_.contains(family); }
  /// Samples by name and labels, as written: `a{b="c"}`.
  [[nodiscard]] const std::map<std::string, double>& samples() const noexcept { return samples_; }
  /// Of the sample, or 0.
  [[nodiscard]] double at(const std::string& sample) const;
  /// Names of labels of a family.
  [[nodiscard]] std::set<std::string> labels(const std::string& family) const;
  /// Families with a sample that is another one in `before`.
  [[nodiscard]] std::set<std::string> moved_since(const metrics_page& before) const;

private:
  [[nodiscard]] std::string family_of(const std::string& sample) const;

  std::string text_;
  metric_types types_;
  std::map<std::string, double> samples_;
};

/// GET /metrics of a server of this machine. Throws std::runtime_error when it gives no page, as
/// one that is being started.
[[nodiscard]] metrics_page read_metrics(std::uint16_t port);

/// A row of the table of docs/metrics.md.
struct documented_metric {
  std::string type;
  std::set<std::string> labels;
};
[[nodiscard]] std::map<std::string, documented_metric> documented_metrics();

/// What Prometheus' own checker says of a page, and how it ended; empty where there is no promtool.
struct promtool_answer {
  int exit_code{0};
  std::string said;
};
[[nodiscard]] std::vector<promtool_answer> ask_promtool(const std::string& page);

} // namespace ovir::test
