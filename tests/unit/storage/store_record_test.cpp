#include "messages/limits/store.hpp"
#include "storage/store/retention.hpp"
#include "storage/store/store_record.hpp"

#include <gtest/gtest.h>

namespace ovir::storage {
namespace {

entry example() {
  entry e;
  e.kind = content_kind::logits;
  e.name = e.content = hash_plain({});
  e.size = 100;
  e.stored = 1'000;
  e.cost_us = 10;
  e.keys = {digest{}, hash_plain({})};
  return e;
}

TEST(store_record, every_single_bit_of_a_record_and_its_key_matters) {
  const std::string key = entry_index_key(content_kind::logits, example().name);
  const std::string record = to_record(example());
  ASSERT_EQ(entry_from(key, record), example());
  for (std::size_t bit = 0; bit < 8 * (key.size() + record.size()); ++bit) {
    std::string other_key = key;
    std::string other = record;
    char& byte = bit / 8 < key.size() ? other_key[bit / 8] : other[bit / 8 - key.size()];
    byte = static_cast<char>(byte ^ (1 << bit % 8));
    EXPECT_FALSE(entry_from(other_key, other)) << bit;
  }
}

TEST(store_record, a_record_cut_short_is_none) {
  const std::string key = entry_index_key(content_kind::logits, example().name);
  const std::string record = to_record(example());
  for (std::size_t length = 0; length < record.size(); ++length) {
    EXPECT_FALSE(entry_from(key, record.substr(0, length)));
  }
  EXPECT_FALSE(entry_from("", record));
}

TEST(store_record, sizes_and_places_beyond_the_bounds_are_refused_though_the_check_holds) {
  const std::string key = entry_index_key(content_kind::logits, example().name);
  for (const auto& spoil : std::initializer_list<void (*)(entry&)>{
           [](entry& e) { e.size = 0; },
           [](entry& e) { e.size = limits::store_entry_bytes_max + 1; },
           [](entry& e) { e.offset = 1; }, [](entry& e) { e.offset = ~std::uint64_t{4'095}; },
           [](entry& e) { e.keys.resize(limits::store_keys_per_entry_max + 1); }}) {
    entry e = example();
    spoil(e);
    EXPECT_FALSE(entry_from(key, to_record(e)));
  }
}

TEST(retention, dear_small_and_often_used_entries_are_worth_more) {
  const entry e = example();
  const auto value = [](entry x, void (*change)(entry&)) {
    change(x);
    return retention_value(x, 2'000);
  };
  const double usual = retention_value(e, 2'000);
  EXPECT_GT(value(e, [](entry& x) { x.cost_us *= 2; }), usual);
  EXPECT_GT(value(e, [](entry& x) { x.uses = 1; }), usual);
  EXPECT_LT(value(e, [](entry& x) { x.size = 5'000; }), usual);
  EXPECT_LT(retention_value(e, 3'000), usual);
  EXPECT_GT(retention_value(e, 0), usual) << "a clock that went back";
}

} // namespace
} // namespace ovir::storage
