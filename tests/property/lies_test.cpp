// The fault injection without processes: each kind of lie at the first, middle and last segment and
// position, told by somebody who owns a valid key and signs whatever fits the format. What holds by
// its signatures is computed again, and the liar and nobody else is named, with its unit.
#include "tests/support/cluster/lying_path.hpp"
#include "tests/support/model/resigned_receipt.hpp"
#include "verify/receipt_check.hpp"
#include "verify/receipt_replay.hpp"
#include "verify/window_task.hpp"

#include <gtest/gtest.h>

#include <set>

namespace ovir::test {
namespace {

using compute::stated_fault;

constexpr std::array<position, 3> places{5, 45, 75}; ///< in the first, middle and last window
constexpr std::array<lie, 9> lies{
    lie::wrong_output,    lie::scaled,     lie::smaller_model, lie::lower_quantisation,
    lie::skipped_layer,   lie::early_exit, lie::stale_kv,      lie::swapped_positions,
    lie::uncomputed_claim};

const lying_path& path() {
  static const lying_path one;
  return one;
}

std::vector<compute::receipt_failure> form(const receipt& r) {
  return compute::check_receipt(r, {compute::signer_policy::kind::any, {}});
}

compute::replay_outcome again(const receipt& r, compute::replay_bounds bounds) {
  compute::serial_runner runner;
  auto done = compute::replay(r, path().weights(), bounds, compute::kernels_reference(), runner);
  if (!done) {
    ADD_FAILURE() << done.error().message;
    return {};
  }
  return std::move(*done);
}

std::vector<stated_fault> faults(const receipt& r) {
  return first_faults(r, again(r, compute::bounds_of(r)));
}

/// Weights are wrong from the first position on, wherever the liar says it begins.
std::uint32_t window_of(lie how, position from) {
  const bool always = how == lie::smaller_model || how == lie::lower_quantisation;
  return always ? 0 : from / limits::window_positions;
}

TEST(lies, an_honest_path_has_no_fault) {
  const receipt r = path().make({});
  EXPECT_TRUE(form(r).empty()) << form(r).front().what;
  EXPECT_TRUE(faults(r).empty());
  const auto all = again(r, compute::bounds_of(r));
  for (const compute::keyed_unit& unit : compute::units_of(r)) {
    EXPECT_EQ(all.units.at(unit.unit), unit.stated);
  }
  EXPECT_EQ(all.units.size(), compute::units_of(r).size());
  EXPECT_EQ(all.draws.size(), lying_path::output);
}

TEST(lies, each_about_bits_is_found_at_every_place_and_its_author_named) {
  int cases = 0;
  for (const lie how : lies) {
    for (std::uint32_t stage = 0; stage < 3; ++stage) {
      for (const position from : places) {
        // Before the second layer there is something to skip or repeat.
        const told_lie told{how, 3 * stage + (how == lie::early_exit ? 0 : 1), from};
        const receipt r = path().make(told);
        ASSERT_TRUE(form(r).empty()) << "the forger signs well: " << form(r).front().what;
        const auto found = faults(r);
        ASSERT_EQ(found.size(), 1U) << static_cast<int>(how) << " " << stage << " " << from;
        // An early exit is right up to the stage's first layer.
        const layer_index layer = how == lie::early_exit ? told.layer + 1 : told.layer;
        EXPECT_EQ(found[0].signer, path().cast().id(stage));
        EXPECT_EQ(found[0].place, (audit_place{audit_part::unit, window_of(how, from), layer, 0}))
            << static_cast<int>(how) << " " << stage << " " << from;
        ++cases;
        if (from != places[1]) {
          continue;
        }
        // Whoever looks at this unit alone finds it as well.
        const auto alone = first_faults(r, again(r, compute::bounds_of(found[0].place)));
        ASSERT_EQ(alone.size(), 1U);
        EXPECT_EQ(alone[0], found[0]);
      }
    }
  }
  EXPECT_EQ(cases, 81);
}

TEST(lies, about_k_and_v_are_found_at_every_place_and_their_author_named) {
  for (layer_index layer = 0; layer < lying_path::layers; ++layer) {
    for (const position from : places) {
      const receipt r = path().make({lie::wrong_kv, layer, from});
      ASSERT_TRUE(form(r).empty()) << form(r).front().what;
      const auto found = faults(r);
      ASSERT_EQ(found.size(), 1U) << layer << " " << from;
      EXPECT_EQ(found[0].signer, path().cast().id(layer / 3));
      EXPECT_EQ(found[0].place, (audit_place{audit_part::kv, from / 32, layer, 0}));
      const auto alone = again(r, compute::bounds_of(found[0].place));
      EXPECT_TRUE(compute::stands_alone(r, alone, found[0].place));
      EXPECT_EQ(compute::computed_at(alone, found[0].place), found[0].computed);
      const auto equivocal = compute::find_equivocation(path().make({}), r);
      ASSERT_TRUE(equivocal);
      EXPECT_EQ(equivocal->place, found[0].place);
    }
  }
}

TEST(lies, about_logits_name_the_last_stage_and_about_tokens_the_lead) {
  for (const position from : {position{39}, position{50}, position{78}}) {
    const receipt logits = path().make({lie::wrong_logits, 8, from});
    ASSERT_TRUE(form(logits).empty());
    const auto by_stage = faults(logits);
    ASSERT_EQ(by_stage.size(), 1U);
    EXPECT_EQ(by_stage[0].signer, path().cast().id(2));
    EXPECT_EQ(by_stage[0].place, (audit_place{audit_part::draw, from / 32, 8, from}));

    const receipt tokens = path().make({lie::wrong_sampling, 0, from});
    ASSERT_TRUE(form(tokens).empty());
    const auto by_lead = faults(tokens);
    ASSERT_EQ(by_lead.size(), 1U);
    EXPECT_EQ(by_lead[0].signer, path().cast().id(receipt_maker::lead));
    EXPECT_EQ(by_lead[0].place, (audit_place{audit_part::token, from / 32, 8, from}));

    const receipt choice = path().make({lie::wrong_choice, 8, from});
    ASSERT_TRUE(form(choice).empty());
    const auto by_chooser = faults(choice);
    ASSERT_EQ(by_chooser.size(), 1U);
    EXPECT_EQ(by_chooser[0].signer, path().cast().id(2));
    EXPECT_EQ(by_chooser[0].place, (audit_place{audit_part::token, from / 32, 8, from}));
  }
}

TEST(lies, of_two_liars_both_are_named_where_neither_is_the_others_excuse) {
  receipt r = path().make({lie::wrong_output, 6, 5}); // the last stage, in the first window
  r.stages[0].statements[1].units[1] = hasher{"ovir/test/second"}.finish();
  path().sign_all(r);
  const auto found = faults(r);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].signer, path().cast().id(2));
  EXPECT_EQ(found[1].signer, path().cast().id(0));
}

TEST(lies, a_replayed_statement_fails_by_its_signature) {
  const receipt old = path().cast().honest();
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      receipt r = path().make({});
      r.stages[stage].statements[w] = old.stages[stage].statements[w];
      const auto open = form(r);
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open[0].signer, path().cast().id(stage)) << "nobody closed it";
      ASSERT_TRUE(open[0].unit);
      EXPECT_EQ(open[0].unit->window, w);
      path().cast().close(r);
      EXPECT_EQ(form(r).front().signer, path().cast().id(receipt_maker::lead))
          << "who closes it has looked";
    }
  }
}

TEST(lies, right_bits_under_anothers_key_are_not_the_others_word) {
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      receipt r = path().make({});
      const receipt honest = r;
      path().cast().sign_stage(r, stage, receipt_maker::stranger);
      // Stated by its key and shown as the stage's.
      const statement stolen = r.stages[stage].statements[w];
      r = honest;
      r.stages[stage].statements[w] = stolen;
      path().cast().close(r);
      const auto wrong = form(r);
      ASSERT_FALSE(wrong.empty());
      EXPECT_EQ(wrong[0].signer, path().cast().id(receipt_maker::lead));
    }
  }
}

TEST(lies, two_choices_from_the_same_logits_convict_without_a_replay) {
  const receipt honest = path().make({});
  const receipt other = path().make({lie::wrong_choice, 8, 79}); // the last one, fed to nobody
  ASSERT_TRUE(form(other).empty()) << form(other).front().what;
  const auto found = compute::find_equivocation(honest, other);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signer, path().cast().id(2));
  EXPECT_EQ(found->place, (audit_place{audit_part::token, 2, 8, 79}));
  const conviction c{conviction_kind::equivocation,
                     found->signer,
                     found->place,
                     {},
                     {encode_receipt(honest), encode_receipt(other)},
                     {}};
  EXPECT_TRUE(compute::check_conviction(c));
}

TEST(lies, two_statements_for_one_unit_convict_without_a_replay) {
  const receipt honest = path().make({});
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      receipt other = honest;
      other.stages[stage].statements[w].units[1] = hasher{"ovir/test/equivocal"}.finish();
      path().sign_all(other);
      ASSERT_TRUE(form(other).empty()) << form(other).front().what;
      const auto found = compute::find_equivocation(honest, other);
      ASSERT_TRUE(found);
      EXPECT_EQ(found->signer, path().cast().id(stage));
      EXPECT_EQ(found->place, (audit_place{audit_part::unit, w, 3 * stage + 1, 0}));
      conviction c{conviction_kind::equivocation,
                   found->signer,
                   found->place,
                   {},
                   {encode_receipt(honest), encode_receipt(other)},
                   {}};
      EXPECT_TRUE(compute::check_conviction(c));
      c.guilty = path().cast().id((stage + 1) % 3);
      EXPECT_FALSE(compute::check_conviction(c)) << "and nobody else";
    }
  }
}

TEST(lies, an_honest_stage_behind_a_liar_contradicts_itself_nowhere) {
  // The same question twice: once the first stage lied, so those behind state other bits.
  const receipt honest = path().make({});
  const receipt lied = path().make({lie::wrong_output, 1, 5});
  const auto found = compute::find_equivocation(honest, lied);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->signer, path().cast().id(0));
  receipt behind_a = honest;
  receipt behind_b = lied;
  behind_a.stages.erase(behind_a.stages.begin());
  behind_b.stages.erase(behind_b.stages.begin());
  EXPECT_FALSE(compute::find_equivocation(behind_a, behind_b)) << "they had other inputs";
}

TEST(lies, forged_timing_is_a_claim_and_convicts_nobody) {
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t w = 0; w < 3; ++w) {
      receipt r = path().make({});
      const std::uint64_t neighbours = r.stages[(stage + 1) % 3].statements[w].elapsed_us;
      r.stages[stage].statements[w].elapsed_us = 1;
      r.stages[stage].statements[w].compute_us = 1;
      path().sign_all(r);
      EXPECT_TRUE(form(r).empty());
      EXPECT_TRUE(faults(r).empty());
      EXPECT_EQ(r.stages[(stage + 1) % 3].statements[w].elapsed_us, neighbours)
          << "what others saw bounds it, and is not its to change";
      // Changed without signing anew, it is found, and its signer named.
      receipt unsigned_claim = path().make({});
      unsigned_claim.stages[stage].statements[w].elapsed_us = 1;
      const auto open = form(unsigned_claim);
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open[0].signer, path().cast().id(stage));
      ASSERT_TRUE(open[0].unit);
      EXPECT_EQ(open[0].unit->window, w);
    }
  }
}

TEST(lies, a_withheld_statement_earns_nothing_and_convicts_nobody) {
  for (std::uint32_t stage = 0; stage < 3; ++stage) {
    for (std::uint32_t kept = 0; kept < 3; ++kept) { // all from the first, middle or last on
      receipt r = path().make({});
      r.stages[stage].statements.resize(kept);
      while (!r.stages[stage].commitments.empty() &&
             r.stages[stage].commitments.back().window >= kept) {
        r.stages[stage].commitments.pop_back();
      }
      EXPECT_FALSE(form(r).empty());
      if (kept > 0) { // else there is no last statement to close over
        path().cast().close(r);
      }
      const auto wrong = form(r);
      ASSERT_FALSE(wrong.empty());
      EXPECT_EQ(wrong[0].signer, path().cast().id(receipt_maker::lead))
          << "who closed it anyway: " << stage << " " << kept;
    }
  }
}

/// The same unit claimed as found in a cache, by who never computed it: at every place, each
/// neighbour's claim beside it stays who it is.
TEST(lies, of_every_stage_at_once_each_is_named_for_its_own) {
  for (const position from : places) {
    const std::uint32_t w = from / limits::window_positions;
    receipt r = path().make({});
    for (std::uint32_t stage = 0; stage < 3; ++stage) {
      r.stages[stage].statements[w].units[1] = hasher{"ovir/test/all"}.update_u32(stage).finish();
    }
    path().sign_all(r);
    ASSERT_TRUE(form(r).empty()) << form(r).front().what;
    const auto found = faults(r);
    ASSERT_EQ(found.size(), 3U);
    for (std::uint32_t stage = 0; stage < 3; ++stage) {
      EXPECT_EQ(found[stage].signer, path().cast().id(stage));
      EXPECT_EQ(found[stage].place, (audit_place{audit_part::unit, w, 3 * stage + 1, 0}));
    }
  }
}

/// Everybody whose signature a receipt has.
std::set<node_id> signers_of(const receipt& r) {
  std::set<node_id> found{r.lead.node};
  for (const stage_records& stage : r.stages) {
    found.insert(stage.signer.node);
  }
  return found;
}

TEST(resigned, a_unit_is_wrong_by_itself_and_its_signers_alone_tell_it_from_an_honest_one) {
  const receipt honest = path().make({});
  std::vector<secret_key> keys;
  for (std::uint8_t i = 0; i < 4; ++i) {
    std::array<std::byte, secret_key::seed_size> seed{};
    seed.fill(std::byte{static_cast<unsigned char>(0xa0 + i)});
    keys.push_back(secret_key::from_seed(seed));
  }
  const digest wrong = hasher{"ovir/test/resigned"}.finish();
  for (const layer_index layer : {0U, 2U, 3U, 8U}) {
    for (const std::uint32_t window : {0U, 2U}) {
      const audit_place place{audit_part::unit, window, layer, 0};
      const auto made = resign(honest, place, wrong, keys);
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_TRUE(form(*made).empty()) << form(*made).front().what;
      const auto found = faults(*made);
      ASSERT_EQ(found.size(), 1U);
      EXPECT_EQ(found[0].place, place);
      EXPECT_EQ(found[0].signer, keys[layer / 3 + 1].id());
      EXPECT_EQ(found[0].computed, compute::stated_at(honest, place)->value);
      // Signed by those whose keys were given, and by no member: who knows all members knows it.
      std::set<node_id> given;
      for (const secret_key& key : keys) {
        given.insert(key.id());
      }
      EXPECT_EQ(signers_of(*made), given);
      for (const node_id& member : signers_of(honest)) {
        EXPECT_FALSE(given.contains(member)) << short_name(member);
      }
      EXPECT_EQ(made->output, honest.output);
      EXPECT_EQ(made->stages.size(), honest.stages.size());
    }
  }
  EXPECT_FALSE(resign(honest, {audit_part::unit, 9, 0, 0}, wrong, keys));
  EXPECT_FALSE(resign(honest, {audit_part::unit, 0, 0, 0}, wrong, std::span{keys}.first(3)));
}

/// A conviction of the middle stage, with verdicts of two who have no part in the request.
class convictions : public testing::Test {
protected:
  convictions() {
    const receipt r = path().make({lie::wrong_output, 4, 45});
    const auto fault = faults(r).at(0);
    c.guilty = fault.signer;
    c.place = fault.place;
    c.computed = fault.computed;
    c.receipts = {encode_receipt(r)};
    for (const std::size_t who : {std::size_t{3}, receipt_maker::stranger}) {
      c.verdicts.push_back(vote(who));
    }
  }
  [[nodiscard]] audit_verdict vote(std::size_t who) const {
    return give_verdict(path().cast().key(who), receipt_digest(c.receipts[0]), c.place, c.computed,
                        {who == 3 ? audit_kernels::avx2 : audit_kernels::reference, "ovir test"});
  }
  conviction c;
};

TEST_F(convictions, hold_with_two_verdicts_and_what_they_are_about) {
  EXPECT_TRUE(compute::check_conviction(c));
}

TEST_F(convictions, need_two_hosts_that_are_not_the_accused) {
  conviction one = c;
  one.verdicts.pop_back();
  EXPECT_FALSE(compute::check_conviction(one));
  one.verdicts.push_back(one.verdicts[0]);
  EXPECT_FALSE(compute::check_conviction(one)) << "one host twice";
  one.verdicts[1] = vote(1);
  EXPECT_FALSE(compute::check_conviction(one)) << "the accused itself";
}

TEST_F(convictions, are_of_who_stated_it_and_of_nothing_else) {
  conviction other = c;
  other.guilty = path().cast().id(0);
  EXPECT_FALSE(compute::check_conviction(other));
  other = c;
  other.place.layer = 3; // another unit: the verdicts are not about it
  EXPECT_FALSE(compute::check_conviction(other));
  other = c;
  const receipt r = *decode_receipt(c.receipts[0]);
  other.computed = compute::stated_at(r, c.place)->value; // what it did state
  other.verdicts = {vote(3), vote(5)};
  EXPECT_FALSE(compute::check_conviction(other));
  other = c;
  other.receipts[0][other.receipts[0].size() / 2] ^= std::byte{1};
  EXPECT_FALSE(compute::check_conviction(other));
}

TEST_F(convictions, travel_in_one_encoding_and_no_flipped_bit_convicts) {
  const auto bytes = *encode_audit(c);
  const auto back = decode_audit(bytes);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(std::get<conviction>(*back), c);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); bit += 97) { // every byte is among some
    auto other = bytes;
    other[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    const auto read = decode_audit(other);
    const bool convicts = read && std::holds_alternative<conviction>(*read) &&
                          compute::check_conviction(std::get<conviction>(*read));
    EXPECT_FALSE(convicts) << bit;
  }
}

TEST(audit_messages, come_back_as_they_were_sent) {
  const receipt r = path().make({});
  const audit_place place{audit_part::draw, 1, 2, 40};
  const digest some = hasher{"ovir/test/some"}.finish();
  const audit_verdict verdict =
      give_verdict(path().cast().key(0), some, place, some, {audit_kernels::avx512, "ovir test"});
  conviction accused{
      conviction_kind::replay, path().cast().id(1), place, some, {encode_receipt(r)}, {verdict}};
  accused.admission = admit_fault(path().cast().key(1), accused, audit_fault::software);
  for (const audit_message& m :
       {audit_message{audit_offer{true, encode_receipt(r)}},
        audit_message{audit_question{7, compute::task_of(r, {1, 1}), {audit_kernels::avx2}}},
        audit_message{audit_answer{7, some, sign_outcome(path().cast().key(0), some, some)}},
        audit_message{audit_reveal{7, place, encode_receipt(r)}},
        audit_message{audit_vouch{7, some, verdict}},
        audit_message{audit_accusation{8, accused, encode_receipt(r)}},
        audit_message{audit_defence{8, {}, verdict}},
        audit_message{audit_defence{8, accused.admission, {}}}}) {
    const auto bytes = encode_audit(m);
    ASSERT_TRUE(bytes);
    const auto back = decode_audit(*bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, m);
    for (std::size_t cut = 0; cut < bytes->size(); cut += 8) {
      EXPECT_FALSE(decode_audit(std::span{*bytes}.first(cut)));
    }
  }
  EXPECT_EQ(
      encode_audit(audit_offer{false, std::vector<std::byte>(limits::audit_message_bytes_max)})
          .error()
          .code,
      errc::over_limit);
}

} // namespace
} // namespace ovir::test
