// How a lead drives a request that makes an embedding: it draws nothing, and waits for hidden rows.
#include "actors/request/lead_core.hpp"
#include "tests/support/model/letters_tokenizer.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

const test::letters vocabulary;

/// A lead of two stages and six positions, four in a frame.
class lead {
public:
  explicit lead(pooling how) : core{request(how), {2, 4, 0, 100, 8}, vocabulary} {
    (void)core.on_path({false, false});
    (void)opened(0, 0);
  }

  std::string opened(std::uint32_t s, position length) {
    return words(core.on_opened({{length, {}}, stage_index{s}, core.current_epoch()}));
  }
  std::string step(std::uint32_t s, position length) {
    return words(core.on_step({{length, 0, {}}, stage_index{s}, core.current_epoch()}));
  }
  std::string hidden(position computed, position next) {
    return words(core.on_hidden(core.current_epoch(), computed, next));
  }
  std::string finished(std::uint32_t s) {
    return words(core.on_finished({{6, 0, 0, {}}, stage_index{s}, core.current_epoch()}));
  }
  static std::string words(const lead_core::effects& effects) {
    std::string out;
    for (const lead_effect& effect : effects) {
      out += out.empty() ? "" : " ";
      out += std::visit([](const auto& e) { return word(e); }, effect);
    }
    return out;
  }

  lead_core core;

private:
  static generation_request request(pooling how) {
    generation_request r;
    r.prompt.assign(6, 20);
    r.max_tokens = 0;
    r.embedding = how;
    return r;
  }
  static std::string word(const tokens_effect& e) {
    return fmt::format("tokens:{}+{}/{}", e.first, e.count, e.logit_rows);
  }
  static std::string word(const replay_effect& e) {
    return fmt::format("replay:{}+{}/{}", e.first, e.count, e.logit_rows);
  }
  static std::string word(const finish_effect& e) { return fmt::format("finish:{}", e.at); }
  static std::string word(const open_effect&) { return "open"; }
  static std::string word(const end_effect&) { return "end"; }
  static std::string word(const blame_effect& e) { return fmt::format("blame:{}", e.stage.value); }
  static std::string word(const accuse_effect& e) { return fmt::format("accuse:{}", e.host); }
  template <class Other>
  static std::string word(const Other&) {
    return "?";
  }
};

TEST(lead_hidden, asks_for_the_rows_of_all_positions_and_ends_when_it_has_them) {
  lead l{pooling::mean};
  EXPECT_EQ(l.opened(1, 0), "tokens:0+4/4 tokens:4+2/2");
  (void)l.step(0, 6);
  EXPECT_EQ(l.hidden(4, 4), "");
  EXPECT_EQ(l.step(1, 6), "") << "it may be done, but the rows are not here";
  EXPECT_EQ(l.core.awaited(), stage_index{1});
  EXPECT_EQ(l.hidden(6, 6), "finish:6 finish:6");
  (void)l.finished(0);
  EXPECT_EQ(l.finished(1), "end");
  const auto report = l.core.outcome();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->positions, 6U);
  EXPECT_TRUE(report->tokens.empty());
}

TEST(lead_hidden, asks_for_the_last_row_alone_where_that_is_enough) {
  lead l{pooling::last};
  EXPECT_EQ(l.opened(1, 0), "tokens:0+4/0 tokens:4+2/1");
  (void)l.step(0, 6);
  (void)l.step(1, 4);
  EXPECT_EQ(l.hidden(6, 6), "finish:6 finish:6");
}

TEST(lead_hidden, has_rows_that_were_lost_computed_again) {
  lead l{pooling::mean};
  (void)l.opened(1, 0);
  (void)l.step(0, 6);
  (void)l.hidden(4, 4);
  (void)l.step(1, 6); // the frame of the last two rows was lost with its link
  EXPECT_EQ(lead::words(l.core.on_path({true, true})), "open open");
  EXPECT_EQ(l.core.keeps(stage_index{0}), 6U);
  EXPECT_EQ(l.core.keeps(stage_index{1}), 4U) << "a last stage that is further begins afresh";
  (void)l.opened(0, 6);
  EXPECT_EQ(l.opened(1, 0), "replay:0+4/0 replay:4+2/2");
  EXPECT_EQ(l.hidden(6, 6), "finish:6 finish:6");
}

TEST(lead_hidden, takes_rows_of_an_epoch_that_is_over_but_not_how_far_its_stage_was) {
  lead l{pooling::mean};
  (void)l.opened(1, 0);
  const epoch before = l.core.current_epoch();
  (void)l.core.on_path({true, true});
  EXPECT_EQ(lead::words(l.core.on_hidden(before, 4, 4)), "");
  (void)l.opened(0, 6);
  EXPECT_EQ(l.opened(1, 0), "replay:0+4/0 replay:4+2/2") << "its K and V are wanted all the same";
  EXPECT_EQ(l.hidden(6, 6), "finish:6 finish:6");
}

TEST(lead_hidden, cancelled_there_is_no_vector) {
  lead l{pooling::mean};
  (void)l.opened(1, 0);
  EXPECT_EQ(lead::words(l.core.on_cancel()), "end");
  EXPECT_EQ(l.core.outcome().error().code, errc::cancelled);
}

} // namespace
} // namespace ovir::actors
