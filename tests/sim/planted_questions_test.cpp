// Questions whose answer is known, and questions about lies, as a verifier that is asked sees them:
// by no field, size or time are they told apart.
#include "tests/sim/asked_verifiers.hpp"
#include "tests/support/two_samples.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <random>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::size_t of_each = 10'000;
constexpr std::size_t requests_of_a_world = 100;
constexpr std::size_t worlds_at_once = 4;
constexpr double least_p = 0.01;

struct samples {
  sample planted;
  sample ordinary;
  std::uint64_t convicted{0};

  void add(const samples& more) {
    planted.insert(planted.end(), more.planted.begin(), more.planted.end());
    ordinary.insert(ordinary.end(), more.ordinary.begin(), more.ordinary.end());
    convicted += more.convicted;
  }
};

samples of_world(const computed_requests& requests, std::uint64_t seed) {
  asked_verifiers world{requests, seed};
  for (std::size_t i = 0; i < requests_of_a_world; ++i) {
    world.request();
  }
  world.settle();
  samples made;
  for (const seen_question& q : world.seen()) {
    (q.planted ? made.planted : made.ordinary).push_back(q.features);
  }
  made.convicted = world.convicted();
  return made;
}

samples asked() {
  const computed_requests requests;
  samples all;
  for (std::uint64_t seed = 1; all.planted.size() < of_each || all.ordinary.size() < of_each;) {
    std::vector<std::future<samples>> worlds;
    for (std::size_t i = 0; i < worlds_at_once; ++i, ++seed) {
      worlds.push_back(
          std::async(std::launch::async, [&requests, seed] { return of_world(requests, seed); }));
    }
    for (auto& world : worlds) {
      all.add(world.get());
    }
  }
  all.planted.resize(of_each);
  all.ordinary.resize(of_each);
  return all;
}

/// The feature is another in two of a hundred.
sample with_moved(sample rows, std::size_t feature) {
  const auto [least, most] =
      std::minmax_element(rows.begin(), rows.end(),
                          [&](const auto& a, const auto& b) { return a[feature] < b[feature]; });
  const double other = (*most)[feature] + 0.1 * ((*most)[feature] - (*least)[feature]) + 1;
  std::mt19937_64 random{feature};
  for (auto& row : rows) {
    if (random() % 50 == 0) {
      row[feature] = other;
    }
  }
  return rows;
}

TEST(planted_questions, are_not_told_from_ordinary_ones_by_any_field_size_or_time) {
  const samples all = asked();
  EXPECT_GT(all.convicted, of_each / 2) << "lies are found out";
  const auto& names = asked_verifiers::features();
  for (std::size_t f = 0; f < names.size(); ++f) {
    std::printf("%-14s p = %.4f\n", names[f].c_str(), feature_p(all.planted, all.ordinary, f));
  }
  const verdict_of_judges found = tell_apart(names, all.planted, all.ordinary);
  std::printf("%zu of each: p = %.4f by %s\n", of_each, found.p, found.by.c_str());
  EXPECT_GT(found.p, least_p) << found.by;
  for (std::size_t f = 0; f < names.size(); ++f) {
    const verdict_of_judges told = tell_apart(names, with_moved(all.planted, f), all.ordinary);
    EXPECT_LT(told.p, least_p) << names[f] << " is another in two of a hundred";
  }
}

} // namespace
} // namespace ovir::test
