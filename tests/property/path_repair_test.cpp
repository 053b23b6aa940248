// Repairs against exhaustive search, on paths and clusters small enough for that.
#include "actors/path/path_repair.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <random>
#include <tuple>

namespace ovir::actors {
namespace {

using places = std::vector<path_place>;
/// New stages, those of them on nodes with another stage of the path, seconds.
using price = std::tuple<std::size_t, std::size_t, double>;

struct broken_path {
  places path;
  std::vector<repair_node> nodes;
  std::vector<repair_layer> layers;
};

class path_breaker {
public:
  explicit path_breaker(std::uint64_t seed) : random_(seed) {}

  std::uint32_t whole(std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random_() % (high - low + 1));
  }

  broken_path small() {
    broken_path b;
    const std::uint32_t count = whole(2, 7);
    const bool uneven = whole(0, 1) == 1;
    for (std::uint32_t l = 0; l < count; ++l) {
      b.layers.push_back({uneven ? whole(0, 9) : 4, whole(1, 5) * 1'000});
    }
    const std::uint32_t nodes = whole(2, 5);
    for (std::uint32_t i = 0; i < nodes; ++i) {
      repair_node node;
      node.usable = whole(0, 3) > 0;
      if (whole(0, 5) > 0) {
        const std::uint32_t first = whole(0, count - 1);
        node.holds = layer_range{first, std::min(count, whole(first + 1, count + 2))};
      }
      node.memory_free = whole(4, 30);
      node.decode_bytes_per_second = whole(0, 4) * 1e5;
      node.rtt_seconds = whole(0, 3) * 0.01;
      b.nodes.push_back(i > 0 && whole(0, 4) == 0 ? b.nodes.back() : node);
    }
    for (std::uint32_t next = 0; next < count;) {
      const std::uint32_t last = whole(next + 1, count);
      b.path.push_back({whole(0, nodes - 1), {next, last}});
      next = last;
    }
    return b;
  }

private:
  std::mt19937_64 random_;
};

double seconds_of(const broken_path& b, const path_place& place) {
  const repair_node& node = b.nodes[place.node];
  double bytes = 0;
  for (std::uint32_t l = place.layers.first; l < place.layers.last; ++l) {
    bytes += static_cast<double>(b.layers[l].weights);
  }
  return bytes / std::max(1.0, node.decode_bytes_per_second) + node.rtt_seconds;
}

bool is_kept(const broken_path& b, const path_place& place) {
  return b.nodes[place.node].usable &&
         std::find(b.path.begin(), b.path.end(), place) != b.path.end();
}

price price_of(const broken_path& b, const places& whole) {
  price sum{0, 0, 0};
  // A node's first stage is not shared; kept ones were there before new ones.
  std::vector<std::size_t> on(b.nodes.size(), 0);
  for (const path_place& place : whole) {
    on[place.node] += is_kept(b, place) ? 1 : 0;
  }
  for (const path_place& place : whole) {
    if (!is_kept(b, place)) {
      ++std::get<0>(sum);
      std::get<1>(sum) += on[place.node]++ > 0 ? 1 : 0;
      std::get<2>(sum) += seconds_of(b, place);
    }
  }
  return sum;
}

/// The best way to give every lost layer to a usable node; absent when there is none.
std::optional<price> exhaustive(const broken_path& b) {
  std::vector<bool> kept(b.layers.size(), false);
  places whole;
  for (const path_place& place : b.path) {
    if (b.nodes[place.node].usable) {
      whole.push_back(place);
      std::fill(kept.begin() + place.layers.first, kept.begin() + place.layers.last, true);
    }
  }
  std::optional<price> best;
  std::vector<std::uint64_t> used(b.nodes.size(), 0);
  const std::function<void(std::uint32_t)> place_from = [&](std::uint32_t first) {
    if (first == b.layers.size()) {
      const price made = price_of(b, whole);
      best = best ? std::min(*best, made) : made;
      return;
    }
    if (kept[first]) {
      place_from(first + 1);
      return;
    }
    for (std::uint32_t node = 0; node < b.nodes.size(); ++node) {
      const repair_node& n = b.nodes[node];
      const std::uint64_t before = used[node];
      for (std::uint32_t last = first + 1; last <= b.layers.size() && !kept[last - 1]; ++last) {
        used[node] += b.layers[last - 1].needed;
        if (n.usable && used[node] <= n.memory_free &&
            (!n.holds || (n.holds->first <= first && last <= n.holds->last))) {
          whole.push_back({node, {first, last}});
          place_from(last);
          whole.pop_back();
        }
      }
      used[node] = before;
    }
  };
  place_from(0);
  return best;
}

void expect_sound(const broken_path& b, const places& made) {
  std::vector<std::uint64_t> used(b.nodes.size(), 0);
  std::uint32_t next = 0;
  for (const path_place& place : made) {
    EXPECT_EQ(place.layers.first, next) << "the stages do not tile the model";
    EXPECT_GT(place.layers.last, place.layers.first);
    next = place.layers.last;
    const repair_node& node = b.nodes[place.node];
    EXPECT_TRUE(node.usable);
    if (is_kept(b, place)) {
      continue;
    }
    EXPECT_TRUE(!node.holds ||
                (node.holds->first <= place.layers.first && place.layers.last <= node.holds->last));
    for (std::uint32_t l = place.layers.first; l < place.layers.last; ++l) {
      used[place.node] += b.layers[l].needed;
    }
    EXPECT_LE(used[place.node], node.memory_free);
  }
  EXPECT_EQ(next, b.layers.size());
  for (const path_place& place : b.path) {
    if (b.nodes[place.node].usable) {
      EXPECT_NE(std::find(made.begin(), made.end(), place), made.end()) << "a survivor was moved";
    }
  }
}

TEST(path_repair_property, equals_exhaustive_search_on_small_paths) {
  const char* text = std::getenv("OVIR_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 2026;
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  path_breaker breaker{seed};
  std::size_t repaired = 0;
  std::size_t impossible = 0;
  std::size_t shared = 0;
  std::size_t several = 0;
  for (int round = 0; round < 12'000; ++round) {
    SCOPED_TRACE(round);
    const broken_path b = breaker.small();
    const auto best = exhaustive(b);
    const auto made = repair_path(b.path, b.nodes, b.layers);
    ASSERT_EQ(made.has_value(), best.has_value());
    if (!made) {
      ++impossible;
      continue;
    }
    expect_sound(b, *made);
    const price got = price_of(b, *made);
    ASSERT_EQ(std::get<0>(got), std::get<0>(*best)) << "more stages than needed";
    ASSERT_EQ(std::get<1>(got), std::get<1>(*best)) << "a node computes twice without need";
    ASSERT_LE(std::get<2>(got), std::get<2>(*best) * (1 + 1e-9));
    repaired += std::get<0>(got) > 0 ? 1 : 0;
    shared += std::get<1>(got) > 0 ? 1 : 0;
    several += std::get<0>(got) > 1 ? 1 : 0;
  }
  // The seeds must have reached the interesting cases, else nothing was compared.
  EXPECT_GT(repaired, 500U);
  EXPECT_GT(impossible, 500U);
  EXPECT_GT(shared, 200U);
  EXPECT_GT(several, 200U);
}

} // namespace
} // namespace ovir::actors
