// Tier T0: every lie in a receipt is found, and its author named. A forger here knows the format,
// owns valid keys, and recomputes every digest and signature that hangs on what it changes.
#include "tests/support/model/receipt_maker.hpp"
#include "verify/receipt_check.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <string>

namespace ovir::compute {
namespace {

using test::receipt_maker;
constexpr std::size_t lead = receipt_maker::lead;

const receipt_maker& cast() {
  static const receipt_maker made;
  return made;
}

const signer_policy anybody{signer_policy::kind::any, {}};

struct tamper {
  std::string name;
  std::function<void(receipt&)> change;
  std::size_t guilty; ///< index of the key that must be named
  std::optional<std::uint32_t> window{};
};

void expect_named(const tamper& t) {
  SCOPED_TRACE(t.name);
  receipt r = cast().honest();
  t.change(r);
  const auto found = check_receipt(r, anybody);
  ASSERT_FALSE(found.empty()) << "accepted";
  for (const receipt_failure& f : found) {
    ASSERT_TRUE(f.signer.has_value()) << f.what;
    EXPECT_EQ(*f.signer, cast().id(t.guilty)) << f.what;
    if (t.window) {
      ASSERT_TRUE(f.unit.has_value()) << f.what;
      EXPECT_EQ(f.unit->window, *t.window) << f.what;
      EXPECT_EQ(f.unit->layer, t.guilty == lead ? 0U : 3 * t.guilty) << f.what;
    }
  }
}

void flip(digest& d) { d.bytes[7] ^= 1U; }
void flip(signature& s) { s.bytes[9] ^= 4U; }

// Somebody without keys changes a field of what a stage signed.
std::vector<tamper> changes_of_statements() {
  struct field {
    std::string name;
    std::function<void(statement&)> change;
  };
  const std::vector<field> fields{
      {"input", [](statement& s) { flip(s.input); }},
      {"first unit", [](statement& s) { flip(s.units.front()); }},
      {"middle unit", [](statement& s) { flip(s.units[1]); }},
      {"last unit", [](statement& s) { flip(s.units.back()); }},
      {"swapped units", [](statement& s) { std::swap(s.units[0], s.units[2]); }},
      {"time computed", [](statement& s) { s.compute_us += 1; }},
      {"time elapsed", [](statement& s) { s.elapsed_us -= 1; }},
      {"a step's hand-over", [](statement& s) { s.handovers[0].sent_us += 1; }},
      {"a step left out", [](statement& s) { s.handovers.clear(); }},
      {"proof", [](statement& s) { flip(s.proof); }},
      {"received", [](statement& s) { flip(s.received); }},
      {"a unit less", [](statement& s) { s.units.pop_back(); }},
      {"a unit more", [](statement& s) { s.units.push_back(s.units.back()); }},
      {"another window", [](statement& s) { s.window += 1; }},
  };
  std::vector<tamper> all;
  for (std::size_t stage = 0; stage < receipt_maker::stages; ++stage) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      for (const field& f : fields) {
        all.push_back(
            {"stage " + std::to_string(stage) + " window " + std::to_string(w) + " " + f.name,
             [stage, w, f](receipt& r) { f.change(r.stages[stage].statements[w]); }, stage, w});
      }
    }
  }
  return all;
}

TEST(receipt_check, accepts_what_is_honest) {
  EXPECT_TRUE(check_receipt(cast().honest(), anybody).empty());
  EXPECT_TRUE(check_receipt(cast().other_question(), anybody).empty());
}

TEST(receipt_check, names_whose_statement_was_changed_and_in_which_window) {
  const auto all = changes_of_statements();
  EXPECT_EQ(all.size(), 126U);
  for (const tamper& t : all) {
    expect_named(t);
  }
}

TEST(receipt_check, names_whose_records_were_changed) {
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    const auto at = [i](receipt& r) -> stage_records& { return r.stages[i]; };
    const std::vector<tamper> all{
        {"deadline", [&](receipt& r) { at(r).commitments[0].deadline_unix += 1; }, i, 0},
        {"a step's bound", [&](receipt& r) { at(r).commitments[0].step_us += 1; }, i, 0},
        {"later deadline", [&](receipt& r) { at(r).commitments[1].deadline_unix += 1; }, i, 2},
        {"commitment's proof", [&](receipt& r) { flip(at(r).commitments[1].proof); }, i, 2},
        {"fewer statements before", [&](receipt& r) { at(r).commitments[1].statements = 1; }, i, 2},
        {"more statements before", [&](receipt& r) { at(r).commitments[1].statements = 3; }, i, 2},
        {"more windows", [&](receipt& r) { at(r).commitments[1].windows = 2; }, i, 2},
        {"no commitments", [&](receipt& r) { at(r).commitments.clear(); }, i, 0},
        {"no second commitment", [&](receipt& r) { at(r).commitments.pop_back(); }, i, 2},
        {"a commitment twice",
         [&](receipt& r) { at(r).commitments.push_back(at(r).commitments.back()); }, i, 3},
        {"nothing stated", [&](receipt& r) { at(r).statements.clear(); }, i},
        {"software", [&](receipt& r) { at(r).signer.software += "!"; }, i, 0},
        {"proofs of two windows swapped",
         [&](receipt& r) { std::swap(at(r).statements[0].proof, at(r).statements[1].proof); }, i,
         0},
        {"first window dropped",
         [&](receipt& r) { at(r).statements.erase(at(r).statements.begin()); }, i, 0},
        {"middle window dropped",
         [&](receipt& r) { at(r).statements.erase(at(r).statements.begin() + 1); }, i, 1},
        {"fewer positions", [&](receipt& r) { at(r).statements[1].positions = 31; }, i, 1},
        {"fewer positions at the end", [&](receipt& r) { at(r).statements[2].positions = 25; }, i,
         2},
    };
    for (const tamper& t : all) {
      expect_named(t);
    }
  }
}

TEST(receipt_check, names_the_last_stage_where_its_logits_were_changed) {
  const auto last = [](receipt& r) -> statement& { return r.stages[2].statements[2]; };
  const std::vector<tamper> all{
      {"first row", [&](receipt& r) { flip(last(r).logits.front()); }, 2, 2},
      {"last row", [&](receipt& r) { flip(last(r).logits.back()); }, 2, 2},
      {"swapped rows", [&](receipt& r) { std::swap(last(r).logits[3], last(r).logits[4]); }, 2, 2},
      {"a row less", [&](receipt& r) { last(r).logits.pop_back(); }, 2, 2},
      {"from another position", [&](receipt& r) { last(r).first_draw -= 1; }, 2, 2},
      {"where the model does not end",
       [&](receipt& r) { r.stages[1].statements[2].logits = last(r).logits; }, 1, 2},
  };
  for (const tamper& t : all) {
    expect_named(t);
  }
}

TEST(receipt_check, names_the_lead_where_what_it_signed_was_changed) {
  const std::vector<tamper> all{
      {"request", [](receipt& r) { r.asked.request.value += 1; }, lead},
      {"profile", [](receipt& r) { r.asked.profile = "exact-2"; }, lead},
      {"model", [](receipt& r) { flip(r.asked.model); }, lead},
      {"layers", [](receipt& r) { r.asked.layers += 1; }, lead},
      {"first prompt token", [](receipt& r) { r.asked.prompt.front() += 1; }, lead},
      {"last prompt token", [](receipt& r) { r.asked.prompt.back() += 1; }, lead},
      {"a prompt token less", [](receipt& r) { r.asked.prompt.pop_back(); }, lead},
      {"temperature", [](receipt& r) { r.asked.sampling.temperature = 0; }, lead},
      {"top_k", [](receipt& r) { r.asked.sampling.top_k += 1; }, lead},
      {"top_p", [](receipt& r) { r.asked.sampling.top_p = 1; }, lead},
      {"min_p", [](receipt& r) { r.asked.sampling.min_p = 0; }, lead},
      {"repeat_penalty", [](receipt& r) { r.asked.sampling.repeat_penalty = 1; }, lead},
      {"seed", [](receipt& r) { r.asked.sampling.seed += 1; }, lead},
      {"a constraint", [](receipt& r) { r.asked.sampling.constraint = "{}"; }, lead},
      {"max_tokens", [](receipt& r) { r.asked.max_tokens += 1; }, lead},
      {"stop", [](receipt& r) { r.asked.stop.front() += "."; }, lead},
      {"no stop", [](receipt& r) { r.asked.stop.clear(); }, lead},
      {"first token", [](receipt& r) { r.output.front() += 1; }, lead},
      {"last token", [](receipt& r) { r.output.back() += 1; }, lead},
      {"swapped tokens", [](receipt& r) { std::swap(r.output[3], r.output[4]); }, lead},
      {"a token less", [](receipt& r) { r.output.pop_back(); }, lead},
      {"end", [](receipt& r) { r.end = finish_reason::stop; }, lead},
      {"positions", [](receipt& r) { r.positions += 1; }, lead},
      {"transcript", [](receipt& r) { flip(r.transcript); }, lead},
      {"first token's time", [](receipt& r) { r.first_token_us -= 1; }, lead},
      {"prefill's time", [](receipt& r) { r.prefill_us -= 1; }, lead},
      {"decode's time", [](receipt& r) { r.decode_us -= 1; }, lead},
      {"software", [](receipt& r) { r.lead.software.clear(); }, lead},
      {"order", [](receipt& r) { flip(r.order); }, lead},
      {"closing", [](receipt& r) { flip(r.closing); }, lead},
      {"a stage less", [](receipt& r) { r.stages.pop_back(); }, lead},
      {"a stage twice", [](receipt& r) { r.stages.push_back(r.stages.back()); }, lead},
      {"swapped stages", [](receipt& r) { std::swap(r.stages[0], r.stages[1]); }, lead},
      {"a sender who sent nothing",
       [](receipt& r) { r.stages[1].senders.push_back(r.stages[0].signer); }, lead},
  };
  for (const tamper& t : all) {
    expect_named(t);
  }
}

// A stage lies and signs it properly. Its lead, who does not look, closes the receipt.
std::vector<tamper> forged_by_stages() {
  std::vector<tamper> all;
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      const auto forge = [i, w](const std::function<void(statement&)>& lie) {
        return [i, w, lie](receipt& r) {
          lie(r.stages[i].statements[w]);
          cast().sign_stage(r, i);
          cast().follow_statements(r);
          cast().close(r);
        };
      };
      const std::string who = "stage " + std::to_string(i) + " window " + std::to_string(w) + " ";
      all.push_back({who + "another input", forge([](statement& s) { flip(s.input); }), i, w});
      all.push_back(
          {who + "no proof of its input", forge([](statement& s) { flip(s.received); }), i, w});
      all.push_back({who + "input of another window",
                     forge([](statement& s) { s.window == 2 ? flip(s.received) : flip(s.input); }),
                     i, w});
      if (i + 1 < receipt_maker::stages) {
        // It sent the next stage what it computed, and states something else.
        all.push_back({who + "another output than it sent",
                       forge([](statement& s) { flip(s.units.back()); }), i, w});
      }
    }
    all.push_back({"stage " + std::to_string(i) + " ends early",
                   [i](receipt& r) {
                     statement& s = r.stages[i].statements[2];
                     s.positions -= 1;
                     if (!s.logits.empty()) {
                       s.logits.pop_back();
                     }
                     cast().sign_stage(r, i);
                     cast().close(r);
                   },
                   i, 2});
  }
  return all;
}

TEST(receipt_check, names_the_stage_that_lies_with_a_valid_signature) {
  const auto all = forged_by_stages();
  EXPECT_EQ(all.size(), 36U);
  for (const tamper& t : all) {
    expect_named(t);
  }
}

// A stage that sends one thing, passes it off with a signature, and states another to its lead is
// named, not the stage that took it in good faith. The other way round it is the one that took it.
receipt greedy() { return cast().make({3, 3, 70, 21, 17, true}); }

void sign_again(receipt& r) {
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    cast().sign_link(r, i);
    cast().sign_stage(r, i);
  }
  cast().follow_statements(r);
  cast().close(r);
}

TEST(receipt_check, binds_the_tokens_that_the_last_stage_chose) {
  ASSERT_TRUE(check_receipt(greedy(), anybody).empty());
  const std::vector<std::pair<std::string, std::function<void(std::vector<token_id>&)>>> changes{
      {"another", [](auto& c) { c[3] += 1; }},
      {"none", [](auto& c) { c.clear(); }},
      {"swapped", [](auto& c) { std::swap(c.front(), c.back()); }}};
  for (const auto& [name, change] : changes) {
    receipt r = greedy();
    change(r.stages[2].statements[2].choices);
    const auto found = check_receipt(r, anybody);
    ASSERT_FALSE(found.empty()) << name;
    cast().close(r); // by who has looked
    const auto closed = check_receipt(r, anybody);
    ASSERT_FALSE(closed.empty()) << name;
    EXPECT_EQ(closed.front().signer, cast().id(lead)) << name;
  }
}

// All signatures are right, and everything fits but the token.
TEST(receipt_check, names_the_lead_that_tells_another_token_than_was_chosen) {
  for (const std::size_t i : {std::size_t{0}, std::size_t{7}, std::size_t{20}}) {
    receipt r = greedy();
    r.output[i] += 1;
    sign_again(r);
    const auto found = check_receipt(r, anybody);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].signer, cast().id(lead));
    EXPECT_EQ(found[0].at, static_cast<position>(70 + i));
    EXPECT_THAT(found[0].what, testing::HasSubstr("its last stage chose"));
  }
}

TEST(receipt_check, names_the_lead_that_asks_for_choices_where_tokens_are_drawn) {
  receipt r = greedy();
  r.asked.sampling.temperature = 1;
  sign_again(r);
  const auto found = check_receipt(r, anybody);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].signer, cast().id(lead));
  EXPECT_THAT(found[0].what, testing::HasSubstr("want a draw"));
}

TEST(receipt_check, names_the_stage_that_signs_choices_of_other_rows) {
  receipt r = greedy();
  r.stages[2].statements[2].choices.pop_back();
  cast().sign_stage(r, 2);
  const auto found = check_receipt(r, anybody);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().signer, cast().id(2));
  EXPECT_EQ(found.front().unit, (unit_name{2, 6}));
}

TEST(receipt_check, tells_the_stage_that_sent_from_the_stage_that_took) {
  for (std::uint32_t w = 0; w < 3; ++w) {
    receipt r = cast().honest();
    flip(r.stages[0].statements[w].units.back());
    cast().sign_stage(r, 0);
    cast().follow_statements(r);
    cast().close(r);
    const auto found = check_receipt(r, anybody);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].signer, cast().id(0));
    EXPECT_EQ(found[0].unit, (unit_name{w, 0}));
  }
}

TEST(receipt_check, names_the_lead_that_closes_what_was_not_signed) {
  const auto closed = [](const std::function<void(receipt&)>& change) {
    return [change](receipt& r) {
      change(r);
      cast().close(r);
    };
  };
  std::vector<tamper> all{
      {"another answer", closed([](receipt& r) { r.output[5] += 1; }), lead},
      {"another last token", closed([](receipt& r) { r.output.back() += 1; }), lead},
      {"another transcript", closed([](receipt& r) { flip(r.transcript); }), lead},
      {"another question", closed([](receipt& r) { r.asked.prompt[3] += 1; }), lead},
      {"another model", closed([](receipt& r) { flip(r.asked.model); }), lead},
      {"another seed", closed([](receipt& r) { r.asked.sampling.seed += 1; }), lead},
      {"fewer tokens", closed([](receipt& r) { r.output.pop_back(); }), lead},
      {"more tokens", closed([](receipt& r) { r.output.push_back(1); }), lead},
      {"stages in another order", closed([](receipt& r) { std::swap(r.stages[0], r.stages[1]); }),
       lead},
      {"a stage left out", closed([](receipt& r) { r.stages.erase(r.stages.begin() + 1); }), lead},
      {"the last stage left out", closed([](receipt& r) { r.stages.pop_back(); }), lead},
      {"a window left out everywhere", closed([](receipt& r) {
         for (stage_records& stage : r.stages) {
           stage.statements.pop_back();
           stage.commitments.pop_back();
         }
       }),
       lead},
      {"a stage's last window left out", closed([](receipt& r) {
         r.stages[1].statements.pop_back();
         r.stages[1].commitments.pop_back();
       }),
       lead},
      {"more tokens than asked for", closed([](receipt& r) { r.asked.max_tokens = 20; }), lead},
      {"work of one stage under a stranger's name",
       closed([](receipt& r) { r.stages[1].signer.node = cast().id(receipt_maker::stranger); }),
       lead},
      {"a garbled signature", closed([](receipt& r) { flip(r.stages[2].statements[1].proof); }),
       lead},
      {"statements of another request",
       closed([](receipt& r) { r.stages[1] = cast().other_question().stages[1]; }), lead},
  };
  // With output and transcript made to fit, only the tokens that were fed betray it.
  all.push_back({"another answer, made to fit",
                 [](receipt& r) {
                   r.output[5] += 1;
                   cast().follow_statements(r);
                   cast().close(r);
                 },
                 lead});
  for (const tamper& t : all) {
    SCOPED_TRACE(t.name);
    receipt r = cast().honest();
    t.change(r);
    const auto found = check_receipt(r, anybody);
    ASSERT_FALSE(found.empty());
    for (const receipt_failure& f : found) {
      EXPECT_EQ(f.signer, cast().id(lead)) << f.what;
    }
  }
}

// The last token is drawn and not fed, so no digest of a stage holds it: its logits do.
TEST(receipt_check, cannot_know_the_last_token_without_its_logits) {
  receipt r = cast().honest();
  r.output.back() += 1;
  cast().follow_statements(r);
  cast().close(r);
  EXPECT_TRUE(check_receipt(r, anybody).empty());
}

TEST(receipt_check, follows_an_input_to_a_sender_whose_place_another_took) {
  receipt r = cast().honest();
  const evidence_signer before = r.stages[0].signer;
  cast().sign_stage(r, 0, receipt_maker::stranger); // took the place of stage 0
  cast().close(r);
  auto found = check_receipt(r, anybody);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].signer, cast().id(1)) << found[0].what;
  r.stages[1].senders.push_back(before);
  cast().close(r);
  EXPECT_TRUE(check_receipt(r, anybody).empty());
}

TEST(receipt_check, says_who_may_sign) {
  const receipt r = cast().honest();
  auto found = check_receipt(r, {});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].what.starts_with("signers unknown"));
  signer_policy some{signer_policy::kind::listed, {cast().id(0), cast().id(2), cast().id(lead)}};
  found = check_receipt(r, some);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].signer, cast().id(1));
  some.listed.insert(cast().id(1));
  EXPECT_TRUE(check_receipt(r, some).empty());
}

} // namespace
} // namespace ovir::compute
