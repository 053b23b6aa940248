// Who may ask the keeper of a ledger for what, and what it promises.
#include "ledger/keeper/keeper.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/keepers.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::receipt_maker;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
const role_set scheduler = role_set{}.add(role::scheduler);

TEST_F(keepers, promise_what_lasts_and_again_when_it_is_sent_again) {
  const command c =
      ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                         ledger_world::node(1), 5, ++nonce_};
  const std::vector<std::byte> entry = signed_by(ledger_world::minter, c);
  const message first = ask(1, entry);
  const auto* const p = std::get_if<promise>(&first.body);
  ASSERT_NE(p, nullptr) << refused(first);
  EXPECT_TRUE(check_promise(*p, entry, id_, std::vector{key_.id()}));
  EXPECT_EQ(p->entry.entry.index, 1U);
  now_ += 50;
  open(false); // killed and started again
  const message second = ask(1, entry);
  const auto* const q = std::get_if<promise>(&second.body);
  ASSERT_NE(q, nullptr) << refused(second);
  EXPECT_EQ(q->time, p->time);
  EXPECT_EQ(q->entry.entry.index, 1U);
  EXPECT_TRUE(check_promise(*q, entry, id_, std::vector{key_.id()}));
  EXPECT_EQ(keeper_->book().log().size(), 2U);
  // It is a promise of this command, by this keeper, for this ledger alone.
  std::vector<std::byte> other = entry;
  other.back() ^= std::byte{1};
  EXPECT_FALSE(check_promise(*q, other, id_, std::vector{key_.id()}));
  EXPECT_FALSE(check_promise(*q, entry, digest{}, std::vector{key_.id()}));
  EXPECT_FALSE(check_promise(*q, entry, id_, std::vector{ledger_world::node(1)}));
}

TEST_F(keepers, take_a_batch_of_many_senders_with_one_sync) {
  std::vector<keeper_answer> answers;
  for (std::uint8_t i = 1; i <= 20; ++i) {
    const command c =
        ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                           ledger_world::node(i), 5, ++nonce_};
    keeper_->take(ledger_world::node(i), scheduler,
                  {i, submit{signed_by(ledger_world::minter, c), {}}}, answers);
  }
  EXPECT_TRUE(answers.empty()) << "nothing is promised before it lasts";
  const auto syncs = [this] {
    return std::count_if(file_.events.begin(), file_.events.end(),
                         [](const auto& e) { return e.sync; });
  };
  const auto before = syncs();
  ASSERT_TRUE(keeper_->commit(now_, {}, answers));
  EXPECT_EQ(syncs(), before + 1);
  EXPECT_EQ(answers.size(), 20U);
}

TEST_F(keepers, hold_only_so_much_that_waits_of_one_and_of_all) {
  std::vector<keeper_answer> answers;
  const auto end = [&](std::uint8_t who) {
    return submit{signed_by(who, settle{leaf_hash({}), ledger_world::node(who)}), {}};
  };
  for (std::size_t i = 0; i <= limits::ledger_waiting_per_node_max; ++i) {
    keeper_->take(ledger_world::node(1), scheduler, {i, end(1)}, answers);
  }
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<refusal>(answers[0].what.body).reason.code, errc::busy);
  keeper_->take(ledger_world::node(2), scheduler, {1, end(2)}, answers);
  EXPECT_EQ(answers.size(), 1U) << "one sender does not shut out another";
}

TEST_F(keepers, refuse_the_end_of_a_request_whose_reservation_waits_from_others) {
  mint(1, 200 * credit);
  const reserve r = reservation(1);
  std::vector<keeper_answer> answers;
  keeper_->take(ledger_world::node(1), scheduler, {1, submit{signed_by(1, r), {}}}, answers);
  const settle end{escrow_of(r), ledger_world::node(2)};
  keeper_->take(ledger_world::node(2), scheduler, {2, submit{signed_by(2, end), {}}}, answers);
  ASSERT_TRUE(keeper_->commit(now_, {}, answers));
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_THAT(std::get<refusal>(answers[1].what.body).reason.message,
              HasSubstr("who alone may settle"));
}

TEST_F(keepers, refuse_what_is_not_for_the_sender) {
  mint(1, 200 * credit);
  const reserve r = reservation(1);
  EXPECT_EQ(refused(ask(5, signed_by(1, r))), "") << "the signature counts, not who carries it";
  accrue stolen = everything(r, 5);
  EXPECT_THAT(refused(ask(2, signed_by(2, stolen))), HasSubstr("not signed by"));
  stolen.scheduler = ledger_world::node(2);
  EXPECT_THAT(refused(ask(2, signed_by(2, stolen))), HasSubstr("who alone may accrue"));
  const settle early{escrow_of(r), ledger_world::node(2)};
  EXPECT_THAT(refused(ask(2, signed_by(2, early))), HasSubstr("who alone may settle"));
  EXPECT_THAT(refused(ask(2, signed_by(2, end_of(r)))), HasSubstr("not signed by"));
  stolen.scheduler = {};
  EXPECT_THAT(refused(ask(1, bytes_of(stolen))), HasSubstr("signed by who drives its request"));
  EXPECT_THAT(refused(ask(1, bytes_of(settle{escrow_of(r)}))),
              HasSubstr("signed by who drives its request"));
  EXPECT_THAT(refused(ask(1, bytes_of(expire{escrow_of(r)}))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, bytes_of(release{escrow_of(r), 0}))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, bytes_of(ledger_world::rules()))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, signed_by(2, r))), HasSubstr("not signed by"));
  EXPECT_EQ(refused(ask(7, signed_by(1, everything(r, 5)))), "") << "whoever carries it";
  EXPECT_EQ(refused(ask(1, signed_by(1, end_of(r)))), "");
  EXPECT_TRUE(check_invariants(keeper_->book().view()));
}

TEST_F(keepers, refuse_a_client_without_credit_with_what_it_has) {
  mint(1, 10 * credit);
  const message m = ask(1, signed_by(1, reservation(1)));
  EXPECT_THAT(refused(m), HasSubstr("has 10000000 micro-credits free and this request may cost "
                                    "100000000"));
}

TEST_F(keepers, let_only_whom_a_payer_entrusted_spend_and_no_more_than_it_signed) {
  mint(1, 200 * credit);
  reserve r = reservation(1);
  r.scheduler = ledger_world::node(2);
  reserve beyond = r; // a scheduler that makes more of it cannot sign that
  beyond.completion_max = 100;
  EXPECT_THAT(refused(ask(2, bytes_of(beyond, sign_action(ledger_world::key(1), id_, r)))),
              HasSubstr("sign"));
  beyond = r;
  beyond.scheduler = ledger_world::node(3);
  EXPECT_THAT(refused(ask(3, bytes_of(beyond, sign_action(ledger_world::key(1), id_, r)))),
              HasSubstr("sign"));
  const std::vector<std::byte> entry = signed_by(1, r);
  ASSERT_EQ(refused(ask(2, entry)), "") << "whoever hands it in";
  EXPECT_EQ(keeper_->book().view().find(ledger_world::node(1))->free, 100 * credit);
  ASSERT_EQ(refused(ask(3, entry)), "") << "a retry";
  EXPECT_EQ(keeper_->book().view().find(ledger_world::node(1))->free, 100 * credit);
  for (const std::uint8_t other : {std::uint8_t{1}, std::uint8_t{3}}) {
    accrue stolen = everything(r, 10);
    stolen.scheduler = ledger_world::node(other);
    EXPECT_THAT(refused(ask(other, signed_by(other, stolen))), HasSubstr("who alone may"));
    const settle end{escrow_of(r), ledger_world::node(other)};
    EXPECT_THAT(refused(ask(other, signed_by(other, end))), HasSubstr("who alone may"));
  }
  const cancel early{escrow_of(r), ledger_world::node(1), ++nonce_};
  EXPECT_THAT(refused(ask(1, signed_by(1, early))), HasSubstr("is entrusted to"))
      << "it could take the answer first";
  EXPECT_EQ(refused(ask(2, signed_by(2, everything(r, 10)))), "");
  accrue more = everything(r, 31);
  more.window = 1;
  EXPECT_THAT(refused(ask(2, signed_by(2, more))), HasSubstr("only 30 were reserved for"));
  EXPECT_EQ(refused(ask(2, signed_by(2, end_of(r)))), "");
  EXPECT_EQ(keeper_->book().view().find(ledger_world::node(1))->free, 100 * credit)
      << "stages may claim what was left out";
  now_ += limits::ledger_claims_wait_s;
  std::vector<keeper_answer> answers;
  EXPECT_TRUE(keeper_->commit(now_, {now_, 10, 0}, answers));
  EXPECT_EQ(keeper_->book().view().find(ledger_world::node(1))->free, 120 * credit)
      << "what is left comes back to who paid";
  EXPECT_TRUE(check_invariants(keeper_->book().view()));
}

TEST_F(keepers, keep_to_the_first_that_reserved_for_a_request) {
  mint(1, 100 * credit);
  mint(2, 100 * credit);
  const reserve first = reservation(1);
  const reserve second = reservation(2); // says it is about the same
  ASSERT_EQ(refused(ask(1, signed_by(1, first))), "");
  ASSERT_EQ(refused(ask(2, signed_by(2, second))), "");
  const auto found = [&] {
    std::vector<keeper_answer> answers;
    keeper_->take(ledger_world::node(5), scheduler, {++message_, ask_request{first.about}},
                  answers);
    return std::get<request_report>(answers.at(0).what.body).request;
  };
  EXPECT_EQ(found(), escrow_of(first));
}

TEST_F(keepers, end_what_nobody_ends) {
  mint(1, 200 * credit);
  const reserve r = reservation(1);
  ASSERT_EQ(refused(ask(1, signed_by(1, r))), "");
  std::vector<keeper_answer> answers;
  ASSERT_TRUE(keeper_->commit(r.expires, {r.expires, 10}, answers));
  EXPECT_EQ(keeper_->book().view().find(ledger_world::node(1))->free, 200 * credit);
  EXPECT_EQ(keeper_->book().view().find_request(escrow_of(r)), nullptr);
}

TEST_F(keepers, take_chains_of_verifiers_and_links_of_whoever_sends_them) {
  const digest some = leaf_hash({});
  const auto chain = [&](std::uint8_t who) {
    return signed_by(who, chain_commit{ledger_world::node(who), some, 5, ++nonce_});
  };
  EXPECT_EQ(refused(ask(120, chain(120))), "");
  EXPECT_THAT(refused(ask(7, chain(7))), HasSubstr("no verifier that this keeper knows"));
  const chain_link link{ledger_world::node(120), 0, some};
  EXPECT_THAT(refused(ask(7, bytes_of(link))), HasSubstr("closed last"));
  EXPECT_THAT(refused(ask(7, bytes_of(epoch_end{0}))), HasSubstr("nobody sends it"));
}

class convictions_asked_for : public keepers {
protected:
  convictions_asked_for() {
    mint(1, 200 * credit);
    paid_ = reservation(1);
    EXPECT_EQ(refused(ask(1, signed_by(1, paid_))), "");
    EXPECT_EQ(refused(ask(1, signed_by(1, everything(paid_, 20)))), "");
    receipt other = cast_.honest();
    other.stages[1].statements[2].units[1].bytes[0] ^= 1;
    cast_.sign_stage(other, 1);
    evidence_ =
        to_bytes(equivocation{terms_of(other.asked), cast_.honest().stages[1], other.stages[1]});
    x_.request = escrow_of(paid_);
    x_.guilty = cast_.id(1);
    x_.finder = ledger_world::node(7);
    x_.kind = evidence_kind::equivocation;
    x_.evidence = evidence_digest(evidence_);
  }

  /// By replay, of the second stage in the last window, with verdicts of these.
  ovir::conviction by_replay(std::uint32_t computed,
                             const std::vector<std::pair<std::uint8_t, audit_kernels>>& judges = {
                                 {120, audit_kernels::avx2}, {121, audit_kernels::reference}}) {
    ovir::conviction c;
    c.guilty = cast_.id(1);
    c.place = {audit_part::unit, 2, 4, 0};
    c.computed = hasher{"ovir/test/computed"}.update_u32(computed).finish();
    c.receipts = {encode_receipt(cast_.honest())};
    for (const auto& [who, kernels] : judges) {
      c.verdicts.push_back(ovir::give_verdict(ledger_world::key(who), receipt_digest(c.receipts[0]),
                                              c.place, c.computed, {kernels, "ovir test"}));
    }
    return c;
  }
  /// What it comes to in the ledger; examined by this node, or not yet.
  convict named(const ovir::conviction& c, bool examined = true) {
    const auto bytes = encode_audit(c).value();
    convict x = x_;
    x.kind = evidence_kind::replay;
    x.finder = c.verdicts.front().verifier;
    x.evidence = evidence_digest(bytes);
    if (examined) {
      examined_[x.evidence] = bytes;
    }
    return x;
  }

  reserve paid_;
  std::vector<std::byte> evidence_;
  convict x_;
};

TEST_F(convictions_asked_for, by_equivocation_refund_and_eject_and_keep_the_evidence) {
  const message m = ask(7, bytes_of(x_), evidence_, role_set{});
  ASSERT_EQ(refused(m), "");
  EXPECT_EQ(kept_.at(x_.evidence), evidence_);
  const state& s = keeper_->book().view();
  EXPECT_TRUE(s.find(cast_.id(1))->ejected);
  EXPECT_EQ(s.find(cast_.id(1))->pending, 0U);
  // All windows are back with the payer; 10 tokens' worth is still reserved.
  EXPECT_EQ(s.find(ledger_world::node(1))->free + s.find_request(x_.request)->held, 200 * credit);
  EXPECT_TRUE(check_invariants(s));
  // Whoever asked before hears who was convicted.
  std::vector<keeper_answer> answers;
  keeper_->take(ledger_world::node(3), {}, {1, ask_account{ledger_world::node(3)}}, answers);
  EXPECT_EQ(std::get<account_report>(answers.at(0).what.body).ejected,
            std::vector<node_id>{cast_.id(1)});
}

TEST_F(convictions_asked_for, need_evidence_that_convicts) {
  EXPECT_THAT(refused(ask(7, bytes_of(x_))), HasSubstr("not the one"));
  convict other = x_;
  other.guilty = cast_.id(0);
  EXPECT_THAT(refused(ask(7, bytes_of(other), evidence_)), HasSubstr("the evidence convicts"));
  other = x_;
  other.request = leaf_hash({});
  EXPECT_THAT(refused(ask(7, bytes_of(other), evidence_)), HasSubstr("never a reservation"));
  EXPECT_FALSE(keeper_->book().view().find(cast_.id(1))->ejected);
  EXPECT_TRUE(kept_.empty());
}

TEST_F(convictions_asked_for, by_replay_come_from_verifiers_with_verdicts_of_verifiers) {
  const auto with_verdicts = [&](convict y, std::uint8_t a, std::uint8_t b) {
    for (const std::uint8_t who : {a, b}) {
      y.verdicts.push_back(give_verdict(ledger_world::key(who), id_, y));
    }
    std::sort(y.verdicts.begin(), y.verdicts.end(),
              [](const verdict& l, const verdict& r) { return l.verifier < r.verifier; });
    return bytes_of(y);
  };
  const role_set verifier = role_set{}.add(role::verifier);
  const ovir::conviction c = by_replay(1);
  const convict unseen = named(c, false);
  EXPECT_THAT(refused(ask(120, with_verdicts(unseen, 120, 121), {}, verifier)),
              HasSubstr("not examined here yet"));
  const convict x = named(c);
  EXPECT_THAT(refused(ask(120, with_verdicts(x, 120, 121), {}, scheduler)),
              HasSubstr("comes from a verifier"));
  EXPECT_THAT(refused(ask(120, with_verdicts(x, 120, 50), {}, verifier)),
              HasSubstr("is no verifier here"));
  EXPECT_FALSE(keeper_->book().view().find(cast_.id(1))->ejected);
  EXPECT_TRUE(kept_.empty());
  EXPECT_EQ(refused(ask(120, with_verdicts(x, 120, 121), {}, verifier)), "");
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
  EXPECT_EQ(kept_.at(x.evidence), encode_audit(c).value());
}

TEST_F(convictions_asked_for, by_replay_need_two_opinions_about_this_request_and_no_admission) {
  const role_set verifier = role_set{}.add(role::verifier);
  const auto say = [&](const convict& what) {
    std::vector<keeper_answer> answers;
    convict x = what;
    x.verdicts = {give_verdict(ledger_world::key(120), id_, x)};
    keeper_->take(ledger_world::node(120), verifier, {++message_, vouch{x}}, answers);
    return answers.empty() ? std::string{"waits"} : refused(answers.front().what);
  };
  using enum audit_kernels;
  EXPECT_EQ(say(named(by_replay(1))), "waits");
  EXPECT_THAT(say(named(by_replay(2, {{120, avx2}, {121, avx2}}))), HasSubstr("of one kind"));
  EXPECT_THAT(say(named(by_replay(3, {{120, avx2}, {122, reference}}))),
              HasSubstr("of one operator"));
  EXPECT_THAT(say(named(by_replay(4, {{120, avx2}, {50, reference}}))),
              HasSubstr("does not count"));
  EXPECT_THAT(say(named(by_replay(5, {{121, avx2}, {122, reference}}))),
              HasSubstr("gave no verdict"));
  ovir::conviction c = by_replay(6);
  c.computed.bytes[0] ^= 1; // nobody's verdict
  EXPECT_THAT(say(named(c)), HasSubstr("does not count"));
  c = by_replay(7);
  c.place.window = 1;
  EXPECT_THAT(say(named(c)), HasSubstr("does not count"));
  c = by_replay(8);
  c.receipts = {encode_receipt(cast_.other_question())};
  EXPECT_THAT(say(named(c)), HasSubstr("about another request"));
  c = by_replay(9);
  c.guilty = cast_.id(0);
  EXPECT_THAT(say(named(c)), HasSubstr("does not convict"));
  c = by_replay(10);
  c.admission = admit_fault(cast_.key(1), c, audit_fault::hardware);
  EXPECT_THAT(say(named(c)), HasSubstr("admitted a fault"));
  convict x = named(by_replay(11));
  x.window = 7;
  EXPECT_THAT(say(x), HasSubstr("from window 0 on"));
  x = named(by_replay(12));
  examined_[x.evidence].back() ^= std::byte{1};
  EXPECT_THAT(say(x), HasSubstr("is not the evidence"));
}

TEST_F(convictions_asked_for, by_equivocation_of_who_admitted_it_take_no_stake) {
  ovir::conviction c = by_replay(1);
  c.admission = admit_fault(cast_.key(1), c, audit_fault::hardware);
  examined_[x_.evidence] = encode_audit(c).value(); // what this node knows of the guilty one
  EXPECT_THAT(refused(ask(7, bytes_of(x_), evidence_)), HasSubstr("admitted a fault"));
  EXPECT_FALSE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(convictions_asked_for, by_equivocation_need_statements_of_the_same_software) {
  receipt other = cast_.honest();
  other.stages[1].statements[2].units[1].bytes[0] ^= 1;
  other.stages[1].signer.software += ", updated";
  cast_.sign_stage(other, 1);
  const auto fault =
      find_fault(equivocation{terms_of(other.asked), cast_.honest().stages[1], other.stages[1]});
  ASSERT_FALSE(fault);
  EXPECT_THAT(fault.error().message, HasSubstr("different software"));
}

TEST_F(convictions_asked_for, by_two_verifiers_that_each_vouch_for_it) {
  const role_set verifier = role_set{}.add(role::verifier);
  std::vector<keeper_answer> answers;
  const auto say = [&](std::uint8_t from, convict x, std::uint8_t signer, role_set roles) {
    x.verdicts = {give_verdict(ledger_world::key(signer), id_, x)};
    answers.clear();
    keeper_->take(ledger_world::node(from), roles, {++message_, vouch{x}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return answers.empty() ? std::string{"waits"} : refused(answers.front().what);
  };
  const auto ejected = [&] { return keeper_->book().view().find(cast_.id(1))->ejected; };
  const convict x = named(by_replay(1));
  EXPECT_THAT(say(120, x, 120, scheduler), HasSubstr("comes from a verifier"));
  EXPECT_THAT(say(50, x, 50, verifier), HasSubstr("is no verifier here"));
  EXPECT_THAT(say(121, x, 120, verifier), HasSubstr("its own verdict alone"));
  EXPECT_EQ(say(120, x, 120, verifier), "waits");
  EXPECT_EQ(say(120, x, 120, verifier), "waits") << "one verifier is no two";
  // Forgers who sign all they say: two that say different things convict nobody.
  EXPECT_EQ(say(121, named(by_replay(2)), 121, verifier), "waits");
  convict other = x;
  other.finder = ledger_world::node(121);
  EXPECT_THAT(say(121, other, 121, verifier), HasSubstr("the finder"));
  EXPECT_FALSE(ejected());
  // A signature of something else: of another window.
  convict forged = x;
  forged.window = 3;
  forged.verdicts = {give_verdict(ledger_world::key(121), id_, forged)};
  forged.window = 0;
  answers.clear();
  keeper_->take(ledger_world::node(121), verifier, {++message_, vouch{forged}}, answers);
  EXPECT_THAT(refused(answers.at(0).what), HasSubstr("is not signed by it"));

  EXPECT_EQ(say(121, x, 121, verifier), "");
  EXPECT_TRUE(ejected());
  EXPECT_EQ(kept_.at(x.evidence), examined_.at(x.evidence));
  EXPECT_TRUE(std::holds_alternative<promise>(answers.front().what.body));
  EXPECT_TRUE(check_invariants(keeper_->book().view()));
  // Whoever says it again hears that it is done.
  EXPECT_EQ(say(120, x, 120, verifier), "");
  EXPECT_EQ(std::get<account_report>(answers.front().what.body).ejected,
            std::vector<node_id>{cast_.id(1)});
}

class vouched_for_much : public convictions_asked_for {
protected:
  std::string say(std::uint8_t from, std::uint32_t which) {
    convict x = named(by_replay(which));
    x.verdicts = {give_verdict(ledger_world::key(from), id_, x)};
    std::vector<keeper_answer> answers;
    keeper_->take(ledger_world::node(from), role_set{}.add(role::verifier), {++message_, vouch{x}},
                  answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return answers.empty() ? std::string{"waits"} : refused(answers.front().what);
  }
};

// More than are kept of one: nobody is told to come back later, its oldest goes.
TEST_F(vouched_for_much, a_verifier_loses_the_oldest) {
  const auto most = static_cast<std::uint32_t>(limits::ledger_vouched_per_verifier_max);
  for (std::uint32_t i = 0; i <= most; ++i) {
    ++now_;
    ASSERT_EQ(say(120, 1'000 + i), "waits");
  }
  EXPECT_EQ(say(121, 1'000), "waits") << "the first is gone: this is the only word for it";
  EXPECT_EQ(say(121, 1'001), "") << "the second is there";
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(vouched_for_much, what_is_not_repeated_is_forgotten_in_time) {
  std::vector<keeper_answer> answers;
  ASSERT_EQ(say(120, 0), "waits");
  now_ += limits::ledger_vouch_lasts_s;
  ASSERT_EQ(say(120, 0), "waits") << "said again, it lasts";
  now_ += limits::ledger_vouch_lasts_s;
  ASSERT_TRUE(keeper_->commit(now_, {}, answers));
  ASSERT_EQ(say(120, 0), "waits");
  now_ += limits::ledger_vouch_lasts_s + 1;
  ASSERT_TRUE(keeper_->commit(now_, {}, answers));
  EXPECT_EQ(say(121, 0), "waits");
  EXPECT_FALSE(keeper_->book().view().find(cast_.id(1))->ejected);
  EXPECT_EQ(say(120, 0), "");
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(convictions_asked_for, that_two_vouched_for_and_the_rules_refuse_may_be_vouched_for_again) {
  // Its last window of positions is the second that is paid.
  const reserve later = reservation(1, 40);
  ASSERT_EQ(refused(ask(1, signed_by(1, later))), "");
  ASSERT_EQ(refused(ask(1, signed_by(1, everything(later, 20)))), "");
  const role_set verifier = role_set{}.add(role::verifier);
  std::vector<keeper_answer> answers;
  const auto both = [&] {
    answers.clear();
    for (const std::uint8_t who : {std::uint8_t{120}, std::uint8_t{121}}) {
      convict x = named(by_replay(1));
      x.request = escrow_of(later);
      x.window = 1;
      x.verdicts = {give_verdict(ledger_world::key(who), id_, x)};
      keeper_->take(ledger_world::node(who), verifier, {++message_, vouch{x}}, answers);
    }
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return refused(answers.front().what);
  };
  EXPECT_THAT(both(), HasSubstr("has no window 1")); // not paid yet
  const message m = ask(
      1, signed_by(1, [&] {
        accrue a = everything(later, 30);
        a.window = 1;
        const std::uint64_t gross = 10 * credit;
        std::vector<weighted> weights;
        for (const window_share& s : a.computed) {
          weights.push_back({s.node, 1});
        }
        const auto parts =
            split(gross - scaled(gross, ledger_world::rules().rules.fee_ppm, 1'000'000), weights)
                .value();
        for (std::size_t i = 0; i < parts.size(); ++i) {
          a.computed[i].amount = parts[i];
        }
        return a;
      }()));
  ASSERT_EQ(refused(m), "");
  EXPECT_EQ(both(), "");
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(keepers, serve_their_log_to_followers) {
  mint(1, 5);
  mint(2, 5);
  std::vector<keeper_answer> answers;
  keeper_->take(ledger_world::node(3), {}, {1, ask_entries{0}}, answers);
  const auto& run = std::get<entry_run>(answers.at(0).what.body);
  ASSERT_EQ(run.entries.size(), 3U);
  EXPECT_TRUE(signed_by_majority(run.head, keeper_->book().view().origin().keepers));
  EXPECT_EQ(leaf_hash(run.entries[0]), id_);
}

} // namespace
} // namespace ovir::ledger
