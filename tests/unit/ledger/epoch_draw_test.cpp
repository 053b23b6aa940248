// The draw: the same for everybody who has the log, by weight, of those who may, and nobody's.
#include "ledger/audit/epoch_draw.hpp"
#include "ledger/keeper/verify.hpp"
#include "ledger/log/log.hpp"
#include "ledger/rules/attest.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/wire/bytes.hpp"
#include "tests/support/ledger/epoch_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace ovir::ledger {
namespace {

using test::epoch_world;
using test::ledger_world;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

digest some_statement(std::uint64_t number) { return ledger_world::statement(number); }

/// Many units of one signer, drawn by verifiers of these weights whose links are all there.
epoch_draw many_units(std::uint32_t units, const std::vector<std::uint64_t>& weights,
                      std::uint64_t rate_ppm, std::uint64_t salt = 0) {
  epoch_draw d;
  d.chain = some_statement(77 + salt);
  d.auditors = 1;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    node_id node;
    node.key[0] = static_cast<std::uint8_t>(i + 1);
    d.verifiers.push_back({node, weights[i], some_statement(i + 1)});
  }
  epoch_accrual a;
  a.request = some_statement(500);
  a.windows = units;
  a.shares.push_back({ledger_world::node(3), some_statement(900), rate_ppm});
  d.accruals.push_back(a);
  return d;
}

std::map<node_id, std::uint64_t> counts_of(const epoch_draw& d) {
  std::map<node_id, std::uint64_t> counts;
  d.each_drawn([&](const drawn_unit& u) {
    for (const node_id& v : u.verifiers) {
      ++counts[v];
    }
  });
  return counts;
}

/// Verifiers 7, 8 and 9, whose chains count from epoch 2 on, which is the current one.
struct with_verifiers : epoch_world {
  with_verifiers() {
    for (const std::uint8_t v : {std::uint8_t{7}, std::uint8_t{8}, std::uint8_t{9}}) {
      EXPECT_EQ(commit(v, 1'000, v), "");
    }
    epoch_without();
    epoch_without();
  }
  /// Of these, the next in the order of keys.
  static node_id next_of(const node_id& of, const std::vector<std::uint8_t>& all) {
    std::vector<node_id> keys;
    for (const std::uint8_t n : all) {
      keys.push_back(ledger_world::node(n));
    }
    std::sort(keys.begin(), keys.end());
    const auto at = std::upper_bound(keys.begin(), keys.end(), of);
    return at == keys.end() ? keys.front() : *at;
  }
};

TEST(epoch_draw, picks_are_by_weight) {
  const std::vector<std::uint64_t> weights{1, 5, 2, 12};
  constexpr double units = 10'000;
  const auto counts = counts_of(many_units(10'000, weights, 1'000'000));
  double chi_square = 0;
  std::size_t i = 0;
  for (const auto& [node, count] : counts) {
    const double expected = units * static_cast<double>(weights[i++]) / 20;
    const double off = static_cast<double>(count) - expected;
    chi_square += off * off / expected;
  }
  ASSERT_EQ(i, weights.size());
  EXPECT_LT(chi_square, 11.34) << "3 degrees of freedom, 1 %";
}

TEST(epoch_draw, units_are_drawn_at_the_rate_of_their_signer) {
  for (const std::uint64_t rate : {0U, 50'000U, 300'000U, 1'000'000U}) {
    std::uint64_t drawn = 0;
    many_units(10'000, {1, 1}, rate).each_drawn([&](const drawn_unit&) { ++drawn; });
    const double expected = 0.01 * static_cast<double>(rate);
    EXPECT_NEAR(static_cast<double>(drawn), expected, 4 * 50) << rate;
    EXPECT_TRUE(rate != 1'000'000 || drawn == 10'000);
  }
}

TEST(epoch_draw, several_auditors_are_different_and_no_more_than_there_are) {
  epoch_draw d = many_units(200, {1, 1'000, 1}, 1'000'000);
  d.auditors = 2;
  d.each_drawn([](const drawn_unit& u) {
    ASSERT_EQ(u.verifiers.size(), 2U);
    EXPECT_NE(u.verifiers[0], u.verifiers[1]);
  });
  d.auditors = 5;
  d.each_drawn([](const drawn_unit& u) { EXPECT_EQ(u.verifiers.size(), 3U); });
  d.verifiers.clear();
  EXPECT_TRUE(counts_of(d).empty()) << "without verifiers nothing is drawn";
}

TEST(epoch_draw, a_window_is_a_unit_and_the_first_accrual_pays_for_all_of_the_prompt) {
  with_verifiers w;
  w.epoch_without();
  std::map<std::uint32_t, int> windows;
  for (const drawn_unit& u : epoch_world::units_of(w.draw_of(2))) {
    EXPECT_EQ(u.verifiers.size(), 1U);
    EXPECT_EQ(u.unit.request, w.world.last_request);
    ++windows[u.unit.window];
  }
  // 40 tokens of prompt reach into the windows 0 and 1; then one for each of three accruals.
  EXPECT_THAT(windows, ElementsAre(std::pair{0U, 2}, std::pair{1U, 2}, std::pair{2U, 2},
                                   std::pair{3U, 2}, std::pair{4U, 2}));
  for (const auto& [window, count] : windows) {
    EXPECT_LE(accrual_window(40, window), 3U);
  }
}

TEST(epoch_draw, whoever_took_part_pays_or_drives_is_left_out) {
  with_verifiers w;
  EXPECT_EQ(w.run(w.world.mint(8, 1'000 * credit)), "");
  ASSERT_EQ(w.run(w.world.reserve(8, {2, 7}, 20, 600, w.now + 500)), ""); // 8 pays, 7 computes
  for (std::uint64_t i = 1; i < 18; ++i) {
    ASSERT_EQ(w.run(w.world.accrue(w.book.view(), 32 * i, {2, 7})), "");
  }
  ASSERT_EQ(w.close(), "");
  for (const std::uint8_t v : {std::uint8_t{7}, std::uint8_t{8}, std::uint8_t{9}}) {
    ASSERT_EQ(w.link(v), "");
  }
  const auto counts = counts_of(w.draw_of(2));
  EXPECT_EQ(counts.size(), 1U);
  EXPECT_EQ(counts.begin()->first, ledger_world::node(9));
  EXPECT_EQ(counts.begin()->second, 34U);
  EXPECT_EQ(duties_of(w.draw_of(2), ledger_world::node(9)).size(), 34U);
  EXPECT_TRUE(duties_of(w.draw_of(2), ledger_world::node(8)).empty());
}

TEST(epoch_draw, a_grinders_new_chain_counts_two_epochs_later_alone) {
  with_verifiers w;
  const auto run = [&](bool grinds) {
    with_verifiers same;
    same.work({2, 3});
    if (grinds) { // it saw the head, and would like another link
      EXPECT_EQ(same.commit(9, 1'000, 99), "");
    }
    EXPECT_EQ(same.close(), "");
    EXPECT_NE(same.link(9, 2, grinds ? same.link_of(9, 1) : some_statement(1)), "")
        << "not of this epoch";
    for (const std::uint8_t v : {std::uint8_t{7}, std::uint8_t{8}, std::uint8_t{9}}) {
      EXPECT_EQ(same.link(v), "");
    }
    same.epoch_without(); // the epoch 3
    same.epoch_without();
    return std::pair{same.draw_of(2).verifiers, same.draw_of(4).verifiers};
  };
  const auto honest = run(false);
  const auto grinder = run(true);
  EXPECT_EQ(honest.first, grinder.first) << "the links of this epoch are what they were";
  EXPECT_NE(honest.second, grinder.second);
}

TEST(epoch_draw, a_silent_verifier_is_named_and_the_next_one_gets_all_its_units) {
  with_verifiers w;
  w.epoch_without({8});
  EXPECT_TRUE(w.draws.empty() || w.draws.back().number != 2) << "it may still come";
  w.epoch_without({});
  const epoch_draw& d = w.draw_of(2);
  EXPECT_FALSE(d.complete());
  EXPECT_EQ(find_verifier(d.verifiers, ledger_world::node(8))->link, digest{});
  EXPECT_NE(find_verifier(d.verifiers, ledger_world::node(9))->link, digest{});
  const node_id next = with_verifiers::next_of(ledger_world::node(8), {7, 8, 9});
  const auto units = epoch_world::units_of(d);
  EXPECT_EQ(units.size(), 10U);
  for (const drawn_unit& u : units) {
    EXPECT_THAT(u.verifiers, Contains(next));
  }
  EXPECT_TRUE(w.draw_of(3).complete());
}

TEST(epoch_draw, units_that_the_silent_one_could_not_have_got_are_drawn_as_ever) {
  epoch_draw d = many_units(1'000, {1, 1, 1, 1}, 100'000);
  const auto before = epoch_world::units_of(d).size();
  d.verifiers[2].link = {};
  d.accruals[0].barred = {2};
  const auto now = epoch_world::units_of(d);
  EXPECT_NEAR(static_cast<double>(now.size()), static_cast<double>(before), 60);
  d.accruals[0].barred = {3}; // the next one may not: the one after it does
  d.verifiers[0].link = {};   // not even that, which is silent, too
  for (const drawn_unit& u : epoch_world::units_of(d)) {
    EXPECT_THAT(u.verifiers, Contains(d.verifiers[1].node));
    EXPECT_THAT(u.verifiers, Not(Contains(d.verifiers[3].node)));
  }
  EXPECT_EQ(epoch_world::units_of(d).size(), 1'000U);
  d.accruals[0].shares[0].rate_ppm = 0; // convicted
  EXPECT_TRUE(epoch_world::units_of(d).empty());
}

TEST(epoch_draw, one_that_lost_its_chain_is_overdue_until_its_new_one_begins) {
  with_verifiers w;
  EXPECT_EQ(w.commit(7, 1'000, 70), ""); // in the epoch 2: from 4 on
  w.epoch_without({7});
  w.epoch_without({7});
  w.epoch_without();
  for (const std::uint64_t epoch : {2U, 3U}) {
    const epoch_draw& d = w.draw_of(epoch);
    EXPECT_EQ(find_verifier(d.verifiers, ledger_world::node(7))->link, digest{}) << epoch;
    const node_id next = with_verifiers::next_of(ledger_world::node(7), {7, 8, 9});
    for (const drawn_unit& u : epoch_world::units_of(d)) {
      EXPECT_THAT(u.verifiers, Contains(next));
    }
  }
  EXPECT_TRUE(w.draw_of(4).complete());
  EXPECT_EQ(w.of(7).missed_links, 2U);
}

/// What a reader beside a ledger learns, in the options that it is opened with.
struct listener {
  epoch_reader reader;
  std::vector<epoch_draw> told;

  ledger_options options() {
    ledger_options o;
    o.watch = [this](std::uint64_t index, const entry& e, const digest& chain, const state& after) {
      for (epoch_draw& d : reader.take(index, e, chain, after)) {
        told.push_back(std::move(d));
      }
    };
    return o;
  }
  void expect_same(const std::vector<epoch_draw>& draws) const {
    ASSERT_EQ(told.size(), draws.size());
    for (std::size_t i = 0; i < told.size(); ++i) {
      EXPECT_EQ(told[i].seed(), draws[i].seed());
      EXPECT_EQ(epoch_world::units_of(told[i]), epoch_world::units_of(draws[i]));
    }
  }
};

TEST(epoch_draw, followers_and_who_opens_a_log_learn_the_same) {
  with_verifiers w;
  test::memory_file copy;
  listener follows;
  ledger follower =
      ledger::create(copy, epoch_world::usual_rules(), w.t0, follows.options()).value();
  const secret_key key = ledger_world::key(ledger_world::keeper);
  for (const std::uint8_t silent : {std::uint8_t{8}, std::uint8_t{0}, std::uint8_t{9}}) {
    w.epoch_without({silent});
    std::vector<std::vector<std::byte>> news;
    for (std::uint64_t i = follower.log().size(); i < w.book.log().size(); ++i) {
      news.push_back(w.book.log().entry_at(i).value());
    }
    const auto followed = follower.follow(news, sign(key, w.book.head()), {});
    ASSERT_TRUE(followed) << followed.error().message;
  }
  follows.expect_same(w.draws);
  listener opens;
  log_report report;
  EXPECT_TRUE(ledger::open(copy, opens.options(), report));
  opens.expect_same(w.draws);
}

TEST(epoch_draw, every_copy_of_the_log_gives_the_same_draw) {
  with_verifiers w;
  w.epoch_without({8});
  w.epoch_without();
  w.epoch_without({9, 7});
  w.epoch_without();
  epoch_reader reader;
  std::vector<epoch_draw> again;
  verify_options how;
  how.seed = 5;
  how.watch = [&](std::uint64_t index, const entry& e, const digest& chain, const state& after) {
    for (epoch_draw& d : reader.take(index, e, chain, after)) {
      again.push_back(std::move(d));
    }
  };
  const verify_report seen = verify_log(w.file, how).value();
  ASSERT_FALSE(seen.fault) << seen.fault->what;
  ASSERT_EQ(again.size(), w.draws.size());
  ASSERT_GE(again.size(), 5U);
  for (std::size_t i = 0; i < again.size(); ++i) {
    EXPECT_EQ(again[i].seed(), w.draws[i].seed());
    EXPECT_EQ(again[i].number, i);
    EXPECT_EQ(again[i].first, i == 0 ? 0 : again[i - 1].last + 1);
    EXPECT_EQ(epoch_world::units_of(again[i]), epoch_world::units_of(w.draws[i]));
  }
}

/// Applies entries of `log` from `first` on to `s`, with the reader beside it.
std::vector<epoch_draw> go_on(const entry_log& log, std::uint64_t first, std::uint64_t end,
                              state& s, digest& chain, epoch_reader& reader) {
  std::vector<epoch_draw> told;
  std::vector<posting> effects;
  for (std::uint64_t i = first; i < end; ++i) {
    const std::vector<std::byte> bytes = log.entry_at(i).value();
    const entry e = decode_entry(bytes).value();
    EXPECT_TRUE(s.apply(e, bytes, i, effects)) << i;
    chain = chain_after(chain, leaf_hash(bytes));
    for (epoch_draw& d : reader.take(i, e, chain, s)) {
      told.push_back(std::move(d));
    }
  }
  return told;
}

TEST(epoch_draw, a_snapshot_in_the_middle_of_an_epoch_goes_on_the_same) {
  with_verifiers w;
  w.epoch_without({8});
  w.epoch_without();
  w.epoch_without();
  const std::uint64_t size = w.book.view().entries();
  for (const std::uint64_t middle : {size / 3, size / 2, size - 9, size - 3}) {
    state s{1};
    digest chain;
    epoch_reader reader;
    std::vector<epoch_draw> told = go_on(w.book.log(), 0, middle, s, chain, reader);
    state later = state::restore(s.snapshot(), 2).value();
    epoch_reader beside = epoch_reader::restore(reader.snapshot()).value();
    for (epoch_draw& d : go_on(w.book.log(), middle, size, later, chain, beside)) {
      told.push_back(std::move(d));
    }
    EXPECT_EQ(later.snapshot(), w.book.view().snapshot());
    EXPECT_EQ(later.epochs(), w.book.view().epochs());
    ASSERT_EQ(told.size(), w.draws.size());
    for (std::size_t i = 0; i < told.size(); ++i) {
      EXPECT_EQ(told[i].seed(), w.draws[i].seed());
      EXPECT_EQ(epoch_world::units_of(told[i]), epoch_world::units_of(w.draws[i]));
    }
  }
  std::vector<std::byte> bytes = w.reader.snapshot();
  bytes.pop_back();
  EXPECT_FALSE(epoch_reader::restore(bytes));
}

TEST(epoch_draw, a_reader_that_begins_within_a_log_begins_with_a_whole_epoch) {
  with_verifiers w;
  w.epoch_without();
  w.epoch_without();
  state s{1};
  digest chain;
  epoch_reader all;
  go_on(w.book.log(), 0, w.draw_of(2).last - 3, s, chain, all);
  epoch_reader late;
  const auto told =
      go_on(w.book.log(), w.draw_of(2).last - 3, w.book.view().entries(), s, chain, late);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].number, 3U);
  EXPECT_EQ(epoch_world::units_of(told[0]), epoch_world::units_of(w.draw_of(3)));
}

TEST(epoch_draw, a_flipped_bit_in_its_entries_is_refused_or_changes_the_seed) {
  with_verifiers w;
  w.epoch_without();
  w.epoch_without();
  std::vector<std::vector<std::byte>> log;
  for (std::uint64_t i = 0; i < w.book.view().entries(); ++i) {
    log.push_back(w.book.log().entry_at(i).value());
  }
  const auto seeds_of = [&](std::uint64_t changed, std::size_t bit) -> std::vector<digest> {
    state s{1};
    digest chain;
    epoch_reader reader;
    std::vector<posting> effects;
    std::vector<digest> seeds;
    for (std::uint64_t i = 0; i < log.size(); ++i) {
      std::vector<std::byte> bytes = log[i];
      if (i == changed) {
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      }
      const auto e = decode_entry(bytes);
      if (!e || !check_signatures(w.book.id(), e->what, e->proof)) {
        return {}; // refused
      }
      if (const auto done = s.apply(*e, bytes, i, effects);
          !done || done->how == apply_outcome::duplicate) {
        return {}; // refused
      }
      chain = chain_after(chain, leaf_hash(bytes));
      for (const epoch_draw& d : reader.take(i, *e, chain, s)) {
        seeds.push_back(d.seed());
      }
    }
    return seeds;
  };
  const std::vector<digest> right = seeds_of(log.size(), 0);
  ASSERT_EQ(right.size(), 4U);
  int kinds = 0;
  for (std::uint64_t i = 0; i <= w.draw_of(2).last + 3; ++i) {
    const command_kind kind = kind_of(decode_entry(log[i]).value().what);
    if (kind == command_kind::commit || kind == command_kind::link || kind == command_kind::epoch) {
      ++kinds;
      const std::size_t step = kind == command_kind::commit ? 13 : 3; // signatures are slow
      for (std::size_t bit = i % step; bit < 8 * log[i].size(); bit += step) {
        EXPECT_NE(seeds_of(i, bit), right) << to_string(kind) << " " << i << " bit " << bit;
      }
    }
  }
  EXPECT_EQ(kinds, 9);
}

/// (1 - (1 - (1 - a)^n)^m): the chance that all of n cheated units escape one of m seeds.
double escape_chance(double rate, int units, int seeds) {
  return 1 - std::pow(1 - std::pow(1 - rate, units), seeds);
}

/// The expected share of n cheated units that escapes the best of m seeds:
/// sum over j of 1 - F(j - 1)^m, by n, with F of the binomial distribution of those that escape.
double escaped_share(double rate, int units, int seeds) {
  double sum = 0;
  double below = 0; // F(j - 1)
  double chance = std::pow(rate, units);
  for (int j = 1; j <= units; ++j) {
    below += chance;
    sum += 1 - std::pow(below, seeds);
    chance *= (units - j + 1.0) / j * (1 - rate) / rate;
  }
  return sum / units;
}

TEST(epoch_draw, the_bias_of_who_may_choose_among_seeds_is_what_is_stated) {
  struct example {
    double rate;
    int units;
    int seeds;
  };
  for (const example& x : {example{0.15, 1, 1}, example{0.15, 1, 4}, example{0.15, 20, 1},
                           example{0.15, 20, 4}, example{0.3, 50, 8}, example{0.5, 4, 16}}) {
    constexpr int runs = 1'500;
    int all_escaped = 0;
    double share = 0;
    for (int run = 0; run < runs; ++run) {
      int most = 0;
      for (int seed = 0; seed < x.seeds; ++seed) {
        const auto salt = static_cast<std::uint64_t>(run * x.seeds + seed);
        int drawn = 0;
        many_units(static_cast<std::uint32_t>(x.units), {1},
                   static_cast<std::uint64_t>(x.rate * 1e6), salt)
            .each_drawn([&](const drawn_unit&) { ++drawn; });
        most = std::max(most, x.units - drawn);
      }
      all_escaped += most == x.units ? 1 : 0;
      share += static_cast<double>(most) / x.units / runs;
    }
    const double chance = escape_chance(x.rate, x.units, x.seeds);
    EXPECT_NEAR(static_cast<double>(all_escaped) / runs, chance,
                4 * std::sqrt(chance * (1 - chance) / runs) + 1e-9)
        << x.rate << " " << x.units << " " << x.seeds;
    EXPECT_NEAR(share, escaped_share(x.rate, x.units, x.seeds), 0.02)
        << x.rate << " " << x.units << " " << x.seeds;
  }
}

} // namespace
} // namespace ovir::ledger
