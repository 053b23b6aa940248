// What a lead makes of windows that its stages took from caches: they are to be of this request.
#include "actors/request/lead_core.hpp"
#include "messages/evidence/evidence.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

const test::letters letters;
const std::vector<token_id> hundred(100, 65); // three windows, of which three may be reused

digest boundary(std::uint32_t window, layer_index layer) {
  return hasher{"ovir/test/boundary"}.update_u32(window).update_u32(layer).finish();
}
digest tokens(std::uint32_t window) {
  return token_window_digest(window, std::span{hundred}.subspan(window * 32, 32));
}

/// Two stages of two layers each.
class lead_reuse : public ::testing::Test {
protected:
  explicit lead_reuse(bool signs = true) : core_{request(signs), {2, 64, 3, 200, 8}, letters} {
    core_.use_cache();
    (void)core_.on_path({false, false}, {{{0, 2}, 0}, {{2, 4}, 1}});
  }
  static generation_request request(bool signs) {
    generation_request r;
    r.prompt = hundred;
    r.max_tokens = 5;
    r.receipt = signs;
    return r;
  }
  /// Stage 0 took so many windows of `inputs`.
  lead_core::effects first(const std::vector<digest>& inputs) {
    from_stage<session_opened> e = opened(0, inputs);
    for (std::uint32_t w = 0; w < inputs.size(); ++w) {
      e.leaves.push_back({{w, 0}, 32, boundary(w, 0)});
      e.leaves.push_back({{w, 1}, 32, boundary(w, 1)});
    }
    return core_.on_opened(e);
  }
  lead_core::effects last(const std::vector<digest>& inputs) {
    from_stage<session_opened> e = opened(1, inputs);
    for (std::uint32_t w = 0; w < inputs.size(); ++w) {
      e.leaves.push_back({{w, 2}, 32, boundary(w, 2)});
    }
    return core_.on_opened(e);
  }
  [[nodiscard]] from_stage<session_opened> opened(std::uint32_t stage,
                                                  const std::vector<digest>& inputs) const {
    const auto length = static_cast<position>(inputs.size() * 32);
    from_stage<session_opened> e{{length, {}, length}, stage_index{stage}, core_.current_epoch()};
    e.inputs = inputs;
    return e;
  }
  static bool opens_again(const lead_core::effects& effects) {
    return effects.size() == 2 && std::holds_alternative<open_effect>(effects[0]) &&
           std::holds_alternative<open_effect>(effects[1]);
  }
  static std::optional<position> fed_from(const lead_core::effects& effects) {
    const auto* const fed = effects.empty() ? nullptr : std::get_if<tokens_effect>(&effects[0]);
    return fed == nullptr ? std::nullopt : std::optional{fed->first};
  }

  lead_core core_;
};

class lead_reuse_unsigned : public lead_reuse {
protected:
  lead_reuse_unsigned() : lead_reuse(false) {}
};

TEST_F(lead_reuse, goes_on_behind_windows_that_belong_to_the_request) {
  (void)first({tokens(0), tokens(1)});
  EXPECT_EQ(fed_from(last({boundary(0, 1), boundary(1, 1)})), 64U);
  EXPECT_EQ(core_.doubted_from(), std::nullopt);
}

TEST_F(lead_reuse, of_other_tokens_begins_again_before_them_and_says_so) {
  (void)first({tokens(0), tokens(2)});
  EXPECT_TRUE(opens_again(last({boundary(0, 1), boundary(1, 1)})));
  EXPECT_EQ(core_.reuse_windows(), 1U);
  EXPECT_EQ(core_.doubted_from(), 1U);
  (void)first({tokens(0)});
  EXPECT_EQ(fed_from(last({boundary(0, 1)})), 32U);
}

TEST_F(lead_reuse, of_another_boundary_than_the_stage_before_states_begins_again) {
  (void)first({tokens(0), tokens(1)});
  EXPECT_TRUE(opens_again(last({boundary(0, 2), boundary(1, 1)})));
  EXPECT_EQ(core_.reuse_windows(), 0U);
  EXPECT_EQ(core_.doubted_from(), 0U);
}

// What that stage has yet to compute may differ, and a token would be drawn before that is seen.
TEST_F(lead_reuse, of_what_the_stage_before_has_not_stated_begins_again_without_doubt) {
  (void)first({tokens(0)});
  EXPECT_TRUE(opens_again(last({boundary(0, 1), boundary(1, 1)})));
  EXPECT_EQ(core_.reuse_windows(), 1U);
  EXPECT_EQ(core_.doubted_from(), std::nullopt);
}

TEST_F(lead_reuse_unsigned, of_what_the_stage_before_has_not_stated_is_used) {
  (void)first({tokens(0)});
  EXPECT_EQ(fed_from(last({boundary(0, 1), boundary(1, 1)})), 32U);
}

TEST_F(lead_reuse, ends_before_the_first_token_that_is_drawn) {
  EXPECT_EQ(core_.reuse_windows(), 3U) << "99 positions";
}

} // namespace
} // namespace ovir::actors
