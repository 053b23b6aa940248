#include "gateway/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <utility>
#include <vector>

namespace ovir::gateway {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class page {
public:
  void counter(const std::string& name, const std::string& help, std::uint64_t value) {
    ClientMetric metric;
    metric.counter.value = static_cast<double>(value);
    add(name, help, MetricType::Counter, {std::move(metric)});
  }
  void gauge(const std::string& name, const std::string& help, std::uint64_t value) {
    ClientMetric metric;
    metric.gauge.value = static_cast<double>(value);
    add(name, help, MetricType::Gauge, {std::move(metric)});
  }
  void replies(const std::string& name, const std::string& help,
               const std::map<int, std::uint64_t>& counts) {
    std::vector<ClientMetric> metrics;
    for (const auto& [status, count] : counts) {
      ClientMetric metric;
      metric.label.push_back({"status", std::to_string(status)});
      metric.counter.value = static_cast<double>(count);
      metrics.push_back(std::move(metric));
    }
    add(name, help, MetricType::Counter, std::move(metrics));
  }
  void times(const std::string& name, const std::string& help, const time_histogram& times) {
    ClientMetric metric;
    metric.histogram.sample_count = times.count();
    metric.histogram.sample_sum = times.sum();
    for (std::size_t i = 0; i < time_histogram::bounds.size(); ++i) {
      metric.histogram.bucket.push_back({times.up_to(i), time_histogram::bounds[i]});
    }
    metric.histogram.bucket.push_back({times.count(), std::numeric_limits<double>::infinity()});
    add(name, help, MetricType::Histogram, {std::move(metric)});
  }
  [[nodiscard]] std::string text() const { return prometheus::TextSerializer{}.Serialize(all_); }

private:
  void add(const std::string& name, const std::string& help, MetricType type,
           std::vector<ClientMetric> metrics) {
    MetricFamily family;
    family.name = "ovir_gateway_" + name;
    family.help = help;
    family.type = type;
    family.metric = std::move(metrics);
    all_.push_back(std::move(family));
  }

  std::vector<MetricFamily> all_;
};

} // namespace

void time_histogram::add(std::chrono::steady_clock::duration time) noexcept {
  const double seconds = std::chrono::duration<double>(time).count();
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    up_to_[i] += seconds <= bounds[i] ? 1 : 0;
  }
  ++count_;
  sum_ += seconds;
}

std::string metrics_text(const api_counts& c) {
  page out;
  out.replies("replies_total", "Answers of HTTP by status; a stream counts when it begins",
              c.replies);
  out.gauge("connections", "Open connections of clients", c.connections);
  out.gauge("requests_under_way", "Requests being read or answered", c.under_way);
  out.counter("prompt_tokens_total", "Tokens of prompts that were accepted", c.prompt_tokens);
  out.counter("completion_tokens_total", "Tokens drawn for clients", c.completion_tokens);
  out.counter("requests_resumed_total", "Requests that a client came back for", c.resumed);
  out.counter("requests_abandoned_total", "Requests cancelled because their client went",
              c.abandoned);
  out.times("time_to_first_token_seconds", "From a request's body to its first token",
            c.first_token);
  out.times("request_duration_seconds", "From a request's body to the end of its answers",
            c.duration);
  return out.text();
}

} // namespace ovir::gateway
