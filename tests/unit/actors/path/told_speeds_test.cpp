// What a node gains that says it is faster than it is.
#include "actors/path/path_choice.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <queue>
#include <random>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using time_point = seen_speeds::time_point;

constexpr double real_speed = 4e9; // weight bytes per second, of both
constexpr std::uint64_t layer_bytes = 50'000'000;
constexpr std::uint32_t layers = 8;

/// Two equal holders of a model, and one scheduler that gives requests to them.
class two_holders {
public:
  explicit two_holders(double told_by_second) {
    wanted_.shape.layer_weights.assign(layers, layer_bytes);
    wanted_.shape.kv_per_position = 10'000;
    for (std::size_t i = 0; i < 2; ++i) {
      nodes_[i].node.key.fill(static_cast<std::uint8_t>(i + 1));
      nodes_[i].rtt = 1ms;
      nodes_[i].advert.decode_bytes_per_second =
          static_cast<std::uint64_t>(real_speed * (i == 0 ? 1 : told_by_second));
      nodes_[i].advert.prefill_bytes_per_second = 8 * nodes_[i].advert.decode_bytes_per_second;
    }
  }

  /// Hours in which requests come at random, each of which has a step timed twice; the shares of
  /// both.
  std::array<double, 2> shares_of(std::chrono::hours time) {
    std::exponential_distribution<double> gap{1.0 / 3}; // a second, so that some meet
    std::array<std::uint32_t, 2> given{};
    for (time_point now{}; now < time_point{time};) {
      now += std::chrono::duration_cast<time_point::duration>(
          std::chrono::duration<double>(gap(random_)));
      finish(now);
      const std::size_t to = choose(now);
      ++given[to];
      ++own_[to];
      open_.push({now + 4s, to});
    }
    const double all = given[0] + given[1];
    return {given[0] / all, given[1] / all};
  }

private:
  struct request {
    time_point ends;
    std::size_t at;
    bool operator>(const request& other) const { return ends > other.ends; }
  };

  void finish(time_point now) {
    std::uniform_real_distribution<double> noise{0.9, 1.1};
    while (!open_.empty() && open_.top().ends <= now) {
      const auto [ends, at] = open_.top();
      open_.pop();
      --own_[at];
      for (int step = 0; step < 2; ++step) {
        speeds_.add(nodes_[at].node, real_speed * noise(random_), decode_word(nodes_[at].advert),
                    ends);
      }
    }
  }
  std::size_t choose(time_point now) {
    std::vector<path_candidate> candidates;
    for (std::size_t i = 0; i < 2; ++i) {
      candidates.push_back({&nodes_[i], {0, layers}, std::uint64_t{1} << 33U});
      add_seen(candidates.back(), speeds_, own_[i], now);
    }
    const auto path = choose_path(wanted_, candidates);
    EXPECT_TRUE(path);
    return path->among[path->planned.stages.at(0).node].who == nodes_.data() ? 0 : 1;
  }

  path_terms wanted_;
  std::array<member, 2> nodes_;
  std::array<std::uint32_t, 2> own_{};
  std::priority_queue<request, std::vector<request>, std::greater<>> open_;
  seen_speeds speeds_;
  std::mt19937_64 random_{7};
};

TEST(told_speeds, give_equal_nodes_that_say_so_equal_shares) {
  const auto [first, second] = two_holders{1}.shares_of(24h);
  EXPECT_NEAR(second / first, 1, 0.05);
}

TEST(told_speeds, give_a_node_that_claims_ten_times_its_speed_no_more_than_its_share) {
  const auto [honest, boasts] = two_holders{10}.shares_of(24h);
  EXPECT_NEAR(boasts / honest, 1, 0.05);
}

} // namespace
} // namespace ovir::actors
