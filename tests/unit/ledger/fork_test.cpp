// Keepers who rewrite: they know the format, own valid keys and recompute every check.
#include "ledger/keeper/verify.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;
using test::memory_file;

constexpr std::uint64_t t0 = ledger_world::t0;

ledger_options options() {
  ledger_options o;
  o.log.step_bytes = 4'096;
  return o;
}

signed_head head_of(const ledger& book) {
  return sign(ledger_world::key(ledger_world::keeper), book.head());
}

std::vector<std::vector<std::byte>> entries_of(const ledger& book, std::uint64_t first) {
  std::vector<std::vector<std::byte>> out;
  for (std::uint64_t n = first; n < book.log().size(); ++n) {
    out.push_back(book.log().entry_at(n).value());
  }
  return out;
}

/// Two logs of one keeper that differ in entry 2 only, and go on alike.
class fork_test : public testing::Test {
protected:
  fork_test() : honest(begin(honest_file)), forged(begin(forged_file)) {
    ledger_world world{honest.id()};
    const authentic_command mint = world.mint(1, 100 * credit);
    const authentic_command to_two = world.transfer(1, 2, credit);
    ledger_world same{honest.id()};
    static_cast<void>(same.mint(1, 1));
    const authentic_command to_three = same.transfer(1, 3, credit);
    const authentic_command later = world.transfer(1, 4, credit);
    for (ledger* book : {&honest, &forged}) {
      run(*book, mint);
      run(*book, book == &honest ? to_two : to_three);
      run(*book, later);
    }
  }

  static ledger begin(memory_file& file) {
    return ledger::create(file, ledger_world::rules(), t0, options()).value();
  }
  static void run(ledger& book, const authentic_command& one) {
    ASSERT_TRUE(book.commit(std::span{&one, 1}, t0).value().commands[0].done);
  }
  fork_evidence evidence_at(std::uint64_t index) {
    return {head_of(honest), head_of(forged), honest.prove(index, honest.log().size()).value(),
            forged.prove(index, forged.log().size()).value()};
  }
  std::vector<node_id> keepers = ledger_world::rules().keepers;

  memory_file honest_file;
  memory_file forged_file;
  ledger honest;
  ledger forged;
};

TEST_F(fork_test, a_rewritten_log_is_sound_by_itself_and_convicted_by_a_followers_head) {
  ASSERT_FALSE(verify_log(forged_file, {}).value().fault) << "the forger recomputed everything";
  const verify_report seen = verify_log(forged_file, {.heads = {head_of(honest)}}).value();
  ASSERT_TRUE(seen.fault);
  EXPECT_NE(seen.fault->what.find("rewritten"), std::string::npos);
  ASSERT_FALSE(verify_log(honest_file, {.heads = {head_of(honest)}}).value().fault);
}

TEST_F(fork_test, a_broken_promise_is_found_at_its_entry_and_convicts) {
  const acknowledgement promise = honest.acknowledge(2, head_of(honest)).value();
  const verify_report seen = verify_log(forged_file, {.promises = {promise}}).value();
  ASSERT_TRUE(seen.fault);
  EXPECT_EQ(seen.fault->entry, 2U);
  const fork_evidence e{promise.head, head_of(forged), promise.entry, forged.prove(2, 4).value()};
  EXPECT_TRUE(check_fork(e, honest.id(), keepers));
  EXPECT_TRUE(check_fork(fork_evidence_from(to_bytes(e)).value(), honest.id(), keepers));
}

TEST_F(fork_test, two_heads_of_one_size_convict_and_of_different_sizes_with_an_entry_of_each) {
  EXPECT_TRUE(check_fork(evidence_at(2), honest.id(), keepers));
  ledger_world world{honest.id()};
  run(forged, authentic_command::unchecked_for_test(
                  transfer{ledger_world::node(1), ledger_world::node(5), 1, 77}));
  EXPECT_TRUE(check_fork(evidence_at(2), honest.id(), keepers));
  // Nothing here convicts an honest keeper: the same entry in both, another key, another ledger.
  EXPECT_FALSE(check_fork(evidence_at(1), honest.id(), keepers));
  EXPECT_FALSE(check_fork(evidence_at(2), honest.id(), std::vector{ledger_world::node(1)}));
  EXPECT_FALSE(check_fork(evidence_at(2), digest{}, keepers));
  fork_evidence moved = evidence_at(2);
  moved.in_second = honest.prove(2, 4).value();
  EXPECT_FALSE(check_fork(moved, honest.id(), keepers));
  fork_evidence unsigned_head = evidence_at(2);
  unsigned_head.second.head.size += 1;
  EXPECT_FALSE(check_fork(unsigned_head, honest.id(), keepers));
  const fork_evidence grown{head_of(honest), head_of(honest), {}, {}};
  EXPECT_FALSE(check_fork(grown, honest.id(), keepers));
}

TEST_F(fork_test, a_follower_has_the_keepers_bytes_and_takes_no_others) {
  memory_file file;
  file.content.assign(honest_file.content.begin(), honest_file.content.end());
  memory_file begun;
  ledger replica = ledger::create(begun, ledger_world::rules(), t0, options()).value();
  const auto all = entries_of(honest, 1);
  ASSERT_TRUE(replica.follow(all, head_of(honest), {}));
  EXPECT_EQ(replica.head(), honest.head());
  EXPECT_EQ(replica.view().snapshot(), honest.view().snapshot());
  const auto before = replica.head();
  const auto wrong = replica.follow(entries_of(forged, 4), head_of(forged), {});
  EXPECT_EQ(wrong.error().code, errc::digest_mismatch);
  EXPECT_TRUE(replica.sound());
  EXPECT_EQ(replica.head(), before);
  signed_head strangers = sign(ledger_world::key(1), honest.head());
  EXPECT_EQ(replica.follow({}, strangers, {}).error().code, errc::invalid_argument);
}

TEST_F(fork_test, a_follower_stops_at_an_entry_that_the_rules_or_its_signer_forbid) {
  // The keeper moves a client's credits by itself: right in every check but the signature.
  run(honest, authentic_command::unchecked_for_test(
                  transfer{ledger_world::node(1), ledger_world::node(9), credit, 88}));
  memory_file begun;
  ledger replica = ledger::create(begun, ledger_world::rules(), t0, options()).value();
  const auto done = replica.follow(entries_of(honest, 1), head_of(honest), {});
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().message.find("not signed by"), std::string::npos);
  EXPECT_FALSE(replica.sound());
  const verify_report seen = verify_log(honest_file, {}).value();
  ASSERT_TRUE(seen.fault);
  EXPECT_EQ(seen.fault->entry, 4U);
}

TEST_F(fork_test, proofs_of_every_entry_and_of_every_size_hold) {
  ledger_world world{honest.id()};
  for (std::uint64_t n = 0; n < 550; ++n) { // beyond one remembered block of the tree
    run(honest, authentic_command::unchecked_for_test(
                    transfer{ledger_world::node(1), ledger_world::node(5), 1, 100 + n}));
  }
  const log_head head = honest.head();
  std::vector<digest> leaves;
  for (std::uint64_t n = 0; n < head.size; ++n) {
    leaves.push_back(leaf_hash(honest.log().entry_at(n).value()));
  }
  for (std::uint64_t n = 0; n < head.size; n += 7) {
    ASSERT_TRUE(proves(honest.prove(n, head.size).value(), head)) << n;
    ASSERT_TRUE(verify_consistency(n + 1, root_of(std::span{leaves}.first(n + 1)), head.size,
                                   head.root, honest.prove_consistency(n + 1, head.size).value()))
        << n;
  }
  EXPECT_FALSE(honest.prove(head.size, head.size));
  EXPECT_FALSE(honest.prove_consistency(0, head.size));
  const acknowledgement a = honest.acknowledge(5, head_of(honest)).value();
  const acknowledgement again = acknowledgement_from(to_bytes(a)).value();
  EXPECT_TRUE(proves(again.entry, again.head.head));
  EXPECT_TRUE(signed_by_majority(again.head, keepers));
}

TEST_F(fork_test, evidence_of_convictions_is_replayed_by_whoever_can) {
  ledger_world world{honest.id()};
  for (int n = 0; n < 9; ++n) {
    static_cast<void>(world.mint(1, 1)); // nonces beyond those used
  }
  run(honest, world.reserve(1, {2, 3}, 1, 20));
  run(honest, world.accrue(honest.view(), 5, {2, 3}));
  run(honest, world.convict(0, 3, 7));
  std::uint64_t asked = 0;
  const verify_report good =
      verify_log(honest_file, {.evidence =
                                   [&](const convict& x) {
                                     asked += x.guilty == ledger_world::node(3) ? 1 : 0;
                                     return result<void>{};
                                   }})
          .value();
  EXPECT_FALSE(good.fault);
  EXPECT_EQ(asked, 1U);
  EXPECT_EQ(good.evidence_replayed, 1U);
  const verify_report bad =
      verify_log(honest_file, {.evidence = [](const convict&) -> result<void> {
                   return fail(errc::digest_mismatch, "it replays equal");
                 }})
          .value();
  ASSERT_TRUE(bad.fault);
  EXPECT_EQ(bad.fault->entry, 6U);
}

} // namespace
} // namespace ovir::ledger
