#include "tests/chaos/node_watch.hpp"

#include "messages/sanitized.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace ovir::chaos {

namespace {

constexpr std::chrono::seconds watch_pause{2};
constexpr std::size_t samples_min = 12;
constexpr double memory_growth_max_mib = 12;
constexpr double descriptor_growth_max = 4;
constexpr double descriptors_per_client = 2; // its connection and the log of its request
constexpr double thread_growth_max = 2;
constexpr std::size_t descriptors_more_max = 6;
constexpr std::size_t threads_more_max = 2;
constexpr double mib = 1024 * 1024;

void add_down(const apps::json& part, const std::string& where, std::vector<std::string>& found) {
  const std::string name = where + "/" + part.value("name", "?");
  if (!part.value("up", false)) {
    found.push_back(name + " is down");
  }
  if (const auto children = part.find("children"); children != part.end()) {
    for (const apps::json& child : *children) {
      add_down(child, name, found);
    }
  }
}

/// What a node says of itself that should not be so while nothing runs.
std::vector<std::string> unrest(const test::test_cluster& cluster, std::size_t i) {
  const std::string& name = cluster.node(i).name;
  std::vector<std::string> found;
  try {
    if (cluster.node(i).has_role("scheduler")) {
      if (const auto jobs = cluster.ask(i, "jobs").at("jobs"); !jobs.empty()) {
        found.push_back(
            fmt::format("{} still has {} requests: {}", name, jobs.size(), jobs.front().dump()));
      }
    }
    const apps::json listed = cluster.ask(i, "nodes");
    for (const apps::json& node : listed.at("nodes")) {
      if (node.value("self", false) && node.value("sessions", 0) != 0) {
        found.push_back(fmt::format("{} still has {} sessions", name, node.at("sessions").dump()));
      }
    }
    add_down(cluster.ask(i, "tree").at("tree"), name, found);
  } catch (const std::exception& failed) {
    found.push_back(name + ": " + failed.what());
  }
  return found;
}

std::vector<std::string> surplus(const std::string& name, const test::process_use& before,
                                 const test::process_use& now) {
  std::vector<std::string> found;
  if (now.descriptors > before.descriptors + descriptors_more_max) {
    found.push_back(
        fmt::format("{} has {} descriptors, {} before", name, now.descriptors, before.descriptors));
  }
  if (now.threads > before.threads + threads_more_max) {
    found.push_back(fmt::format("{} has {} threads, {} before", name, now.threads, before.threads));
  }
  if (!address_sanitized &&
      now.resident_bytes > before.resident_bytes + before.resident_bytes / 4 + (32U << 20U)) {
    found.push_back(fmt::format("{} has {:.1f} MiB resident, {:.1f} before", name,
                                static_cast<double>(now.resident_bytes) / mib,
                                static_cast<double>(before.resident_bytes) / mib));
  }
  return found;
}

} // namespace

double growth(const std::vector<double>& at, const std::vector<double>& values) {
  std::vector<double> slopes;
  for (std::size_t i = 0; i < at.size(); ++i) {
    for (std::size_t j = i + 1; j < at.size(); ++j) {
      if (at[j] > at[i]) {
        slopes.push_back((values[j] - values[i]) / (at[j] - at[i]));
      }
    }
  }
  if (slopes.empty()) {
    return 0;
  }
  const auto middle = slopes.begin() + static_cast<long>(slopes.size() / 2);
  std::nth_element(slopes.begin(), middle, slopes.end());
  return *middle * (at.back() - at.front());
}

node_watch::node_watch(const test::test_cluster& cluster) : cluster_(cluster) {}

void node_watch::look() {
  if (clock::now() >= next_) {
    look_now();
  }
}

void node_watch::look_now() {
  const clock::time_point now = clock::now();
  next_ = now + watch_pause;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    const pid_t process = cluster_.id(i);
    const auto use = cluster_.use(i);
    if (process < 0 || !use) {
      continue;
    }
    auto at = std::find_if(series_.begin(), series_.end(),
                           [process](const use_series& s) { return s.process == process; });
    if (at == series_.end()) {
      series_.push_back({cluster_.node(i).name, process, {}});
      born_.push_back(now);
      at = series_.end() - 1;
    }
    const auto index = static_cast<std::size_t>(at - series_.begin());
    at->samples.push_back({std::chrono::duration<double>(now - born_[index]).count(),
                           static_cast<double>(use->resident_bytes) / mib,
                           static_cast<double>(use->descriptors),
                           static_cast<double>(use->threads)});
  }
}

std::vector<std::string> node_watch::grown(std::chrono::seconds warm_up,
                                           std::size_t clients) const {
  // Clients that lose their scheduler stay with the next one.
  const double descriptors_max =
      descriptor_growth_max + descriptors_per_client * static_cast<double>(clients);
  std::vector<std::string> found;
  for (const use_series& s : series_) {
    std::vector<double> at;
    std::vector<double> memory;
    std::vector<double> descriptors;
    std::vector<double> threads;
    for (const use_sample& one : s.samples) {
      if (one.age_s >= static_cast<double>(warm_up.count())) {
        at.push_back(one.age_s);
        memory.push_back(one.resident_mib);
        descriptors.push_back(one.descriptors);
        threads.push_back(one.threads);
      }
    }
    if (at.size() < samples_min) {
      continue;
    }
    const auto judge = [&](const char* what, const std::vector<double>& values, double most) {
      if (const double more = growth(at, values); more > most) {
        found.push_back(fmt::format("{} grew by {:.1f} {} in {:.0f} s (from {:.1f} to {:.1f})",
                                    s.node, more, what, at.back() - at.front(), values.front(),
                                    values.back()));
      }
    };
    if (!address_sanitized) {
      judge("MiB of memory", memory, memory_growth_max_mib);
    }
    judge("descriptors", descriptors, descriptors_max);
    judge("threads", threads, thread_growth_max);
  }
  return found;
}

std::vector<test::process_use> uses_of(const test::test_cluster& cluster) {
  std::vector<test::process_use> all;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    const auto use = cluster.use(i);
    if (!use) {
      throw std::runtime_error(cluster.node(i).name + " does not run\n" + cluster.last_words());
    }
    all.push_back(*use);
  }
  return all;
}

std::vector<std::string> leaks(const test::test_cluster& cluster,
                               const std::vector<test::process_use>& before,
                               std::chrono::seconds within) {
  std::vector<std::string> found;
  static_cast<void>(cluster.wait_until(
      [&] {
        found.clear();
        for (std::size_t i = 0; i < cluster.size(); ++i) {
          auto more = unrest(cluster, i);
          if (const auto use = cluster.use(i)) {
            const auto beyond = surplus(cluster.node(i).name, before[i], *use);
            more.insert(more.end(), beyond.begin(), beyond.end());
          }
          found.insert(found.end(), more.begin(), more.end());
        }
        return found.empty();
      },
      within));
  return found;
}

} // namespace ovir::chaos
