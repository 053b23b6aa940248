#include "gateway/http/metrics.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

namespace ovir::gateway {

namespace {

prometheus::MetricType type_of(metric_type type) {
  switch (type) {
  case metric_type::counter: return prometheus::MetricType::Counter;
  case metric_type::gauge: return prometheus::MetricType::Gauge;
  case metric_type::histogram: return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric metric_of(const time_histogram& times) {
  prometheus::ClientMetric metric;
  metric.histogram.sample_count = times.count();
  metric.histogram.sample_sum = times.sum();
  for (std::size_t i = 0; i < times.bounds().size(); ++i) {
    metric.histogram.bucket.push_back({times.up_to(i), times.bounds()[i]});
  }
  metric.histogram.bucket.push_back({times.count(), std::numeric_limits<double>::infinity()});
  return metric;
}

prometheus::ClientMetric metric_of(const metric_family& family,
                                   const metric_family::sample& sample) {
  prometheus::ClientMetric metric;
  if (!family.label.empty()) {
    metric.label.push_back({family.label, sample.label_value});
  }
  (family.type == metric_type::counter ? metric.counter.value : metric.gauge.value) = sample.value;
  return metric;
}

prometheus::MetricFamily prometheus_of(const metric_family& family) {
  prometheus::MetricFamily out;
  out.name = family.name;
  out.help = family.help;
  out.type = type_of(family.type);
  if (family.times) {
    out.metric.push_back(metric_of(*family.times));
  }
  for (const metric_family::sample& sample : family.samples) {
    out.metric.push_back(metric_of(family, sample));
  }
  return out;
}

std::vector<metric_family::sample> samples_of(metric_list::by_label values) {
  std::vector<metric_family::sample> samples;
  for (const auto& [label, value] : values) {
    samples.push_back({value, label});
  }
  return samples;
}

std::vector<metric_family::sample> samples_of(const std::map<std::string, std::uint64_t>& values) {
  std::vector<metric_family::sample> samples;
  samples.reserve(values.size());
  for (const auto& [label, value] : values) {
    samples.push_back({static_cast<double>(value), label});
  }
  return samples;
}

} // namespace

void time_histogram::add(std::chrono::steady_clock::duration time) {
  const double seconds = std::chrono::duration<double>(time).count();
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    up_to_[i] += seconds <= bounds_[i] ? 1 : 0;
  }
  ++count_;
  sum_ += seconds;
}

void metric_list::counter(const char* name, const char* help, double value) {
  to_.push_back({name, help, metric_type::counter, {}, {{value, {}}}, {}});
}

void metric_list::gauge(const char* name, const char* help, double value) {
  to_.push_back({name, help, metric_type::gauge, {}, {{value, {}}}, {}});
}

void metric_list::counters(const char* name, const char* help, const char* label, by_label values) {
  to_.push_back({name, help, metric_type::counter, label, samples_of(values), {}});
}

void metric_list::gauges(const char* name, const char* help, const char* label, by_label values) {
  to_.push_back({name, help, metric_type::gauge, label, samples_of(values), {}});
}

void metric_list::counters(const char* name, const char* help, const char* label,
                           const std::map<std::string, std::uint64_t>& values) {
  to_.push_back({name, help, metric_type::counter, label, samples_of(values), {}});
}

void metric_list::gauges(const char* name, const char* help, const char* label,
                         const std::map<std::string, std::uint64_t>& values) {
  to_.push_back({name, help, metric_type::gauge, label, samples_of(values), {}});
}

void metric_list::times(const char* name, const char* help, const time_histogram& times) {
  to_.push_back({name, help, metric_type::histogram, {}, {}, times});
}

metric_families families_of(const api_counts& c) {
  metric_families all;
  metric_list out{all};
  std::map<std::string, std::uint64_t> replies;
  for (const auto& [status, count] : c.replies) {
    replies[std::to_string(status)] = count;
  }
  const auto number = [](std::uint64_t n) { return static_cast<double>(n); };
  out.counters("ovir_gateway_replies_total",
               "Answers of HTTP by status; a stream counts when it begins", "status", replies);
  out.gauge("ovir_gateway_connections", "Open connections of clients", number(c.connections));
  out.gauge("ovir_gateway_requests_under_way", "Requests being read or answered",
            number(c.under_way));
  out.counter("ovir_gateway_prompt_tokens_total", "Tokens of prompts that were accepted",
              number(c.prompt_tokens));
  out.counter("ovir_gateway_completion_tokens_total", "Tokens drawn for clients",
              number(c.completion_tokens));
  out.counter("ovir_gateway_requests_resumed_total", "Requests that a client came back for",
              number(c.resumed));
  out.counter("ovir_gateway_requests_abandoned_total",
              "Requests cancelled because their client went", number(c.abandoned));
  out.times("ovir_gateway_time_to_first_token_seconds", "From a request's body to its first token",
            c.first_token);
  out.times("ovir_gateway_request_duration_seconds",
            "From a request's body to the end of its answers", c.duration);
  return all;
}

std::string metrics_text(const metric_families& families) {
  std::vector<prometheus::MetricFamily> all;
  for (const metric_family& family : families) {
    all.push_back(prometheus_of(family));
  }
  return prometheus::TextSerializer{}.Serialize(all);
}

} // namespace ovir::gateway
