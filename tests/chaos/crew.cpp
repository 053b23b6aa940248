#include "tests/chaos/crew.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace ovir::chaos {

namespace {

constexpr std::chrono::milliseconds look_pause{150};
constexpr std::chrono::milliseconds ask_deadline{1'500};

std::string range(std::uint32_t first, std::uint32_t last) {
  return fmt::format("{}-{}", first, last);
}

void add_range(std::uint64_t first, std::uint64_t last, std::set<std::uint32_t>& to) {
  for (std::uint64_t layer = first; layer <= last; ++layer) {
    to.insert(static_cast<std::uint32_t>(layer));
  }
}

std::set<std::uint32_t> configured_layers(const test::cluster_node& node) {
  std::set<std::uint32_t> held;
  if (node.has_role("worker")) {
    for (const test::cluster_part& p : node.parts) {
      const std::size_t dash = p.layers.find('-');
      add_range(std::stoul(p.layers.substr(0, dash)), std::stoul(p.layers.substr(dash + 1)), held);
    }
  }
  return held;
}

} // namespace

std::vector<test::cluster_node> crew_nodes(const std::string& model, std::uint32_t layers) {
  if (layers < 8) {
    throw std::runtime_error(fmt::format("a drill needs a model of 8 layers; it has {}", layers));
  }
  const std::uint32_t half = layers / 2;
  const std::uint32_t quarter = layers / 4;
  const std::uint32_t last = layers - 1;
  const std::uint32_t last_quarter = layers - quarter;
  return {{"s1", {"scheduler"}, {{model}}},
          {"s2", {"scheduler"}, {{model}}},
          {"w1", {"worker"}, {{model, range(0, half - 1)}}},
          {"w2", {"worker"}, {{model, range(half, last)}}},
          {"w3", {"worker"}, {{model, range(quarter, last_quarter - 1)}}},
          {"w4", {"worker"}, {{model, range(0, quarter - 1)}, {model, range(last_quarter, last)}}},
          {"w5", {"scheduler", "worker"}, {{model, range(quarter + 1, last_quarter)}}}};
}

std::vector<test::cluster_node> placed_crew_nodes(const std::string& model) {
  return {{"s1", {"scheduler"}, {{model}}},
          {"s2", {"scheduler"}, {{model}}},
          {"w1", {"worker"}, {{model}}},
          {"w2", {"worker"}, {{model}}},
          {"w3", {"worker"}, {{model}}},
          {"w4", {"worker"}, {{model}}},
          {"w5", {"scheduler", "worker"}, {{model}}}};
}

bool job_view::needs(std::size_t node) const {
  return lead == node || std::find(path.begin(), path.end(), node) != path.end();
}

crew::crew(test::test_cluster& cluster, std::uint32_t layers, bool placed)
    : cluster_(cluster), layers_(layers), placed_(placed), held_(cluster.size()),
      start_at_(cluster.size()), thaw_at_(cluster.size()) {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    ready_.insert(i);
    if (!placed_) {
      held_[i] = configured_layers(cluster_.node(i));
    }
  }
}

std::vector<std::size_t> crew::joining() const {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!ready_.contains(i) && !start_at_[i] && !thaw_at_[i] && cluster_.running(i)) {
      found.push_back(i);
    }
  }
  return found;
}

bool crew::can_lose(std::size_t node) const {
  bool scheduler = false;
  std::vector<bool> held(layers_, false);
  for (const std::size_t i : ready_) {
    if (i == node) {
      continue;
    }
    scheduler = scheduler || cluster_.node(i).has_role("scheduler");
    for (std::uint32_t layer = 0; layer < layers_; ++layer) {
      held[layer] = held[layer] || held_[i].contains(layer);
    }
  }
  return scheduler && std::all_of(held.begin(), held.end(), [](bool h) { return h; });
}

void crew::kill(std::size_t node, std::chrono::milliseconds back_in) {
  cluster_.kill(node);
  ready_.erase(node);
  thaw_at_[node].reset();
  start_at_[node] = clock::now() + back_in;
}

void crew::freeze(std::size_t node, std::chrono::milliseconds length) {
  cluster_.freeze(node);
  ready_.erase(node);
  thaw_at_[node] = clock::now() + length;
}

void crew::divide(std::set<std::size_t> side, std::chrono::milliseconds length) {
  heal_at_ = clock::now() + length;
  cluster_.network().hold([side = std::move(side)](std::size_t from, std::size_t to) {
    return side.contains(from) != side.contains(to);
  });
}

void crew::restore() {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    start_at_[i] = start_at_[i] ? std::optional{clock::now()} : std::nullopt;
    thaw_at_[i] = thaw_at_[i] ? std::optional{clock::now()} : std::nullopt;
  }
  heal_at_ = heal_at_ ? std::optional{clock::now()} : std::nullopt;
  look();
}

void crew::look() {
  const clock::time_point now = clock::now();
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (start_at_[i] && now >= *start_at_[i]) {
      start_at_[i].reset();
      cluster_.start(i);
    }
    if (thaw_at_[i] && now >= *thaw_at_[i]) {
      thaw_at_[i].reset();
      cluster_.thaw(i);
    }
    if (!start_at_[i] && !cluster_.running(i)) {
      fallen_.push_back(cluster_.node(i).name + " ended by itself");
      cluster_.kill(i); // keeps what it said
      ready_.erase(i);
      start_at_[i] = now;
    }
  }
  if (heal_at_ && now >= *heal_at_) {
    heal_at_.reset();
    cluster_.network().hold({});
    ready_.clear(); // who has lost sight of whom is seen below
  }
  if (now < look_again_ || divided()) {
    return;
  }
  for (const std::size_t i : joining()) {
    if (has_joined(i)) {
      ready_.insert(i);
    }
  }
  if (placed_) {
    see_holdings();
  }
  look_again_ = clock::now() + look_pause;
}

// What the first scheduler that answers knows of the others.
void crew::see_holdings() {
  for (const std::size_t i : ready_) {
    if (!cluster_.node(i).has_role("scheduler")) {
      continue;
    }
    try {
      std::vector<std::set<std::uint32_t>> now(cluster_.size());
      const apps::json said = cluster_.ask(i, "nodes", ask_deadline);
      for (const apps::json& n : said.at("nodes")) {
        for (const apps::json& range : n.at("held")) {
          add_range(range.at("first_layer"), range.at("last_layer"),
                    now.at(cluster_.index_of(n.value("name", ""))));
        }
      }
      held_ = std::move(now);
      return;
    } catch (const std::runtime_error&) { // it is busy, or gone
      continue;
    }
  }
}

bool crew::sees(std::size_t node, const std::set<std::size_t>& others) const {
  apps::json nodes;
  try {
    nodes = cluster_.ask(node, "nodes", ask_deadline).at("nodes");
  } catch (const std::runtime_error&) {
    return false; // it is not that far yet
  }
  return std::all_of(others.begin(), others.end(), [&](std::size_t other) {
    return std::any_of(nodes.begin(), nodes.end(), [&](const apps::json& n) {
      const test::cluster_node& is = cluster_.node(other);
      return n.value("name", "") == is.name && n.value("health", "") == "alive" &&
             (!is.has_role("worker") || !n.at("held").empty());
    });
  });
}

bool crew::has_joined(std::size_t node) const {
  std::set<std::size_t> all = ready_;
  all.insert(node);
  return sees(node, all) && std::all_of(all.begin(), all.end(), [&](std::size_t other) {
           return other == node || !cluster_.node(other).has_role("scheduler") ||
                  sees(other, {node});
         });
}

std::vector<job_view> crew::jobs() const {
  std::vector<job_view> all;
  for (const std::size_t i : ready_) {
    if (!cluster_.node(i).has_role("scheduler")) {
      continue;
    }
    try {
      const apps::json listed = cluster_.ask(i, "jobs", ask_deadline);
      for (const apps::json& job : listed.at("jobs")) {
        job_view& view = all.emplace_back();
        view.request = job.value("request", "");
        view.state = job.value("state", "");
        view.lead = i;
        for (const apps::json& stage : job.at("path")) {
          view.path.push_back(cluster_.index_of(stage.value("name", "")));
        }
      }
    } catch (const std::runtime_error&) {
      // It was busy or is gone; the drill does without its requests.
      continue;
    }
  }
  return all;
}

} // namespace ovir::chaos
