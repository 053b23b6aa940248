// Ledgers of several keepers: which heads of theirs are believed, and whom two of them convict.
#include "ledger/keeper/keeper.hpp"
#include "ledger/keeper/participants.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/rules/proof.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::memory_file;
using ::testing::HasSubstr;

constexpr std::uint8_t strangers_number = 99;

/// The numbers of `count` keys, ascending by key.
std::vector<std::uint8_t> keepers_numbered(std::size_t count) {
  std::vector<std::uint8_t> all;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(static_cast<std::uint8_t>(210 + i));
  }
  std::sort(all.begin(), all.end(), [](std::uint8_t a, std::uint8_t b) {
    return ledger_world::node(a) < ledger_world::node(b);
  });
  return all;
}

std::vector<node_id> keys_of(const std::vector<std::uint8_t>& numbers) {
  std::vector<node_id> all;
  for (const std::uint8_t n : numbers) {
    all.push_back(ledger_world::node(n));
  }
  return all;
}

genesis rules_with(std::size_t count) {
  genesis rules = ledger_world::rules();
  rules.keepers = keys_of(keepers_numbered(count));
  return rules;
}

/// Signed by each of them, in any order.
signed_head signed_by_all(const std::vector<std::uint8_t>& numbers, const log_head& head) {
  signed_head h = sign(ledger_world::key(numbers.front()), head);
  for (const std::uint8_t n : numbers) {
    EXPECT_TRUE(join(h, sign(ledger_world::key(n), head).signatures.front()));
  }
  return h;
}

log_head some_head(std::uint64_t size) {
  return {digest{{1}}, size, digest{{2}}, digest{{3}}, ledger_world::t0};
}

bool decodes(const signed_head& h) { return signed_head_from(to_bytes(h)).has_value(); }

TEST(majorities, of_three_and_of_five_keepers_are_believed_and_fewer_are_not) {
  for (const std::size_t count : {1U, 3U, 5U, 7U}) {
    const std::vector<std::uint8_t> group = keepers_numbered(count);
    const std::vector<node_id> keepers = keys_of(group);
    const log_head head = some_head(9);
    for (std::size_t who = 1; who < (std::size_t{1} << count); ++who) { // every set of signers
      std::vector<std::uint8_t> signers;
      for (std::size_t i = 0; i < count; ++i) {
        if ((who >> i & 1U) != 0) {
          signers.push_back(group[count - 1 - i]);
        }
      }
      const signed_head h = signed_by_all(signers, head);
      ASSERT_EQ(h.signatures.size(), signers.size());
      ASSERT_EQ(signed_by_majority(h, keepers), signers.size() > count / 2) << who;
      ASSERT_EQ(signed_head_from(to_bytes(h)).value(), h);
    }
  }
}

TEST(majorities, have_no_stranger_and_no_bad_signature_among_them) {
  for (const std::size_t count : {3U, 5U}) {
    const std::vector<std::uint8_t> group = keepers_numbered(count);
    const std::vector<node_id> keepers = keys_of(group);
    const log_head head = some_head(9);
    const signed_head good = signed_by_all(group, head);
    ASSERT_TRUE(signed_by_majority(good, keepers));
    std::vector<std::uint8_t> with_stranger = group;
    with_stranger.push_back(strangers_number);
    const signed_head strange = signed_by_all(with_stranger, head);
    EXPECT_TRUE(signatures_hold(strange)) << "its signature is its own";
    EXPECT_FALSE(signed_by_majority(strange, keepers));
    EXPECT_FALSE(signed_by_majority(good, {})) << "of no keepers none are most";
    for (std::size_t bad = 0; bad < count; ++bad) {
      signed_head forged = good;
      forged.signatures[bad].proof.bytes[5] ^= 1;
      EXPECT_FALSE(signed_by_majority(forged, keepers)) << "though the others are most of them";
      forged.signatures[bad] = {keepers[bad], {}};
      EXPECT_FALSE(signed_by_majority(forged, keepers));
      // One that its keeper did make, for another head of the same size.
      log_head other = head;
      other.root.bytes[0] ^= 1;
      forged.signatures[bad] = sign(ledger_world::key(group[bad]), other).signatures.front();
      EXPECT_FALSE(signed_by_majority(forged, keepers));
      // Another keeper's under this one's name.
      forged.signatures[bad] = {keepers[bad], good.signatures[(bad + 1) % count].proof};
      EXPECT_FALSE(signed_by_majority(forged, keepers));
    }
    signed_head moved = good;
    moved.head = some_head(10);
    EXPECT_FALSE(signed_by_majority(moved, keepers));
  }
}

TEST(majorities, count_no_keeper_twice_and_have_one_order) {
  const std::vector<std::uint8_t> group = keepers_numbered(5);
  const std::vector<node_id> keepers = keys_of(group);
  const signed_head two = signed_by_all({group[0], group[1]}, some_head(9));
  signed_head doubled = two;
  doubled.signatures.insert(doubled.signatures.begin(), two.signatures.front());
  EXPECT_FALSE(signed_by_majority(doubled, keepers));
  EXPECT_FALSE(signatures_hold(doubled));
  EXPECT_FALSE(decodes(doubled));
  signed_head turned = signed_by_all({group[0], group[1], group[2]}, some_head(9));
  ASSERT_TRUE(signed_by_majority(turned, keepers));
  std::swap(turned.signatures[0], turned.signatures[2]);
  EXPECT_FALSE(signed_by_majority(turned, keepers));
  EXPECT_FALSE(decodes(turned));
  const signed_head none{some_head(9), {}};
  EXPECT_FALSE(signed_by_majority(none, keepers));
  EXPECT_FALSE(signatures_hold(none));
  EXPECT_FALSE(decodes(none));
}

TEST(majorities, grow_by_signatures_of_the_same_head_alone) {
  const std::vector<std::uint8_t> group = keepers_numbered(7);
  const signed_head first = sign(ledger_world::key(group[3]), some_head(9));
  signed_head h = first;
  EXPECT_TRUE(join(h, first.signatures.front()));
  EXPECT_EQ(h, first) << "there already";
  const head_signature of_another = sign(ledger_world::key(group[1]), some_head(8)).signatures[0];
  EXPECT_EQ(join(h, of_another).error().code, errc::invalid_argument);
  EXPECT_EQ(join(h, {ledger_world::node(group[1]), {}}).error().code, errc::invalid_argument);
  EXPECT_EQ(h, first) << "a signature that is refused changes nothing";
  h = signed_by_all(group, some_head(9));
  EXPECT_EQ(signers_of(h), keys_of(group));
  const head_signature one_more =
      sign(ledger_world::key(strangers_number), h.head).signatures.front();
  EXPECT_EQ(join(h, one_more).error().code, errc::over_limit);
}

TEST(majorities, claim_no_more_signatures_than_there_may_be) {
  const signed_head h = signed_by_all(keepers_numbered(limits::ledger_keepers_max), some_head(9));
  std::vector<std::byte> bytes = to_bytes(h);
  const std::size_t count_at = 2 + 32 + 8 + 32 + 32 + 8;
  ASSERT_EQ(bytes[count_at], std::byte{limits::ledger_keepers_max});
  ASSERT_LE(bytes.size(), limits::ledger_entry_bytes_max);
  for (const unsigned claimed : {0U, 1U, 6U, 8U, 255U}) {
    bytes[count_at] = std::byte{static_cast<std::uint8_t>(claimed)};
    EXPECT_FALSE(signed_head_from(bytes)) << claimed;
  }
  bytes[count_at] = std::byte{8};
  bytes.resize(bytes.size() + 96);
  EXPECT_EQ(signed_head_from(bytes).error().code, errc::over_limit);
}

/// Canonical bytes of a genesis entry, whatever its keepers.
std::vector<std::byte> genesis_bytes(std::vector<node_id> keepers) {
  genesis rules = ledger_world::rules();
  rules.keepers = std::move(keepers);
  std::vector<std::byte> bytes;
  encode(entry{ledger_world::t0, rules, {}}, bytes);
  return bytes;
}

TEST(genesis_of_keepers, names_an_odd_number_of_different_ones_in_order) {
  for (const std::size_t count : {1U, 3U, 5U, 7U}) {
    const std::vector<std::byte> bytes = genesis_bytes(keys_of(keepers_numbered(count)));
    const auto read = decode_entry(bytes);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(std::get<genesis>(read->what).keepers, keys_of(keepers_numbered(count)));
  }
  std::vector<std::vector<node_id>> wrong;
  for (const std::size_t count : {0U, 2U, 4U, 6U, 8U, 9U}) {
    wrong.push_back(keys_of(keepers_numbered(count)));
  }
  const std::vector<node_id> three = keys_of(keepers_numbered(3));
  wrong.push_back({three[0], three[0], three[1]});
  wrong.push_back({three[1], three[0], three[2]});
  wrong.push_back({node_id{}});
  wrong.push_back({node_id{}, three[0], three[1]});
  for (const std::vector<node_id>& keepers : wrong) {
    genesis rules = ledger_world::rules();
    rules.keepers = keepers;
    EXPECT_FALSE(check_form(rules)) << keepers.size();
    EXPECT_FALSE(decode_entry(genesis_bytes(keepers))) << keepers.size();
    memory_file file;
    EXPECT_FALSE(ledger::create(file, rules, ledger_world::t0, {})) << keepers.size();
    EXPECT_TRUE(file.content.empty()) << "nothing is begun";
  }
}

/// Three keepers' log, and another that differs in its second entry. The heads say who signed.
class ledgers_of_three : public testing::Test {
protected:
  ledgers_of_three() : honest(begin(honest_file)), forged(begin(forged_file)) {
    ledger_world world{honest.id()};
    ledger_world same{forged.id()};
    for (std::uint8_t n = 1; n < 6; ++n) {
      const auto one = world.mint(1, n * credit);
      const auto other = same.mint(n == 2 ? 3 : 1, n * credit);
      EXPECT_TRUE(honest.commit(std::span{&one, 1}, ledger_world::t0).value().commands[0].done);
      EXPECT_TRUE(forged.commit(std::span{&other, 1}, ledger_world::t0).value().commands[0].done);
    }
  }

  static ledger begin(memory_file& file) {
    return ledger::create(file, rules_with(3), ledger_world::t0, {}).value();
  }
  [[nodiscard]] signed_head head_of(const ledger& book, std::vector<int> who) const {
    std::vector<std::uint8_t> signers;
    for (const int i : who) {
      signers.push_back(group[static_cast<std::size_t>(i)]);
    }
    return signed_by_all(signers, book.head());
  }
  [[nodiscard]] auto convicted(const signed_head& first, const signed_head& second) const {
    return check_fork({first, second, {}, {}}, honest.id(), keepers);
  }

  std::vector<std::uint8_t> group = keepers_numbered(3);
  std::vector<node_id> keepers = keys_of(group);
  memory_file honest_file;
  memory_file forged_file;
  ledger honest;
  ledger forged;
};

TEST_F(ledgers_of_three, a_fork_convicts_each_keeper_that_signed_both_heads) {
  using list = std::vector<node_id>;
  const list& k = keepers;
  EXPECT_EQ(convicted(head_of(honest, {0, 1}), head_of(forged, {1, 2})).value(), list{k[1]});
  EXPECT_EQ(convicted(head_of(honest, {0, 1, 2}), head_of(forged, {0, 2})).value(),
            (list{k[0], k[2]}));
  EXPECT_EQ(convicted(head_of(honest, {0, 1, 2}), head_of(forged, {0, 1, 2})).value(), k);
  EXPECT_EQ(convicted(head_of(honest, {2}), head_of(forged, {2, 0})).value(), list{k[2]})
      << "one that lies is one, however few it is with";
}

TEST_F(ledgers_of_three, a_fork_convicts_no_keeper_that_signed_one_head_only) {
  const auto apart = convicted(head_of(honest, {0}), head_of(forged, {1}));
  ASSERT_FALSE(apart) << "two minorities";
  EXPECT_THAT(apart.error().message, HasSubstr("convicts none"));
  EXPECT_FALSE(convicted(head_of(honest, {0, 1}), head_of(forged, {2})));
  // What 2 never signed is put beside a signature of its own.
  signed_head framed = head_of(forged, {1});
  framed.signatures.push_back({keepers[2], head_of(honest, {2}).signatures[0].proof});
  EXPECT_FALSE(convicted(head_of(honest, {2}), framed));
  // A stranger signs both, and both are of one log.
  const signed_head one = signed_by_all({strangers_number}, honest.head());
  EXPECT_FALSE(convicted(one, signed_by_all({strangers_number}, forged.head())));
  EXPECT_FALSE(convicted(head_of(honest, {0, 1}), head_of(honest, {1, 2})));
  EXPECT_FALSE(check_fork({head_of(honest, {1}), head_of(forged, {1}), {}, {}}, digest{}, keepers));
}

TEST_F(ledgers_of_three, are_followed_by_heads_of_most_keepers) {
  memory_file file;
  ledger replica = begin(file);
  std::vector<std::vector<std::byte>> all;
  for (std::uint64_t i = 1; i < honest.log().size(); ++i) {
    all.push_back(honest.log().entry_at(i).value());
  }
  EXPECT_EQ(replica.follow(all, head_of(honest, {1}), {}).error().code, errc::invalid_argument);
  ASSERT_TRUE(replica.sound());
  ASSERT_TRUE(replica.follow(all, head_of(honest, {0, 2}), {}));
  EXPECT_EQ(replica.head(), honest.head());
}

TEST_F(ledgers_of_three, are_verified_against_heads_of_most_keepers_alone) {
  const signed_head believed = head_of(honest, {0, 1});
  const signed_head alone = head_of(honest, {1});
  ASSERT_FALSE(verify_log(honest_file, {.heads = {believed}}).value().fault);
  const auto rewritten = verify_log(forged_file, {.heads = {believed}}).value();
  ASSERT_TRUE(rewritten.fault);
  EXPECT_THAT(rewritten.fault->what, HasSubstr("rewritten"));
  EXPECT_EQ(rewritten.keepers, keepers);
  EXPECT_EQ(verify_log(forged_file, {.heads = {alone}}).error().code, errc::invalid_argument)
      << "one of three says nothing against a log";
  const acknowledgement promise = honest.acknowledge(2, alone).value();
  EXPECT_EQ(verify_log(forged_file, {.promises = {promise}}).error().code, errc::invalid_argument);
  EXPECT_EQ(participants_at(alone, honest_file).error().code, errc::invalid_argument);
  EXPECT_TRUE(participants_at(believed, honest_file));
}

TEST_F(ledgers_of_three, have_no_head_that_one_of_them_signed_alone) {
  const secret_key key = ledger_world::key(group[0]);
  keeper_surroundings around;
  around.key = &key;
  around.last_head = head_of(honest, {0});
  keeper one = keeper::make(std::move(honest), around).value();
  EXPECT_FALSE(one.has_head());
  EXPECT_FALSE(signed_by_majority(one.own_head(), keepers));
  std::vector<keeper_answer> answers;
  one.take(ledger_world::node(1), {}, {7, ask_account{ledger_world::node(1)}}, answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(std::get<refusal>(answers[0].what.body).reason.code, errc::busy);
}

TEST_F(ledgers_of_three, are_kept_by_no_stranger) {
  const secret_key key = ledger_world::key(77);
  keeper_surroundings around;
  around.key = &key;
  EXPECT_EQ(keeper::make(std::move(honest), around).error().code, errc::invalid_argument);
}

TEST_F(ledgers_of_three, report_accounts_and_promise_by_most_keepers) {
  account_report report;
  report.genesis = honest.log().entry_at(0).value();
  report.head = head_of(honest, {0, 2});
  const auto first = check_report(report, keepers[1]);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->keepers, keepers);
  EXPECT_FALSE(check_report(report, ledger_world::node(strangers_number)))
      << "who is asked is no keeper";
  account_report wrong = report;
  wrong.head = head_of(honest, {1});
  EXPECT_THAT(check_report(wrong, keepers[1]).error().message, HasSubstr("more than half"));
  wrong.head = report.head;
  wrong.head.head.ledger.bytes[0] ^= 1;
  EXPECT_FALSE(check_report(wrong, keepers[1])) << "another ledger's name";
  // The same keepers keep another ledger, too: its head is not this one's.
  genesis others = rules_with(3);
  others.salt.bytes[0] ^= 1;
  memory_file file;
  const ledger another = ledger::create(file, others, ledger_world::t0, {}).value();
  wrong.head = head_of(another, {0, 2});
  EXPECT_FALSE(check_report(wrong, keepers[1]));
  wrong.genesis = another.log().entry_at(0).value();
  EXPECT_TRUE(check_report(wrong, keepers[1])) << "of that ledger it is right";
  // The one that is asked and two of its own keys, with this ledger's name.
  wrong = report;
  wrong.genesis = genesis_bytes(keys_of(keepers_numbered(5)));
  EXPECT_FALSE(check_report(wrong, keepers[1]));
  wrong.genesis = honest.log().entry_at(1).value();
  EXPECT_FALSE(check_report(wrong, keepers[1])) << "no first entry";

  std::vector<std::byte> asked = honest.log().entry_at(2).value();
  std::fill_n(asked.begin(), 8, std::byte{0});
  promise p{ledger_world::t0, honest.acknowledge(2, head_of(honest, {0, 1})).value()};
  EXPECT_TRUE(check_promise(p, asked, honest.id(), keepers));
  p.entry.head = head_of(honest, {1});
  EXPECT_FALSE(check_promise(p, asked, honest.id(), keepers));
}

TEST_F(ledgers_of_three, prove_that_they_grew_whoever_signed_which_head) {
  const signed_head before = head_of(honest, {0, 1});
  ledger_world world{honest.id()};
  for (int i = 0; i < 5; ++i) {
    static_cast<void>(world.mint(1, 1)); // nonces that are used
  }
  const auto one = world.mint(1, credit);
  ASSERT_TRUE(honest.commit(std::span{&one, 1}, ledger_world::t0).value().commands[0].done);
  const signed_head after = head_of(honest, {1, 2});
  const consistency grown{before, after,
                          honest.prove_consistency(before.head.size, after.head.size).value()};
  EXPECT_TRUE(check_proof(proof_from(to_bytes(grown)).value()).empty());
}

} // namespace
} // namespace ovir::ledger
