// Inputs of windows in the tiers: beside the blocks, and whatever happens to these.
#include "actors/reuse/cache_tiers.hpp"
#include "compute/forward/kv_digest.hpp"
#include "messages/limits/audit_inputs.hpp"
#include "tests/support/model/kv_blocks.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir::actors {
namespace {

constexpr compute::kv_shape input_shape{2, 8};
constexpr layer_range input_layers{1, 3};

digest rows_name(std::uint32_t window) {
  return hasher{"ovir/test/rows"}.update_u32(window).finish();
}

/// Two whole windows and five positions of a third.
keep_inputs three_windows() {
  keep_inputs all;
  all.layers = input_layers;
  all.kv = std::make_shared<const compute::kv_cache>(
      test::filled_kv(input_layers, input_shape, 3 * 32, 5));
  for (std::uint32_t w = 0; w < 3; ++w) {
    window_kept kept{w, w < 2 ? 32U : 5U, rows_name(w), {}, {}};
    kept.rows.assign(kept.positions * 4, static_cast<float>(w) + 0.5F);
    for (layer_index layer = input_layers.first; layer < input_layers.last; ++layer) {
      kept.kv.push_back(compute::kv_digest(*all.kv, layer, w, kept.positions));
    }
    all.windows.push_back(std::move(kept));
  }
  return all;
}
constexpr std::size_t pieces = 3 * (1 + 2);

/// Rows alone, of so many bytes each.
keep_inputs rows_of(std::uint32_t windows, std::size_t bytes) {
  keep_inputs all;
  for (std::uint32_t w = 0; w < windows; ++w) {
    all.windows.push_back({w, 32, rows_name(w), std::vector<float>(bytes / sizeof(float)), {}});
  }
  return all;
}

/// A block as it is kept for reuse.
keep_units one_block() {
  keep_units units;
  units.scope = {hash_plain({}), {2, 3}, 3, input_shape};
  units.prefixes = std::make_shared<const std::vector<digest>>(1, hash_plain({}));
  units.kv = std::make_shared<const compute::kv_cache>(test::filled_kv({2, 3}, input_shape, 32, 6));
  units.origins = test::origins_of(*units.kv, {2, 3}, 1);
  return units;
}

class tiers_with_inputs : public ::testing::Test {
protected:
  [[nodiscard]] cache_tiers open(storage::store_options how = {}) const {
    return {0, storage::content_store::open(*env_, folder_.path() / "store", how).value(), *env_};
  }
  [[nodiscard]] cache_tiers in_memory() const { return {1U << 20U, nullptr, *env_}; }
  static void commit(cache_tiers& tiers) {
    while (auto batch = tiers.take_batch()) {
      EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
    }
  }
  static void expect_all(cache_tiers& tiers) {
    const keep_inputs kept = three_windows();
    for (const window_kept& window : kept.windows) {
      const auto rows = tiers.input_at(window.input);
      ASSERT_TRUE(rows);
      ASSERT_EQ(rows->size(), window.rows.size() * sizeof(float));
      EXPECT_EQ(std::memcmp(rows->data(), window.rows.data(), rows->size()), 0);
      for (std::size_t i = 0; i < window.kv.size(); ++i) {
        const auto kv = tiers.serve(window.kv[i]);
        ASSERT_TRUE(kv);
        EXPECT_EQ(compute::kv_digest(static_cast<layer_index>(input_layers.first + i),
                                     window.window, window.positions, *kv),
                  window.kv[i]);
      }
    }
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
};

TEST_F(tiers_with_inputs, are_found_by_their_digests_before_and_after_a_commit_and_a_restart) {
  {
    cache_tiers tiers = open();
    tiers.keep(three_windows());
    EXPECT_EQ(tiers.report().unwritten, pieces);
    expect_all(tiers);
    auto batch = tiers.take_batch();
    ASSERT_TRUE(batch);
    expect_all(tiers);
    EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
    expect_all(tiers);
    EXPECT_EQ(tiers.report().inputs_kept, pieces);
    EXPECT_EQ(tiers.report().inputs_served, 3 * 6U);
    EXPECT_EQ(tiers.report().unwritten, 0U);
    EXPECT_EQ(tiers.report().kept, 0U) << "they are not counted as blocks";
    EXPECT_EQ(tiers.report().served, 0U);
    EXPECT_FALSE(tiers.take_places()) << "and not claimed";
    tiers.keep(three_windows());
    EXPECT_FALSE(tiers.input_at(hash_plain({})));
  }
  cache_tiers later = open();
  later.claim_kept();
  EXPECT_FALSE(later.take_places());
  later.keep(three_windows());
  EXPECT_FALSE(later.take_batch()) << "what is there is not written again";
  expect_all(later);
  EXPECT_EQ(later.report().inputs_bytes, 0U);
}

TEST_F(tiers_with_inputs, need_no_store) {
  cache_tiers tiers = in_memory();
  tiers.keep(three_windows());
  expect_all(tiers);
  EXPECT_EQ(tiers.report().inputs_kept, pieces);
  EXPECT_EQ(tiers.report().memory_entries, 0U) << "they have a memory of their own";
  EXPECT_GT(tiers.report().inputs_bytes, 0U);
  (void)tiers.quarantine([] {});
  expect_all(tiers);
}

TEST_F(tiers_with_inputs, blocks_and_inputs_are_not_taken_for_each_other) {
  cache_tiers tiers = open();
  tiers.keep(three_windows());
  tiers.keep(one_block());
  const digest place = tiers.take_places().value().at(0);
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(tiers.serve(place));
    EXPECT_FALSE(tiers.input_at(place));
    expect_all(tiers);
    commit(tiers);
  }
  EXPECT_EQ(tiers.report().served, 2U);
  EXPECT_EQ(tiers.report().inputs_served, 2 * 6U);
  EXPECT_EQ(tiers.report().kept, 1U);
}

TEST_F(tiers_with_inputs, survive_a_conviction_wherever_they_are) {
  keep_inputs early = three_windows();
  keep_inputs late = three_windows();
  early.windows.pop_back();
  late.windows.erase(late.windows.begin(), late.windows.begin() + 2);
  {
    cache_tiers tiers = open();
    tiers.keep(early);
    commit(tiers);
  }
  cache_tiers tiers = open(); // with nothing in memory
  tiers.keep(one_block());
  const digest place = tiers.take_places().value().at(0);
  tiers.keep(late);
  bool told = false;
  (void)tiers.quarantine([&told] { told = true; });
  EXPECT_FALSE(tiers.serve(place));
  expect_all(tiers); // from the disk and from what is not written yet
  commit(tiers);
  EXPECT_TRUE(told);
  EXPECT_FALSE(tiers.serve(place));
  expect_all(tiers);
  EXPECT_EQ(tiers.report().quarantined, 1U);
  EXPECT_EQ(tiers.report().inputs_kept, 3U);
}

TEST_F(tiers_with_inputs, what_came_from_another_is_held_in_memory_alone) {
  cache_tiers tiers = open();
  const auto bytes = test::share(std::vector<std::byte>(100, std::byte{3}));
  tiers.hold({{{rows_name(1), bytes}, {rows_name(2), nullptr}}});
  EXPECT_EQ(tiers.input_at(rows_name(1)), bytes);
  EXPECT_EQ(tiers.serve(rows_name(1)), bytes);
  EXPECT_FALSE(tiers.input_at(rows_name(2)));
  EXPECT_FALSE(tiers.take_batch());
}

TEST_F(tiers_with_inputs, what_does_not_fit_into_a_message_is_not_served) {
  cache_tiers tiers = in_memory();
  tiers.keep(rows_of(1, limits::kv_block_bytes_max + 4));
  EXPECT_TRUE(tiers.input_at(rows_name(0)));
  EXPECT_FALSE(tiers.serve(rows_name(0)));
}

TEST_F(tiers_with_inputs, wait_for_a_slow_disk_up_to_a_bound_and_go_to_it_in_batches) {
  constexpr std::size_t large = 8U << 20U;
  constexpr auto fit = static_cast<std::uint32_t>(limits::audit_inputs_queue_bytes_max / large);
  cache_tiers tiers = open();
  keep_inputs more = rows_of(fit + 1, large);
  for (std::size_t i = 0; i < more.windows.size(); ++i) {
    more.windows[i].rows[0] = static_cast<float>(i); // else they are one content
  }
  tiers.keep(more);
  EXPECT_EQ(tiers.report().inputs_not_kept, 1U);
  EXPECT_EQ(tiers.report().unwritten, fit);
  EXPECT_EQ(tiers.report().inputs_bytes, large) << "of the last one alone";
  for (std::uint32_t w = 0; w <= fit; ++w) {
    EXPECT_TRUE(tiers.input_at(rows_name(w))) << "the first one waits, the last one is in memory";
  }
  auto batch = tiers.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->writes.size(), limits::audit_inputs_batch_bytes_max / large);
  EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
  commit(tiers);
  EXPECT_EQ(tiers.report().inputs_kept, fit);
  EXPECT_TRUE(tiers.serve(rows_name(0))) << "only the disk has it";
}

TEST_F(tiers_with_inputs, have_limits_of_their_own_on_the_disk) {
  storage::store_options how;
  how.limits.bytes[storage::index_of(storage::content_kind::inputs)] = std::uint64_t{6} * 4'096;
  how.limits.bytes[storage::index_of(storage::content_kind::boundaries)] = 0;
  cache_tiers tiers = open(how);
  tiers.keep(one_block());
  tiers.keep(three_windows());
  const digest place = tiers.take_places().value().at(0);
  commit(tiers);
  EXPECT_EQ(tiers.report().inputs_not_kept, 3U) << "the rows";
  EXPECT_EQ(tiers.report().kept, 1U);
  EXPECT_TRUE(tiers.serve(place));
}

} // namespace
} // namespace ovir::actors
