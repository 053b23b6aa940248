// What members of a group sign of what they compute, and whom it names when an audit finds a unit
// that is not what its inputs come to: the member that was wrong, else the leader, and no other.
#include "tests/unit/actors/group/grouped_stage.hpp"
#include "verify/receipt_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using namespace ovir::compute;
using test::grouped_stage;
using testing::HasSubstr;
using grouped_work = grouped_stage::grouped_work;

const std::vector<cut_wish> ways_to_cut{{output_cut::rows, output_cut::rows, 4},
                                        {output_cut::rows, output_cut::rows, 0},
                                        {output_cut::columns, output_cut::columns, 0}};

class group_proofs : public testing::Test, protected grouped_stage {
protected:
  explicit group_proofs(std::uint32_t which = 1) : grouped_stage(which) {}

  /// What an audit of the window finds, and whom it names.
  struct audited {
    std::optional<stated_fault> fault;
    unit_author author;
  };
  audited audit(const grouped_work& made, std::uint32_t window) {
    const stage_window at{stage, window};
    const auto given = inputs(made, at);
    const auto again = replay_window(made.r, at, weights(), given, kernels_reference(), runner);
    EXPECT_TRUE(again) << again.error().message;
    return {window_fault(made.r, at, *again),
            author_of_wrong_unit(made.shown, made.r, at, weights(), given, kernels_reference(),
                                 runner)};
  }
  result<examined_parts> examine(const part_statement& s, const grouped_work& made,
                                 std::uint32_t window) {
    const stage_window at{stage, window};
    const auto given = inputs(made, at);
    return parts_examiner{made.r, at, weights(), given, kernels_reference(), runner}.examine(s);
  }
};

TEST_F(group_proofs, are_of_every_window_and_change_no_bit_of_what_is_stated) {
  for (const cut_wish& way : ways_to_cut) {
    const auto group = start(group_of(way), weights(), 0);
    const grouped_work made = work(group->get());
    ASSERT_FALSE(group->leader().lost()) << group->leader().lost()->message;
    for (const statement& s : made.r.stages[stage].statements) {
      const statement& wanted = honest().r.stages[stage].statements[s.window];
      EXPECT_EQ(s.units, wanted.units) << "as one node states them";
      EXPECT_EQ(s.kv, wanted.kv);
    }
    EXPECT_TRUE(check_receipt(made.r, {signer_policy::kind::any, {}}).empty());
    std::map<std::uint32_t, std::size_t> longest;
    for (const part_statement& s : made.statements) {
      EXPECT_TRUE(check_proofs(s));
      EXPECT_EQ(decode_statement(encode_statement(s)).value(), s);
      auto& most = longest[s.run.window()];
      most = std::max(most, s.run.together.size());
      const auto found = examine(s, made, s.run.window());
      ASSERT_TRUE(found) << found.error().message;
      EXPECT_EQ(found->what, parts_finding::right) << "positions to " << s.run.end();
    }
    EXPECT_EQ(longest, (std::map<std::uint32_t, std::size_t>{{0, 32}, {1, 32}, {2, 6}}));
    for (std::uint32_t w = 0; w < windows; ++w) {
      EXPECT_FALSE(audit(made, w).fault) << w;
    }
    clear();
    EXPECT_EQ(shelf.bytes(), 0U);
  }
}

struct wrong_matrix {
  layer_index layer;
  weight layer_weights::*matrix;
  part_lane by_rows; ///< where it shows first
};

TEST_F(group_proofs, name_the_member_that_computes_wrongly_and_no_other) {
  for (const cut_wish& way : ways_to_cut) {
    const bool columns = way.attention == output_cut::columns;
    for (const wrong_matrix& one :
         std::vector<wrong_matrix>{{3, &layer_weights::attn_v, part_lane::kv},
                                   {4, &layer_weights::attn_q, part_lane::attention_floats},
                                   {4, &layer_weights::attn_output, part_lane::attention_output},
                                   {5, &layer_weights::ffn_down, part_lane::inner_output}}) {
      const model wrong = with_wrong(one.layer, one.matrix);
      const std::uint32_t liar = 1 + one.layer % 2;
      const auto group = start(group_of(way), wrong, liar);
      const grouped_work made = work(group->get());
      ASSERT_FALSE(group->leader().lost()) << group->leader().lost()->message;
      for (std::uint32_t w = 0; w < windows; ++w) {
        const audited found = audit(made, w);
        ASSERT_TRUE(found.fault) << "window " << w;
        EXPECT_EQ(found.fault->signer, key_of(0).id()) << "who stated it";
        EXPECT_EQ(found.author.node, key_of(liar).id()) << found.author.why;
        ASSERT_TRUE(found.author.part) << found.author.why;
        EXPECT_EQ(found.author.part->layer, one.layer);
        EXPECT_EQ(found.author.part->part,
                  part_terms{group_of(way)}.name(one.layer - layers.first, liar));
        if (!columns && one.by_rows != part_lane::attention_floats) {
          EXPECT_EQ(found.author.part->lane, one.by_rows) << found.author.why;
        }
      }
      clear();
    }
  }
}

TEST_F(group_proofs, name_the_leader_that_computes_its_part_wrongly_or_states_something_else) {
  const model wrong = with_wrong(4, &layer_weights::ffn_up);
  const auto group = start(group_of(ways_to_cut[0]), wrong, 0);
  const grouped_work lied = work(group->get());
  const audited own = audit(lied, 1);
  ASSERT_TRUE(own.fault);
  EXPECT_EQ(own.author.node, key_of(0).id());
  ASSERT_TRUE(own.author.part);
  EXPECT_EQ(own.author.part->member, 0U);
  clear();

  const auto right = start(group_of(ways_to_cut[0]), weights(), 0);
  grouped_work other = work(right->get());
  other.r.stages[stage].statements[1].units[2] = hasher{"ovir/test/other"}.finish();
  sign_again(other.r);
  const audited stated = audit(other, 1);
  ASSERT_TRUE(stated.fault);
  EXPECT_EQ(stated.author.node, key_of(0).id());
  EXPECT_FALSE(stated.author.part);
  EXPECT_THAT(stated.author.why, HasSubstr("states something else"));
  other.shown.clear();
  const audited silent = audit(other, 1);
  EXPECT_EQ(silent.author.node, key_of(0).id());
  EXPECT_THAT(silent.author.why, HasSubstr("shows nothing"));
}

/// A group with a liar, and a leader that would rather blame another member.
class forged_proofs : public group_proofs {
protected:
  forged_proofs() {
    const model wrong = with_wrong(4, &layer_weights::ffn_up);
    const auto group = start(group_of(ways_to_cut[0]), wrong, 0);
    made_.emplace(work(group->get()));
    of_window_ = *std::ranges::find_if(made_->statements, [](const part_statement& s) {
      return s.run.window() == 1 && s.run.end() == 64;
    });
    of_other_window_ = *std::ranges::find_if(made_->statements, [](const part_statement& s) {
      return s.run.window() == 0 && s.run.end() == 32;
    });
  }
  /// Whom the leader's forgery names.
  unit_author named(const part_statement& s) {
    made_->shown = {encode_statement(s)};
    return audit(*made_, 1).author;
  }
  void expect_leader(const part_statement& s, const std::string& words) {
    const unit_author author = named(s);
    EXPECT_EQ(author.node, key_of(0).id()) << author.why;
    EXPECT_THAT(author.why, HasSubstr(words));
  }
  /// Signed anew by those whose keys the leader has.
  part_statement signed_by_leader(part_statement s, std::vector<std::uint32_t> also = {}) {
    const part_terms terms{s.group};
    also.push_back(0);
    for (const std::uint32_t i : also) {
      s.proofs[i] = sign_parts(key_of(i), {terms.said(s.run, i)});
    }
    return s;
  }

  std::optional<grouped_work> made_;
  part_statement of_window_;
  part_statement of_other_window_;
};

TEST_F(forged_proofs, of_changed_leaves_inputs_or_chains_were_not_signed_by_the_others) {
  EXPECT_EQ(named(of_window_).node, key_of(0).id());
  ASSERT_TRUE(named(of_window_).part) << "as it is, it shows the leader's own part";
  const std::size_t of_second = leaf_at(1, part_lane::inner_quantised, 1, 3);
  part_statement s = of_window_;
  std::swap(s.run.leaves[of_second], s.run.leaves[of_second - 1]); // its part for the other's
  expect_leader(signed_by_leader(s), "did not sign");
  s = of_window_;
  s.run.input = of_other_window_.run.input;
  expect_leader(signed_by_leader(s), "did not sign");
  s = of_window_;
  s.run.before[2] = of_other_window_.run.before[1];
  expect_leader(signed_by_leader(s), "member 2");
  s = of_window_;
  s.run.together[3] = 1;
  expect_leader(signed_by_leader(s), "did not sign");
}

TEST_F(forged_proofs, of_another_window_layers_or_cut_say_nothing) {
  part_statement s = of_other_window_;
  expect_leader(s, "not of window 1");
  s.run.first += 32; // replayed as the next
  expect_leader(signed_by_leader(s), "did not sign");
  s = of_window_;
  std::swap(s.group.cut.members[1], s.group.cut.members[2]); // parts exchanged
  expect_leader(signed_by_leader(s), "cut");
  s = of_window_;
  std::swap(s.group.nodes[1], s.group.nodes[2]);
  expect_leader(signed_by_leader(s), "did not sign");
  s = of_window_;
  s.group.nodes[0] = key_of(1).id();
  s.group.nodes[1] = key_of(0).id();
  expect_leader(s, "of no group");
  s = of_window_;
  s.group.model = hash_plain({});
  expect_leader(s, "of no group");
}

TEST_F(forged_proofs, by_another_s_key_or_by_one_key_twice_do_not_count) {
  part_statement s = of_window_;
  s.proofs[1] = s.proofs[2];
  expect_leader(s, "member 1");
  s = of_window_;
  const part_terms terms{s.group};
  s.proofs[1] = sign_parts(key_of(2), {terms.said(s.run, 1)});
  expect_leader(s, "member 1");
  s = of_window_;
  s.proofs[1] = of_other_window_.proofs[1];
  expect_leader(s, "member 1");
  // One key for two members is no group at all.
  s = of_window_;
  s.group.nodes[2] = s.group.nodes[1];
  expect_leader(signed_by_leader(s, {1}), "different nodes");
}

TEST_F(forged_proofs, of_a_member_that_signs_with_the_leader_blame_that_one_alone) {
  // A member that gives its key away, and the leader's leaves for its own: it did sign that.
  part_statement s = of_window_;
  const std::size_t of_second = leaf_at(0, part_lane::inner_quantised, 1, 3);
  s.run.leaves[of_second] = hash_plain({});
  expect_leader(signed_by_leader(s, {1}), "member 2");
  s = signed_by_leader(s, {1, 2});
  EXPECT_EQ(named(s).node, key_of(1).id()) << "all of them say that it sent that";
}

/// What one member sends, changed on its way: it signed what it sent itself.
class meddled_proofs : public group_proofs {
protected:
  /// Steps of a whole leader; the bits must be those of one node throughout.
  void expect_found(const test::memory_network::meddler& meddle, const std::string& words) {
    const auto group = start(group_of(ways_to_cut[0]), weights(), 0, true);
    group->network().meddle(meddle);
    const grouped_work made = work(group->get());
    ASSERT_TRUE(group->leader().lost()) << words;
    EXPECT_THAT(group->leader().lost()->message, HasSubstr(words));
    for (const statement& s : made.r.stages[stage].statements) {
      EXPECT_EQ(s.units, honest().r.stages[stage].statements[s.window].units);
    }
    for (const part_statement& s : made.statements) {
      EXPECT_EQ(examine(s, made, s.run.window())->what, parts_finding::right);
    }
    clear();
  }
  static test::memory_network::bytes changed(const test::memory_network::bytes& message,
                                             std::size_t at) {
    auto copy = std::make_shared<std::vector<std::byte>>(*message);
    (*copy)[at] ^= std::byte{1};
    return copy;
  }
};

TEST_F(meddled_proofs, of_a_member_that_sends_another_part_than_it_signs_end_the_group) {
  for (const bool to_all : {true, false}) { // else the leader sees nothing of it but the signatures
    expect_found(
        [to_all](std::uint32_t from, std::uint32_t to, test::memory_network::bytes message) {
          const auto view = decode_group(*message).value();
          const bool hit = from == 2 && (to_all || to == 1) && view.header.pass == 3 &&
                           view.header.kind == group_kind::rows && view.header.layer == 4;
          return std::vector{hit ? changed(message, group_overhead_bytes) : message};
        },
        "signed something else than it sent in pass 3");
  }
}

TEST_F(meddled_proofs, of_inputs_or_history_that_the_leader_changes_are_not_the_members) {
  expect_found(
      [](std::uint32_t, std::uint32_t to, test::memory_network::bytes message) {
        const auto view = decode_group(*message).value();
        const bool hit = to == 1 && view.header.kind == group_kind::begin && view.header.pass == 4;
        return std::vector{hit ? changed(message, message->size() - 4) : message};
      },
      "signed something else");
}

TEST_F(meddled_proofs, of_an_earlier_pass_or_of_too_few_windows_do_not_count) {
  auto old = std::make_shared<std::vector<test::memory_network::bytes>>();
  expect_found(
      [old](std::uint32_t from, std::uint32_t, test::memory_network::bytes message) {
        const auto view = decode_group(*message).value();
        if (from == 2 && view.header.kind == group_kind::proofs && view.header.rows == 1) {
          old->push_back(message);
          if (old->size() == 2) { // the signature of the pass before, as this one's
            const auto before = decode_group(*old->front()).value();
            return std::vector{std::make_shared<const std::vector<std::byte>>(
                encode_group(view.header, before.payload))};
          }
        }
        return std::vector{message};
      },
      "signed something else");
  expect_found(
      [](std::uint32_t from, std::uint32_t, test::memory_network::bytes message) {
        const auto view = decode_group(*message).value();
        if (from == 1 && view.header.kind == group_kind::proofs && view.header.rows == 2) {
          group_header one = view.header;
          one.rows = 1;
          return std::vector{std::make_shared<const std::vector<std::byte>>(
              encode_group(one, view.payload.first(sizeof(signature))))};
        }
        return std::vector{message};
      },
      "signed 1 runs of pass 1, which has 2");
}

TEST_F(group_proofs, are_missed_where_a_member_does_not_sign) {
  const auto group = start(group_of(ways_to_cut[0]), weights(), 0, true, 2);
  const grouped_work made = work(group->get());
  ASSERT_TRUE(group->leader().lost());
  EXPECT_THAT(group->leader().lost()->message, HasSubstr("member 2 of group"));
  EXPECT_EQ(made.r.stages[stage].statements[2].units, honest().r.stages[stage].statements[2].units);
  EXPECT_TRUE(made.statements.empty());
}

/// A group that ends the model.
class head_proofs : public group_proofs {
protected:
  head_proofs() : group_proofs(2) {}

  /// Of a node whose head has another number in each row.
  model with_wrong_head() {
    model wrong = weights();
    const std::size_t row = wrong.output.row_bytes();
    head_.assign(wrong.output.data, wrong.output.data + row * wrong.output.rows);
    for (std::size_t i = 0; i < wrong.output.rows; ++i) {
      head_[i * row + 5] ^= std::byte{4};
    }
    wrong.output.data = head_.data();
    return wrong;
  }
  struct looked_at {
    std::optional<stated_fault> fault;
    std::vector<result<examined_parts>> found; ///< of all that is kept of the position
    std::vector<head_statement> kept;
  };
  looked_at look(const grouped_work& made, position at) {
    const stage_window window{stage, at / 32};
    const auto given = inputs(made, window);
    const auto again = replay_window(made.r, window, weights(), given, kernels_reference(), runner);
    EXPECT_TRUE(again) << again.error().message;
    looked_at all{window_fault(made.r, window, *again), {}, {}};
    parts_examiner examiner{made.r, window, weights(), given, kernels_reference(), runner};
    for (const auto& s : shelf.find_heads(made.r.asked.model, examiner.last_row(at).value())) {
      all.found.push_back(examiner.examine(*s, at));
      all.kept.push_back(*s);
    }
    return all;
  }

  std::vector<std::byte> head_;
};

TEST_F(head_proofs, are_right_where_all_members_are) {
  const auto group = start(group_of(ways_to_cut[0]), weights(), 0);
  const grouped_work made = work(group->get());
  ASSERT_FALSE(group->leader().lost()) << group->leader().lost()->message;
  EXPECT_EQ(made.r.stages[stage].statements, honest().r.stages[stage].statements);
  const looked_at all = look(made, 66);
  EXPECT_FALSE(all.fault);
  ASSERT_EQ(all.found.size(), 1U);
  EXPECT_EQ(all.found[0].value().what, parts_finding::right);
  EXPECT_EQ(decode_head(encode_head(all.kept[0])).value(), all.kept[0]);
}

TEST_F(head_proofs, name_the_member_whose_logits_are_wrong) {
  const model wrong = with_wrong_head();
  for (const std::uint32_t liar : {0U, 1U, 2U}) {
    const auto group = start(group_of(ways_to_cut[0]), wrong, liar);
    const grouped_work made = work(group->get());
    ASSERT_FALSE(group->leader().lost()) << group->leader().lost()->message;
    const looked_at all = look(made, 65);
    ASSERT_TRUE(all.fault);
    EXPECT_EQ(all.fault->place.part, audit_part::draw);
    EXPECT_EQ(all.fault->signer, key_of(0).id());
    ASSERT_FALSE(all.found.empty());
    const auto& latest = all.found.front().value();
    ASSERT_TRUE(latest.author) << liar;
    EXPECT_EQ(latest.author->node, key_of(liar).id());
    EXPECT_EQ(latest.author->lane, part_lane::logits);
  }
}

TEST_F(head_proofs, that_a_leader_changes_or_replays_say_nothing) {
  const model wrong = with_wrong_head();
  const auto group = start(group_of(ways_to_cut[0]), wrong, 0);
  const grouped_work made = work(group->get());
  const head_statement s = look(made, 65).kept.at(0);
  const head_statement next = look(made, 66).kept.at(0);
  const stage_window window{stage, 2};
  const auto given = inputs(made, window);
  parts_examiner examiner{made.r, window, weights(), given, kernels_reference(), runner};
  EXPECT_EQ(examiner.examine(next, 65).value().what, parts_finding::other_inputs);
  head_statement forged = s;
  std::swap(forged.logits[1], forged.logits[2]);
  EXPECT_FALSE(examiner.examine(forged, 65));
  forged = s;
  forged.logits[1] = next.logits[1];
  EXPECT_FALSE(examiner.examine(forged, 65));
  forged.proofs[1] = next.proofs[1];
  EXPECT_FALSE(examiner.examine(forged, 65)) << "of another row";
  forged = s;
  forged.proofs[1] = s.proofs[2];
  EXPECT_FALSE(examiner.examine(forged, 65));
  forged = s;
  std::swap(forged.group.cut.members[1], forged.group.cut.members[2]);
  EXPECT_FALSE(examiner.examine(forged, 65));
  EXPECT_FALSE(examiner.examine(s, 60)) << "not of this window";
}

} // namespace
} // namespace ovir::actors
