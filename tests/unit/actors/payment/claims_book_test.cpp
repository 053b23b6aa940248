// What stages are paid by their own word, against a ledger that checks every share, and what is
// kept from forgers who know the form, own valid keys and recompute all digests.
#include "actors/payment/claims_book.hpp"
#include "actors/payment/payment_core.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/limits/credit.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using ledger::credit;
using test::ledger_world;
using test::receipt_maker;

constexpr std::uint64_t claim_t0 = ledger_world::t0;

/// 70 prompt tokens, 21 drawn: 90 positions, windows of 32, 32 and 26, three stages. Node 1 pays,
/// and the lead drives the request.
class claims_of_stages : public ::testing::Test {
protected:
  claims_of_stages() {
    (void)ledger::ledger::create(file_, ledger_world::rules(), claim_t0, {}).value();
    ledger::log_report report;
    book_.emplace(ledger::ledger::open(file_, {}, report).value());
    world_.emplace(book_->id());
    apply(world_->mint(1, 200 * credit));
    reservation_.payer = ledger_world::node(1);
    reservation_.scheduler = cast_.id(receipt_maker::lead);
    reservation_.about = ledger::about_of(terms_of(r_.asked));
    reservation_.rate = credit;
    reservation_.prompt = r_.asked.prompt.size();
    reservation_.completion_max = 60;
    reservation_.expires = claim_t0 + 1'000;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      reservation_.stages.push_back({cast_.id(i), 3, 1'000'000});
    }
    reservation_.nonce = 1;
    const ledger::command c = reservation_;
    apply(ledger::authenticate(book_->id(), c,
                               ledger::sign_action(ledger_world::key(1), book_->id(), c))
              .value());
  }

  void apply(const ledger::authentic_command& c, std::uint64_t time = claim_t0 + 1) {
    const auto out = book_->commit(std::span{&c, 1}, time).value();
    EXPECT_TRUE(out.commands[0].done) << out.commands[0].why.message;
    EXPECT_TRUE(ledger::check_invariants(book_->view()));
  }
  [[nodiscard]] claimed_request about() const {
    claimed_request now;
    now.reservation = reservation_;
    now.report.request = ledger::escrow_of(reservation_);
    const auto* const q = book_->view().find_request(now.report.request);
    now.report.known = q != nullptr;
    if (q != nullptr) {
      now.report.open = q->open && !q->ended;
      now.report.held = q->held;
      now.report.windows = static_cast<std::uint32_t>(q->windows.size());
      now.report.accounted = q->accounted;
      now.report.prompt_accounted = q->prompt_accounted;
      now.payees = q->path;
      now.payees.insert(now.payees.end(), rerouted_.begin(), rerouted_.end());
    }
    return now;
  }
  /// What stage `i` of `r` signed about windows below `windows`, with who sent it what.
  static stage_records signed_by(const receipt& r, std::size_t i, std::uint32_t windows = 3) {
    stage_records records = r.stages[i];
    records.statements.resize(windows);
    records.senders = {i == 0 ? r.lead : r.stages[i - 1].signer};
    return records;
  }
  result<void> claim(const node_id& from, const evidence_terms& terms,
                     const stage_records& records) {
    return claims_.take(from, {terms, encode_evidence({r_.asked.request, records, {}})}, about(),
                        now_);
  }
  void claim_all(const receipt& r, std::uint32_t windows = 3) {
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      const auto taken = claim(cast_.id(i), terms_of(r_.asked), signed_by(r, i, windows));
      EXPECT_TRUE(taken) << taken.error().message;
    }
  }
  /// After so long, what is entered.
  std::vector<ledger::command> after(std::chrono::seconds time) {
    now_ += time;
    return claims_.due(around());
  }
  [[nodiscard]] claims_book::surroundings around() const {
    const claims_book::look_up find =
        [this](const ledger::escrow_id&) -> std::optional<claimed_request> {
      const auto known = about();
      return takes_claims(known.report) ? std::optional{known} : std::nullopt;
    };
    return {find,
            ledger_world::rules().rules,
            &ejected_,
            [this](const node_id&) { return driver_is_there_; },
            now_,
            [this](const ledger::window_share& s, const ledger::escrow_id& request) {
              return book_->view().is_paid(s, request);
            }};
  }
  std::size_t enter(std::chrono::seconds time) {
    const auto due = after(time);
    for (const ledger::command& c : due) {
      apply(ledger::by_log_keeper(book_->id(), c).value());
    }
    return due.size();
  }
  [[nodiscard]] std::uint64_t pending(std::size_t i) const {
    const ledger::account* const a = book_->view().find(cast_.id(i));
    return a == nullptr ? 0 : a->pending;
  }
  [[nodiscard]] std::uint64_t free_credit() const {
    return book_->view().find(ledger_world::node(1))->free;
  }

  receipt_maker cast_;
  receipt r_ = cast_.honest();
  test::memory_file file_;
  std::optional<ledger::ledger> book_;
  std::optional<ledger_world> world_;
  ledger::reserve reservation_;
  claims_book claims_;
  std::set<node_id> ejected_;
  std::vector<node_id> rerouted_;
  bool driver_is_there_{false};
  claims_book::time_point now_{};
};

TEST_F(claims_of_stages, are_paid_once_their_driver_is_silent_and_the_rest_comes_back) {
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet - 1s), 0U);
  EXPECT_EQ(enter(1s), 1U);
  EXPECT_EQ(pending(0), 30'030'000U) << "91 tokens less a hundredth, in three parts";
  EXPECT_EQ(pending(1), 30'030'000U);
  EXPECT_EQ(pending(2), 30'030'000U);
  EXPECT_EQ(free_credit(), 70 * credit) << "130 are reserved";
  EXPECT_EQ(enter(1s), 0U);
  EXPECT_EQ(enter(limits::claim_quiet), 0U) << "it may come back";
  EXPECT_EQ(enter(limits::claim_ends_away - limits::claim_quiet), 1U);
  EXPECT_EQ(free_credit(), (200 - 91) * credit);
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  EXPECT_TRUE(claims_.empty());
  EXPECT_EQ(claims_.bytes(), 0U);
}

/// What the driver signs.
ledger::authentic_command said_by(const receipt_maker& cast, const digest& book,
                                  const ledger::command& c) {
  return ledger::authenticate(book, c, ledger::sign_action(cast.key(receipt_maker::lead), book, c))
      .value();
}

TEST_F(claims_of_stages, are_paid_in_full_where_their_driver_ends_the_request_early) {
  const ledger::escrow_id escrow = ledger::escrow_of(reservation_);
  const node_id& driver = cast_.id(receipt_maker::lead);
  apply(said_by(cast_, book_->id(), ledger::settle{escrow, driver}));
  EXPECT_EQ(free_credit(), 70 * credit) << "it does not come back yet";
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet_ended - 1s), 0U);
  EXPECT_EQ(enter(1s), 1U);
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    EXPECT_EQ(pending(i), 30'030'000U) << i << ": as if it had paid all 91 tokens";
  }
  EXPECT_EQ(enter(limits::claim_ends), 0U) << "what is left comes back by itself";
  const std::uint64_t end = claim_t0 + 1 + limits::ledger_claims_wait_s;
  const auto expires_at = [&](std::uint64_t time) {
    const auto due = book_->view().due(time, 10);
    return std::any_of(due.begin(), due.end(), [](const ledger::command& c) {
      return std::holds_alternative<ledger::expire>(c);
    });
  };
  EXPECT_FALSE(expires_at(end - 1));
  EXPECT_TRUE(expires_at(end));
  apply(ledger::by_log_keeper(book_->id(), ledger::expire{escrow}).value(), end);
  EXPECT_EQ(free_credit(), (200 - 91) * credit);
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  EXPECT_TRUE(claims_.empty());
}

// The driver says that one token was drawn, of 21, and ends the request: nothing is left to it.
TEST_F(claims_of_stages, are_paid_for_the_part_of_a_window_that_their_driver_leaves_out) {
  const ledger::escrow_id escrow = ledger::escrow_of(reservation_);
  ledger::reserve shorter = reservation_;
  shorter.completion_max = 1;
  payment_core core{terms_of(r_.asked), shorter, ledger_world::rules().rules};
  computing_path path;
  for (const stage_records& s : r_.stages) {
    path.emplace_back(s.signer.node, s.signer.layers);
  }
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    core.take(path, {r_.asked.request, signed_by(r_, i), {}}, 0);
  }
  auto some = std::get<ledger::accrue>(core.next({}).value());
  some.request = escrow;
  some.scheduler = cast_.id(receipt_maker::lead);
  apply(said_by(cast_, book_->id(), some));
  EXPECT_EQ(pending(0), 23'430'000U) << "71 tokens less a hundredth, in three parts";
  apply(said_by(cast_, book_->id(), ledger::settle{escrow, some.scheduler}));
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet_ended), 1U);
  for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
    EXPECT_EQ(pending(i), 30'030'000U) << i << ": as if it had paid all 91 tokens";
  }
  EXPECT_EQ(enter(limits::claim_quiet_ended), 0U) << "once";
}

// Another goes on with the request, and pays for all that was stated before: by the last statement,
// which binds those that are claimed. A cheap reservation closes no claims.
TEST_F(claims_of_stages, are_not_paid_for_what_another_reservation_pays) {
  const ledger::transfer gift{ledger_world::node(1), cast_.id(receipt_maker::lead), 40 * credit, 2};
  apply(ledger::authenticate(book_->id(), gift,
                             ledger::sign_action(ledger_world::key(1), book_->id(), gift))
            .value());
  reservation_.prompt = 10;
  reservation_.completion_max = 20;
  reservation_.nonce = 3;
  const ledger::command first = reservation_;
  apply(ledger::authenticate(book_->id(), first,
                             ledger::sign_action(ledger_world::key(1), book_->id(), first))
            .value());
  computing_path path;
  for (const stage_records& s : r_.stages) {
    path.emplace_back(s.signer.node, s.signer.layers);
  }
  const auto pay_all = [&](std::uint64_t rate, std::uint64_t nonce) {
    ledger::reserve second = reservation_;
    second.payer = second.scheduler;
    second.scheduler = {};
    second.rate = rate;
    second.prompt = 91;
    second.completion_max = 0;
    second.nonce = nonce;
    apply(said_by(cast_, book_->id(), second));
    payment_core core{terms_of(r_.asked), second, ledger_world::rules().rules};
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      core.take(path, {r_.asked.request, signed_by(r_, i), {}}, 0);
    }
    core.end();
    auto all = std::get<ledger::accrue>(core.next({}).value());
    all.scheduler = second.payer;
    apply(said_by(cast_, book_->id(), all));
  };
  claim_all(r_);
  pay_all(10'000, 1);
  EXPECT_EQ(after(limits::claim_quiet).size(), 1U) << "all of 30 tokens in the first window";
  for (const ledger::command& c : book_->view().due(claim_t0 + 200, 10)) {
    if (std::holds_alternative<ledger::release>(c)) {
      apply(ledger::by_log_keeper(book_->id(), c).value(), claim_t0 + 200);
    }
  }
  pay_all(340'000, 2);
  EXPECT_TRUE(after(limits::claim_quiet).empty());
  EXPECT_TRUE(std::holds_alternative<ledger::settle>(after(limits::claim_ends_away).at(0)));
}

// Another keeper of the ledger says that it follows from claims.
TEST_F(claims_of_stages, show_what_another_keeper_invents) {
  claim_all(r_);
  const auto right = after(limits::claim_quiet);
  ASSERT_EQ(right.size(), 1U);
  EXPECT_TRUE(claims_.say(right.front(), around()));
  auto wrong = std::get<ledger::accrue>(right.front());
  std::swap(wrong.computed[0].amount, wrong.computed[1].amount);
  wrong.computed[0].amount += 1;
  EXPECT_FALSE(claims_.say(wrong, around()));
  wrong = std::get<ledger::accrue>(right.front());
  wrong.request.bytes[0] ^= 1;
  EXPECT_FALSE(claims_.say(wrong, around()));
  const ledger::settle end{ledger::escrow_of(reservation_)};
  EXPECT_FALSE(claims_.say(end, around())) << "a window is unpaid";
  apply(ledger::by_log_keeper(book_->id(), right.front()).value());
  EXPECT_FALSE(claims_.say(end, around())) << "its scheduler may go on";
  EXPECT_TRUE(after(limits::claim_quiet).empty());
  now_ += limits::claim_ends_away;
  EXPECT_TRUE(claims_.say(end, around()));
}

TEST_F(claims_of_stages, are_settled_far_later_where_their_driver_is_there) {
  driver_is_there_ = true;
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  EXPECT_EQ(enter(limits::claim_ends - limits::claim_quiet), 0U);
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
  EXPECT_EQ(free_credit(), (200 - 91) * credit);
}

TEST_F(claims_of_stages, wait_for_all_stages_of_a_path) {
  for (const std::size_t i : {0U, 2U}) {
    ASSERT_TRUE(claim(cast_.id(i), terms_of(r_.asked), signed_by(r_, i)));
  }
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  EXPECT_EQ(enter(limits::claim_quiet), 0U) << "nor is the request settled";
  ASSERT_TRUE(claim(cast_.id(1), terms_of(r_.asked), signed_by(r_, 1)));
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
}

// In the prompt there is nothing to pay before its last window.
TEST_F(claims_of_stages, are_paid_for_what_all_stated) {
  claim_all(r_, 2);
  EXPECT_TRUE(after(limits::claim_quiet - 1s).empty());
  ASSERT_TRUE(claim(cast_.id(0), terms_of(r_.asked), signed_by(r_, 0)));
  EXPECT_TRUE(after(limits::claim_quiet).empty());
  const auto due = after(limits::claim_ends_away);
  ASSERT_EQ(due.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<ledger::settle>(due.front()));
}

TEST_F(claims_of_stages, are_not_paid_to_who_was_convicted) {
  ejected_.insert(cast_.id(1));
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
  EXPECT_EQ(pending(1), 0U);
  EXPECT_EQ(pending(0), 45'045'000U);
}

TEST_F(claims_of_stages, are_taken_from_who_signed_and_is_reserved_for_alone) {
  const evidence_terms terms = terms_of(r_.asked);
  EXPECT_EQ(claim(cast_.id(1), terms, signed_by(r_, 0)).error().code, errc::invalid_argument);
  receipt mine = r_;
  cast_.sign_stage(mine, 0, receipt_maker::stranger);
  EXPECT_EQ(claim(cast_.id(receipt_maker::stranger), terms, signed_by(mine, 0)).error().code,
            errc::invalid_argument)
      << "a stranger with a key of its own";
  EXPECT_EQ(
      claim(cast_.id(0), terms_of(cast_.other_question().asked), signed_by(r_, 0)).error().code,
      errc::not_found);
  EXPECT_TRUE(claims_.empty());
  EXPECT_FALSE(claims_.take(cast_.id(0), {terms, {std::byte{1}}}, about(), now_));
}

// All three stages are one forger's, and the driver is gone: it sent them one window.
TEST_F(claims_of_stages, are_not_paid_for_what_no_driver_sent) {
  claim_all(r_);
  receipt forged = r_;
  forged.stages[0].statements[1].input.bytes[0] ^= 1U; // tokens that the driver did not send
  cast_.sign_stage(forged, 0);
  ASSERT_TRUE(claim(cast_.id(0), terms_of(r_.asked), signed_by(forged, 0)));
  EXPECT_TRUE(after(limits::claim_quiet).empty());
}

TEST_F(claims_of_stages, are_not_paid_where_a_stage_signs_for_the_driver) {
  claim_all(r_);
  stage_records first = signed_by(r_, 0);
  first.senders = {r_.stages[1].signer};
  ASSERT_TRUE(claim(cast_.id(0), terms_of(r_.asked), first));
  EXPECT_TRUE(after(limits::claim_quiet).empty());
}

TEST_F(claims_of_stages, are_not_paid_where_one_states_another_input_than_was_sent) {
  claim_all(r_);
  receipt forged = r_;
  statement& s = forged.stages[1].statements[2];
  s.input.bytes[0] ^= 1U;
  s.received = sign_link(
      cast_.key(0), // the stage before agrees, and stated something else
      link_digest(terms_of(r_.asked), r_.stages[0].signer, s.window, s.positions, s.input));
  cast_.sign_stage(forged, 1);
  ASSERT_TRUE(claim(cast_.id(1), terms_of(r_.asked), signed_by(forged, 1)));
  EXPECT_TRUE(after(limits::claim_quiet).empty());
}

TEST_F(claims_of_stages, are_not_paid_for_statements_that_are_not_signed) {
  claim_all(r_);
  stage_records unsigned_one = signed_by(r_, 2);
  unsigned_one.statements[0].proof.bytes[5] ^= 1U;
  ASSERT_TRUE(claim(cast_.id(2), terms_of(r_.asked), unsigned_one));
  EXPECT_TRUE(after(limits::claim_quiet).empty());
}

// It took in what was sent, signs something else as its result, and is named: no other stage built
// on that.
TEST_F(claims_of_stages, are_kept_from_nobody_by_who_claims_the_same_place) {
  rerouted_ = {cast_.id(receipt_maker::stranger)};
  receipt forged = r_;
  for (statement& s : forged.stages[1].statements) {
    s.units.back().bytes[0] ^= 1U;
  }
  cast_.sign_stage(forged, 1, receipt_maker::stranger);
  ASSERT_TRUE(claim(rerouted_.front(), terms_of(r_.asked), signed_by(forged, 1)));
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
  EXPECT_EQ(pending(1), 30'030'000U);
  EXPECT_EQ(pending(receipt_maker::stranger), 0U);
}

TEST_F(claims_of_stages, are_for_as_many_layers_as_were_reserved_for) {
  stage_records greedy = cast_.make({1, 9, 70, 21, 17}).stages[0];
  greedy.senders = {r_.lead};
  EXPECT_EQ(claim(cast_.id(0), terms_of(r_.asked), greedy).error().code, errc::invalid_argument);
}

// A stage that claims under another model does not change what the others are paid.
TEST_F(claims_of_stages, under_other_terms_stand_beside_the_others) {
  claim_all(r_);
  evidence_terms other = terms_of(r_.asked);
  other.model.bytes[0] ^= 1U;
  stage_records elsewhere = signed_by(r_, 0);
  elsewhere.signer.layers = {0, 9};
  for (statement& s : elsewhere.statements) {
    s.units.resize(9);
    s.kv.resize(9);
  }
  (void)claim(cast_.id(1), other, signed_by(r_, 1)); // its own, instead of what it claimed
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  claim_all(r_);
  EXPECT_EQ(enter(limits::claim_quiet), 1U);
  EXPECT_EQ(pending(0), 30'030'000U);
}

TEST_F(claims_of_stages, wait_while_their_driver_accrues) {
  claim_all(r_);
  now_ += limits::claim_quiet - 1s;
  EXPECT_TRUE(after(0s).empty());
  // The driver pays the first window, by the same statements.
  const auto due = [&] {
    claims_book other;
    for (std::size_t i = 0; i < receipt_maker::stages; ++i) {
      EXPECT_TRUE(other.take(
          cast_.id(i),
          {terms_of(r_.asked), encode_evidence({r_.asked.request, signed_by(r_, i), {}})}, about(),
          now_ - 1h));
    }
    std::swap(other, claims_);
    auto found = after(0s);
    std::swap(other, claims_);
    return found;
  }();
  ASSERT_EQ(due.size(), 1U);
  apply(ledger::by_log_keeper(book_->id(), due.front()).value());
  EXPECT_EQ(enter(1s), 0U) << "it has just accrued";
  EXPECT_EQ(enter(limits::claim_quiet), 0U);
  EXPECT_EQ(enter(limits::claim_ends_away), 1U) << "nothing is left but to settle";
  EXPECT_EQ(pending(0), 30'030'000U) << "paid once";
}

TEST_F(claims_of_stages, are_bounded) {
  stage_records long_one = signed_by(r_, 0);
  const evidence_terms terms = terms_of(r_.asked);
  ASSERT_TRUE(claim(cast_.id(0), terms, long_one));
  const std::size_t one = claims_.bytes();
  ASSERT_TRUE(claim(cast_.id(0), terms, long_one));
  EXPECT_EQ(claims_.bytes(), one) << "told again it takes the same place";
  long_one.commitments.clear(); // behind what is known
  result<void> taken;
  for (std::size_t i = 0; taken && i <= limits::claimed_request_bytes_max / one * 2; ++i) {
    taken = claim(cast_.id(0), terms, long_one);
  }
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, errc::busy);
  EXPECT_LE(claims_.bytes(), limits::claimed_request_bytes_max);
}

} // namespace
} // namespace ovir::actors
