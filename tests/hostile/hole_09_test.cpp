// A clock that jumps, once or for years, forwards or back: a keeper whose machine tells it what an
// attacker likes.
#include "ledger/keeper/keeper.hpp"
#include "ledger/keeper/ledger_clock.hpp"
#include "ledger/rules/invariants.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>

namespace ovir::ledger {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ledger_world;

constexpr std::uint64_t t0 = ledger_world::t0;
constexpr std::uint64_t year_2035 = 2'051'222'400;
constexpr std::uint64_t day = 86'400;

/// A keeper with a machine's clocks, both in the test's hands.
class kept_book {
public:
  kept_book() {
    (void)ledger::create(file_, ledger_world::rules(), t0, small()).value();
    start();
    world_.emplace(keeper_->book().id());
  }

  /// As after a start of its process: nothing monotonic is known.
  void start() {
    keeper_.reset();
    log_report report;
    keeper_surroundings around;
    around.key = &key_;
    around.roles_of = [](const node_id&) { return role_set{}.add(role::worker); };
    keeper_.emplace(keeper::make(ledger::open(file_, small(), report).value(), around).value());
    clock_.emplace(keeper_->book().view().last_time());
  }
  void pass(milliseconds time) { monotonic_ += time; }
  /// What a tick of the keeper does while the wall clock says `wall`.
  void tick(std::uint64_t wall) {
    now_ = clock_->tell({wall, monotonic_});
    std::vector<keeper_answer> answers;
    const auto due = keeper_->commit(now_, clock_->due(), answers);
    ASSERT_TRUE(due);
    clock_->spent(*due);
  }
  /// Hands a command in and returns why it was refused.
  std::string ask(const authentic_command& c) {
    std::vector<std::byte> bytes;
    encode({0, c.what(), c.proof()}, bytes);
    std::vector<keeper_answer> answers;
    keeper_->take(ledger_world::node(1), role_set{}.add(role::scheduler),
                  {1, submit{std::move(bytes), {}}}, answers);
    EXPECT_TRUE(keeper_->commit(now_, {}, answers));
    const auto* const refused = std::get_if<refusal>(&answers.at(0).what.body);
    return refused == nullptr ? std::string{} : refused->reason.message;
  }
  [[nodiscard]] account of(std::uint8_t who) const {
    const account* const a = keeper_->book().view().find(ledger_world::node(who));
    return a == nullptr ? account{} : *a;
  }
  [[nodiscard]] const state& view() const { return keeper_->book().view(); }
  [[nodiscard]] ledger_clock& clock() { return *clock_; }
  [[nodiscard]] ledger_world& world() { return *world_; }
  [[nodiscard]] std::uint64_t now() const { return now_; }
  [[nodiscard]] milliseconds monotonic() const { return monotonic_; }

private:
  static ledger_options small() {
    ledger_options o;
    o.log.step_bytes = 4'096;
    return o;
  }

  test::memory_file file_;
  secret_key key_ = ledger_world::key(ledger_world::keeper);
  std::optional<keeper> keeper_;
  std::optional<ledger_clock> clock_;
  std::optional<ledger_world> world_;
  milliseconds monotonic_{5'000};
  std::uint64_t now_{t0};
};

/// Something is pending and something is called back from stake.
void work(kept_book& book) {
  book.tick(t0);
  ledger_world& world = book.world();
  ASSERT_EQ(book.ask(world.mint(1, 1'000 * credit)), "");
  ASSERT_EQ(book.ask(world.mint(2, 100 * credit)), "");
  ASSERT_EQ(book.ask(world.lock(2, 50 * credit)), "");
  ASSERT_EQ(book.ask(world.unlock(2, 50 * credit)), "");
  ASSERT_EQ(book.ask(world.reserve(1, {2}, 20, 40, t0 + 80'000)), "");
  ASSERT_EQ(book.ask(world.accrue(book.view(), 10, {2})), "");
}

void expect_nothing_released(const kept_book& book) {
  EXPECT_GT(book.of(2).pending, 0U) << "pay was released before its audit window was over";
  EXPECT_EQ(book.of(2).stake, 50 * credit) << "stake was given back before its delay was over";
  EXPECT_GE(book.view().requests().size(), 1U);
  EXPECT_TRUE(check_invariants(book.view()));
}

TEST(hole_09, one_tick_in_2035_releases_nothing_and_reservations_go_on) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.pass(seconds{1});
  book.tick(year_2035);
  expect_nothing_released(book);
  EXPECT_TRUE(book.clock().off()) << "and is told";
  // The clock is right again: everything is as if nothing had been.
  book.pass(seconds{1});
  book.tick(t0 + 2);
  EXPECT_FALSE(book.clock().off());
  EXPECT_EQ(book.ask(book.world().reserve(1, {2}, 20, 40, t0 + 500)), "");
  expect_nothing_released(book);
  book.pass(seconds{100});
  book.tick(t0 + 102);
  EXPECT_EQ(book.of(2).pending, 0U) << "in its time";
  EXPECT_EQ(book.of(2).stake, 50 * credit);
}

TEST(hole_09, a_clock_that_stays_in_2035_is_approached_slowly_and_goes_back_without_harm) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  for (int i = 0; i < 60; ++i) {
    book.pass(seconds{1});
    book.tick(year_2035 + static_cast<std::uint64_t>(i));
  }
  expect_nothing_released(book);
  EXPECT_LE(book.now(), t0 + 60 + 60 / limits::ledger_clock_slew + 1);
  for (const std::uint64_t wall : {std::uint64_t{0}, t0 - 10 * day, year_2035, t0 + 62}) {
    book.tick(wall); // no time passes
    expect_nothing_released(book);
  }
}

TEST(hole_09, a_clock_that_went_back_is_told_and_holds_nothing_up) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.tick(t0 - 30 * day);
  EXPECT_TRUE(book.clock().off());
  EXPECT_LT(book.clock().wall_ahead_s(), 0);
  book.pass(seconds{101});
  book.tick(t0 - 30 * day + 101);
  EXPECT_EQ(book.of(2).pending, 0U) << "the ledger's own time went on";
}

TEST(hole_09, a_keeper_started_with_a_clock_in_2035_waits_for_an_operators_word) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.start();
  book.tick(year_2035);
  expect_nothing_released(book);
  EXPECT_TRUE(book.clock().off());
  EXPECT_EQ(book.ask(book.world().reserve(1, {2}, 20, 40, t0 + 500)), "") << "it goes on";
  EXPECT_FALSE(book.clock().accept(t0 + 5)) << "the operator says another time than the clock";
  book.tick(year_2035);
  expect_nothing_released(book);
}

TEST(hole_09, a_keeper_that_was_off_for_a_week_goes_on_when_an_operator_says_so) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.start();
  book.tick(t0 + 7 * day);
  expect_nothing_released(book);
  ASSERT_TRUE(book.clock().accept(t0 + 7 * day + 200));
  book.pass(seconds{1});
  book.tick(t0 + 7 * day + 1);
  EXPECT_EQ(book.now(), t0 + 7 * day + 1);
  EXPECT_EQ(book.of(2).pending, 0U);
  EXPECT_EQ(book.of(2).stake, 0U);
}

TEST(hole_09, a_keeper_that_was_off_for_a_night_goes_on_by_itself_and_lets_audits_end) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.start();
  book.pass(hours{8});
  book.tick(t0 + 8 * 3'600);
  EXPECT_FALSE(book.clock().off());
  EXPECT_EQ(book.ask(book.world().reserve(1, {2}, 20, 40, t0 + 8 * 3'600 + 500)), "");
  EXPECT_GT(book.of(2).pending, 0U) << "nobody could convict while it was off";
  for (std::uint64_t s = 1; s <= 101; ++s) {
    book.pass(seconds{1});
    book.tick(t0 + 8 * 3'600 + s);
  }
  EXPECT_EQ(book.of(2).pending, 0U);
}

// The keeper was off for eight hours. Pay is released eight hours later than else. Audits are drawn
// at the usual time after the work, because drawing them releases no credits.
TEST(hole_09, what_is_done_after_a_night_off_is_drawn_no_later_than_ever) {
  kept_book book;
  ASSERT_NO_FATAL_FAILURE(work(book));
  book.start();
  book.pass(hours{8});
  std::uint64_t wall = t0 + 8 * 3'600;
  book.tick(wall);
  const std::uint64_t epoch_s = book.view().origin().rules.epoch_s;
  const auto go_on = [&](std::uint64_t seconds_long) {
    for (std::uint64_t s = 0; s < seconds_long; ++s) {
      book.pass(seconds{1});
      book.tick(++wall);
    }
  };
  go_on(epoch_s - 1);
  EXPECT_EQ(book.view().epochs().number, 0U) << "links may not have come yet";
  go_on(1);
  ASSERT_EQ(book.view().epochs().number, 1U);
  ASSERT_EQ(book.ask(book.world().accrue(book.view(), 20, {2})), "");
  go_on(epoch_s);
  EXPECT_EQ(book.view().epochs().number, 2U);
  EXPECT_GT(book.of(2).pending, 0U);
}

TEST(hole_09, what_time_makes_due_is_limited_in_each_second_of_real_time) {
  ledger_clock clock{t0};
  (void)clock.tell({t0, milliseconds{0}});
  EXPECT_EQ(clock.due().most, 0U);
  (void)clock.tell({year_2035, milliseconds{500}});
  EXPECT_EQ(clock.due().most, limits::ledger_due_per_second_max / 2);
  clock.spent(500);
  EXPECT_EQ(clock.due().most, limits::ledger_due_per_second_max / 2 - 500);
  (void)clock.tell({year_2035, hours{10}});
  EXPECT_EQ(clock.due().most, limits::ledger_due_max) << "no more at once, however long it waited";
}

// Whatever a clock says, in whatever order: pay waits for its audit window, by real time.
TEST(hole_09, no_sequence_of_jumps_releases_anything_before_its_time_has_passed) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random{seed};
    kept_book book;
    ASSERT_NO_FATAL_FAILURE(work(book));
    const auto accrued = book.monotonic();
    const milliseconds window = seconds{ledger_world::rules().rules.audit_window_s};
    std::uint64_t last = book.now();
    for (int i = 0; i < 200 && book.of(2).pending > 0; ++i) {
      book.pass(milliseconds{random() % 3'000});
      const std::uint64_t right = t0 + static_cast<std::uint64_t>(book.monotonic().count()) / 1'000;
      const std::array walls{
          right,     right + random() % 100,        right - random() % 100, random(),
          year_2035, right + random() % (90 * day), std::uint64_t{0}};
      book.tick(walls[random() % walls.size()]);
      EXPECT_GE(book.now(), last) << seed;
      last = book.now();
    }
    const auto passed = book.monotonic() - accrued;
    EXPECT_TRUE(book.of(2).pending > 0 ||
                passed + passed / limits::ledger_clock_slew + seconds{1} >= window)
        << seed << ": after " << passed.count() << " ms";
    EXPECT_EQ(book.of(2).stake, 50 * credit) << seed;
    EXPECT_TRUE(check_invariants(book.view())) << seed;
  }
}

} // namespace
} // namespace ovir::ledger
