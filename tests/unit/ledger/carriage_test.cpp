// What relays are paid: by who received, what it signed for, each byte once, and by none else.
#include "ledger/keeper/ledger.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/rules/invariants.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/limits/carriage.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"
#include "tests/support/memory_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr std::uint64_t part = limits::relay_part_bytes;
constexpr micro_credits fee = 1'000; // of the rules, for a MiB

class carriage_of_relays : public testing::Test {
protected:
  static constexpr std::uint8_t relay = 1;
  static constexpr std::uint8_t sender = 2;
  static constexpr std::uint8_t receiver = 3;
  static constexpr std::uint8_t other = 4;

  carriage_of_relays() : book_(opened()), world_(book_.id()) {
    must(world_.mint(receiver, 10 * credit));
  }
  ledger opened() {
    (void)ledger::create(file_, rules(), t0, {}).value();
    ledger_options how;
    how.index = &index_;
    open_report unused;
    return ledger::open(file_, how, unused).value();
  }
  static genesis rules() {
    genesis g = ledger_world::rules();
    g.rules.relay_fee = fee;
    g.rules.actions_per_minute_max = 1'000'000;
    return g;
  }
  static counted_stream stream(std::uint64_t bytes, std::uint8_t session = 7) {
    counted_stream s{ledger_world::node(relay),
                     ledger_world::node(sender),
                     ledger_world::node(receiver),
                     {},
                     bytes};
    s.session.fill(session);
    return s;
  }
  static carried_part counted(const counted_stream& s, std::uint32_t number = 0,
                              std::uint8_t signer = receiver) {
    return {s, number, ledger_world::key(signer).sign(count_domain, count_statement(s))};
  }
  /// As the relay signs it; what the door says of it.
  result<authentic_command> claim(const carried_part& what, std::uint8_t by = relay) {
    const command c = carriage{what, ++nonce_};
    return authenticate(book_.id(), c, sign_action(ledger_world::key(by), book_.id(), c));
  }
  command_outcome commit(const authentic_command& one) {
    const digest before = hash_plain(book_.view().snapshot());
    batch_outcome out = book_.commit({&one, 1}, t0).value();
    const auto right = check_invariants(book_.view());
    EXPECT_TRUE(right) << right.error().message;
    if (!out.commands[0].done) {
      EXPECT_EQ(hash_plain(book_.view().snapshot()), before) << "refused, but something changed";
    }
    return std::move(out.commands[0]);
  }
  void must(const authentic_command& one) {
    const auto out = commit(one);
    EXPECT_TRUE(out.done) << out.why.message;
  }
  void must(const carried_part& what) {
    const auto one = claim(what);
    ASSERT_TRUE(one) << one.error().message;
    must(*one);
  }
  /// Wherever it is refused: at the door or by the rules.
  error refusal(const carried_part& what, std::uint8_t by = relay) {
    const auto one = claim(what, by);
    if (!one) {
      return one.error();
    }
    const auto out = commit(*one);
    EXPECT_FALSE(out.done);
    return out.why;
  }
  [[nodiscard]] micro_credits free(std::uint8_t who) const {
    const account* const a = book_.view().find(ledger_world::node(who));
    return a == nullptr ? 0 : a->free;
  }

  test::memory_file file_;
  test::memory_index index_;
  ledger book_;
  ledger_world world_;
  std::uint64_t nonce_{0};
};

TEST_F(carriage_of_relays, is_paid_by_who_received_for_the_bytes_that_it_signed_for) {
  must(counted(stream(3 * mib)));
  EXPECT_EQ(free(relay), 3 * fee);
  EXPECT_EQ(free(receiver), 10 * credit - 3 * fee);
  EXPECT_EQ(free(sender), 0U);
  must(counted(stream(mib, 8)));
  EXPECT_EQ(free(relay), 4 * fee) << "another stream";
}

TEST_F(carriage_of_relays, is_in_the_statements_of_both_from_the_index_too) {
  must(counted(stream(3 * mib)));
  book_.absorb();
  for (const std::uint8_t who : {relay, receiver}) {
    const auto lines = book_.statement(ledger_world::node(who));
    ASSERT_TRUE(lines) << lines.error().message;
    ASSERT_FALSE(lines->empty());
    EXPECT_EQ(lines->back().what.kind, posting_kind::carriage);
    EXPECT_EQ(lines->back().what.amount, 3 * fee);
    EXPECT_EQ(lines->back().out, who == receiver);
  }
}

TEST_F(carriage_of_relays, is_paid_once_for_each_byte_whatever_counts_are_shown) {
  std::mt19937_64 random{44}; // the seed
  for (std::uint8_t session = 0; session < 20; ++session) {
    const micro_credits before = free(relay);
    const std::uint64_t most = 1 + random() % (4 * part);
    for (int i = 0; i < 40; ++i) { // any counts, up to the last that was signed, for any parts
      const std::uint64_t bytes = i == 0 ? most : 1 + random() % most;
      if (const auto one = claim(counted(stream(bytes, session), random() % 5))) {
        (void)commit(*one);
      }
    }
    EXPECT_LE(free(relay) - before, most * fee >> 20U) << most << " bytes of stream " << session;
  }
  const micro_credits before = free(relay);
  const std::uint64_t most = 3 * part + 5 * mib;
  for (std::uint32_t i = 0; i < 4; ++i) {
    must(counted(stream(most, 99), i));
  }
  EXPECT_EQ(free(relay) - before, most / mib * fee);
}

TEST_F(carriage_of_relays, is_not_paid_again_for_a_count_that_comes_again) {
  const carried_part first = counted(stream(2 * mib));
  must(first);
  EXPECT_THAT(refusal(first).message, HasSubstr("under the same id")) << "under a new nonce";
  EXPECT_THAT(refusal(counted(stream(2 * mib + 1))).message, HasSubstr("under the same id"))
      << "a later count of the same part";
  EXPECT_EQ(free(relay), 2 * fee);
}

TEST_F(carriage_of_relays, is_not_paid_by_a_count_that_the_receiver_did_not_sign) {
  carried_part inflated = counted(stream(mib));
  inflated.what.bytes = 60 * mib;
  EXPECT_THAT(refusal(inflated).message, HasSubstr("is not signed by it"));
  EXPECT_THAT(refusal(counted(stream(mib), 0, relay)).message, HasSubstr("is not signed by it"))
      << "a relay signs for itself";
  EXPECT_THAT(refusal(counted(stream(mib), 0, sender)).message, HasSubstr("is not signed by it"));
  carried_part of_another = counted(stream(mib));
  of_another.what.receiver = ledger_world::node(other);
  EXPECT_THAT(refusal(of_another).message, HasSubstr("is not signed by it"));
  carried_part elsewhere = counted(stream(mib));
  elsewhere.what.session.fill(9);
  EXPECT_THAT(refusal(elsewhere).message, HasSubstr("is not signed by it")) << "another stream";
  carried_part by_another = counted(stream(mib));
  by_another.what.relay = ledger_world::node(other);
  EXPECT_THAT(refusal(by_another, other).message, HasSubstr("is not signed by it"))
      << "a count that names another relay";
  EXPECT_THAT(refusal(counted(stream(mib)), other).message, HasSubstr("is not signed by"))
      << "another asks in the relay's name";
  EXPECT_EQ(free(relay), 0U);
  EXPECT_EQ(free(receiver), 10 * credit);
}

TEST_F(carriage_of_relays, is_between_two_others) {
  counted_stream own = stream(mib);
  own.receiver = own.relay;
  EXPECT_THAT(refusal(counted(own, 0, relay)).message, HasSubstr("between two others"));
  own = stream(mib);
  own.sender = own.relay;
  EXPECT_THAT(refusal(counted(own)).message, HasSubstr("between two others"));
  own = stream(mib);
  own.sender = own.receiver;
  EXPECT_THAT(refusal(counted(own)).message, HasSubstr("between two others"));
}

TEST_F(carriage_of_relays, is_of_parts_that_the_count_reaches) {
  EXPECT_THAT(refusal(counted(stream(part), 1)).message, HasSubstr("has 1 parts"));
  EXPECT_THAT(refusal(counted(stream(0))).message, HasSubstr("has 0 parts"));
  EXPECT_THAT(refusal(counted(stream(~std::uint64_t{0}), 5)).message, HasSubstr("parts of"));
  EXPECT_THAT(refusal(counted(stream(part + 1), ~std::uint32_t{0})).message, HasSubstr("2 parts"));
  EXPECT_THAT(refusal(counted(stream(1))).message, HasSubstr("cost nothing here"));
  EXPECT_THAT(refusal(counted(stream(part + 1), 1)).message, HasSubstr("cost nothing here"));
}

TEST_F(carriage_of_relays, waits_until_the_receiver_has_credits) {
  counted_stream poor = stream(mib);
  poor.receiver = ledger_world::node(other);
  const error why = refusal(counted(poor, 0, other));
  EXPECT_EQ(why.code, errc::over_limit);
  EXPECT_THAT(why.message, HasSubstr("less than 1000"));
  must(world_.mint(other, fee));
  must(counted(poor, 0, other));
  EXPECT_EQ(free(other), 0U);
  EXPECT_EQ(free(relay), fee);
}

TEST_F(carriage_of_relays, costs_nothing_where_the_rules_say_so) {
  test::memory_file file;
  genesis free_of_charge = rules();
  free_of_charge.rules.relay_fee = 0;
  ledger book = ledger::create(file, free_of_charge, t0, {}).value();
  const command c = carriage{counted(stream(part)), 1};
  const auto one =
      authenticate(book.id(), c, sign_action(ledger_world::key(relay), book.id(), c)).value();
  const auto out = book.commit({&one, 1}, t0).value();
  EXPECT_THAT(out.commands[0].why.message, HasSubstr("cost nothing here"));
  EXPECT_EQ(free_policy().relay_fee, 0U);
}

TEST_F(carriage_of_relays, is_checked_again_by_who_follows_the_log) {
  // A keeper that lets a forged count in is found by each follower.
  carried_part inflated = counted(stream(mib));
  inflated.what.bytes = 60 * mib;
  const command c = carriage{inflated, 1};
  const signature proof = sign_action(ledger_world::key(relay), book_.id(), c);
  EXPECT_THAT(check_signatures(book_.id(), c, proof).error().message,
              HasSubstr("is not signed by it"));
}

TEST(parts_of_streams, add_up_to_the_count) {
  for (const std::uint64_t bytes : {std::uint64_t{1}, part - 1, part, part + 1, 7 * part + 3}) {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < 10; ++i) {
      sum += bytes_of_part(bytes, i);
    }
    EXPECT_EQ(sum, bytes);
  }
  EXPECT_EQ(carriage_price(part, limits::relay_fee_max), 64 * limits::relay_fee_max);
}

} // namespace
} // namespace ovir::ledger
