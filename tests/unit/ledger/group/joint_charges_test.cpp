// A statement that is charged to two reservations, in a ledger of several keepers.
#include "ledger/group/joint_book.hpp"
#include "ledger/rules/equivocation.hpp"
#include "ledger/rules/invariants.hpp"
#include "tests/support/ledger/group_world.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace ovir::ledger {
namespace {

using namespace std::chrono_literals;
using test::group_world;
using test::ledger_world;
using test::memory_file;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr std::uint8_t keeper_keys = 210;
constexpr std::uint8_t driver = 5; ///< has stake; 1 and 2 entrust requests to it

std::vector<std::byte> bytes_of(const authentic_command& c) {
  std::vector<std::byte> bytes;
  encode({0, c.what(), c.proof()}, bytes);
  return bytes;
}

/// The same statements, for another reservation.
accrue charged_to(const escrow_id& request, const authentic_command& of) {
  accrue a = std::get<accrue>(of.what());
  a.request = request;
  return a;
}

/// What a keeper has on disk beside its log, as in a folder.
struct own_keeper {
  memory_file file;
  secret_key key = ledger_world::key(keeper_keys);
  std::map<digest, std::vector<std::byte>> evidence;
  std::optional<keeper> own;
  std::optional<joint_book> book;
};

/// Three keepers without a network: what one of them orders, the others check and all apply.
class joint_charges : public ::testing::Test {
protected:
  joint_charges() {
    genesis rules = ledger_world::rules();
    rules.keepers = {ledger_world::node(210), ledger_world::node(211), ledger_world::node(212)};
    std::ranges::sort(rules.keepers);
    for (std::size_t i = 0; i < all_.size(); ++i) {
      own_keeper& k = all_[i];
      k.key = ledger_world::key(static_cast<std::uint8_t>(keeper_keys + i));
      keeper_surroundings around;
      around.key = &k.key;
      around.keep_evidence = [&k](const digest& name, std::span<const std::byte> bytes) {
        k.evidence[name] = {bytes.begin(), bytes.end()};
        return result<void>{};
      };
      k.own.emplace(keeper::make(ledger::create(k.file, rules, t0, {}).value(), around).value());
      k.book.emplace(*k.own);
    }
    world_.emplace(all_[0].own->book().id());
    enter(world_->mint(1, 200 * credit));
    enter(world_->mint(2, 200 * credit));
    enter(world_->mint(driver, 200 * credit));
    enter(world_->lock(driver, 50 * credit));
    first_ = entrusted_by(1);
    second_ = entrusted_by(2);
    sign_all();
  }

  escrow_id entrusted_by(std::uint8_t payer) {
    reserve r = std::get<reserve>(world_->reserve(payer, {2, 3}, 20, 40).what());
    r.scheduler = ledger_world::node(driver);
    enter(world_->sign(payer, r));
    world_->drive(r, driver);
    return escrow_of(r);
  }
  /// All keepers sign what they have, and tell each other.
  void sign_all() {
    std::vector<keeper_answer> answers;
    for (own_keeper& k : all_) {
      for (own_keeper& other : all_) {
        k.book->take(other.own->own_head(), answers);
      }
      ASSERT_TRUE(k.own->has_head());
    }
  }
  [[nodiscard]] batch_order order(std::vector<std::byte> entry) const {
    const ledger& book = all_[0].own->book();
    return {book.id(), book.log().size(), t0 + 5, {std::move(entry)}};
  }
  /// As agreed on: what the rules refuse, all refuse.
  void apply(const batch_order& o) {
    for (own_keeper& k : all_) {
      std::vector<keeper_answer> answers;
      ASSERT_TRUE(k.book->apply(o, answers));
      ASSERT_TRUE(check_invariants(k.own->book().view()));
    }
    ASSERT_EQ(all_[0].own->own_head().head, all_[1].own->own_head().head);
    ASSERT_EQ(all_[0].own->own_head().head, all_[2].own->own_head().head);
  }
  void enter(const authentic_command& c) { apply(order(bytes_of(c))); }
  void pay_first() {
    world_->last_request = first_;
    const authentic_command c = world_->accrue(all_[0].own->book().view(), 20, {2, 3});
    enter(c);
    paid_.emplace(c);
  }
  /// What a keeper that leads would order now.
  std::optional<batch_order> put_together(std::size_t keeper) {
    std::size_t due = 0;
    return all_[keeper].book->put_together(t0 + 6, {}, due).value();
  }
  [[nodiscard]] std::string refused(std::size_t keeper, const batch_order& o) {
    const auto may = all_[keeper].book->check(o, t0 + 6);
    return may ? "" : may.error().message;
  }
  [[nodiscard]] bool ejected(std::size_t keeper) const {
    const account* const a = all_[keeper].own->book().view().find(ledger_world::node(driver));
    return a != nullptr && a->ejected;
  }
  /// The accrual that the log has, and the one for another reservation.
  [[nodiscard]] double_charge evidence() const {
    const entry_log& log = all_[0].own->book().log();
    const authentic_command again = world_->sign(driver, charged_to(second_, *paid_));
    return {decode_entry(log.entry_at(log.size() - 1).value()).value(),
            {0, again.what(), again.proof()}};
  }
  /// An order that convicts by these bytes.
  [[nodiscard]] batch_order convicting(const std::vector<std::byte>& bytes,
                                       std::uint8_t guilty = driver) const {
    const convict x{second_,
                    0,
                    ledger_world::node(guilty),
                    all_[0].key.id(),
                    evidence_kind::double_charge,
                    evidence_digest(bytes),
                    {}};
    batch_order o = order(bytes_of(world_->keep(x)));
    o.evidence = {bytes};
    return o;
  }

  std::array<own_keeper, 3> all_;
  std::optional<ledger_world> world_;
  escrow_id first_;
  escrow_id second_;
  std::optional<authentic_command> paid_;
};

TEST_F(joint_charges, convict_their_scheduler_by_an_order_that_carries_the_evidence) {
  pay_first();
  enter(world_->sign(driver, charged_to(second_, *paid_)));
  EXPECT_FALSE(ejected(0)) << "the second one is refused";
  const auto made = put_together(0);
  ASSERT_TRUE(made);
  ASSERT_EQ(made->entries.size(), 1U);
  ASSERT_EQ(made->evidence, (std::vector<std::vector<std::byte>>{to_bytes(evidence())}));
  EXPECT_EQ(batch_order_from(to_bytes(*made)).value(), *made);
  EXPECT_EQ(refused(1, *made), "");
  EXPECT_EQ(refused(2, *made), "");
  const std::uint64_t before = all_[0].own->book().log().size();
  apply(*made);
  for (std::size_t i = 0; i < all_.size(); ++i) {
    EXPECT_TRUE(ejected(i)) << i;
    EXPECT_EQ(all_[i].own->book().log().size(), before + 1);
    EXPECT_EQ(all_[i].evidence.size(), 1U) << "keeper " << i << " keeps the evidence";
    EXPECT_FALSE(put_together(i)) << "once";
  }
  const state& s = all_[1].own->book().view();
  EXPECT_EQ(s.find(ledger_world::node(driver))->stake, 0U);
  EXPECT_EQ(s.find(ledger_world::node(2))->free, 200 * credit) << "its client has all of it back";
}

TEST_F(joint_charges, convict_when_the_keeper_that_led_is_gone) {
  pay_first();
  enter(world_->sign(driver, charged_to(second_, *paid_)));
  ASSERT_TRUE(put_together(0)); // and is never heard of
  const auto made = put_together(2);
  ASSERT_TRUE(made);
  EXPECT_EQ(refused(1, *made), "");
  apply(*made);
  EXPECT_TRUE(ejected(0) && ejected(1) && ejected(2));
}

TEST_F(joint_charges, convict_when_another_node_hands_in_the_evidence) {
  pay_first();
  const std::vector<std::byte> bytes = to_bytes(evidence());
  const convict x{second_,
                  0,
                  ledger_world::node(driver),
                  ledger_world::node(7),
                  evidence_kind::double_charge,
                  evidence_digest(bytes),
                  {}};
  std::vector<keeper_answer> answers;
  all_[1].own->take(ledger_world::node(7), {}, {9, submit{bytes_of(world_->keep(x)), bytes}},
                    answers);
  ASSERT_TRUE(answers.empty());
  const auto made = put_together(1);
  ASSERT_TRUE(made);
  EXPECT_TRUE(all_[1].book->unheard().empty()) << "no other keeper must be asked";
  EXPECT_EQ(refused(0, *made), "");
  apply(*made);
  EXPECT_TRUE(ejected(0) && ejected(1) && ejected(2));
}

// A keeper with a valid key that leads: what it invents or alters, neither of the others agrees to.
TEST_F(joint_charges, are_believed_of_no_leader_that_invents_or_alters_evidence) {
  pay_first();
  const double_charge right = evidence();
  const auto expect_refused = [&](const batch_order& o, const std::string& why) {
    EXPECT_THAT(refused(1, o), HasSubstr(why));
    EXPECT_THAT(refused(2, o), HasSubstr(why));
  };
  batch_order o = convicting(to_bytes(right));
  o.evidence.clear();
  expect_refused(o, "without evidence");
  o = convicting(to_bytes(right));
  o.evidence[0].back() ^= std::byte{1};
  expect_refused(o, "not the one that the conviction names");
  double_charge e = right;
  e.second.proof = sign_action(all_[0].key, all_[0].own->book().id(), e.second.what);
  expect_refused(convicting(to_bytes(e)), "not signed by");
  e = right; // it says that it is the scheduler itself
  auto& mine = std::get<accrue>(e.second.what);
  mine.scheduler = all_[0].key.id();
  e.second.proof = sign_action(all_[0].key, all_[0].own->book().id(), e.second.what);
  expect_refused(convicting(to_bytes(e)), "who signed both");
  e = right;
  std::get<accrue>(e.second.what).frontier += 1;
  expect_refused(convicting(to_bytes(e)), "not signed by");
  e = right;
  e.first.time += 1;
  expect_refused(convicting(to_bytes(e)), "no entry of this log");
  e = right; // what the scheduler signed and never submitted
  accrue other = std::get<accrue>(right.first.what);
  other.frontier += 1;
  const authentic_command said = world_->sign(driver, other);
  e.first = {right.first.time, said.what(), said.proof()};
  expect_refused(convicting(to_bytes(e)), "no entry of this log");
  expect_refused(convicting(to_bytes(right), 2), "who signed both");
  for (const own_keeper& k : all_) {
    EXPECT_TRUE(k.evidence.empty()) << "what does not convict is not kept";
  }
  o = convicting(to_bytes(right));
  o.evidence.push_back(to_bytes(right));
  o.entries.push_back(bytes_of(world_->mint(1, 5)));
  expect_refused(o, "of no conviction");
  EXPECT_EQ(refused(1, convicting(to_bytes(right))), "");
  EXPECT_EQ(refused(2, convicting(to_bytes(right))), "");
}

TEST_F(joint_charges, of_requests_one_behind_the_other_convict_in_no_ledger) {
  pay_first();
  world_->last_request = first_;
  enter(world_->settle());
  const escrow_id third = entrusted_by(2);
  enter(world_->sign(driver, charged_to(third, *paid_)));
  EXPECT_FALSE(put_together(0));
}

// All of a group, under seeds: the keeper that leads dies behind the second accrual.
TEST(keeper_group, a_statement_charged_twice_convicts_whoever_leads_then) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    group_world world{seed, static_cast<std::uint8_t>(seed % 3 == 0 ? 5 : 3)};
    world.run(6s); // clients mint five micro-credits at a time, for node 1
    ledger_world says{world.ledger(), 1};
    const auto enter = [&](const authentic_command& c) {
      std::vector<keeper_answer> answers;
      world.keeper_of(world.leader())
          .take(ledger_world::node(1), {}, {1, submit{bytes_of(c), {}}}, answers);
      world.run(500ms);
      ASSERT_LT(world.leader(), world.count());
    };
    enter(says.transfer(1, 30, 160));
    enter(says.reserve(30, {2, 3}, 20, 40));
    const escrow_id first = says.last_request;
    enter(says.reserve(30, {2, 3}, 20, 40));
    const escrow_id second = says.last_request;
    says.last_request = first;
    const std::size_t led = world.leader();
    const authentic_command paid = says.accrue(world.keeper_of(led).book().view(), 10, {2, 3});
    enter(paid);
    ASSERT_EQ(world.leader(), led);
    std::vector<keeper_answer> answers;
    const std::size_t other = (led + 1) % world.count();
    const std::uint64_t before = world.keeper_of(other).counts().refused;
    world.keeper_of(led).take(ledger_world::node(30), {},
                              {1, submit{bytes_of(says.sign(30, charged_to(second, paid))), {}}},
                              answers);
    for (int i = 0; i < 200 && world.keeper_of(other).counts().refused == before; ++i) {
      world.run(10ms);
    }
    ASSERT_GT(world.keeper_of(other).counts().refused, before) << "seed " << seed;
    world.stop(led);
    world.run(3s);
    ASSERT_TRUE(world.comes_to_rest()) << "seed " << seed << ": " << world.broken();
    world.run(1s);
    for (std::size_t i = 0; i < world.count(); ++i) {
      const account* const a = world.keeper_of(i).book().view().find(ledger_world::node(30));
      ASSERT_NE(a, nullptr);
      EXPECT_TRUE(a->ejected) << "seed " << seed << ", keeper " << i;
    }
  }
}

} // namespace
} // namespace ovir::ledger
