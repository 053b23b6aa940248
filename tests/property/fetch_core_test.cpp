// Fetches from simulated sources that lie, stall, vanish, refuse and answer out of order, each run
// from a seed. Time moves only when told.
#include "actors/weights/fetch_core.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <set>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using time_point = fetch_core::time_point;

std::uint64_t base_seed() {
  const char* const given = std::getenv("OVIR_SEED");
  return given == nullptr ? 20'261 : std::strtoull(given, nullptr, 10);
}

node_id named(std::uint8_t number) {
  node_id id;
  id.key.fill(number);
  return id;
}

enum class manner : std::uint8_t { honest, lies, stalls, vanishes, refuses, crawls };

struct simulated_source {
  manner how{manner::honest};
  std::deque<std::uint32_t> owes;
  std::uint64_t served_bytes{0};
  std::uint64_t left_bytes{0}; ///< of the tick
  bool there{true};
};

/// A model of small pieces, the sources, and a fetching side that can be killed: what it keeps
/// survives as its disk would.
class swarm {
public:
  swarm(std::uint64_t seed, std::size_t pieces) : random_(seed) {
    for (std::uint32_t i = 0; i < pieces; ++i) {
      std::vector<std::byte> bytes(1 + random_() % 3'000);
      for (std::byte& b : bytes) {
        b = static_cast<std::byte>(random_());
      }
      contents_.push_back(std::move(bytes));
    }
  }

  void add(std::uint8_t number, manner how) { sources_[named(number)].how = how; }
  simulated_source& source(std::uint8_t number) { return sources_.at(named(number)); }

  void begin() {
    std::vector<wanted_piece> missing;
    for (std::uint32_t i = 0; i < contents_.size(); ++i) {
      if (!kept_.contains(i)) {
        missing.push_back({i, contents_[i].size(), hash_plain(contents_[i])});
      }
    }
    core_.emplace(std::move(missing), settings, now_);
    for (auto& [id, source] : sources_) {
      source.owes.clear();
    }
    for (const auto& [id, source] : sources_) {
      join(id);
    }
  }

  /// kill -9 of the fetching side.
  void kill_and_begin_again() {
    lost_bytes_ += core_->in_flight();
    begin();
  }

  void join(const node_id& id) {
    if (sources_.at(id).there) {
      perform(core_->source_joined(id, {{0, static_cast<std::uint32_t>(contents_.size())}}, now_));
    }
  }

  /// A tick of time, in which sources answer some of what they owe, in any order.
  void step() {
    now_ += 100ms;
    for (auto& [id, source] : sources_) {
      source.left_bytes = source.how == manner::crawls ? 50 : 20'000;
    }
    for (int answers = 0; answers < 64; ++answers) {
      std::vector<node_id> able;
      for (const auto& [id, source] : sources_) {
        if (source.there && !source.owes.empty() && source.how != manner::stalls &&
            source.left_bytes > 0) {
          able.push_back(id);
        }
      }
      if (able.empty()) {
        break;
      }
      answer(able[random_() % able.size()]);
    }
    perform(core_->tick(now_));
  }

  bool run(int steps) {
    for (int i = 0; i < steps && !core_->done() && !core_->failed(); ++i) {
      step();
    }
    return core_->done();
  }

  void expect_everything_is_right() const {
    ASSERT_EQ(kept_.size(), contents_.size());
    for (const auto& [index, bytes] : kept_) {
      ASSERT_EQ(bytes, contents_[index]) << index;
    }
  }
  [[nodiscard]] std::uint64_t bytes() const {
    std::uint64_t all = 0;
    for (const auto& piece : contents_) {
      all += piece.size();
    }
    return all;
  }
  [[nodiscard]] std::uint64_t served() const {
    std::uint64_t all = 0;
    for (const auto& [id, source] : sources_) {
      all += source.served_bytes;
    }
    return all;
  }

  fetch_settings settings{.window_bytes = 16'000, .bytes_per_second = 0, .patient = false};
  std::vector<fetch_core::drop> drops_;
  std::optional<fetch_core> core_;
  std::uint64_t lost_bytes_{0};
  time_point now_{};
  std::mt19937_64 random_;

private:
  void answer(const node_id& id) {
    simulated_source& source = sources_.at(id);
    const std::size_t at = random_() % source.owes.size();
    const std::uint32_t index = source.owes[at];
    source.owes.erase(source.owes.begin() + static_cast<std::ptrdiff_t>(at));
    std::vector<std::byte> bytes = contents_[index];
    source.left_bytes -= std::min<std::uint64_t>(source.left_bytes, bytes.size());
    if (source.how == manner::refuses && random_() % 2 == 0) {
      return perform(core_->refused(id, index, now_));
    }
    if (source.how == manner::vanishes && random_() % 8 == 0) {
      source.there = false;
      source.owes.clear();
      return perform(core_->source_left(id, now_));
    }
    if (source.how == manner::lies && random_() % 4 == 0) {
      switch (random_() % 3) {
      case 0: bytes[random_() % bytes.size()] ^= std::byte{1}; break;
      case 1: bytes.pop_back(); break;
      default:
        return perform(core_->piece_arrived(
            id, static_cast<std::uint32_t>(contents_.size()) + index, bytes, now_));
      }
    }
    source.served_bytes += bytes.size();
    const auto effects = core_->piece_arrived(id, index, bytes, now_);
    if (effects.keep) {
      ASSERT_FALSE(kept_.contains(index)) << "kept twice";
      kept_[index] = bytes;
    }
    perform(effects);
  }

  void perform(const fetch_core::effects& effects) {
    for (const fetch_core::drop& drop : effects.drops) {
      drops_.push_back(drop);
      sources_.at(drop.source).owes.clear();
    }
    for (const fetch_core::ask& ask : effects.asks) {
      ASSERT_LE(ask.pieces.size(), limits::fetch_asked_max);
      for (const std::uint32_t piece : ask.pieces) {
        ASSERT_FALSE(kept_.contains(piece)) << "asked for what is here";
        sources_.at(ask.source).owes.push_back(piece);
      }
    }
    std::set<std::uint32_t> asked;
    for (const auto& [id, source] : sources_) {
      for (const std::uint32_t piece : source.owes) {
        ASSERT_TRUE(asked.insert(piece).second) << "asked of two at once";
      }
    }
    ASSERT_LE(core_->in_flight(), settings.window_bytes);
    ASSERT_LE(core_->count().in_flight_max, settings.window_bytes);
  }

  std::vector<std::vector<std::byte>> contents_;
  std::map<std::uint32_t, std::vector<std::byte>> kept_;
  std::map<node_id, simulated_source> sources_;
};

TEST(fetch, ends_with_the_right_bytes_whatever_the_others_do) {
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 100; ++seed) {
    SCOPED_TRACE(testing::Message() << "OVIR_SEED=" << seed);
    swarm s{seed, 1 + seed % 200};
    s.add(1, manner::honest);
    const auto others = static_cast<std::uint8_t>(s.random_() % 6);
    for (std::uint8_t i = 0; i < others; ++i) {
      s.add(static_cast<std::uint8_t>(2 + i), static_cast<manner>(s.random_() % 6));
    }
    s.begin();
    ASSERT_TRUE(s.run(20'000)) << (s.core_->failed() ? s.core_->failed()->message : "no end");
    s.expect_everything_is_right();
    EXPECT_EQ(s.core_->count().verified_bytes, s.bytes());
    for (const auto& drop : s.drops_) {
      EXPECT_NE(drop.source, named(1)) << drop.reason;
    }
  }
}

TEST(fetch, killed_again_and_again_fetches_nothing_twice_beyond_a_window) {
  for (std::uint64_t seed = base_seed(); seed < base_seed() + 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "OVIR_SEED=" << seed);
    swarm s{seed, 300};
    s.add(1, manner::honest);
    s.add(2, manner::honest);
    s.begin();
    const std::size_t kills = 10;
    for (std::size_t kill = 0; kill < kills; ++kill) {
      s.run(static_cast<int>(s.random_() % 3));
      s.kill_and_begin_again();
    }
    ASSERT_TRUE(s.run(10'000));
    s.expect_everything_is_right();
    EXPECT_LE(s.lost_bytes_, kills * s.settings.window_bytes);
    EXPECT_LE(s.served(), s.bytes() + s.lost_bytes_);
  }
}

TEST(fetch, a_liar_is_named_at_its_first_lie_and_never_asked_again) {
  swarm s{base_seed(), 200};
  s.add(1, manner::honest);
  s.add(2, manner::lies);
  s.begin();
  ASSERT_TRUE(s.run(10'000));
  s.expect_everything_is_right();
  ASSERT_EQ(s.drops_.size(), 1U);
  EXPECT_EQ(s.drops_[0].source, named(2));
  EXPECT_EQ(s.drops_[0].fault, source_fault::lied);
  EXPECT_FALSE(s.core_->takes(named(2)));
  EXPECT_FALSE(s.core_->sources().at(named(2)).fault.empty());
}

TEST(fetch, who_stalls_is_dropped_even_when_nobody_else_is_there) {
  swarm s{base_seed(), 20};
  s.add(1, manner::stalls);
  s.begin();
  EXPECT_FALSE(s.run(200));
  ASSERT_EQ(s.drops_.size(), 1U);
  EXPECT_EQ(s.drops_[0].fault, source_fault::stalled);
  EXPECT_EQ(s.core_->in_flight(), 0U);
}

TEST(fetch, who_crawls_is_dropped_for_another_but_kept_when_alone) {
  swarm s{base_seed(), 2'000};
  s.settings.window_bytes = 60'000;
  s.add(1, manner::honest);
  s.add(2, manner::crawls);
  s.begin();
  ASSERT_TRUE(s.run(20'000));
  ASSERT_EQ(s.drops_.size(), 1U);
  EXPECT_EQ(s.drops_[0].source, named(2));
  EXPECT_EQ(s.drops_[0].fault, source_fault::slow);

  swarm alone{base_seed(), 20};
  alone.add(1, manner::crawls);
  alone.begin();
  ASSERT_TRUE(alone.run(20'000));
  EXPECT_TRUE(alone.drops_.empty());
}

TEST(fetch, without_sources_it_fails_in_time_unless_it_is_patient) {
  swarm s{base_seed(), 5};
  s.begin();
  EXPECT_FALSE(s.run(599));
  EXPECT_FALSE(s.core_->failed());
  EXPECT_FALSE(s.run(10));
  ASSERT_TRUE(s.core_->failed());
  EXPECT_EQ(s.core_->failed()->code, errc::timed_out);

  swarm patient{base_seed(), 5};
  patient.settings.patient = true;
  patient.begin();
  EXPECT_FALSE(patient.run(10'000));
  EXPECT_FALSE(patient.core_->failed());
}

TEST(fetch, a_piece_that_nobody_gives_ends_it_after_so_many_asks) {
  fetch_core core{{{0, 1, {}}}, {}, {}};
  std::uint32_t asks = 0;
  while (!core.failed() && asks < 1'000) {
    asks += static_cast<std::uint32_t>(core.source_joined(named(1), {{0, 1}}, {}).asks.size());
    (void)core.source_left(named(1), {});
  }
  EXPECT_EQ(asks, limits::fetch_asks_per_piece_max);
  ASSERT_TRUE(core.failed());
  EXPECT_EQ(core.failed()->code, errc::peer_lost);
}

TEST(fetch, keeps_to_its_rate) {
  swarm s{base_seed(), 200};
  s.settings.bytes_per_second = 10'000;
  s.add(1, manner::honest);
  s.begin();
  const auto start = s.now_;
  ASSERT_TRUE(s.run(100'000));
  const double seconds = std::chrono::duration<double>(s.now_ - start).count();
  EXPECT_NEAR(static_cast<double>(s.bytes()) / seconds, 10'000, 1'000);
}

TEST(fetch, asks_in_the_order_of_use_and_of_both_at_once) {
  std::vector<wanted_piece> pieces;
  const std::vector<std::byte> bytes(1'000);
  for (std::uint32_t i = 0; i < 8; ++i) {
    pieces.push_back({100 - i, bytes.size(), hash_plain(bytes)});
  }
  fetch_core core{pieces, {.window_bytes = 4'000, .bytes_per_second = 0, .patient = false}, {}};
  const auto first = core.source_joined(named(1), {{0, 101}}, {});
  ASSERT_EQ(first.asks.size(), 1U);
  EXPECT_EQ(first.asks[0].pieces, (std::vector<std::uint32_t>{100, 99, 98, 97}));
  EXPECT_TRUE(core.source_joined(named(2), {{0, 97}}, {}).asks.empty()); // the window is full
  const auto next = core.piece_arrived(named(1), 98, bytes, {});
  EXPECT_TRUE(next.keep);
  ASSERT_EQ(next.asks.size(), 1U);
  EXPECT_EQ(next.asks[0].source, named(2));
  EXPECT_EQ(next.asks[0].pieces, (std::vector<std::uint32_t>{96}));
}

TEST(fetch, no_more_sources_are_taken_than_may_be) {
  fetch_core core{{{0, 1, {}}}, {}, {}};
  for (std::uint8_t i = 1; i <= limits::fetch_sources_max; ++i) {
    ASSERT_TRUE(core.takes(named(i)));
    (void)core.source_joined(named(i), {{0, 1}}, {});
  }
  EXPECT_FALSE(core.takes(named(100)));
}

} // namespace
} // namespace ovir::actors
