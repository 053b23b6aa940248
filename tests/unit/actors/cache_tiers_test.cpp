#include "actors/reuse/cache_tiers.hpp"
#include "compute/forward/prefix.hpp"
#include "tests/support/cluster/answers.hpp"
#include "tests/support/model/kv_blocks.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

namespace ovir::actors {
namespace {

constexpr compute::kv_shape shape{2, 8};
constexpr std::uint32_t windows = 4;
constexpr std::uint32_t layers = 3;

/// Of one prompt, as an owner's.
prefix_list names(digest salt = {}) {
  std::vector<token_id> ids(windows * 32, 9);
  compute::prefix_chain chain;
  chain.add(ids);
  std::vector<digest> all;
  for (const digest& prefix : chain.windows()) {
    all.push_back(compute::window_name(salt, prefix));
  }
  return std::make_shared<const std::vector<digest>>(std::move(all));
}
unit_scope scope(layer_range of = {0, layers}) { return {hash_plain({}), of, layers, shape}; }
digest leaf(std::uint32_t window, layer_index layer) {
  return hasher{"ovir/test/leaf"}.update_u32(window).update_u32(layer).finish();
}

/// All units of four windows of a model of three layers.
keep_units all_units(digest salt = {}) {
  keep_units units;
  units.scope = scope();
  units.prefixes = names(salt);
  units.kv = std::make_shared<const compute::kv_cache>(
      test::filled_kv({0, layers}, shape, windows * 32, 5));
  units.origins = test::origins_of(*units.kv, {0, layers}, windows);
  for (std::uint32_t w = 0; w < windows; ++w) {
    for (layer_index l = 0; l + 1 < layers; ++l) {
      units.leaves.push_back({{w, l}, 32, leaf(w, l)});
    }
  }
  return units;
}
find_units ask(layer_range of = {0, layers}, digest salt = {}) {
  return {scope(of), names(salt), 0, windows};
}

class tiers_on_disk : public ::testing::Test {
protected:
  cache_tiers open(std::size_t memory = 0, std::uint64_t disk = 1U << 30U) {
    storage::store_options how;
    how.limits.bytes[storage::index_of(storage::content_kind::kv)] = disk;
    return {memory, storage::content_store::open(*env_, folder_.path() / "store", how).value(),
            *env_};
  }
  static void commit(cache_tiers& tiers) {
    while (auto batch = tiers.take_batch()) {
      EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
    }
  }
  void keep_all() {
    cache_tiers tiers = open();
    tiers.keep(all_units());
    commit(tiers);
  }
  /// Flips a bit of every `stride`th entry's content.
  void damage(std::size_t first, std::size_t stride) {
    std::fstream file{folder_.path() / "store/blocks",
                      std::ios::in | std::ios::out | std::ios::binary};
    for (std::size_t block = first; block < std::size_t{windows} * layers; block += stride) {
      const auto at = static_cast<std::streamoff>(block * 4'096 + 300);
      file.seekg(at);
      const char old = static_cast<char>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(old ^ 1));
    }
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_{storage::make_env_posix()};
};

TEST_F(tiers_on_disk, give_back_what_was_kept_over_a_restart_to_any_cut) {
  static_assert(4'096 > 192 + 2 * 2 * 32 * 8 * 2 + 32,
                "each block of this test is one of the disk");
  keep_all();
  cache_tiers tiers = open();
  const auto kv = all_units().kv;
  for (const layer_range cut : {layer_range{0, 3}, layer_range{0, 1}, layer_range{1, 3},
                                layer_range{2, 3}, layer_range{1, 2}}) {
    const units_found found = tiers.find(ask(cut));
    ASSERT_EQ(found.blocks.size(), windows * cut.size());
    EXPECT_EQ(found.from, (units_reused{0, windows * cut.size(), 0}));
    EXPECT_FALSE(found.more);
    for (std::size_t i = 0; i < found.blocks.size(); ++i) {
      const compute::kv_block& block = found.blocks[i];
      const auto window = static_cast<std::uint32_t>(i / cut.size());
      const auto layer = static_cast<layer_index>(cut.first + i % cut.size());
      EXPECT_EQ(block.header().window, window);
      EXPECT_EQ(block.header().layer, layer);
      if (layer + 1 < layers) {
        EXPECT_EQ(block.header().output, leaf(window, layer));
      }
      EXPECT_EQ(std::memcmp(block.keys().data(), kv->keys(layer, 0) + window * 32 * 8, 512), 0);
    }
  }
}

TEST_F(tiers_on_disk, memory_serves_first_and_so_does_what_is_not_written_yet) {
  cache_tiers with_memory = open(1U << 20U);
  with_memory.keep(all_units());
  EXPECT_EQ(with_memory.find(ask()).from, (units_reused{12, 0, 0}));
  EXPECT_EQ(with_memory.report().memory_entries, 12U);
  commit(with_memory);
  EXPECT_EQ(with_memory.find(ask()).from, (units_reused{12, 0, 0}));
}

TEST_F(tiers_on_disk, without_memory_units_are_found_before_and_after_their_commit) {
  cache_tiers tiers = open(0);
  tiers.keep(all_units());
  EXPECT_EQ(tiers.find(ask()).from, (units_reused{12, 0, 0})); // on the way to the disk
  auto batch = tiers.take_batch();
  ASSERT_TRUE(batch);
  EXPECT_EQ(tiers.find(ask()).from, (units_reused{12, 0, 0})); // a commit is under way
  EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
  EXPECT_EQ(tiers.find(ask()).from, (units_reused{0, 12, 0}));
  EXPECT_EQ(tiers.report().kept, 12U);
}

TEST_F(tiers_on_disk, what_is_there_is_not_written_again) {
  keep_all();
  cache_tiers tiers = open();
  tiers.keep(all_units());
  EXPECT_FALSE(tiers.take_batch());
}

TEST_F(tiers_on_disk, damage_is_counted_never_served_and_mended_by_the_next_keep) {
  keep_all();
  damage(7, 100); // window 2, layer 1
  cache_tiers tiers = open();
  units_found found = tiers.find(ask());
  EXPECT_EQ(found.blocks.size(), 6U);
  EXPECT_EQ(tiers.report().damaged, 1U);
  tiers.keep(all_units()); // computed again, before the store knows
  commit(tiers);
  found = tiers.find(ask());
  EXPECT_EQ(found.blocks.size(), 12U);
  EXPECT_EQ(tiers.report().damaged, 1U);
  EXPECT_EQ(tiers.report().kept, 1U); // the others were there
}

TEST_F(tiers_on_disk, damage_that_the_store_dropped_before_is_mended_as_well) {
  keep_all();
  damage(0, 1);
  cache_tiers tiers = open();
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  commit(tiers); // drops the one that was found
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  // Each is found damaged when somebody looks for it, once, and is mended then.
  for (std::uint64_t round = 0; round < 12; ++round) {
    EXPECT_LT(tiers.find(ask()).blocks.size(), 12U);
    EXPECT_LE(tiers.report().damaged, round + 1);
    tiers.keep(all_units());
    commit(tiers);
  }
  EXPECT_EQ(tiers.find(ask()).blocks.size(), 12U);
  EXPECT_EQ(tiers.report().damaged, 12U);
}

// Content whose own digest is right, under a key it is not of: an index that leads astray, or a
// block somebody made up.
TEST_F(tiers_on_disk, a_block_under_another_units_key_is_refused_and_dropped) {
  const auto kv = all_units().kv;
  const digest key = compute::unit_key(scope().model, 0, (*names())[0]);
  const auto place = [&](std::vector<std::byte> bytes) {
    compute::seal_kv_block(bytes, (*names())[0]);
    auto store = storage::content_store::open(*env_, folder_.path() / "store", {}).value();
    const storage::store_change put =
        storage::put_content{.kind = storage::content_kind::kv, .bytes = bytes, .key = key};
    EXPECT_TRUE(store->commit(std::span{&put, 1}, 1));
  };
  const digest output = leaf(0, 0);
  const digest other_key = compute::unit_key(scope().model, 1, (*names())[0]);
  const compute::kv_cache odd = test::filled_kv({0, layers}, {2, 16}, 32, 5);
  const std::vector<std::vector<std::byte>> wrong{
      test::kv_bytes(*kv, 0, 0, other_key, &output), // another key
      test::kv_bytes(*kv, 1, 0, key, &output),       // another layer
      test::kv_bytes(*kv, 0, 1, key, &output),       // another window
      test::kv_bytes(odd, 0, 0, key, &output),       // another shape
      std::vector<std::byte>(5'000),                 // no block at all
  };
  for (const auto& bytes : wrong) {
    place(bytes);
    {
      cache_tiers tiers = open();
      EXPECT_TRUE(tiers.find(ask({0, 1})).blocks.empty());
      EXPECT_EQ(tiers.report().damaged, 1U);
      commit(tiers);
    }
    cache_tiers tiers = open();
    EXPECT_TRUE(tiers.find(ask({0, 1})).blocks.empty());
    EXPECT_EQ(tiers.report().damaged, 0U); // it is gone
  }
  place(test::kv_bytes(*kv, 0, 0, key, &output));
  cache_tiers tiers = open();
  EXPECT_EQ(tiers.find(ask({0, 1})).blocks.size(), 1U);
}

TEST_F(tiers_on_disk, a_block_of_the_last_layer_must_state_the_digest_of_its_own_numbers) {
  const auto kv = all_units().kv;
  const digest key = compute::unit_key(scope().model, layers - 1, (*names())[0]);
  const digest output = leaf(0, 0);
  {
    auto store = storage::content_store::open(*env_, folder_.path() / "store", {}).value();
    auto bytes = test::kv_bytes(*kv, layers - 1, 0, key, &output);
    compute::seal_kv_block(bytes, (*names())[0]);
    const storage::store_change put =
        storage::put_content{.kind = storage::content_kind::kv, .bytes = bytes, .key = key};
    EXPECT_TRUE(store->commit(std::span{&put, 1}, 1));
  }
  cache_tiers tiers = open();
  EXPECT_TRUE(tiers.find(ask({layers - 1, layers})).blocks.empty());
  EXPECT_EQ(tiers.report().damaged, 1U);
}

TEST_F(tiers_on_disk, owners_do_not_find_each_others_units) {
  const digest mine = hash("ovir/test/salt", {});
  cache_tiers tiers = open(1U << 20U);
  tiers.keep(all_units(mine));
  commit(tiers);
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  EXPECT_TRUE(tiers.find(ask({0, layers}, hash_plain({}))).blocks.empty());
  EXPECT_EQ(tiers.find(ask({0, layers}, mine)).blocks.size(), 12U);
}

TEST_F(tiers_on_disk, limits_of_the_disk_are_kept_and_what_is_left_is_right) {
  cache_tiers tiers = open(0, 5 * 4'096);
  for (int i = 0; i < 5; ++i) {
    tiers.keep(all_units());
    commit(tiers);
    EXPECT_LE(tiers.find(ask()).blocks.size(), 5U);
  }
}

TEST_F(tiers_on_disk, answers_come_back_whole_or_as_far_as_they_were_drawn) {
  const std::vector<token_id> prompt = test::answered_prompt();
  const digest request = request_digest(hash_plain({}), prompt, {});
  answer_record whole = test::finished_answer(30);
  whole.key = finished_key(request, 30, {});
  answer_record first = test::drawn_window();
  first.key = draws_key(request, 0);
  answer_record third = test::drawn_window();
  third.key = draws_key(request, 2);
  {
    cache_tiers tiers = open();
    for (const answer_record& r : {whole, first, third}) {
      tiers.keep(keep_answer{{}, r, 5});
    }
    commit(tiers);
  }
  cache_tiers tiers = open();
  enter_request question;
  question.finished_key = whole.key;
  question.request_name = request;
  request_entered known = tiers.find_answer(question);
  EXPECT_EQ(known.finished, whole);
  EXPECT_TRUE(known.from_disk);
  question.finished_key = finished_key(request, 31, {});
  known = tiers.find_answer(question);
  EXPECT_FALSE(known.finished);
  EXPECT_EQ(known.drawn, first.drawn); // without the third, whose predecessor is missing
  question.request_name.reset();
  EXPECT_TRUE(tiers.find_answer(question).drawn.empty());
}

TEST_F(tiers_on_disk, a_quarantine_takes_all_that_was_kept_from_memory_and_disk) {
  answer_record answer = test::finished_answer(30);
  answer.key = finished_key(request_digest(hash_plain({}), test::answered_prompt(), {}), 30, {});
  enter_request question;
  question.finished_key = answer.key;
  cache_tiers tiers = open(1U << 20U);
  tiers.keep(all_units());
  tiers.keep(keep_answer{{}, answer, 5});
  commit(tiers);
  (void)tiers.take_places();
  int told = 0;
  EXPECT_EQ(tiers.quarantine([&told] { ++told; }), 1U);
  // At once, though the disk still has it; and nobody is told that it is here.
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  EXPECT_FALSE(tiers.find_answer(question).finished);
  EXPECT_FALSE(tiers.serve(compute::unit_key(scope().model, 0, (*names())[0])));
  EXPECT_EQ(tiers.take_places(), std::vector<digest>{});
  EXPECT_EQ(told, 0) << "it is still on the disk";
  commit(tiers);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(tiers.report().quarantined, 13U);
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  // Who began before may have computed with what was taken away.
  tiers.keep(all_units());
  tiers.keep(keep_answer{{}, answer, 5});
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  EXPECT_FALSE(tiers.find_answer(question).finished);
  EXPECT_EQ(tiers.report().tainted, 2U);
  keep_units later = all_units();
  later.era = 1;
  tiers.keep(later);
  commit(tiers);
  EXPECT_EQ(tiers.find(ask()).blocks.size(), 12U);
}

TEST_F(tiers_on_disk, a_quarantine_reaches_what_was_on_its_way_to_the_disk) {
  {
    cache_tiers tiers = open(1U << 20U);
    tiers.keep(all_units());
    auto under_way = tiers.take_batch();
    ASSERT_TRUE(under_way);
    int told = 0;
    (void)tiers.quarantine([&told] { ++told; });
    EXPECT_TRUE(tiers.take(tiers.commit(std::move(*under_way))).empty());
    EXPECT_EQ(told, 0) << "that batch began before";
    EXPECT_TRUE(tiers.find(ask()).blocks.empty());
    commit(tiers);
    EXPECT_EQ(told, 1);
  }
  cache_tiers again = open();
  EXPECT_TRUE(again.find(ask()).blocks.empty());
}

TEST_F(tiers_on_disk, a_second_quarantine_waits_for_a_disk_that_forgot_after_it) {
  cache_tiers tiers = open(1U << 20U);
  tiers.keep(all_units());
  commit(tiers);
  std::vector<int> told;
  (void)tiers.quarantine([&told] { told.push_back(1); });
  auto first = tiers.take_batch();
  ASSERT_TRUE(first && first->quarantine);
  EXPECT_EQ(tiers.quarantine([&told] { told.push_back(2); }), 2U);
  EXPECT_TRUE(tiers.take(tiers.commit(std::move(*first))).empty());
  EXPECT_TRUE(told.empty());
  commit(tiers);
  EXPECT_EQ(told, (std::vector<int>{1, 2}));
}

TEST_F(tiers_on_disk, a_quarantine_without_a_disk_is_over_at_once) {
  cache_tiers tiers{1U << 20U, nullptr, *env_};
  tiers.keep(all_units());
  bool told = false;
  (void)tiers.quarantine([&told] { told = true; });
  EXPECT_TRUE(told);
  EXPECT_TRUE(tiers.find(ask()).blocks.empty());
  EXPECT_EQ(tiers.report().quarantined, 12U);
}

class tiers_whose_answers_others_compute : public tiers_on_disk {
protected:
  tiers_whose_answers_others_compute() { answer_.key = finished_key(request_, 30, {}); }

  [[nodiscard]] cache_tiers open_claiming() const {
    return {1U << 20U, storage::content_store::open(*env_, folder_.path() / "claims", {}).value(),
            *env_, true};
  }
  /// Times it is found until it is not, at most 100.
  [[nodiscard]] std::uint32_t found(cache_tiers& tiers) const {
    enter_request question;
    question.finished_key = answer_.key;
    question.request_name = request_;
    for (std::uint32_t times = 0; times < 100; ++times) {
      const request_entered known = tiers.find_answer(question);
      if (!known.finished) {
        EXPECT_TRUE(known.drawn.empty()) << "it is to be computed from its beginning";
        return times;
      }
      EXPECT_EQ(known.finished, answer_);
    }
    return 100;
  }

  digest request_ = request_digest(hash_plain({}), test::answered_prompt(), {});
  answer_record answer_ = test::finished_answer(30);
};

TEST_F(tiers_whose_answers_others_compute,
       believe_one_so_often_and_then_one_that_came_out_the_same) {
  {
    cache_tiers tiers = open_claiming();
    answer_record begun = test::drawn_window();
    begun.key = draws_key(request_, 0);
    tiers.keep(keep_answer{{}, begun, 5});
    tiers.keep(keep_answer{{}, answer_, 5});
    EXPECT_EQ(found(tiers), limits::claimed_uses_max);
    EXPECT_EQ(found(tiers), 0U);
    tiers.keep(keep_answer{{}, answer_, 5});
    EXPECT_EQ(found(tiers), 100U);
    EXPECT_EQ(tiers.report().rechecked, 1U);
    EXPECT_EQ(tiers.report().refuted, 0U);
    commit(tiers);
  }
  cache_tiers later = open_claiming();
  EXPECT_EQ(found(later), 100U) << "it is known to be right after a restart";
}

TEST_F(tiers_whose_answers_others_compute, count_uses_over_a_restart) {
  std::uint32_t before = 0;
  {
    cache_tiers tiers = open_claiming();
    tiers.keep(keep_answer{{}, answer_, 5});
    commit(tiers);
  }
  for (int life = 0; life < 4; ++life) {
    cache_tiers tiers = open_claiming();
    enter_request question;
    question.finished_key = answer_.key;
    before += tiers.find_answer(question).finished ? 1U : 0U; // from the disk: noted there
    commit(tiers);
  }
  EXPECT_EQ(before, 4U);
  cache_tiers tiers = open_claiming();
  EXPECT_EQ(found(tiers), limits::claimed_uses_max - before);
}

TEST_F(tiers_whose_answers_others_compute, keep_the_later_one_as_a_claim_where_two_differ) {
  cache_tiers tiers = open_claiming();
  answer_record lie = answer_;
  lie.drawn.back().token ^= 1U;
  tiers.keep(keep_answer{{}, lie, 5});
  commit(tiers);
  enter_request question;
  question.finished_key = answer_.key;
  for (std::uint32_t i = 0; i < limits::claimed_uses_max; ++i) {
    EXPECT_EQ(tiers.find_answer(question).finished, lie);
  }
  EXPECT_FALSE(tiers.find_answer(question).finished);
  tiers.keep(keep_answer{{}, answer_, 5});
  commit(tiers);
  EXPECT_EQ(tiers.report().refuted, 1U);
  EXPECT_TRUE(tiers.take_refuted().empty()) << "whose it was is not known";
  EXPECT_EQ(found(tiers), limits::claimed_uses_max);
}

TEST(tiers_in_memory, need_no_store) {
  const auto env = storage::make_env_posix();
  cache_tiers tiers{1U << 20U, nullptr, *env};
  tiers.keep(all_units());
  EXPECT_FALSE(tiers.take_batch());
  EXPECT_EQ(tiers.find(ask()).from, (units_reused{12, 0, 0}));
}

TEST(tiers_in_memory, stop_at_the_first_window_that_lacks_a_layer) {
  const auto env = storage::make_env_posix();
  cache_tiers tiers{1U << 20U, nullptr, *env};
  keep_units units = all_units();
  units.scope.layers = {0, 2};
  tiers.keep(units);
  units = all_units();
  units.scope.layers = {2, 3};
  units.origins = test::origins_of(*units.kv, {2, 3}, windows);
  const prefix_list all = names();
  units.prefixes = std::make_shared<const std::vector<digest>>(all->begin(), all->begin() + 2);
  tiers.keep(units);
  EXPECT_EQ(tiers.find(ask()).blocks.size(), 6U);
  EXPECT_EQ(tiers.find(ask({0, 2})).blocks.size(), 8U);
}

} // namespace
} // namespace ovir::actors
