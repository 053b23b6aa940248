#include "actors/reuse/block_exchange_core.hpp"
#include "tests/support/model/kv_blocks.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using core = block_exchange_core;

constexpr compute::kv_shape shape{2, 8};
constexpr core::time_point exchange_start{};
const digest model{{7}};

node_id node_of(std::uint8_t first) {
  node_id id;
  id.key[0] = first;
  return id;
}
digest name(std::uint32_t window, layer_index layer) {
  return hasher{"ovir/test/place"}.update_u32(window).update_u32(layer).finish();
}
wanted_block wanted(std::uint32_t window, layer_index layer) {
  const digest of_window = hasher{"ovir/test/window"}.update_u32(window).finish();
  return {name(window, layer), of_window, layer, window, shape, false};
}
constexpr std::uint8_t author_seed = 77;
node_id author() { return test::author_key(author_seed).id(); }
/// One that knows who computed what the others send.
core knowing() {
  core exchange;
  exchange.joined(author());
  return exchange;
}
/// Windows [0, count) of two layers each.
std::vector<wanted_window> windows(std::uint32_t count) {
  std::vector<wanted_window> all;
  for (std::uint32_t w = 0; w < count; ++w) {
    all.push_back({wanted(w, 0), wanted(w, 1)});
  }
  return all;
}
core::bytes_pointer block_of(const wanted_block& b, std::uint8_t by = author_seed) {
  const compute::kv_cache kv = test::filled_kv({0, 2}, shape, (b.window + 1) * 32, 5);
  const digest output{};
  return test::authored(test::kv_bytes(kv, b.layer, b.window, b.place, &output), b.window_name, by);
}
name_filter claims_of(std::uint32_t windows_held) {
  name_filter filter{1'000};
  for (std::uint32_t w = 0; w < windows_held; ++w) {
    filter.add(name(w, 0));
    filter.add(name(w, 1));
  }
  return filter;
}
/// Which block a question's number is about.
wanted_block asked(const core::ask& ask, std::size_t number) {
  for (std::uint32_t w = 0; w < 16; ++w) {
    for (const layer_index layer : {0U, 1U}) {
      if (name(w, layer) == ask.places[number]) {
        return wanted(w, layer);
      }
    }
  }
  ADD_FAILURE() << "asked for what nobody wants";
  return {};
}
void add(core::effects& to, core::effects more) {
  std::move(more.asks.begin(), more.asks.end(), std::back_inserter(to.asks));
  std::move(more.done.begin(), more.done.end(), std::back_inserter(to.done));
  std::move(more.drops.begin(), more.drops.end(), std::back_inserter(to.drops));
}
core::effects answer_all(core& exchange, const core::ask& ask, core::time_point now) {
  core::effects out;
  for (std::size_t i = 0; i < ask.places.size(); ++i) {
    add(out, exchange.on_block(ask.source, ask.ticket, static_cast<std::uint32_t>(i),
                               block_of(asked(ask, i)), now));
  }
  return out;
}

TEST(block_exchange_core, nothing_is_asked_of_who_claims_nothing) {
  core exchange = knowing();
  core::effects out;
  EXPECT_FALSE(exchange.begin(1, model, windows(2), 0, exchange_start, out));
  exchange.claim(node_of(1), name_filter{10}, 1);
  EXPECT_FALSE(exchange.begin(2, model, windows(2), 0, exchange_start, out));
  EXPECT_TRUE(out.asks.empty());
  EXPECT_TRUE(exchange.decisions().empty()) << "there was nothing to decide";
}

TEST(block_exchange_core, the_longest_prefix_that_others_claim_is_fetched_from_all_of_them) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(3), 1);
  exchange.claim(node_of(2), claims_of(3), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(5), 1'000, exchange_start, out));
  ASSERT_EQ(out.asks.size(), 2U);
  EXPECT_EQ(out.asks[0].places.size() + out.asks[1].places.size(), 6U);
  EXPECT_EQ(out.asks[0].places.size(), 3U) << "who owes least is asked";
  core::effects got = answer_all(exchange, out.asks[0], exchange_start + 1ms);
  EXPECT_TRUE(got.done.empty());
  add(got, answer_all(exchange, out.asks[1], exchange_start + 1ms));
  ASSERT_EQ(got.done.size(), 1U);
  EXPECT_EQ(got.done[0].fetch, 1U);
  EXPECT_EQ(got.done[0].blocks.size(), 6U);
  EXPECT_EQ(exchange.counts().blocks, 6U);
  ASSERT_EQ(exchange.decisions().size(), 1U);
  const fetch_decision& why = exchange.decisions()[0];
  EXPECT_TRUE(why.fetched);
  EXPECT_EQ(why.windows, 3U);
  EXPECT_EQ(why.windows_got, 3U);
  EXPECT_EQ(why.blocks, 6U);
  EXPECT_EQ(why.compute_us, 6'000U);
  EXPECT_EQ(why.took_us, 1'000U);
  EXPECT_FALSE(why.wrong);
}

TEST(block_exchange_core, computing_wins_where_it_is_faster_and_is_judged_by_what_it_took) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  EXPECT_FALSE(exchange.begin(1, model, windows(2), 10, exchange_start, out));
  EXPECT_TRUE(out.asks.empty());
  EXPECT_EQ(exchange.counts().declined, 1U);
  exchange.computed(model, 12);
  EXPECT_EQ(exchange.counts().wrong_compute, 0U);
  EXPECT_FALSE(exchange.begin(2, model, windows(2), 10, exchange_start, out));
  exchange.computed(model, 1'000'000);
  EXPECT_EQ(exchange.counts().wrong_compute, 1U);
  EXPECT_TRUE(exchange.decisions().back().wrong);
  EXPECT_FALSE(exchange.decisions().front().wrong);
}

TEST(block_exchange_core, a_fetch_that_took_longer_than_computing_was_a_wrong_prediction) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(2), 10'000, exchange_start, out));
  ASSERT_EQ(answer_all(exchange, out.asks.at(0), exchange_start + 900ms).done.size(), 1U);
  EXPECT_EQ(exchange.counts().wrong_fetch, 1U);
  // It is known to be slow now: the next time it is not asked.
  EXPECT_LT(exchange.claimants(exchange_start)[0].bytes_per_second, limits::block_rate_assumed);
}

TEST(block_exchange_core, a_stale_claim_costs_a_question_and_the_next_one_is_asked) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(2), 0, exchange_start, out));
  const core::ask first = out.asks.at(0);
  exchange.claim(node_of(2), claims_of(2), 1);
  core::effects next =
      exchange.on_missing(node_of(1), first.ticket, 3, exchange_start); // of window 1
  ASSERT_EQ(next.asks.size(), 1U);
  EXPECT_EQ(next.asks[0].source, node_of(2));
  EXPECT_EQ(next.asks[0].places, (std::vector{name(1, 1)}));
  EXPECT_EQ(exchange.counts().stale, 1U);
  // Nobody has it: what lies before it is all there is.
  core::effects end = exchange.on_missing(node_of(2), next.asks[0].ticket, 0, exchange_start);
  EXPECT_TRUE(end.done.empty());
  for (const std::uint32_t number : {0U, 1U, 2U}) {
    add(end, exchange.on_block(node_of(1), first.ticket, number, block_of(asked(first, number)),
                               exchange_start));
  }
  ASSERT_EQ(end.done.size(), 1U);
  EXPECT_EQ(end.done[0].blocks.size(), 2U);
  EXPECT_TRUE(end.drops.empty());
}

TEST(block_exchange_core, who_sends_another_block_is_named_and_not_asked_again) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(1), 0, exchange_start, out));
  exchange.claim(node_of(2), claims_of(2), 1);
  // Right in itself, but of another unit.
  const core::effects lied = exchange.on_block(node_of(1), out.asks.at(0).ticket, 0,
                                               block_of(wanted(1, 0)), exchange_start);
  ASSERT_EQ(lied.drops.size(), 1U);
  EXPECT_EQ(lied.drops[0].source, node_of(1));
  EXPECT_TRUE(lied.drops[0].lied);
  ASSERT_EQ(lied.asks.size(), 1U) << "what it owes is asked of another";
  EXPECT_EQ(lied.asks[0].source, node_of(2));
  EXPECT_EQ(lied.asks[0].places.size(), 2U);
  EXPECT_EQ(exchange.counts().wrong_blocks, 1U);
  EXPECT_EQ(answer_all(exchange, lied.asks[0], exchange_start).done.size(), 1U);
  // Not even after it left and came back with other claims.
  EXPECT_TRUE(exchange.left(node_of(1), exchange_start).asks.empty());
  static_cast<void>(exchange.left(node_of(2), exchange_start));
  exchange.claim(node_of(1), claims_of(2), 1);
  EXPECT_FALSE(exchange.begin(2, model, windows(1), 0, exchange_start + 59min, out));
  EXPECT_TRUE(exchange.begin(3, model, windows(1), 0, exchange_start + 61min, out));
}

TEST(block_exchange_core, a_damaged_block_and_one_that_nobody_asked_for_are_lies) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(1), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(1), 0, exchange_start, out));
  auto damaged = *block_of(wanted(0, 0));
  damaged[200] ^= std::byte{1};
  EXPECT_TRUE(
      exchange.on_block(node_of(1), out.asks.at(0).ticket, 0, test::share(damaged), exchange_start)
          .drops.at(0)
          .lied);
  exchange.claim(node_of(2), claims_of(1), 1);
  core::effects again;
  ASSERT_TRUE(exchange.begin(2, model, windows(1), 0, exchange_start, again));
  const std::uint64_t ticket = again.asks.at(0).ticket;
  EXPECT_TRUE(exchange.on_block(node_of(2), ticket + 1, 0, block_of(wanted(0, 0)), exchange_start)
                  .drops.at(0)
                  .lied);
}

TEST(block_exchange_core, a_block_of_the_same_place_in_another_text_is_a_lie) {
  wanted_block other = wanted(0, 1);
  other.place = digest{{3}};
  EXPECT_TRUE(check_block(other, block_of(other)));
  EXPECT_EQ(check_block(wanted(0, 1), block_of(other)).error().code, errc::digest_mismatch);
  wanted_block larger = wanted(0, 1);
  larger.shape.heads = 4;
  EXPECT_EQ(check_block(larger, block_of(wanted(0, 1))).error().code, errc::digest_mismatch);
}

TEST(block_exchange_core, another_output_of_the_last_layer_is_a_lie) {
  wanted_block last = wanted(0, 1);
  last.model_last = true;
  EXPECT_EQ(check_block(last, block_of(last)).error().code, errc::digest_mismatch);
  const compute::kv_cache kv = test::filled_kv({0, 2}, shape, 32, 5);
  const auto right =
      test::authored(test::kv_bytes(kv, 1, 0, last.place, nullptr), last.window_name, author_seed);
  EXPECT_TRUE(check_block(last, right));
}

TEST(block_exchange_core, a_block_by_who_does_not_know_the_windows_name_is_a_lie) {
  const wanted_block b = wanted(0, 0);
  wanted_block guessed = b;
  guessed.window_name = b.place; // all that who is asked learns
  EXPECT_EQ(check_block(b, block_of(b)).value(), author());
  EXPECT_EQ(check_block(b, block_of(guessed)).error().code, errc::digest_mismatch);
}

TEST(block_exchange_core, a_block_that_its_author_did_not_sign_is_a_lie_of_who_sent_it) {
  const wanted_block b = wanted(0, 0);
  auto bytes = *block_of(b);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(check_block(b, test::share(bytes)).error().code, errc::digest_mismatch);
  std::fill(bytes.end() - 96, bytes.end(), std::byte{}); // nobody's
  EXPECT_EQ(check_block(b, test::share(bytes)).error().code, errc::digest_mismatch);
}

// Who passes on what another computed need not know that the other left, or was found out.
TEST(block_exchange_core, a_block_by_who_is_no_member_is_not_taken_and_its_sender_not_blamed) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(1), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(1), 0, exchange_start, out));
  const core::ask& ask = out.asks.at(0);
  core::effects got =
      exchange.on_block(node_of(1), ask.ticket, 0, block_of(asked(ask, 0), 78), exchange_start);
  add(got,
      exchange.on_block(node_of(1), ask.ticket, 1, block_of(asked(ask, 1), 78), exchange_start));
  EXPECT_TRUE(got.drops.empty());
  ASSERT_EQ(got.done.size(), 1U);
  EXPECT_TRUE(got.done[0].blocks.empty());
  EXPECT_EQ(exchange.counts().authors_refused, 1U);
  EXPECT_EQ(exchange.counts().wrong_blocks, 0U);
  // One that joined is believed, and one whose blocks were refuted is not, whoever sends them.
  for (const bool refuted : {false, true}) {
    if (refuted) {
      static_cast<void>(exchange.refute(author(), exchange_start));
    }
    core::effects more;
    ASSERT_TRUE(exchange.begin(2, model, windows(1), 0, exchange_start, more));
    const core::effects end = answer_all(exchange, more.asks.at(0), exchange_start);
    ASSERT_EQ(end.done.size(), 1U);
    EXPECT_EQ(end.done[0].blocks.size(), refuted ? 0U : 2U);
    if (!refuted) {
      EXPECT_EQ(end.done[0].blocks[0].author, author());
    }
  }
}

TEST(block_exchange_core, who_owes_and_is_silent_is_dropped_and_others_are_asked) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(2), 0, exchange_start, out));
  exchange.claim(node_of(2), claims_of(2), 1);
  EXPECT_TRUE(exchange.on_tick(exchange_start + limits::block_stall_wait - 1ms).drops.empty());
  const core::effects stalled = exchange.on_tick(exchange_start + limits::block_stall_wait);
  ASSERT_EQ(stalled.drops.size(), 1U);
  EXPECT_FALSE(stalled.drops[0].lied);
  ASSERT_EQ(stalled.asks.size(), 1U);
  EXPECT_EQ(stalled.asks[0].source, node_of(2));
  EXPECT_EQ(exchange.counts().stalled, 1U);
  EXPECT_EQ(answer_all(exchange, stalled.asks[0], exchange_start + 1s).done.at(0).blocks.size(),
            4U);
}

TEST(block_exchange_core, a_fetch_ends_in_time_with_the_windows_that_are_whole) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(2), 0, exchange_start, out));
  const core::ask& ask = out.asks.at(0);
  core::effects end;
  for (const std::uint32_t number : {0U, 1U, 2U}) { // one at a time, each just not too late
    add(end, exchange.on_block(node_of(1), ask.ticket, number, block_of(asked(ask, number)),
                               exchange_start + (number + 1) * 350ms));
  }
  EXPECT_TRUE(end.done.empty());
  end = exchange.on_tick(exchange_start + limits::block_fetch_wait);
  ASSERT_EQ(end.done.size(), 1U);
  EXPECT_EQ(end.done[0].blocks.size(), 2U);
  EXPECT_EQ(exchange.fetches_under_way(), 0U);
}

TEST(block_exchange_core, what_a_lost_connection_owes_is_asked_of_others_or_given_up) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(2), 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, windows(2), 0, exchange_start, out));
  const core::effects gone = exchange.lost(node_of(1), exchange_start);
  ASSERT_EQ(gone.done.size(), 1U);
  EXPECT_TRUE(gone.done[0].blocks.empty());
  EXPECT_TRUE(gone.drops.empty());
  EXPECT_TRUE(exchange.begin(2, model, windows(2), 0, exchange_start, out))
      << "it may be asked again";
}

TEST(block_exchange_core, one_source_owes_no_more_than_its_window) {
  core exchange = knowing();
  constexpr compute::kv_shape large{32, 128}; // half a MiB
  name_filter filter{1'000};
  std::vector<wanted_window> wanted_all;
  for (std::uint32_t w = 0; w < 40; ++w) {
    wanted_block b = wanted(w, 0);
    b.shape = large;
    filter.add(b.place);
    wanted_all.push_back({b});
  }
  exchange.claim(node_of(1), filter, 1);
  core::effects out;
  ASSERT_TRUE(exchange.begin(1, model, wanted_all, 0, exchange_start, out));
  ASSERT_EQ(out.asks.size(), 1U);
  EXPECT_LE(out.asks[0].places.size() * compute::kv_block_bytes(large),
            limits::block_source_bytes_max);
  EXPECT_GE(out.asks[0].places.size(), 15U);
  const core::effects next =
      exchange.on_missing(node_of(1), out.asks[0].ticket, 14, exchange_start);
  EXPECT_TRUE(next.asks.empty()) << "behind a gap nothing is needed";
}

TEST(block_exchange_core, a_node_that_claims_everything_and_has_nothing_is_found_out) {
  core exchange = knowing();
  std::vector<std::byte> all(limits::block_filter_bytes_min, std::byte{0xff});
  exchange.claim(node_of(1), name_filter::from(all).value(), 1);
  std::size_t asked_of_it = 0;
  for (std::uint64_t fetch = 1; fetch <= 200; ++fetch) {
    core::effects out;
    if (!exchange.begin(fetch, model, windows(1), 0, exchange_start, out)) {
      break;
    }
    for (std::uint32_t number = 0; number < 2; ++number) {
      add(out, exchange.on_missing(node_of(1), out.asks[0].ticket, number, exchange_start));
      ++asked_of_it;
      if (!out.drops.empty()) {
        break;
      }
    }
    EXPECT_EQ(out.done.size(), 1U);
  }
  EXPECT_LT(asked_of_it, 100U);
  EXPECT_FALSE(exchange.claimants(exchange_start)[0].fault.empty());
}

TEST(block_exchange_core, whose_blocks_computing_refuted_is_not_asked) {
  core exchange = knowing();
  exchange.claim(node_of(1), claims_of(1), 1);
  EXPECT_TRUE(exchange.refute(node_of(1), exchange_start).drops.at(0).lied);
  core::effects out;
  EXPECT_FALSE(exchange.begin(1, model, windows(1), 0, exchange_start, out));
}

} // namespace
} // namespace ovir::actors
