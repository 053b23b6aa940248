// Records of what a group made of a request: the same however positions came together, another for
// a member that was wrong in the last place of one sum, and without what was guessed wrongly.
#include "compute/parts/local_group.hpp"
#include "compute/parts/part_record.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <vector>

namespace ovir::compute {
namespace {

/// Changes bytes of `member` at `place`, which then cross so.
struct crossing_lie {
  crossing_place place{};
  std::uint32_t member{99};
  std::function<void(std::vector<std::byte>&)> change{};
};

/// Steps of a request; negative: the last so many positions were guesses, and wrong.
using recorded_steps = std::vector<int>;

class recorded_group : public testing::Test {
protected:
  static constexpr std::uint32_t layers = 4;
  static constexpr std::uint32_t members = 2;

  recorded_group()
      : model_(test::synthetic_model({.layers = layers,
                                      .dim = 256,
                                      .ffn_dim = 768,
                                      .heads = 8,
                                      .kv_heads = 4,
                                      .head_dim = 128,
                                      .quantization = synth_quantization::q4_k})) {}

  segment_cut cut(const cut_wish& wish) {
    return cut_segment(model_.get(), {0, layers}, std::vector<std::uint32_t>{1, 2}, wish).value();
  }

  /// The longest run of each window, of crossings alone, without how positions came together.
  std::vector<part_run> record(const segment_cut& how, const recorded_steps& steps,
                               const crossing_lie& lie = {}) {
    const kernel_set& kernels = *select_kernels({}).value();
    auto engine = local_group::make(model_.get(), how, kernels, runner_).value();
    part_record kept{layers, members};
    std::uint32_t rows = 0;
    engine->watch_crossings(
        [&](const crossing_place& at, std::uint32_t member, std::vector<std::byte>& bytes) {
          if (at == lie.place && member == lie.member) {
            lie.change(bytes);
          }
        });
    engine->witness_crossings([&](const crossing_place& at, activation_form form,
                                  std::span<const std::span<const std::byte>> all) {
      digest_rows(model_.get().config, how, at, form, rows, all,
                  [&](std::uint32_t row, std::uint32_t member, const digest& one) {
                    kept.add(row, at.layer, lane_of(at), member, one);
                  });
    });
    const auto s = segment::make_with(model_.get(), how.layers, kernels, std::move(engine)).value();
    segment_state state = s->open(80, 1U << 26U).value();
    std::map<std::uint32_t, part_run> longest;
    position at = 0;
    for (const int& step : steps) {
      if (step < 0) {
        at -= static_cast<position>(-step);
        state.drop_drafts();
        continue;
      }
      const auto n = static_cast<std::uint32_t>(step);
      const auto behind = static_cast<std::size_t>(&step - steps.data()) + 1;
      const bool guesses = behind < steps.size() && steps[behind] < 0;
      std::vector<token_id> tokens;
      for (std::uint32_t i = 0; i < n; ++i) { // guesses are other tokens
        tokens.push_back((at + i + (guesses && i > 0 ? 100 : 0)) * 37 % 320);
      }
      step_input in{.first = at, .count = n};
      in.tokens = tokens;
      in.drafts = guesses ? n - 1 : 0;
      step_output out;
      rows = n;
      const std::vector<float> stream(n * 256U, static_cast<float>(at)); // of no account here
      kept.begin(at, n, 1, stream);
      const auto done = s->forward(state, in, runner_, out);
      EXPECT_TRUE(done) << done.error().message;
      for (auto& runs : kept.end()) {
        part_run run = runs.back();
        run.input = {};
        longest[run.window()] = std::move(run);
      }
      at += n;
    }
    std::vector<part_run> runs;
    for (auto& [window, run] : longest) {
      runs.push_back(std::move(run));
    }
    return runs;
  }
  static std::set<std::size_t> differing(const part_run& a, const part_run& b) {
    std::set<std::size_t> places;
    for (std::size_t i = 0; i < a.leaves.size(); ++i) {
      if (a.leaves[i] != b.leaves[i]) {
        places.insert(i);
      }
    }
    return places;
  }

  serial_runner runner_;
  test::loaded_model model_;
};

const std::vector<cut_wish> recorded_ways{{output_cut::rows, output_cut::rows, always},
                                          {output_cut::rows, output_cut::rows, 0},
                                          {output_cut::columns, output_cut::columns, 0}};

TEST_F(recorded_group, has_the_same_leaves_however_positions_came_together) {
  for (const cut_wish& way : recorded_ways) {
    const auto how = cut(way);
    const auto once = record(how, {40});
    ASSERT_EQ(once.size(), 2U) << "windows";
    EXPECT_EQ(once[0].end(), 32U);
    EXPECT_EQ(once[1].first, 32U);
    EXPECT_EQ(once[1].end(), 40U);
    EXPECT_EQ(record(how, {1, 30, 3, 1, 5}), once);
  }
}

TEST_F(recorded_group, has_no_trace_of_guesses_that_were_wrong) {
  const auto how = cut(recorded_ways[0]);
  const auto once = record(how, {36});
  EXPECT_EQ(record(how, {30, 5, -4, 3, 2}), once) << "over the end of a window";
  EXPECT_EQ(record(how, {33, 4, -3, 2}), once);
}

TEST_F(recorded_group, shows_a_member_that_is_off_by_one_in_one_partial_sum) {
  const auto how = cut(recorded_ways[2]);
  const crossing_lie lie{
      {2, layer_block::feed_forward, crossing_kind::sums}, 1, [](std::vector<std::byte>& bytes) {
        std::vector<int128> sums(8 * 256);
        ASSERT_TRUE(add_sums(bytes, sums));
        std::vector<std::int64_t> changed(sums.begin(), sums.end());
        ++changed[1'000];
        bytes = encode_sums(changed);
      }};
  const auto found = differing(record(how, {8})[0], record(how, {8}, lie)[0]);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(*found.begin(), leaf_at(2, part_lane::inner_output, 1, members));
}

TEST_F(recorded_group, shows_first_who_was_wrong_and_then_those_who_went_on_from_it) {
  struct wrong {
    cut_wish way;
    crossing_place place;
  };
  for (const wrong& w :
       {wrong{recorded_ways[0], {1, layer_block::attention, crossing_kind::floats}},
        wrong{recorded_ways[0], {1, layer_block::attention, crossing_kind::rows}},
        wrong{recorded_ways[1], {1, layer_block::attention, crossing_kind::quantised}},
        wrong{recorded_ways[1], {1, layer_block::feed_forward, crossing_kind::rows}}}) {
    const auto how = cut(w.way);
    const crossing_lie lie{w.place, 1, [](std::vector<std::byte>& bytes) {
                             bytes[2] ^= std::byte{1}; // of the first row
                           }};
    const auto found = differing(record(how, {6})[0], record(how, {5, 1}, lie)[0]);
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(*found.begin(), leaf_at(1, lane_of(w.place), 1, members));
  }
}

TEST_F(recorded_group, chains_keys_and_values_by_position_whoever_brought_them) {
  // A run of a pass goes on until its window ends: what is compared begins the next one.
  constexpr position end = limits::window_positions;
  std::vector<std::uint16_t> rows(end * 16); // four layers
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = static_cast<std::uint16_t>(i * 7);
  }
  const std::span<const std::uint16_t> all{rows};
  const std::vector<float> stream(end);
  const auto before_of_next = [&](const std::function<void(part_record&)>& bring) {
    part_record kept{layers, 1};
    bring(kept);
    EXPECT_EQ(kept.kv_positions(0), end);
    kept.begin(end, 1, 1, stream);
    return kept.end()[0][0].before[0];
  };
  const digest told = before_of_next([&](part_record& kept) { kept.add_history(0, 0, end, all); });
  EXPECT_NE(told, digest{});
  EXPECT_EQ(before_of_next([&](part_record& kept) {
              kept.add_history(0, 0, 2, all.first(32));
              kept.begin(2, end - 2, 4, stream);
              kept.add_kv(0, all.subspan(32));
              (void)kept.end();
            }),
            told);
  EXPECT_EQ(before_of_next([&](part_record& kept) {
              kept.add_history(0, 0, end, all);
              kept.add_history(0, 3, end - 3, all.subspan(48)); // once more
            }),
            told);
  EXPECT_NE(before_of_next([&](part_record& kept) {
              kept.add_history(0, 0, end - 1, all.first(16 * (end - 1)));
              kept.add_history(0, end - 1, 1, all.first(16));
            }),
            told);
}

} // namespace
} // namespace ovir::compute
