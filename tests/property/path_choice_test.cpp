// The choice of a path among members against exhaustive search over all of them, and what must not
// change it.
#include "actors/path/path_choice.hpp"
#include "actors/path/path_search.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"
#include "tests/support/planning/holder_swarm.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace ovir::actors {
namespace {

constexpr double no_way = std::numeric_limits<double>::infinity();
constexpr double bandwidth = 125e6;

/// The cost model once more, and all paths: depth first, but not where even nodes that may repeat
/// cost more than the best path so far.
class all_paths {
public:
  all_paths(const path_terms& wanted, std::vector<path_candidate> candidates)
      : wanted_(wanted), all_(std::move(candidates)), used_(all_.size(), false),
        layers_(static_cast<std::uint32_t>(wanted.shape.layer_weights.size())),
        rest_(layers_ + 1, no_way) {
    for (std::uint32_t first = layers_; first > 0;) {
      --first;
      for (std::size_t i = 0; i < all_.size(); ++i) {
        for (std::uint32_t last = first + 1; last <= layers_; ++last) {
          rest_[first] =
              std::min(rest_[first], stage(i, {first, last}) + usual_in(i, first) +
                                         usual_out(i, last) + (last == layers_ ? 0 : rest_[last]));
        }
      }
    }
  }

  double least() {
    place(0, 0, all_.size());
    return best_;
  }
  /// Infinite for a stage that does not fit.
  [[nodiscard]] double stage(std::size_t i, layer_range range) const {
    const path_candidate& c = all_[i];
    const model_shape& s = wanted_.shape;
    const bool is_last = range.last == layers_;
    const std::uint64_t memory = s.kv_per_position * wanted_.positions * range.size() +
                                 s.stage_buffers +
                                 (is_last ? s.logits : s.boundary * wanted_.positions);
    if (range.first < c.held.first || range.last > c.held.last || memory > c.memory) {
      return no_way;
    }
    double bytes = is_last ? static_cast<double>(s.head) : 0;
    for (std::uint32_t l = range.first; l < range.last; ++l) {
      bytes += static_cast<double>(s.layer_weights[l]);
    }
    return bytes * c.price * slowed_by(c.who->advert.sessions) /
           static_cast<double>(c.who->advert.decode_bytes_per_second);
  }
  [[nodiscard]] double hop(std::size_t a, std::size_t b) const {
    double told = 0;
    int ends = 0;
    for (const auto& [one, other] : {std::pair{a, b}, std::pair{b, a}}) {
      for (const measured_rtt& rtt : all_[one].who->advert.rtts) {
        if (rtt.node == all_[other].who->node && one != other) {
          told = std::max(told, rtt.microseconds * 1e-6);
          ++ends;
        }
      }
    }
    const bool counts = ends > 1 || told > std::max(far(a), far(b));
    return (counts ? told / 2 : (near(a) + near(b)) / 2) + 2 * boundary();
  }

private:
  [[nodiscard]] double far(std::size_t i) const {
    return std::chrono::duration<double>(*all_[i].who->rtt).count();
  }
  /// To the middle of the network; this node is half as far from it as the nearest one from here.
  [[nodiscard]] double near(std::size_t i) const {
    double least = far(0);
    for (std::size_t j = 0; j < all_.size(); ++j) {
      least = std::min(least, far(j));
    }
    return far(i) - least / 2;
  }
  [[nodiscard]] double boundary() const {
    return static_cast<double>(wanted_.shape.boundary) / bandwidth;
  }
  [[nodiscard]] double usual_in(std::size_t i, std::uint32_t first) const {
    return near(i) / 2 + (first == 0 ? 0 : boundary());
  }
  [[nodiscard]] double usual_out(std::size_t i, std::uint32_t last) const {
    return near(i) / 2 +
           (last == layers_ ? static_cast<double>(wanted_.shape.logits) / bandwidth : boundary());
  }

  void place(std::uint32_t first, double so_far, std::size_t before) {
    if (first == layers_) {
      best_ = std::min(best_, so_far);
      return;
    }
    if (so_far + rest_[first] >= best_) {
      return;
    }
    for (std::size_t i = 0; i < all_.size(); ++i) {
      for (std::uint32_t last = first + 1; !used_[i] && last <= layers_; ++last) {
        const double seconds = stage(i, {first, last});
        if (seconds < no_way) {
          used_[i] = true;
          // What the way out costs is known with the next stage; a link is never faster than usual.
          place(last,
                so_far + seconds + (first == 0 ? far(i) / 2 : hop(before, i)) +
                    (last == layers_
                         ? far(i) / 2 + static_cast<double>(wanted_.shape.logits) / bandwidth
                         : 0),
                i);
          used_[i] = false;
        }
      }
    }
  }

  const path_terms& wanted_;
  std::vector<path_candidate> all_;
  std::vector<bool> used_;
  std::uint32_t layers_;
  std::vector<double> rest_; ///< at least, from this layer on, the way to it included
  double best_{no_way};
};

/// What a layer usually costs: the least price that at least half of its holders ask or undercut,
/// but no less than the model's rate, which is 1.
double usual_price(const std::vector<path_candidate>& all, layer_index layer) {
  double usual = no_way;
  for (const path_candidate& asked : all) {
    int holders = 0;
    int no_more = 0;
    for (const path_candidate& c : all) {
      const bool holds = c.held.first <= layer && layer < c.held.last;
      holders += holds ? 1 : 0;
      no_more += holds && c.price <= asked.price ? 1 : 0;
    }
    if (2 * no_more >= holders && no_more > 0) {
      usual = std::min(usual, asked.price);
    }
  }
  return std::max(usual, 1.0);
}

/// The longest runs for which each asks no more than is usual.
std::vector<path_candidate> without_dear(const std::vector<path_candidate>& all,
                                         std::uint32_t layers) {
  std::vector<double> usual;
  for (layer_index layer = 0; layer < layers; ++layer) {
    usual.push_back(usual_price(all, layer));
  }
  std::vector<path_candidate> some;
  for (path_candidate c : all) {
    layer_range longest{};
    for (layer_index first = c.held.first; first < c.held.last; ++first) {
      layer_index last = first;
      while (last < c.held.last && c.price <= usual[last]) {
        ++last;
      }
      longest = last - first > longest.size() ? layer_range{first, last} : longest;
    }
    c.held = longest;
    if (longest.size() > 0) {
      some.push_back(c);
    }
  }
  return some;
}

std::uint64_t seed_to_try() {
  const char* text = std::getenv("OVIR_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 2026;
}

struct planned_swarm {
  planned_swarm(std::uint64_t seed, std::uint32_t layers, std::size_t members)
      : maker(seed, layers), known(maker.make_some(members)) {
    follow();
  }
  void follow() {
    (void)index.update(std::make_shared<const std::vector<member>>(known));
    candidates = test::holder_swarm::candidates(index, maker.wanted());
  }
  [[nodiscard]] result<chosen_path> choose() const {
    return choose_path(maker.wanted(), candidates);
  }

  test::holder_swarm maker;
  std::vector<member> known;
  holder_index index;
  std::vector<path_candidate> candidates;
};

layer_places places_of(const result<chosen_path>& path) {
  layer_places places;
  for (const plan_stage& stage : path ? path->planned.stages : std::vector<plan_stage>{}) {
    places.emplace_back(path->among[stage.node].who->node, stage.layers);
  }
  return places;
}

/// The cost of what was chosen over that of the best path without those who ask more than usual, or
/// with them where there is none, less one; absent where there is no path.
std::optional<double> gap_of(const planned_swarm& s) {
  const auto layers = static_cast<std::uint32_t>(s.maker.wanted().shape.layer_weights.size());
  double least = all_paths{s.maker.wanted(), without_dear(s.candidates, layers)}.least();
  if (!(least < no_way)) {
    least = all_paths{s.maker.wanted(), s.candidates}.least();
  }
  const result<chosen_path> path = s.choose();
  EXPECT_EQ(path.has_value(), least < no_way);
  if (!path || !(least < no_way)) {
    return std::nullopt;
  }
  for (const plan_stage& stage : path->planned.stages) {
    const path_candidate& c = path->among[stage.node];
    EXPECT_EQ(c.who->health, member_health::alive);
    EXPECT_LE(stage.kv + stage.buffers, c.memory);
    EXPECT_GE(stage.layers.first, c.held.first);
    EXPECT_LE(stage.layers.last, c.held.last);
  }
  return path->planned.speed.token_seconds / least - 1;
}

void expect_near_best(std::uint64_t rounds, std::uint32_t layers_max, std::size_t members_min,
                      std::size_t members_max, std::uint64_t found_min) {
  const std::uint64_t seed = seed_to_try();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  test::holder_swarm chance{seed, 1};
  double worst = 0;
  std::uint64_t found = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    SCOPED_TRACE(round);
    const auto layers = static_cast<std::uint32_t>(chance.whole(2, layers_max));
    const planned_swarm s{seed + round, layers, chance.whole(members_min, members_max)};
    if (const auto gap = gap_of(s)) {
      ++found;
      worst = std::max(worst, *gap);
      ASSERT_LE(*gap, 0.03);
      ASSERT_GE(*gap, -1e-9) << "the exhaustive search is none";
    }
  }
  EXPECT_GT(found, found_min);
  std::printf("%llu of %llu had a path; the worst gap is %.3f %%\n",
              static_cast<unsigned long long>(found), static_cast<unsigned long long>(rounds),
              100 * worst);
}

TEST(path_choice_property, is_within_3_percent_of_exhaustive_search_among_few) {
  expect_near_best(3'000, 7, 1, 10, 1'000);
}

// Of these only some are searched among.
TEST(path_choice_property, is_within_3_percent_of_exhaustive_search_after_the_cut) {
  expect_near_best(400, 8, 40, 120, 390);
}

TEST(path_choice_property, does_not_depend_on_the_order_of_the_members) {
  for (std::uint64_t round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    planned_swarm s{seed_to_try() + round, 32, 150};
    for (member& m : s.known) { // many are equal
      m.advert.decode_bytes_per_second = s.maker.whole(1, 3) * 10'000'000'000;
      m.advert.sessions = 0;
      m.advert.ask_ppm = 1'000'000;
      m.rtt = std::chrono::milliseconds{1};
    }
    s.follow();
    const layer_places before = places_of(s.choose());
    EXPECT_FALSE(before.empty());
    for (std::size_t i = s.known.size(); i > 1; --i) {
      std::swap(s.known[i - 1], s.known[s.maker.whole(0, i - 1)]);
    }
    s.follow();
    EXPECT_EQ(places_of(s.choose()), before);
  }
}

// As fast as any, but with as many ranges as an advert may have: none of them is long enough for a
// path to be better over it.
TEST(path_choice_property, a_member_with_many_ranges_changes_no_plan) {
  for (std::uint64_t round = 0; round < 40; ++round) {
    SCOPED_TRACE(round);
    planned_swarm s{seed_to_try() + round, 80, 300};
    const layer_places before = places_of(s.choose());
    ASSERT_FALSE(before.empty());
    member loud = s.maker.make(1'000);
    loud.health = member_health::alive;
    loud.advert.decode_bytes_per_second = 100'000'000'000;
    loud.advert.sessions = 0;
    loud.advert.ask_ppm = 1'000'000;
    loud.rtt = std::chrono::milliseconds{20};
    loud.advert.held.clear();
    for (layer_index first = 0; first < limits::advert_segments_max; ++first) {
      loud.advert.held.push_back({s.maker.wanted().model, {first, first + 1}, 80});
    }
    s.known.push_back(loud);
    s.follow();
    EXPECT_EQ(places_of(s.choose()), before);
  }
}

TEST(path_choice_property, mends_a_path_among_thousands_of_holders) {
  for (std::uint64_t round = 0; round < 10; ++round) {
    SCOPED_TRACE(round);
    planned_swarm s{seed_to_try() + round, 80, 2'000};
    const layer_places before = places_of(s.choose());
    ASSERT_FALSE(before.empty());
    const std::size_t lost = s.maker.whole(0, before.size() - 1);
    std::erase_if(s.candidates,
                  [&](const path_candidate& c) { return c.who->node == before[lost].first; });
    const auto mended = mend_path(s.maker.wanted(), s.candidates, before);
    ASSERT_TRUE(mended);
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].first != before[lost].first) {
        EXPECT_NE(std::find(mended->begin(), mended->end(), before[i]), mended->end());
      }
    }
  }
}

} // namespace
} // namespace ovir::actors
