#include "apps/ovir/bench/bench_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

namespace ovir::apps::bench {

namespace {

#if defined(__OPTIMIZE__)
constexpr bool is_optimised = true;
#else
constexpr bool is_optimised = false;
#endif

constexpr double microseconds = 1e6;

double median(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double median_of(const decode_point& point, const std::function<double(const decode_run&)>& what) {
  std::vector<double> values;
  for (const decode_run& run : point.runs) {
    values.push_back(what(run));
  }
  return median(std::move(values));
}

double tps_of(const decode_point& point) {
  return median_of(point, [](const decode_run& run) { return run.tps; });
}

// Bytes per second of only reading the weights, between the steps.
double bandwidth_of(const model_facts& model, const decode_point& point) {
  const auto bytes = static_cast<double>(model.weight_bytes_read);
  return median_of(point, [&](const decode_run& run) { return bytes / run.read; });
}

// What a step reads per second, of that: weights once, keys and values of every sequence.
double share_of(const model_facts& model, const decode_point& point) {
  const double times =
      1 + static_cast<double>(point.kv_bytes) /
              static_cast<double>(std::max<std::uint64_t>(model.weight_bytes_read, 1));
  return median_of(point, [&](const decode_run& run) { return times * run.read / run.step; });
}

// Of the operations of only multiplying, measured right after; nothing for products of floats.
double integer_share_of(const model_facts& model, const prefill_point& point) {
  std::vector<double> shares;
  const double operations = static_cast<double>(model.layer_operations) +
                            static_cast<double>(model.head_operations) / point.prompt;
  for (std::size_t i = 0; model.integers && i < point.tps.size(); ++i) {
    shares.push_back(operations * point.tps[i] / point.peak[i]);
  }
  return median(std::move(shares));
}

json to_document(const model_facts& model, const step_profile& profile) {
  json kinds = json::object();
  for (std::size_t i = 0; i < operations; ++i) {
    if (profile.spent[i] > 0) {
      json& kind = kinds[std::string{name_of(static_cast<operation>(i))}];
      kind["us"] = profile.spent[i] * microseconds;
      kind["bytes"] = model.bytes_of[i];
    }
  }
  return {{"step_us", profile.step * microseconds},
          {"operations", std::move(kinds)},
          {"waiting_us", profile.waiting * microseconds},
          {"between_us", profile.between * microseconds},
          {"logits_us", profile.logits * microseconds}};
}

json to_document(const findings& found, const prefill_point& point) {
  json all{{"threads", point.threads},
           {"depth", point.depth},
           {"prompt", point.prompt},
           {"tps", median(point.tps)},
           {"runs", point.tps}};
  all["integer_peak"] = found.model.integers ? json(median(point.peak)) : json(nullptr);
  all["integer_share"] =
      found.model.integers ? json(integer_share_of(found.model, point)) : json(nullptr);
  return all;
}

json to_document(const findings& found, const decode_point& point, std::uint32_t tokens) {
  json runs = json::array();
  for (const decode_run& run : point.runs) {
    runs.push_back({{"tps", run.tps},
                    {"step_us", run.step * microseconds},
                    {"read_us", run.read * microseconds}});
  }
  json transcripts = json::array();
  for (const digest& one : point.transcripts) {
    transcripts.push_back(to_hex(one));
  }
  const auto drawing = median_of(point, [](const decode_run& run) { return run.drawing; });
  const auto naming = median_of(point, [](const decode_run& run) { return run.digest; });
  json all{{"threads", point.threads},
           {"depth", point.depth},
           {"batch", point.batch},
           {"tokens", tokens},
           {"tps", tps_of(point)},
           {"read_bandwidth", bandwidth_of(found.model, point)},
           {"bandwidth_share", share_of(found.model, point)},
           {"kv_bytes_read", point.kv_bytes},
           {"drawing_us", drawing * microseconds},
           {"digest_us", naming * microseconds},
           {"runs", std::move(runs)},
           {"transcripts", std::move(transcripts)}};
  all["profile"] = point.profile ? to_document(found.model, *point.profile) : json(nullptr);
  return all;
}

// Of the first point, in the keys that scripts know.
void add_summary(json& all, const findings& found) {
  const prefill_point& prefill = found.prefill.front();
  json runs = json::array();
  for (std::size_t i = 0; i < prefill.tps.size(); ++i) {
    json run{{"prefill_tps", prefill.tps[i]}};
    if (!found.decode.empty()) {
      run["decode_tps"] = found.decode.front().runs[i].tps;
    }
    runs.push_back(std::move(run));
  }
  all["prefill_tps"] = median(prefill.tps);
  if (!found.decode.empty()) {
    const decode_point& decode = found.decode.front();
    all["decode_tps"] = tps_of(decode);
    all["bandwidth_share"] = share_of(found.model, decode);
    all["read_bandwidth"] = bandwidth_of(found.model, decode);
    all["transcript"] = to_hex(decode.transcripts.front());
    all["logits"] = to_hex(found.logits);
  }
  all["runs"] = std::move(runs);
}

std::string header_line(const plan& asked, const findings& found, std::string_view kernels) {
  return fmt::format("{} ({}), {} kernels, medians of {} runs\n", found.model.path,
                     bytes_text(found.model.file_bytes), kernels, asked.runs);
}

std::string line_of(const findings& found, const prefill_point& point) {
  const auto [low, high] = std::minmax_element(point.tps.begin(), point.tps.end());
  const std::string share =
      found.model.integers
          ? fmt::format(", {:.0f} % of only multiplying ({:.0f} Gop/s)",
                        100 * integer_share_of(found.model, point), median(point.peak) / 1e9)
          : std::string{};
  return fmt::format("prefill {:6} tokens at {:5}, {} threads       {:9.1f} tokens/s ({:.1f} to "
                     "{:.1f}){}\n",
                     point.prompt, point.depth, point.threads, median(point.tps), *low, *high,
                     share);
}

std::string line_of(const findings& found, const decode_point& point, std::uint32_t tokens) {
  double low = point.runs.front().tps;
  double high = low;
  for (const decode_run& run : point.runs) {
    low = std::min(low, run.tps);
    high = std::max(high, run.tps);
  }
  return fmt::format("decode  {:6} tokens at {:5}, {} threads, {:2} x {:9.1f} tokens/s ({:.1f} to "
                     "{:.1f}), {:.0f} % of only reading ({:.1f} GB/s)\n",
                     tokens, point.depth, point.threads, point.batch, tps_of(point), low, high,
                     100 * share_of(found.model, point), bandwidth_of(found.model, point) / 1e9);
}

std::string profile_lines(const model_facts& model, const decode_point& point) {
  const step_profile& profile = *point.profile;
  std::string text = fmt::format("a step of {} at {}, {} threads: {:.0f} us\n", point.batch,
                                 point.depth, point.threads, profile.step * microseconds);
  const auto add = [&](std::string_view name, double spent, std::uint64_t bytes) {
    const std::string speed =
        bytes == 0 ? std::string{}
                   : fmt::format(", {:.1f} GB/s", static_cast<double>(bytes) / spent / 1e9);
    text += fmt::format("  {:12} {:9.1f} us {:5.1f} %{}\n", name, spent * microseconds,
                        100 * spent / profile.step, speed);
  };
  for (std::size_t i = 0; i < operations; ++i) {
    if (profile.spent[i] > 0) {
      add(name_of(static_cast<operation>(i)), profile.spent[i], model.bytes_of[i]);
    }
  }
  add("waiting", profile.waiting, 0);
  add("between", profile.between, 0);
  add("logits", profile.logits, 0);
  return text;
}

} // namespace

json to_document(const plan& asked, const findings& found, std::string_view kernels) {
  json all;
  add_summary(all, found);
  all["peak_rss_bytes"] = found.peak_rss_bytes;
  all["file_bytes"] = found.model.file_bytes;
  all["kv_bytes"] = found.kv_bytes;
  all["packed_bytes"] = found.model.packed_bytes;
  all["weight_bytes"] = found.model.weight_bytes;
  all["weight_bytes_read"] = found.model.weight_bytes_read;
  all["layer_operations"] = found.model.layer_operations;
  all["head_operations"] = found.model.head_operations;
  all["prompt"] = asked.prompts.front();
  all["tokens"] = asked.tokens;
  all["threads"] = asked.threads.front();
  all["prefill_chunk"] = asked.chunk;
  all["isa"] = kernels;
  all["model"] = found.model.path;
  all["optimised"] = is_optimised;
  all["prefill"] = json::array();
  for (const prefill_point& point : found.prefill) {
    all["prefill"].push_back(to_document(found, point));
  }
  all["decode"] = json::array();
  for (const decode_point& point : found.decode) {
    all["decode"].push_back(to_document(found, point, asked.tokens));
  }
  return all;
}

std::string to_lines(const plan& asked, const findings& found, std::string_view kernels) {
  std::string text = header_line(asked, found, kernels);
  for (const prefill_point& point : found.prefill) {
    text += line_of(found, point);
  }
  for (const decode_point& point : found.decode) {
    text += line_of(found, point, asked.tokens);
  }
  for (const decode_point& point : found.decode) {
    if (point.profile) {
      text += profile_lines(found.model, point);
    }
  }
  text += fmt::format("memory     {} at most; the file has {}, keys and values {}\n",
                      bytes_text(found.peak_rss_bytes), bytes_text(found.model.file_bytes),
                      bytes_text(found.kv_bytes));
  if (!found.decode.empty()) {
    const decode_point& first = found.decode.front();
    text += fmt::format("per token  {:.1f} us to draw it, {:.1f} us for the digest of its logits\n"
                        "transcript {}\n",
                        microseconds * median_of(first, [](const auto& r) { return r.drawing; }),
                        microseconds * median_of(first, [](const auto& r) { return r.digest; }),
                        to_hex(first.transcripts.front()));
  }
  return text;
}

} // namespace ovir::apps::bench
