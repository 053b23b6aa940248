// Keepers who invent what a scheduler said: accruals and ends that it never signed.
#include "ledger/group/joint_book.hpp"
#include "ledger/keeper/verify.hpp"
#include "tests/support/ledger/group_world.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using namespace std::chrono_literals;
using test::group_world;
using test::ledger_world;
using test::memory_file;
using ::testing::HasSubstr;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr std::uint8_t payer = 1;
constexpr std::uint8_t one_keeper = 210;

std::vector<std::byte> bytes_of(const command& c, const signature& proof, std::uint64_t time = 0) {
  std::vector<std::byte> bytes;
  encode({time, c, proof}, bytes);
  return bytes;
}
signature by(std::uint8_t who, const digest& ledger, const command& c) {
  return sign_action(ledger_world::key(who), ledger, c);
}

/// A command, and under what signature a keeper would like to have it entered.
struct invention {
  std::string name;
  command what;
  signature proof;
};

/// Ways to pay stages for a request of `payer`, and to end it, without the payer's key.
std::vector<invention> inventions(const ledger& book, ledger_world& world) {
  const authentic_command right = world.accrue(book.view(), 10, {2, 3});
  accrue pay = std::get<accrue>(right.what());
  settle end = std::get<settle>(world.settle().what());
  std::vector<invention> all{
      {"an accrual without a signature", pay, {}},
      {"an end without a signature", end, {}},
      {"an accrual with the forger's signature", pay, by(one_keeper, book.id(), pay)},
      {"an end with the forger's signature", end, by(one_keeper, book.id(), end)},
      {"an end with the signature of an accrual", end, right.proof()},
  };
  accrue more = pay;
  more.computed.back().statement = ledger_world::statement(99);
  all.push_back({"another accrual under a signature that was seen", more, right.proof()});
  pay.scheduler = end.scheduler = ledger_world::node(one_keeper);
  all.push_back({"an accrual that the forger says", pay, by(one_keeper, book.id(), pay)});
  all.push_back({"an end that the forger says", end, by(one_keeper, book.id(), end)});
  pay.scheduler = end.scheduler = {};
  all.push_back({"an accrual as by claims", pay, {}});
  all.push_back({"an end as by claims", end, {}});
  return all;
}

class invented : public ::testing::Test {
protected:
  static genesis rules() {
    genesis g = ledger_world::rules();
    g.keepers = {ledger_world::node(210), ledger_world::node(211), ledger_world::node(212)};
    std::ranges::sort(g.keepers);
    return g;
  }
  void open() {
    keeper_surroundings around;
    around.key = &key_;
    around.claims_say = claims_say_;
    own_.emplace(keeper::make(ledger::create(file_, rules(), t0, {}).value(), around).value());
    book_.emplace(*own_);
    world_.emplace(own_->book().id());
    enter(world_->mint(payer, 100 * credit));
    enter(world_->reserve(payer, {2, 3}, 20, 40));
  }
  void enter(const authentic_command& c) { apply(bytes_of(c.what(), c.proof())); }
  [[nodiscard]] batch_order order(std::vector<std::byte> of) const {
    return {own_->book().id(), own_->book().log().size(), t0 + 5, {std::move(of)}};
  }
  void apply(std::vector<std::byte> of) {
    std::vector<keeper_answer> answers;
    ASSERT_TRUE(book_->apply(order(std::move(of)), answers));
  }
  /// Whether this keeper lets a leader have it, and it becomes an entry here.
  bool gets_in(const invention& i) {
    const batch_order o = order(bytes_of(i.what, i.proof));
    if (!book_->check(o, t0 + 5)) {
      return false;
    }
    const std::uint64_t before = own_->book().log().size();
    apply(o.entries.front());
    return own_->book().log().size() > before;
  }

  secret_key key_ = ledger_world::key(211);
  std::function<result<void>(const command&)> claims_say_;
  memory_file file_;
  std::optional<keeper> own_;
  std::optional<joint_book> book_;
  std::optional<ledger_world> world_;
};

TEST_F(invented, accruals_and_ends_of_a_leader_get_into_no_other_keepers_log) {
  open();
  for (const invention& i : inventions(own_->book(), *world_)) {
    EXPECT_FALSE(gets_in(i)) << i.name;
  }
  const authentic_command right = world_->accrue(own_->book().view(), 10, {2, 3});
  EXPECT_TRUE(gets_in({"what its scheduler signed", right.what(), right.proof()}));
  const authentic_command end = world_->settle();
  EXPECT_TRUE(gets_in({"the end it signed", end.what(), end.proof()}));
}

TEST_F(invented, pay_by_claims_needs_the_claims_of_the_keeper_that_agrees) {
  accrue known;
  claims_say_ = [&](const command& what) -> result<void> {
    const auto* const a = std::get_if<accrue>(&what);
    return a != nullptr && a->request == known.request && a->frontier == known.frontier
               ? result<void>{}
               : fail(errc::busy, "no stage claims this here");
  };
  open();
  known = std::get<accrue>(world_->accrue(own_->book().view(), 10, {2, 3}).what());
  known.scheduler = {};
  accrue other = std::get<accrue>(world_->accrue(own_->book().view(), 20, {2, 3}).what());
  other.scheduler = {};
  const auto refused = [&](const command& c) {
    const auto may = book_->check(order(bytes_of(c, {})), t0 + 5);
    return may ? std::string{} : may.error().message;
  };
  EXPECT_THAT(refused(other), HasSubstr("no stage claims this here"));
  EXPECT_THAT(refused(settle{known.request}), HasSubstr("no stage claims this here"));
  EXPECT_EQ(refused(known), "");
  EXPECT_TRUE(gets_in({"what is claimed", known, {}}));
}

TEST(keeper_group, a_leader_that_invents_pay_finds_no_majority) {
  group_world world{5, 3};
  world.run(3s); // clients mint five micro-credits at a time, for node 1
  const std::size_t liar = world.leader();
  ASSERT_LT(liar, world.count());
  keeper& leads = world.keeper_of(liar);
  ledger_world says{world.ledger(), 1};
  std::vector<keeper_answer> answers;
  const authentic_command reservation = says.reserve(payer, {2, 3}, 20, 40);
  leads.take(ledger_world::node(payer), {},
             {1, submit{bytes_of(reservation.what(), reservation.proof()), {}}}, answers);
  world.run(1s);
  ASSERT_EQ(world.leader(), liar);
  ASSERT_NE(leads.book().view().find_request(says.last_request), nullptr);
  accrue a = std::get<accrue>(says.accrue(leads.book().view(), 10, {2, 3}).what());
  a.scheduler = {};
  ASSERT_TRUE(leads.enter_claimed(a));
  world.run(1s);
  world.stop(liar);
  world.run(2s);
  EXPECT_TRUE(world.comes_to_rest()) << world.broken();
  for (std::size_t i = 0; i < world.count(); ++i) {
    const request_record* const q =
        world.keeper_of(i).book().view().find_request(says.last_request);
    ASSERT_NE(q, nullptr) << i;
    EXPECT_TRUE(q->windows.empty()) << "keeper " << i << " has the invention";
  }
}

// A keeper of one writes into its log what it likes: who reads the log refuses it.

/// Its log with one more entry that its own state never took, and a head for it.
class written_by_a_liar {
public:
  written_by_a_liar() {
    ledger book = ledger::create(file, ledger_world::rules(), t0, {}).value();
    id = book.id();
    world.emplace(id);
    for (const authentic_command& c :
         {world->mint(payer, 100 * credit), world->reserve(payer, {2, 3}, 20, 40)}) {
      EXPECT_TRUE(book.commit(std::span{&c, 1}, t0).value().commands[0].done);
    }
    for (const invention& i : inventions(book, *world)) {
      all.push_back(i);
    }
  }
  void write(const invention& i) {
    log_report report;
    entry_log log =
        entry_log::open(
            file, {}, [](std::uint64_t, std::span<const std::byte>) { return result<void>{}; },
            report)
            .value();
    log.stage(bytes_of(i.what, i.proof, t0));
    ASSERT_TRUE(log.flush());
    for (std::uint64_t n = 1; n < log.size(); ++n) {
      entries.push_back(log.entry_at(n).value());
    }
    head = sign(ledger_world::key(ledger_world::keeper),
                log_head{id, log.size(), log.root(), log.chain(), t0});
  }

  memory_file file;
  digest id;
  std::optional<ledger_world> world;
  std::vector<invention> all;
  std::vector<std::vector<std::byte>> entries;
  signed_head head;
};

TEST(invented_pay, is_refused_by_a_follower_and_by_who_verifies_the_log) {
  const std::size_t count = written_by_a_liar{}.all.size();
  ASSERT_GT(count, 6U);
  for (std::size_t n = 0; n < count; ++n) {
    written_by_a_liar liar;
    const invention& i = liar.all[n];
    if (is_claimed(i.what)) {
      continue; // of a keeper of one, claims are believed
    }
    liar.write(i);
    memory_file begun;
    ledger copy = ledger::create(begun, ledger_world::rules(), t0, {}).value();
    EXPECT_FALSE(copy.follow(liar.entries, liar.head, {})) << i.name;
    const verify_report seen = verify_log(liar.file, {}).value();
    ASSERT_TRUE(seen.fault) << i.name;
    EXPECT_EQ(seen.fault->entry, 3U) << i.name;
  }
}

} // namespace
} // namespace ovir::ledger
