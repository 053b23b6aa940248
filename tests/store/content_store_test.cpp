#include "storage/env/random_access_file.hpp"
#include "storage/store/content_store.hpp"
#include "tests/store/disk_recorder.hpp"
#include "tests/store/store_folder.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace ovir::storage {
namespace {

using test::content_of;
using test::digest_of;

constexpr std::uint64_t t0 = 1'700'000'000;
const content_owner everybody{};

class content_store_test : public testing::Test {
protected:
  content_store_test() { reopen(); }

  void reopen(store_options options = {}) {
    store.reset();
    store = test::open_store(folder.store(), options);
  }

  change_outcome commit_one(const store_change& change, std::uint64_t now = t0) {
    return store->commit(std::span{&change, 1}, now).value().front();
  }

  /// Puts content number `n`; its key is `digest_of(n)`.
  change_outcome put(std::uint64_t n, std::size_t size = 5'000,
                     content_kind kind = content_kind::kv, put_content how = {}) {
    const auto bytes = content_of(n, size);
    how.kind = kind;
    how.bytes = bytes;
    how.key = how.key ? how.key : digest_of(n);
    return commit_one(how);
  }

  lookup_answer get(std::uint64_t n) { return store->get_by_key(everybody, digest_of(n), t0); }

  static key_target named(std::uint64_t n, std::size_t size = 5'000) {
    return {content_kind::kv, hash_plain(content_of(n, size))};
  }

  void overwrite_blocks(std::uint64_t offset, std::string_view bytes) const {
    auto file = random_access_file::open(folder.store() + "/blocks").value();
    ASSERT_TRUE(file.write_at(offset, std::as_bytes(std::span{bytes})));
  }

  test::store_folder folder{"ovir-content-store"};
  std::unique_ptr<content_store> store;
};

TEST_F(content_store_test, finds_what_was_put_by_content_and_by_key_also_after_a_restart) {
  EXPECT_EQ(put(1), change_outcome::done);
  for (const bool again : {false, true}) {
    if (again) {
      reopen();
      EXPECT_FALSE(store->report().rebuilt);
    }
    EXPECT_EQ(get(1).bytes, content_of(1, 5'000));
    const auto by_content =
        store->get(content_kind::kv, everybody, hash_plain(content_of(1, 5'000)), t0);
    EXPECT_EQ(by_content.outcome, lookup_outcome::hit);
    EXPECT_EQ(by_content.about.last_use, t0);
  }
  EXPECT_EQ(get(2).outcome, lookup_outcome::miss);
}

TEST_F(content_store_test, keeps_one_copy_of_equal_content_under_several_keys) {
  put(1);
  EXPECT_EQ(put(1, 5'000, content_kind::kv, {.key = digest_of(77)}), change_outcome::present);
  EXPECT_EQ(store->usage(content_kind::kv).entries, 1U);
  EXPECT_EQ(get(77).bytes, content_of(1, 5'000));
  EXPECT_EQ(get(1).about.keys.size(), 2U);
}

TEST_F(content_store_test, keeps_only_the_newest_keys_of_an_entry) {
  for (std::uint64_t k = 0; k <= limits::store_keys_per_entry_max; ++k) {
    put(1, 5'000, content_kind::kv, {.key = digest_of(100 + k)});
  }
  EXPECT_EQ(get(100).outcome, lookup_outcome::miss);
  EXPECT_EQ(get(101).outcome, lookup_outcome::hit);
}

TEST_F(content_store_test, private_content_is_found_only_with_its_owners_salt) {
  const content_owner alice{digest_of(1'000)};
  const content_owner bob{digest_of(1'001)};
  put(1, 5'000, content_kind::kv, {.owner = alice});
  const digest content = hash_plain(content_of(1, 5'000));
  EXPECT_EQ(store->get_by_key(alice, digest_of(1), t0).outcome, lookup_outcome::hit);
  EXPECT_EQ(store->get(content_kind::kv, alice, content, t0).outcome, lookup_outcome::hit);
  for (const content_owner& other : {everybody, bob}) {
    EXPECT_EQ(store->get_by_key(other, digest_of(1), t0).outcome, lookup_outcome::miss);
    EXPECT_EQ(store->get(content_kind::kv, other, content, t0).outcome, lookup_outcome::miss);
  }
}

TEST_F(content_store_test, removes_an_entry_with_all_its_keys) {
  put(1);
  put(1, 5'000, content_kind::kv, {.key = digest_of(77)});
  EXPECT_EQ(commit_one(remove_content{named(1)}), change_outcome::done);
  EXPECT_EQ(commit_one(remove_content{named(1)}), change_outcome::no_such);
  EXPECT_EQ(get(1).outcome, lookup_outcome::miss);
  EXPECT_EQ(get(77).outcome, lookup_outcome::miss);
  EXPECT_EQ(store->usage(content_kind::kv).bytes_taken, 0U);
}

TEST_F(content_store_test, refuses_bytes_that_are_not_those_of_the_digest) {
  EXPECT_EQ(put(1, 5'000, content_kind::kv, {.expected = digest_of(5)}),
            change_outcome::wrong_digest);
  EXPECT_EQ(get(1).outcome, lookup_outcome::miss);
}

TEST_F(content_store_test, a_key_of_verified_content_is_not_taken_by_a_claim) {
  put(1, 5'000, content_kind::kv, {.from = {.verified = true}});
  EXPECT_EQ(put(2, 5'000, content_kind::kv, {.key = digest_of(1)}), change_outcome::disputed);
  EXPECT_EQ(get(1).bytes, content_of(1, 5'000));
  EXPECT_EQ(put(3, 5'000, content_kind::kv, {.key = digest_of(1), .from = {.verified = true}}),
            change_outcome::done);
  EXPECT_EQ(get(1).bytes, content_of(3, 5'000));
}

TEST_F(content_store_test, remembers_provenance_uses_and_verification) {
  node_id author;
  author.key.fill(7);
  put(1, 5'000, content_kind::kv, {.cost_us = 900, .from = {.author = author}});
  static_cast<void>(get(1));
  static_cast<void>(get(1));
  EXPECT_EQ(commit_one(mark_verified{named(1), digest_of(3)}), change_outcome::done);
  reopen();
  const entry about = get(1).about;
  EXPECT_EQ(about.uses, 2U);
  EXPECT_EQ(about.cost_us, 900U);
  EXPECT_EQ(about.from, (provenance{author, digest_of(3), true}));
  EXPECT_EQ(store->counters(content_kind::kv).hits, 3U);
  EXPECT_EQ(store->counters(content_kind::kv).saved_us, 2'700U);
}

TEST_F(content_store_test, stays_within_limits_and_spares_what_is_pinned_leased_or_dear) {
  store_options options;
  options.limits.bytes[index_of(content_kind::kv)] = 10 * 8'192;
  reopen(options);
  put(1, 5'000, content_kind::kv, {.pinned = true});
  put(2);
  const content_lease lease = store->lease(named(2));
  put(3, 5'000, content_kind::kv, {.cost_us = 1'000'000});
  for (std::uint64_t n = 10; n < 60; ++n) {
    EXPECT_EQ(put(n, 5'000, content_kind::kv, {.cost_us = 10}), change_outcome::done);
    EXPECT_LE(store->usage(content_kind::kv).bytes_taken, 10U * 8'192);
  }
  for (const std::uint64_t spared : {1U, 2U, 3U}) {
    EXPECT_EQ(get(spared).outcome, lookup_outcome::hit) << spared;
  }
  EXPECT_EQ(store->counters(content_kind::kv).evicted, 43U);
}

TEST_F(content_store_test, refuses_what_finds_no_room_beside_pinned_entries) {
  store_options options;
  options.limits.bytes[index_of(content_kind::kv)] = 2 * 8'192;
  reopen(options);
  EXPECT_EQ(put(1, 3 * 8'192), change_outcome::too_large);
  put(1, 5'000, content_kind::kv, {.pinned = true});
  put(2, 5'000, content_kind::kv, {.pinned = true});
  EXPECT_EQ(put(3), change_outcome::no_room);
  EXPECT_EQ(commit_one(pin_content{named(2), false}), change_outcome::done);
  EXPECT_EQ(put(3), change_outcome::done);
  EXPECT_EQ(get(2).outcome, lookup_outcome::miss);
}

TEST_F(content_store_test, obeys_a_limit_that_was_lowered_between_runs) {
  for (std::uint64_t n = 0; n < 20; ++n) {
    put(n);
  }
  store_options options;
  options.limits.bytes[index_of(content_kind::kv)] = 4 * 8'192;
  reopen(options);
  ASSERT_TRUE(store->commit({}, t0));
  EXPECT_EQ(store->usage(content_kind::kv).entries, 4U);
}

TEST_F(content_store_test, a_damaged_entry_is_a_miss_and_is_dropped_and_counted) {
  put(1);
  put(2);
  overwrite_blocks(get(1).about.offset + 4'999, "!");
  EXPECT_EQ(get(1).outcome, lookup_outcome::damaged);
  EXPECT_TRUE(get(1).bytes.empty());
  ASSERT_TRUE(store->commit({}, t0));
  EXPECT_EQ(get(1).outcome, lookup_outcome::miss);
  EXPECT_EQ(get(2).outcome, lookup_outcome::hit);
  EXPECT_EQ(store->counters(content_kind::kv).damaged, 2U);
  EXPECT_EQ(put(1), change_outcome::done);
  EXPECT_EQ(get(1).outcome, lookup_outcome::hit);
}

TEST_F(content_store_test, a_second_process_is_refused) {
  EXPECT_EQ(test::run_in_child([&] {
              const auto machine = make_env_posix();
              const auto second = content_store::open(*machine, folder.store(), {});
              return !second && second.error().code == errc::busy ? 0 : 1;
            }),
            0);
}

TEST_F(content_store_test, a_full_disk_means_no_caching_with_one_warning_until_there_is_room) {
  put(1);
  test::fail_writes_after(4'096);
  EXPECT_EQ(put(2), change_outcome::disk_full);
  EXPECT_EQ(put(3), change_outcome::disk_full);
  EXPECT_EQ(get(1).outcome, lookup_outcome::hit);
  EXPECT_TRUE(store->take_warning());
  EXPECT_FALSE(store->take_warning());
  test::fail_no_writes();
  EXPECT_EQ(put(4), change_outcome::disk_full); // it does not try all the time
  const auto bytes = content_of(4, 5'000);
  EXPECT_EQ(commit_one(put_content{.kind = content_kind::kv, .bytes = bytes, .key = digest_of(4)},
                       t0 + limits::store_retry_seconds),
            change_outcome::done);
  EXPECT_FALSE(store->take_warning());
  reopen();
  EXPECT_FALSE(store->report().rebuilt);
  EXPECT_EQ(get(4).outcome, lookup_outcome::hit);
  EXPECT_EQ(get(2).outcome, lookup_outcome::miss);
}

TEST_F(content_store_test, a_disk_that_fills_up_at_any_write_harms_nothing_that_is_there) {
  put(1);
  for (std::uint64_t room = 0; room < 80'000; room += 3'000) {
    test::fail_writes_after(room);
    const auto bytes = content_of(2, 20'000);
    const change_outcome outcome =
        commit_one(put_content{.kind = content_kind::kv, .bytes = bytes, .key = digest_of(2)},
                   t0 + room); // beyond the wait for another try
    test::fail_no_writes();
    EXPECT_EQ(get(1).outcome, lookup_outcome::hit);
    EXPECT_EQ(get(2).outcome,
              outcome == change_outcome::disk_full ? lookup_outcome::miss : lookup_outcome::hit);
    reopen();
    EXPECT_FALSE(store->report().rebuilt) << room;
    if (outcome != change_outcome::disk_full) {
      commit_one(remove_content{{content_kind::kv, hash_plain(bytes)}});
    }
  }
}

TEST_F(content_store_test, the_index_outgrows_its_map) {
  test::skip_syncs(true);
  std::vector<std::vector<std::byte>> kept;
  std::uint64_t n = 0;
  const auto small = [&](std::uint64_t number) { return content_of(number, 16); };
  const std::string index = folder.store() + "/index.mdb";
  while (std::filesystem::file_size(index) <= limits::store_index_map_first * 2) {
    std::vector<store_change> batch;
    kept.clear();
    for (int i = 0; i < 4'000; ++i, ++n) {
      kept.push_back(small(n));
      batch.emplace_back(
          put_content{.kind = content_kind::results, .bytes = kept.back(), .key = digest_of(n)});
    }
    ASSERT_TRUE(store->commit(batch, t0));
  }
  // Lists of free pages are long now; small changes make them shorter, where they are.
  for (std::uint64_t i = 0; i < 200; ++i) {
    put(n + i, 16, content_kind::results);
  }
  test::skip_syncs(false);
  EXPECT_EQ(store->generation(), 1U) << "nothing was damaged";
  EXPECT_EQ(get(0).bytes, small(0));
  EXPECT_EQ(get(n - 1).bytes, small(n - 1));
}

TEST_F(content_store_test, readers_beside_the_writer_see_right_bytes_or_a_miss) {
  store_options options;
  options.limits.bytes[index_of(content_kind::kv)] = 30 * 8'192; // evicting all the time
  reopen(options);
  test::skip_syncs(true);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r, reader = store->reader()] {
      for (std::uint64_t n = r; !over; n = (n + 7) % 100) {
        const lookup_answer answer = reader.find_by_key(everybody, digest_of(n));
        if (answer.outcome == lookup_outcome::hit) {
          ++hits;
          wrong += answer.bytes != content_of(n, 5'000);
        }
        wrong += answer.outcome == lookup_outcome::damaged;
      }
    });
  }
  for (std::uint64_t n = 0; n < 2'000 || (hits < 100 && n < 2'000'000); ++n) {
    put(n % 100);
  }
  over = true;
  for (std::thread& t : readers) {
    t.join();
  }
  test::skip_syncs(false);
  EXPECT_GE(hits, 100U);
  EXPECT_EQ(wrong, 0U);
}

// Removals make two transactions each: a reader that thought of them as one saw pages overwritten.
TEST_F(content_store_test, readers_beside_the_writer_find_what_stays_whatever_comes_and_goes) {
  test::skip_syncs(true);
  for (std::uint64_t n = 0; n < 300; ++n) {
    put(1'000 + n, 100);
  }
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> lookups{0};
  std::atomic<std::uint64_t> wrong{0};
  std::vector<std::thread> readers;
  for (std::uint64_t r = 0; r < 2; ++r) {
    readers.emplace_back([&, r, reader = store->reader()] {
      for (std::uint64_t n = r; !over; n = (n + 7) % 300) {
        wrong += !reader.describe_by_key(everybody, digest_of(1'000 + n)).has_value();
        ++lookups;
      }
    });
  }
  for (std::uint64_t n = 0; n < 1'500 || lookups < 1'000; ++n) {
    put(n % 100);
    commit_one(remove_content{named(n % 100)});
  }
  over = true;
  for (std::thread& t : readers) {
    t.join();
  }
  test::skip_syncs(false);
  EXPECT_EQ(wrong, 0U);
}

// A reader in the middle of a lookup, at each of its reads: were there anything that it holds, the
// commits would wait for it, and it for them.
TEST_F(content_store_test, a_reader_that_stands_still_holds_up_no_commit) {
  test::skip_syncs(true);
  for (std::uint64_t n = 0; n < 300; ++n) {
    put(1'000 + n, 100);
  }
  std::uint64_t stops = 0;
  for (bool stopped = true; stopped; ++stops) {
    stopped = false;
    const store_reader reader = store->reader();
    test::stop_at_read(stops, [&] {
      stopped = true;
      for (std::uint64_t n = 0; n < 50; ++n) {
        put(n);
        commit_one(remove_content{named(n)});
      }
    });
    const lookup_answer found = reader.find_by_key(everybody, digest_of(1'000 + stops * 7));
    test::stop_at_read(0, nullptr);
    EXPECT_EQ(found.outcome, lookup_outcome::hit) << stops;
  }
  test::skip_syncs(false);
  EXPECT_GE(stops, 4U); // two lookups in the tree, and the content
}

TEST_F(content_store_test, compacting_keeps_everything_and_makes_the_index_smaller) {
  for (std::uint64_t n = 0; n < 200; ++n) {
    put(n);
  }
  for (std::uint64_t n = 0; n < 190; ++n) {
    commit_one(remove_content{named(n)});
  }
  const auto before = std::filesystem::file_size(folder.store() + "/index.mdb");
  ASSERT_TRUE(store->compact());
  EXPECT_LT(std::filesystem::file_size(folder.store() + "/index.mdb"), before);
  EXPECT_EQ(store->usage(content_kind::kv).entries, 10U);
  for (std::uint64_t n = 190; n < 200; ++n) {
    EXPECT_EQ(get(n).bytes, content_of(n, 5'000));
  }
}

} // namespace
} // namespace ovir::storage
