// The store and a simple model of it lead the same random life, in which processes are killed at
// random system calls and the power goes. What was acknowledged is there; what was not is there
// whole or not at all; no byte is wrong; limits hold.
#include "tests/store/disk_recorder.hpp"
#include "tests/store/store_folder.hpp"
#include "tests/store/store_model.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>

namespace ovir::test {
namespace {

using namespace storage;

constexpr std::uint64_t t0 = 1'700'000'000;
constexpr std::uint64_t operations = 20'000; // times OVIR_STORE_EFFORT; tests/store/long_life
constexpr std::uint64_t batches_per_life = 60;

/// What a child tells after each batch it was told is on the disk.
struct acknowledgement {
  std::uint32_t outcomes{0};
  std::array<change_outcome, 64> of{};
};

/// One life of a process with the store: batches and lookups until it ends, or is killed. Returns
/// its exit code.
int live(const std::string& folder, store_model model, std::uint64_t seed, std::uint64_t kill_at,
         int pipe) {
  std::mt19937_64 random{seed};
  std::mt19937_64 lookups{seed ^ 1};
  std::vector<std::vector<std::byte>> bytes;
  const auto store = open_store(folder, model_options());
  kill_at_call(kill_at);
  for (std::uint64_t b = 0; b < batches_per_life; ++b) {
    const auto batch = store_model::batch_of(random);
    const auto outcomes = store->commit(changes_of(batch, bytes), t0 + b);
    if (!outcomes) {
      std::fprintf(stderr, "commit: %s\n", outcomes.error().message.c_str());
      return 1;
    }
    acknowledgement told;
    told.outcomes = static_cast<std::uint32_t>(outcomes->size());
    std::copy(outcomes->begin(), outcomes->end(), told.of.begin());
    if (::write(pipe, &told, sizeof(told)) != sizeof(told)) {
      return 1;
    }
    model.apply(batch);
    model.apply_outcomes(batch, *outcomes);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (const std::string wrong = model.look_up(*store, lookups, t0 + b); !wrong.empty()) {
        std::fprintf(stderr, "batch %d: %s\n", static_cast<int>(b), wrong.c_str());
        return 1;
      }
    }
  }
  return 0;
}

std::vector<acknowledgement> read_all(int pipe) {
  std::vector<acknowledgement> told;
  acknowledgement one;
  while (::read(pipe, &one, sizeof(one)) == static_cast<ssize_t>(sizeof(one))) {
    told.push_back(one);
  }
  return told;
}

TEST(store_model, agrees_with_the_store_over_a_random_life_with_kill_9) {
  const store_folder folder{"ovir-store-model"};
  skip_syncs(true); // the system keeps what a killed process wrote
  std::mt19937_64 random{test_seed()};
  store_model model;
  std::uint64_t done = 0;
  std::uint64_t killed = 0;
  while (done < operations * effort()) {
    const std::uint64_t seed = random();
    const std::uint64_t kill_at = random() % 4 == 0 ? ~std::uint64_t{0} : 1 + random() % 300;
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const int child = fork_child();
    if (child == 0) {
      ::close(ends[0]);
      leave_child(live(folder.store(), model, seed, kill_at, ends[1]));
    }
    ::close(ends[1]);
    const std::vector<acknowledgement> told = read_all(ends[0]);
    ::close(ends[0]);
    const int end = wait_for_child(child);
    ASSERT_TRUE(end == 0 || end == -SIGKILL) << end << ", OVIR_SEED=" << test_seed();
    killed += end != 0;

    std::mt19937_64 again{seed};
    for (const acknowledgement& one : told) {
      const auto batch = store_model::batch_of(again);
      const std::vector<change_outcome> outcomes(one.of.begin(), one.of.begin() + one.outcomes);
      model.apply(batch);
      model.apply_outcomes(batch, outcomes);
      done += 2 * batch.size();
    }
    const auto store = open_store(folder.store(), model_options());
    ASSERT_FALSE(store->report().rebuilt) << "OVIR_SEED=" << test_seed();
    store_model with_the_last = model;
    with_the_last.apply(store_model::batch_of(again));
    std::string wrong = model.compare(*store, true);
    if (!wrong.empty() && end != 0 && with_the_last.compare(*store, false).empty()) {
      model = store_model{with_the_last};
      model.forget_pins();
      wrong.clear();
    }
    ASSERT_EQ(wrong, "") << "after " << done << " operations, OVIR_SEED=" << test_seed();
  }
  skip_syncs(false);
  EXPECT_GT(killed, 0U);
  std::printf("%llu operations, %llu kills\n", static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(killed));
}

TEST(store_model, agrees_with_the_store_after_a_loss_of_power_at_any_moment) {
  constexpr std::uint64_t images_per_life = 25;
  std::mt19937_64 random{test_seed() + 2};
  std::uint64_t done = 0;
  std::uint64_t images = 0;
  for (std::uint64_t life = 0; life < 6 * effort(); ++life) {
    const store_folder folder{"ovir-store-power"};
    std::filesystem::create_directories(folder.store());
    std::vector<store_model> states(1); // after so many batches
    std::vector<std::size_t> ends{0};   // events when each was acknowledged
    start_recording(folder.store());
    {
      const auto store = open_store(folder.store(), model_options());
      ends[0] = events_recorded();
      std::vector<std::vector<std::byte>> bytes;
      for (std::uint64_t b = 0; b < 30; ++b) {
        const auto batch = store_model::batch_of(random);
        const auto outcomes = store->commit(changes_of(batch, bytes), t0 + b);
        ASSERT_TRUE(outcomes);
        done += batch.size();
        states.push_back(states.back());
        states.back().apply(batch);
        states.back().apply_outcomes(batch, *outcomes);
        ends.push_back(events_recorded());
      }
    }
    const auto names = names_recorded();
    const std::vector<disk_event> events = stop_recording();
    for (std::uint64_t i = 0; i < images_per_life; ++i) {
      const std::size_t at = random() % (events.size() + 1);
      ++images;
      const std::filesystem::path image = folder.path() / "image";
      std::filesystem::remove_all(image);
      make_power_loss_image(events, at, names, random, image);
      skip_syncs(true);
      const auto store = open_store(image.string(), model_options());
      const auto first_later = std::upper_bound(ends.begin(), ends.end(), at);
      const std::size_t acknowledged =
          first_later == ends.begin() ? 0
                                      : static_cast<std::size_t>(first_later - ends.begin()) - 1;
      std::string wrong = states[acknowledged].compare(*store, true);
      if (!wrong.empty() && acknowledged + 1 < states.size() &&
          states[acknowledged + 1].compare(*store, false).empty()) {
        wrong.clear();
      }
      ASSERT_EQ(wrong, "") << "after event " << at << " of " << events.size() << ", batch "
                           << acknowledged << ", OVIR_SEED=" << test_seed();
      // And it goes on: what follows is kept too.
      std::vector<std::vector<std::byte>> bytes;
      ASSERT_TRUE(store->commit(changes_of(store_model::batch_of(random), bytes), t0 + 99));
      skip_syncs(false);
    }
  }
  std::printf("%llu changes, %llu images of a loss of power\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(images));
}

TEST(store_model, finds_a_store_that_acknowledges_before_it_synced) {
  // The harness must be able to fail: events in front of the last sync of an acknowledged batch are
  // taken for its end.
  std::mt19937_64 random{7};
  const store_folder folder{"ovir-store-liar"};
  std::filesystem::create_directories(folder.store());
  start_recording(folder.store());
  store_model state;
  std::size_t before_last_sync = 0;
  {
    const auto store = open_store(folder.store(), model_options());
    const auto batch = store_model::batch_of(random);
    std::vector<std::vector<std::byte>> bytes;
    ASSERT_TRUE(store->commit(changes_of(batch, bytes), t0));
    state.apply(batch);
  }
  const auto names = names_recorded();
  const std::vector<disk_event> events = stop_recording();
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (events[i].kind == disk_event::what::sync) {
      before_last_sync = i;
    }
  }
  make_power_loss_image(events, before_last_sync, names, random, folder.path() / "image");
  const auto store = open_store((folder.path() / "image").string(), model_options());
  EXPECT_NE(state.compare(*store, false), "");
}

} // namespace
} // namespace ovir::test
