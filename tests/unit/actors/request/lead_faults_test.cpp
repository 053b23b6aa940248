// What a lead's core makes of stages elsewhere that answer what no honest stage does.
#include "actors/request/lead_core.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

const test::letters vocabulary;
constexpr std::uint32_t prompt = 40; ///< a window and a bit

/// A lead of two stages on hosts 0 and 1, which holds its whole prompt in one chunk.
class led {
public:
  led() : core{request(), {2, prompt, 3, 100}, vocabulary} { path({0, 1}, {false, false}); }

  /// Stages 0 and 1 on these hosts, opened and empty unless kept.
  void path(const std::vector<std::uint32_t>& hosts, const std::vector<bool>& kept) {
    seen = core.on_path(kept, {{{0, 2}, hosts[0]}, {{2, 4}, hosts[1]}});
    for (std::uint32_t s = 0; s < 2; ++s) {
      take(core.on_opened({{kept[s] ? prompt : 0, {}}, stage_index{s}, core.current_epoch()}));
    }
  }
  void step(std::uint32_t stage, position length, std::vector<compute::unit_leaf> leaves = {}) {
    take(core.on_step({{length, 0, std::move(leaves)}, stage_index{stage}, core.current_epoch()}));
  }
  void fail(std::uint32_t stage, errc code) {
    take(core.on_failed({{{code, "so it says"}}, stage_index{stage}, core.current_epoch()}));
  }
  template <class Effect>
  [[nodiscard]] std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const lead_effect& effect : seen) {
      if (const auto* one = std::get_if<Effect>(&effect)) {
        found.push_back(*one);
      }
    }
    return found;
  }
  /// The stage that was blamed by the last events.
  [[nodiscard]] std::optional<std::uint32_t> blamed() const {
    const auto blames = all<blame_effect>();
    return blames.empty() ? std::nullopt : std::optional{blames.back().stage.value};
  }

  lead_core core;
  lead_core::effects seen;

private:
  void take(lead_core::effects effects) { seen.insert(seen.end(), effects.begin(), effects.end()); }
  static generation_request request() {
    generation_request r;
    r.prompt.assign(prompt, 65);
    r.max_tokens = 3;
    return r;
  }
};

compute::unit_leaf leaf(layer_index layer, std::uint8_t value, std::uint32_t positions = 32) {
  compute::unit_leaf made{{0, layer}, positions, {}};
  made.boundary.bytes.fill(value);
  return made;
}

TEST(lead_faults, any_failure_is_the_stages_own_where_another_can_take_its_place) {
  for (const errc code : {errc::superseded, errc::nonfinite, errc::internal, errc::over_limit}) {
    led l;
    l.fail(1, code);
    EXPECT_EQ(l.blamed(), 1U);
    EXPECT_FALSE(l.core.is_over());
    EXPECT_EQ(l.core.awaited(), std::nullopt) << "it waits for a path";
    l.path({0, 2}, {true, false});
    EXPECT_EQ(l.all<replay_effect>().size(), 1U);
  }
}

TEST(lead_faults, lengths_beyond_what_is_known_are_no_lengths) {
  led l;
  l.step(1, prompt + 1);
  EXPECT_EQ(l.blamed(), 1U);
  led of_answers;
  (void)of_answers.core.on_logits(of_answers.core.current_epoch(), 0xFFFF'FFFF, 1);
  EXPECT_FALSE(of_answers.core.is_over());
}

TEST(lead_faults, units_of_others_and_of_the_future_are_passed_over) {
  led l;
  l.step(0, 0, {leaf(2, 7), leaf(0, 7, 31)});
  compute::unit_leaf later = leaf(1, 7);
  later.unit.window = 1;
  l.step(0, 0, {later});
  EXPECT_EQ(l.blamed(), std::nullopt);
  l.step(1, prompt, {leaf(2, 1)});
  l.step(0, prompt, {leaf(0, 1), leaf(1, 1)});
  EXPECT_EQ(l.blamed(), std::nullopt) << "nothing of it was remembered";
}

TEST(lead_faults, what_a_stage_at_fault_stated_is_forgotten) {
  led l;
  l.step(1, prompt, {leaf(2, 1)});
  l.step(1, prompt, {leaf(2, 2)});
  EXPECT_EQ(l.blamed(), 1U);
  l.path({0, 2}, {true, false});
  l.step(1, prompt, {leaf(2, 3)});
  EXPECT_EQ(l.blamed(), std::nullopt);
}

TEST(lead_faults, two_hosts_that_agree_are_right_against_one_that_left) {
  led l;
  l.step(1, prompt, {leaf(2, 1)}); // of host 1, which then goes
  (void)l.core.on_stage_down(stage_index{1});
  l.path({0, 2}, {true, false});
  l.step(1, prompt, {leaf(2, 3)});
  EXPECT_EQ(l.blamed(), 1U) << "one word against another";
  l.path({0, 3}, {true, false});
  l.step(1, prompt, {leaf(2, 3)});
  ASSERT_EQ(l.all<accuse_effect>().size(), 1U);
  EXPECT_EQ(l.all<accuse_effect>()[0].host, 1U);
  ASSERT_TRUE(l.core.is_over());
  EXPECT_EQ(l.core.outcome().error().code, errc::digest_mismatch) << "it begins again";
}

TEST(lead_faults, a_stage_that_lacks_things_for_ever_and_its_source_are_blamed_in_turn) {
  led l;
  const auto complain = [&] {
    for (std::uint32_t i = 0; i <= limits::recoveries_max; ++i) {
      l.fail(1, errc::peer_lost);
    }
  };
  complain();
  EXPECT_EQ(l.blamed(), 1U);
  l.path({0, 2}, {true, false});
  complain();
  EXPECT_EQ(l.blamed(), 0U) << "the same of another: whoever feeds it";
}

TEST(lead_faults, words_alone_are_no_progress) {
  led l;
  const std::uint64_t before = l.core.moves();
  l.step(0, 0);
  l.step(0, 1);
  l.step(0, 2);
  EXPECT_EQ(l.core.moves(), before) << "position by position";
  l.step(0, prompt);
  EXPECT_EQ(l.core.moves(), before + 1);
}

} // namespace
} // namespace ovir::actors
