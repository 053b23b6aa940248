// What the tiers do for other nodes and with what comes from them, forged blocks included.
#include "actors/reuse/cache_tiers.hpp"
#include "compute/forward/prefix.hpp"
#include "messages/limits/cache.hpp"
#include "tests/support/model/kv_blocks.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

constexpr compute::kv_shape shape{2, 8};
constexpr std::uint32_t windows = 4;
constexpr std::uint32_t layers = 3;

/// Of one prompt, as an owner's.
prefix_list names(digest salt = {}) {
  compute::prefix_chain chain;
  chain.add(std::vector<token_id>(windows * 32, 9));
  std::vector<digest> all;
  for (const digest& prefix : chain.windows()) {
    all.push_back(compute::window_name(salt, prefix));
  }
  return std::make_shared<const std::vector<digest>>(std::move(all));
}
unit_scope scope() { return {hash_plain({}), {0, layers}, layers, shape}; }
find_units ask() { return {scope(), names(), 0, windows}; }

keep_units all_units(digest salt = {}) {
  keep_units units;
  units.scope = scope();
  units.prefixes = names(salt);
  units.kv = std::make_shared<const compute::kv_cache>(
      test::filled_kv({0, layers}, shape, windows * 32, 5));
  units.origins = test::origins_of(*units.kv, {0, layers}, windows);
  for (std::uint32_t w = 0; w < windows; ++w) {
    for (layer_index l = 0; l + 1 < layers; ++l) {
      units.leaves.push_back(
          {{w, l}, 32, hasher{"ovir/test/leaf"}.update_u32(w).update_u32(l).finish()});
    }
  }
  return units;
}

node_id author() {
  node_id id;
  id.key[0] = 9;
  return id;
}

class tiers_between_nodes : public ::testing::Test {
protected:
  [[nodiscard]] cache_tiers open(const std::string& name, std::size_t memory = 1U << 20U) const {
    return {memory, storage::content_store::open(*env_, folder_.path() / name, {}).value(), *env_};
  }
  static void commit(cache_tiers& tiers) {
    while (auto batch = tiers.take_batch()) {
      EXPECT_TRUE(tiers.take(tiers.commit(std::move(*batch))).empty());
    }
  }
  /// Everything `to` lacks, as `from` has it; `forge` may change a block before it is sent.
  static void fetch(cache_tiers& from, cache_tiers& to,
                    const std::function<void(std::vector<std::byte>&)>& forge = {}) {
    std::vector<fetched_block> blocks;
    for (const wanted_window& window : to.missing(ask(), 0)) {
      for (const wanted_block& wanted : window) {
        auto bytes = from.serve(wanted.place);
        ASSERT_NE(bytes, nullptr);
        if (forge) {
          auto changed = *bytes;
          forge(changed);
          compute::seal_kv_block(changed, wanted.window_name);
          bytes = test::share(std::move(changed));
        }
        const node_id named = compute::author_of_kv_block(*bytes);
        blocks.push_back({wanted, named.empty() ? author() : named, bytes});
      }
    }
    to.take_fetched(scope(), std::move(blocks));
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
};

TEST_F(tiers_between_nodes, what_one_kept_another_finds_as_a_peers_and_then_as_its_own) {
  cache_tiers from = open("from");
  cache_tiers to = open("to");
  from.keep(all_units());
  EXPECT_EQ(to.missing(ask(), 0).size(), windows);
  fetch(from, to);
  EXPECT_TRUE(to.missing(ask(), 0).at(3).empty());
  const units_found first = to.find(ask());
  EXPECT_EQ(first.blocks.size(), windows * layers);
  EXPECT_EQ(first.from, (units_reused{0, 0, windows * layers}));
  EXPECT_EQ(to.find(ask()).from, (units_reused{windows * layers, 0, 0}));
  commit(to);
  EXPECT_EQ(from.report().served, windows * layers);
  EXPECT_EQ(to.report().from_peer, windows * layers);
}

TEST_F(tiers_between_nodes, only_what_is_missing_is_wanted) {
  cache_tiers from = open("from");
  cache_tiers to = open("to");
  from.keep(all_units());
  keep_units half = all_units();
  half.scope.layers = {0, 1};
  to.keep(half);
  const auto missing = to.missing(ask(), 1);
  ASSERT_EQ(missing.size(), windows - 1);
  ASSERT_EQ(missing[0].size(), layers - 1);
  EXPECT_EQ(missing[0][0].layer, 1U);
  EXPECT_EQ(missing[0][0].window, 1U);
  EXPECT_FALSE(missing[0][0].model_last);
  EXPECT_TRUE(missing[0][1].model_last);
}

TEST_F(tiers_between_nodes, claims_are_all_that_is_kept_also_by_an_earlier_life) {
  std::vector<digest> before;
  {
    cache_tiers tiers = open("store");
    EXPECT_FALSE(tiers.take_places());
    tiers.keep(all_units());
    before = tiers.take_places().value();
    EXPECT_EQ(before.size(), windows * layers);
    EXPECT_FALSE(tiers.take_places()) << "nothing changed";
    commit(tiers);
  }
  cache_tiers later = open("store");
  EXPECT_FALSE(later.take_places()) << "nobody was to be told";
  later.claim_kept();
  EXPECT_EQ(later.take_places().value(), before);
}

TEST_F(tiers_between_nodes, private_blocks_have_names_that_only_their_owner_can_make) {
  cache_tiers from = open("from");
  const digest salt{{1}};
  from.keep(all_units(salt));
  const auto places = from.take_places().value();
  const digest key = compute::unit_key(scope().model, 0, (*names())[0]);
  EXPECT_EQ(std::count(places.begin(), places.end(), key), 0);
  EXPECT_EQ(from.serve(key), nullptr);
  EXPECT_NE(from.serve(compute::unit_key(scope().model, 0, (*names(salt))[0])), nullptr);
}

TEST_F(tiers_between_nodes, what_is_served_is_signed_by_who_computed_it_whoever_serves_it) {
  const secret_key first = test::author_key(1);
  const secret_key second = test::author_key(2);
  cache_tiers from = open("from");
  from.sign_with(first);
  from.keep(all_units());
  const digest place = compute::unit_key(scope().model, 0, (*names())[0]);
  EXPECT_TRUE(from.author_of(place).empty()) << "its own";
  const auto served = from.serve(place);
  const auto block = compute::kv_block::decode(served).value();
  EXPECT_TRUE(block.is_signed());
  EXPECT_EQ(block.author(), first.id());
  EXPECT_EQ(from.serve(place), served) << "signed once";
  EXPECT_TRUE(from.author_of(place).empty());
  {
    cache_tiers to = open("to");
    to.sign_with(second);
    fetch(from, to);
    EXPECT_EQ(to.author_of(place), first.id());
    commit(to);
  }
  cache_tiers later = open("to", 0); // over a restart, from the disk
  later.sign_with(second);
  EXPECT_EQ(*later.serve(place), *served);
  EXPECT_EQ(later.author_of(place), first.id());
  EXPECT_FALSE(later.find(ask()).blocks.empty());
}

TEST_F(tiers_between_nodes, a_claim_that_does_not_hold_is_withdrawn) {
  cache_tiers from = open("from");
  EXPECT_EQ(from.serve(digest{{1}}), nullptr);
  from.keep(all_units());
  const auto places = from.take_places().value();
  EXPECT_NE(from.serve(places.front()), nullptr);
  EXPECT_FALSE(from.take_places());
}

// A block of another is used for a while. Then it is computed, and compared.
TEST_F(tiers_between_nodes, forged_blocks_that_look_right_are_found_when_they_are_computed_again) {
  cache_tiers from = open("from");
  from.keep(all_units());
  for (const std::size_t memory : {std::size_t{1} << 20U, std::size_t{0}}) {
    SCOPED_TRACE(memory);
    const std::string name = "to-" + std::to_string(memory);
    {
      cache_tiers to = open(name, memory);
      fetch(from, to, [](std::vector<std::byte>& block) {
        if (block[8] != std::byte{layers - 1}) { // whose output would tell
          block[100] ^= std::byte{1};            // a number of K
          test::check_kv_block(block);
        }
      });
      commit(to);
    }
    cache_tiers to = open(name, memory); // the claim survives a restart
    std::uint32_t used = 0;
    while (!to.find(ask()).blocks.empty() && used <= 2 * limits::claimed_uses_max) {
      ++used;
      commit(to);
    }
    EXPECT_GE(used, 1U);
    EXPECT_LE(used, limits::claimed_uses_max);
    EXPECT_TRUE(to.missing(ask(), 0).empty()) << "it is to be computed, not fetched again";
    to.keep(all_units());
    EXPECT_GT(to.report().rechecked, 0U);
    EXPECT_EQ(to.report().refuted, to.report().rechecked / layers * (layers - 1));
    EXPECT_EQ(to.take_refuted(), (std::vector{author()}));
    commit(to);
    const units_found right = to.find(ask());
    ASSERT_GE(right.blocks.size(), layers);
    EXPECT_EQ(*right.blocks[0].bytes(),
              *from.serve(compute::unit_key(scope().model, 0, (*names())[0])));
  }
}

TEST_F(tiers_between_nodes, right_blocks_are_verified_by_computing_them_and_trusted_from_then_on) {
  cache_tiers from = open("from");
  from.keep(all_units());
  cache_tiers to = open("to");
  fetch(from, to);
  while (!to.find(ask()).blocks.empty()) {
  }
  to.keep(all_units());
  commit(to);
  EXPECT_GT(to.report().rechecked, 0U);
  EXPECT_EQ(to.report().refuted, 0U);
  EXPECT_TRUE(to.take_refuted().empty());
}

} // namespace
} // namespace ovir::actors
