// The drill itself, and short ones of it.
#include "tests/chaos/chaos_run.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ovir::chaos {
namespace {

using namespace std::chrono_literals;

std::uint64_t seed_of_today() {
  const char* const given = std::getenv("OVIR_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

TEST(drill_plan, takes_every_victim_at_every_moment_equally_often) {
  drill_plan plan{7, false};
  std::map<std::pair<moment, victim>, int> seen;
  for (int i = 0; i < 60; ++i) {
    const drill_step step = plan.next();
    ++seen[{step.when, step.who}];
  }
  EXPECT_EQ(seen.size(), 30U);
  for (const auto& [pair, count] : seen) {
    EXPECT_EQ(count, 2) << to_string(pair.first) << ", " << to_string(pair.second);
  }
}

TEST(drill_plan, is_a_function_of_its_seed) {
  const auto first = [](std::uint64_t seed) {
    drill_plan plan{seed};
    std::string text;
    for (int i = 0; i < 40; ++i) {
      const drill_step step = plan.next();
      text += to_string(step.how) + to_string(step.when) + to_string(step.who);
    }
    return text;
  };
  EXPECT_EQ(first(3), first(3));
  EXPECT_NE(first(3), first(4));
}

TEST(drill_plan, freezes_cuts_and_divides_too) {
  drill_plan plan{1};
  std::set<harm> seen;
  for (int i = 0; i < 24; ++i) {
    seen.insert(plan.next().how);
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST(growth, ignores_single_peaks_and_sees_a_steady_rise) {
  std::vector<double> at;
  std::vector<double> flat;
  std::vector<double> rising;
  for (int i = 0; i < 30; ++i) {
    at.push_back(i);
    flat.push_back(i % 10 == 9 ? 50 : 20);
    rising.push_back(20 + i);
  }
  EXPECT_EQ(growth(at, flat), 0);
  EXPECT_DOUBLE_EQ(growth(at, rising), 29);
}

TEST(crew_nodes, survive_the_loss_of_any_one) {
  for (const std::uint32_t layers : {8U, 9U, 11U, 22U}) {
    const auto nodes = crew_nodes("m", layers);
    for (std::size_t lost = 0; lost < nodes.size(); ++lost) {
      std::set<std::uint32_t> held;
      bool scheduler = false;
      for (std::size_t i = 0; i < nodes.size(); ++i) {
        if (i == lost) {
          continue;
        }
        scheduler = scheduler || nodes[i].has_role("scheduler");
        for (const test::cluster_part& part : nodes[i].parts) {
          const std::size_t dash = part.layers.find('-');
          for (auto layer = dash == std::string::npos ? 1U : std::stoul(part.layers);
               dash != std::string::npos && layer <= std::stoul(part.layers.substr(dash + 1));
               ++layer) {
            held.insert(static_cast<std::uint32_t>(layer));
          }
        }
      }
      EXPECT_EQ(held.size(), layers) << "of " << layers << " without " << nodes[lost].name;
      EXPECT_TRUE(scheduler);
    }
  }
}

TEST(chaos, loses_no_stream_and_changes_no_byte) {
  chaos_options options;
  options.seed = seed_of_today();
  options.kills = 40;
  options.length_max = 50s;
  options.answers = 8;
  options.pause_max = 300ms;
  const chaos_report report = run_chaos(options);
  EXPECT_TRUE(report.good()) << "OVIR_SEED=" << options.seed << "\n" << report.table();
  EXPECT_GT(report.done.kills, 0U);
  std::cout << report.table();
}

TEST(chaos, loses_no_stream_where_the_cluster_says_who_holds_what) {
  chaos_options options;
  options.seed = seed_of_today() + 2;
  options.kills = 30;
  options.length_max = 40s;
  options.answers = 8;
  options.pause_max = 300ms;
  options.placed = true;
  const chaos_report report = run_chaos(options);
  EXPECT_TRUE(report.good()) << "OVIR_SEED=" << options.seed << "\n" << report.table();
  EXPECT_GT(report.done.kills, 0U);
  std::cout << report.table();
}

TEST(chaos, leaves_nodes_as_small_as_they_were) {
  chaos_options options;
  options.seed = seed_of_today() + 1;
  options.kills = 1'000;
  options.length_max = 60s;
  options.answers = 8;
  options.pause_max = 3s;
  options.soak = true;
  options.warm_up = 15s;
  const chaos_report report = run_chaos(options);
  EXPECT_TRUE(report.good()) << "OVIR_SEED=" << options.seed << "\n" << report.table();
  std::cout << report.table();
}

} // namespace
} // namespace ovir::chaos
