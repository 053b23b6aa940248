#include "ledger/keeper/ledger.hpp"
#include "ledger/log/log.hpp"
#include "ledger/log/log_format.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace ovir::ledger {
namespace {

constexpr std::uint64_t in_memory = 64 * block_leaves; ///< at least the leaves a log keeps
constexpr std::uint64_t entries = in_memory + 5 * block_leaves + 77;
constexpr std::uint64_t in_a_batch = 190; ///< no divisor of a block

std::array<std::byte, sizeof(std::uint64_t)> entry_of(std::uint64_t n) {
  return std::bit_cast<std::array<std::byte, sizeof(n)>>(n);
}

/// A log of numbers, in batches.
class log_test : public testing::Test {
protected:
  log_test() {
    for (std::uint64_t n = 0; n < entries; ++n) {
      leaves.push_back(leaf_hash(entry_of(n)));
      log.stage(entry_of(n));
      if (n % in_a_batch == in_a_batch - 1 || n + 1 == entries) {
        EXPECT_TRUE(log.flush());
      }
    }
  }
  static log_options options() {
    log_options o;
    o.step_bytes = 1U << 20U;
    return o;
  }
  /// Proves entries of all places in trees of all kinds of sizes.
  void expect_proofs(const entry_log& of, std::uint64_t first) {
    const range_root range = [&](std::uint64_t at, std::uint64_t count) {
      return of.root_between(at, count);
    };
    for (const std::uint64_t size : {entries, entries - 1, entries - 77, entries - 300}) {
      const digest root = root_of(std::span{leaves}.first(size));
      for (std::uint64_t index = first; index < size; index += 97) {
        const auto leaf = of.leaf_at(index);
        ASSERT_TRUE(leaf) << leaf.error().message;
        const auto path = inclusion_proof(index, size, range);
        ASSERT_TRUE(path) << path.error().message;
        ASSERT_TRUE(verify_inclusion(*leaf, index, size, *path, root)) << index << " of " << size;
      }
    }
  }

  test::memory_file file;
  entry_log log = entry_log::create(file, options()).value();
  std::vector<digest> leaves;
};

TEST_F(log_test, proves_its_latest_entries_without_reading) {
  const auto head = static_cast<long>(sector_bytes);
  std::fill(file.content.begin() + head, file.content.end(), std::byte{0xff});
  expect_proofs(log, entries - in_memory + block_leaves);
  EXPECT_FALSE(log.leaf_at(block_leaves)) << "this one is not in memory, so it is read";
}

TEST_F(log_test, proves_all_its_entries_and_those_it_learned_at_its_opening) {
  expect_proofs(log, 0);
  const log_checkpoint end = log.checkpoint();
  const entry_visitor nothing = [](std::uint64_t, std::span<const std::byte>) {
    return result<void>{};
  };
  log_report report;
  expect_proofs(entry_log::open(file, options(), nothing, report).value(), 0);
  entry_log later = entry_log::open(file, options(), nothing, report, 0, &end).value();
  expect_proofs(later, 0);
  for (std::uint64_t n = entries; n < entries + 2 * block_leaves; ++n) { // behind what it learned
    leaves.push_back(leaf_hash(entry_of(n)));
    later.stage(entry_of(n));
  }
  ASSERT_TRUE(later.flush());
  EXPECT_EQ(later.root(), root_of(leaves));
  expect_proofs(later, 0);
  const std::uint64_t size = leaves.size();
  for (const std::uint64_t index : {entries - 1, entries, size - block_leaves, size - 1}) {
    EXPECT_EQ(later.leaf_at(index).value(), leaves[index]);
    const auto path = inclusion_proof(index, size, [&](std::uint64_t at, std::uint64_t count) {
      return later.root_between(at, count);
    });
    EXPECT_TRUE(verify_inclusion(leaves[index], index, size, path.value(), later.root()));
  }
}

TEST(log_times, are_those_of_the_entries_from_memory_and_from_the_log) {
  using test::ledger_world;
  constexpr std::uint64_t t0 = ledger_world::t0;
  test::memory_file file;
  ledger book = ledger::create(file, ledger_world::rules(), t0, {}).value();
  ledger_world world{book.id(), credit};
  for (std::uint64_t n = 1; n < 100; ++n) {
    const std::array batch{world.mint(1, credit), world.mint(2, credit)};
    ASSERT_TRUE(book.commit(batch, t0 + n));
    ASSERT_TRUE(book.commit({}, t0 + n)); // takes no entry
  }
  log_report report;
  const ledger read = ledger::open(file, {}, report).value();
  for (std::uint64_t index = 0; index < book.log().size(); ++index) {
    EXPECT_EQ(book.time_of(index).value(), t0 + (index + 1) / 2) << index;
    EXPECT_EQ(read.time_of(index).value(), t0 + (index + 1) / 2) << index;
  }
  EXPECT_EQ(book.time_of(book.log().size()).error().code, errc::not_found);
}

} // namespace
} // namespace ovir::ledger
