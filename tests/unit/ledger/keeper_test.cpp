// Who may ask the keeper of a ledger for what, and what it promises.
#include "ledger/equivocation.hpp"
#include "ledger/invariants.hpp"
#include "ledger/keeper.hpp"
#include "messages/limits_credit.hpp"
#include "tests/support/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/receipt_maker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::receipt_maker;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
const role_set scheduler = role_set{}.add(role::scheduler);

class keepers : public ::testing::Test {
protected:
  keepers() { open(true); }

  void open(bool make) {
    keeper_.reset();
    if (make) {
      (void)ledger::create(file_, ledger_world::rules(), t0, {}).value();
    }
    log_report report;
    keeper_surroundings around;
    around.key = &key_;
    around.keep_evidence = [this](const digest& name, std::span<const std::byte> bytes) {
      kept_[name] = {bytes.begin(), bytes.end()};
      return result<void>{};
    };
    around.roles_of = [](const node_id& node) {
      return node == ledger_world::node(120) || node == ledger_world::node(121)
                 ? role_set{}.add(role::verifier)
                 : role_set{};
    };
    keeper_.emplace(keeper::make(ledger::open(file_, {}, report).value(), around).value());
    id_ = keeper_->book().id();
  }

  static std::vector<std::byte> bytes_of(const command& c, const signature& proof = {}) {
    std::vector<std::byte> bytes;
    encode({0, c, proof}, bytes);
    return bytes;
  }
  std::vector<std::byte> signed_by(std::uint8_t who, const command& c) {
    return bytes_of(c, sign_action(ledger_world::key(who), id_, c));
  }
  /// Sends it as node `from` and returns what the keeper answers after a batch.
  message ask(std::uint8_t from, std::vector<std::byte> entry, std::vector<std::byte> evidence = {},
              role_set roles = scheduler) {
    std::vector<keeper_answer> answers;
    keeper_->take(ledger_world::node(from), roles,
                  {++message_, submit{std::move(entry), std::move(evidence)}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    for (const keeper_answer& a : answers) {
      if (a.what.id == message_) {
        EXPECT_EQ(a.to, ledger_world::node(from));
        return a.what;
      }
    }
    ADD_FAILURE() << "no answer";
    return {};
  }
  static std::string refused(const message& m) {
    const auto* const r = std::get_if<refusal>(&m.body);
    return r == nullptr ? std::string{} : r->reason.message;
  }
  void mint(std::uint8_t to, std::uint64_t amount) {
    const command c =
        ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                           ledger_world::node(to), amount, ++nonce_};
    EXPECT_EQ(refused(ask(9, signed_by(ledger_world::minter, c))), "");
  }
  reserve reservation(std::uint8_t payer, std::uint64_t prompt = 70) {
    reserve r;
    r.payer = ledger_world::node(payer);
    r.about = about_of(terms_of(cast_.honest().asked));
    r.rate = credit;
    r.prompt = prompt;
    r.completion_max = 30;
    r.expires = t0 + 500;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      r.stages.push_back({cast_.id(i), 3, 1'000'000});
    }
    r.nonce = ++nonce_;
    return r;
  }
  /// Everything up to a frontier, in equal parts.
  accrue everything(const reserve& r, std::uint64_t frontier) {
    accrue a;
    a.request = escrow_of(r);
    a.frontier = frontier;
    const std::uint64_t gross = (r.prompt + frontier) * credit;
    std::vector<weighted> weights;
    std::map<node_id, std::uint64_t> order;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      weights.push_back({cast_.id(i), 1});
    }
    const auto parts =
        split(gross - scaled(gross, ledger_world::rules().rules.fee_ppm, 1'000'000), weights)
            .value();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      a.computed.push_back(
          {weights[i].participant, 1, parts[i], 3, 3, ledger_world::statement(frontier << 8U | i)});
    }
    return a;
  }

  test::memory_file file_;
  secret_key key_ = ledger_world::key(ledger_world::keeper);
  std::optional<keeper> keeper_;
  digest id_;
  std::map<digest, std::vector<std::byte>> kept_;
  receipt_maker cast_;
  std::uint64_t message_{0};
  std::uint64_t nonce_{0};
  std::uint64_t now_{t0 + 1};
};

TEST_F(keepers, promise_what_lasts_and_again_when_it_is_sent_again) {
  const command c =
      ovir::ledger::mint{ledger_world::node(ledger_world::minter), mint_target::participant,
                         ledger_world::node(1), 5, ++nonce_};
  const std::vector<std::byte> entry = signed_by(ledger_world::minter, c);
  const message first = ask(1, entry);
  const auto* const p = std::get_if<promise>(&first.body);
  ASSERT_NE(p, nullptr) << refused(first);
  EXPECT_TRUE(check_promise(*p, entry, id_, key_.id()));
  EXPECT_EQ(p->entry.entry.index, 1U);
  now_ += 50;
  open(false); // killed and started again
  const message second = ask(1, entry);
  const auto* const q = std::get_if<promise>(&second.body);
  ASSERT_NE(q, nullptr) << refused(second);
  EXPECT_EQ(q->time, p->time);
  EXPECT_EQ(q->entry.entry.index, 1U);
  EXPECT_TRUE(check_promise(*q, entry, id_, key_.id()));
  EXPECT_EQ(keeper_->book().log().size(), 2U);
  // It is a promise of this command, by this keeper, for this ledger alone.
  std::vector<std::byte> other = entry;
  other.back() ^= std::byte{1};
  EXPECT_FALSE(check_promise(*q, other, id_, key_.id()));
  EXPECT_FALSE(check_promise(*q, entry, digest{}, key_.id()));
  EXPECT_FALSE(check_promise(*q, entry, id_, ledger_world::node(1)));
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
  for (std::size_t i = 0; i <= limits::ledger_waiting_per_node_max; ++i) {
    keeper_->take(ledger_world::node(1), scheduler,
                  {i, submit{bytes_of(settle{leaf_hash({})}), {}}}, answers);
  }
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<refusal>(answers[0].what.body).reason.code, errc::busy);
  keeper_->take(ledger_world::node(2), scheduler, {1, submit{bytes_of(settle{digest{}}), {}}},
                answers);
  EXPECT_EQ(answers.size(), 1U) << "one sender does not shut out another";
}

TEST_F(keepers, refuse_what_is_not_for_the_sender) {
  mint(1, 200 * credit);
  const reserve r = reservation(1);
  EXPECT_EQ(refused(ask(5, signed_by(1, r))), "") << "the signature counts, not who carries it";
  EXPECT_THAT(refused(ask(2, bytes_of(everything(r, 5)))), HasSubstr("who alone may accrue"));
  EXPECT_THAT(refused(ask(2, bytes_of(settle{escrow_of(r)}))), HasSubstr("who alone may settle"));
  EXPECT_THAT(refused(ask(1, bytes_of(expire{escrow_of(r)}))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, bytes_of(release{escrow_of(r), 0}))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, bytes_of(ledger_world::rules()))), HasSubstr("nobody sends it"));
  EXPECT_THAT(refused(ask(1, signed_by(2, r))), HasSubstr("not signed by"));
  EXPECT_EQ(refused(ask(1, bytes_of(everything(r, 5)))), "");
  EXPECT_EQ(refused(ask(1, bytes_of(settle{escrow_of(r)}))), "");
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
    EXPECT_THAT(refused(ask(other, bytes_of(everything(r, 10)))), HasSubstr("who alone may"));
    EXPECT_THAT(refused(ask(other, bytes_of(settle{escrow_of(r)}))), HasSubstr("who alone may"));
  }
  const cancel early{escrow_of(r), ledger_world::node(1), ++nonce_};
  EXPECT_THAT(refused(ask(1, signed_by(1, early))), HasSubstr("is entrusted to"))
      << "it could take the answer first";
  EXPECT_EQ(refused(ask(2, bytes_of(everything(r, 10)))), "");
  accrue more = everything(r, 31);
  more.window = 1;
  EXPECT_THAT(refused(ask(2, bytes_of(more))), HasSubstr("only 30 were reserved for"));
  EXPECT_EQ(refused(ask(2, bytes_of(settle{escrow_of(r)}))), "");
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

class convictions_asked_for : public keepers {
protected:
  convictions_asked_for() {
    mint(1, 200 * credit);
    paid_ = reservation(1);
    EXPECT_EQ(refused(ask(1, signed_by(1, paid_))), "");
    EXPECT_EQ(refused(ask(1, bytes_of(everything(paid_, 20)))), "");
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
  convict x = x_;
  x.kind = evidence_kind::replay;
  const auto with_verdicts = [&](std::uint8_t a, std::uint8_t b) {
    convict y = x;
    for (const std::uint8_t who : {a, b}) {
      y.verdicts.push_back(give_verdict(ledger_world::key(who), id_, y));
    }
    std::sort(y.verdicts.begin(), y.verdicts.end(),
              [](const verdict& l, const verdict& r) { return l.verifier < r.verifier; });
    return bytes_of(y);
  };
  const role_set verifier = role_set{}.add(role::verifier);
  EXPECT_THAT(refused(ask(120, with_verdicts(120, 121), {}, scheduler)),
              HasSubstr("comes from a verifier"));
  EXPECT_THAT(refused(ask(120, with_verdicts(120, 50), {}, verifier)),
              HasSubstr("is no verifier here"));
  EXPECT_EQ(refused(ask(120, with_verdicts(120, 121), {}, verifier)), "");
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(convictions_asked_for, by_two_verifiers_that_each_vouch_for_it) {
  const role_set verifier = role_set{}.add(role::verifier);
  std::vector<keeper_answer> answers;
  const auto say = [&](std::uint8_t from, convict x, std::uint8_t signer, role_set roles) {
    x.kind = evidence_kind::replay;
    x.verdicts = {give_verdict(ledger_world::key(signer), id_, x)};
    answers.clear();
    keeper_->take(ledger_world::node(from), roles, {++message_, vouch{x}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return answers.empty() ? std::string{"waits"} : refused(answers.front().what);
  };
  const auto ejected = [&] { return keeper_->book().view().find(cast_.id(1))->ejected; };
  EXPECT_THAT(say(120, x_, 120, scheduler), HasSubstr("comes from a verifier"));
  EXPECT_THAT(say(50, x_, 50, verifier), HasSubstr("is no verifier here"));
  EXPECT_THAT(say(121, x_, 120, verifier), HasSubstr("its own verdict alone"));
  EXPECT_EQ(say(120, x_, 120, verifier), "waits");
  EXPECT_EQ(say(120, x_, 120, verifier), "waits") << "one verifier is no two";
  convict other = x_; // forgers who sign all they say: two that say different things convict nobody
  other.evidence = leaf_hash({});
  EXPECT_EQ(say(121, other, 121, verifier), "waits");
  other = x_;
  other.finder = ledger_world::node(121);
  EXPECT_EQ(say(121, other, 121, verifier), "waits");
  other = x_;
  other.window = 7;
  EXPECT_EQ(say(121, other, 121, verifier), "waits");
  EXPECT_FALSE(ejected());
  // A signature of something else: of another window.
  convict forged = x_;
  forged.kind = evidence_kind::replay;
  forged.window = 3;
  forged.verdicts = {give_verdict(ledger_world::key(121), id_, forged)};
  forged.window = 0;
  answers.clear();
  keeper_->take(ledger_world::node(121), verifier, {++message_, vouch{forged}}, answers);
  EXPECT_THAT(refused(answers.at(0).what), HasSubstr("is not signed by it"));

  EXPECT_EQ(say(121, x_, 121, verifier), "");
  EXPECT_TRUE(ejected());
  EXPECT_TRUE(std::holds_alternative<promise>(answers.front().what.body));
  EXPECT_TRUE(check_invariants(keeper_->book().view()));
  // Whoever says it again hears that it is done.
  EXPECT_EQ(say(120, x_, 120, verifier), "");
  EXPECT_EQ(std::get<account_report>(answers.front().what.body).ejected,
            std::vector<node_id>{cast_.id(1)});
}

TEST_F(convictions_asked_for, by_verifiers_that_vouch_for_much_are_forgotten_in_time) {
  const role_set verifier = role_set{}.add(role::verifier);
  std::vector<keeper_answer> answers;
  const auto say = [&](std::uint8_t from, std::uint32_t window) {
    convict x = x_;
    x.kind = evidence_kind::replay;
    x.window = window;
    x.verdicts = {give_verdict(ledger_world::key(from), id_, x)};
    answers.clear();
    keeper_->take(ledger_world::node(from), verifier, {++message_, vouch{x}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return answers.empty() ? std::string{"waits"} : refused(answers.front().what);
  };
  // More than are kept of one: nobody is told to come back later, its oldest goes.
  const auto most = static_cast<std::uint32_t>(limits::ledger_vouched_per_verifier_max);
  for (std::uint32_t i = 0; i <= most; ++i) {
    ++now_;
    ASSERT_EQ(say(120, 1'000 + i), "waits");
  }
  EXPECT_EQ(say(121, 1'000), "waits") << "the first is gone: this is the only word for it";
  EXPECT_THAT(say(121, 1'001), HasSubstr("has no window")) << "the second is there";
  // What nobody repeats is forgotten.
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
  const role_set verifier = role_set{}.add(role::verifier);
  std::vector<keeper_answer> answers;
  const auto both = [&](std::uint32_t window) {
    answers.clear();
    for (const std::uint8_t who : {std::uint8_t{120}, std::uint8_t{121}}) {
      convict x = x_;
      x.kind = evidence_kind::replay;
      x.window = window;
      x.verdicts = {give_verdict(ledger_world::key(who), id_, x)};
      keeper_->take(ledger_world::node(who), verifier, {++message_, vouch{x}}, answers);
    }
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    return refused(answers.front().what);
  };
  EXPECT_THAT(both(1), HasSubstr("has no window 1")); // not paid yet
  const message m = ask(
      1, bytes_of([&] {
        accrue a = everything(paid_, 30);
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
  EXPECT_EQ(both(1), "");
  EXPECT_TRUE(keeper_->book().view().find(cast_.id(1))->ejected);
}

TEST_F(keepers, serve_their_log_to_followers) {
  mint(1, 5);
  mint(2, 5);
  std::vector<keeper_answer> answers;
  keeper_->take(ledger_world::node(3), {}, {1, ask_entries{0}}, answers);
  const auto& run = std::get<entry_run>(answers.at(0).what.body);
  ASSERT_EQ(run.entries.size(), 3U);
  EXPECT_TRUE(signed_by_its_keeper(run.head));
  EXPECT_EQ(leaf_hash(run.entries[0]), id_);
}

} // namespace
} // namespace ovir::ledger
