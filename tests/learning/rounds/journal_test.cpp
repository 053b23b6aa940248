// A coordinator's journal restores the round that was, wherever the process died.
#include "learning/rounds/journal.hpp"
#include "tests/learning/rounds/round_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using namespace learning;
using ::testing::HasSubstr;

std::vector<std::byte> filled(std::size_t bytes, int with) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(with));
}

/// A journal of three entries, of 5, 0 and 9 bytes.
std::vector<std::byte> three_entries() {
  auto file = std::make_unique<memory_file>();
  memory_file* const disk = file.get();
  auto journal = round_journal::open(std::move(file)).value();
  EXPECT_TRUE(journal.append(filled(5, 1)));
  EXPECT_TRUE(journal.append({}));
  EXPECT_TRUE(journal.append(filled(9, 3)));
  return disk->content;
}

std::vector<std::vector<std::byte>> entries_of(std::vector<std::byte> bytes) {
  auto journal = round_journal::open(std::make_unique<memory_file>(std::move(bytes)));
  std::vector<std::vector<std::byte>> out;
  EXPECT_TRUE(journal) << journal.error().message;
  for (auto& entry : journal->take_entries()) {
    out.push_back(std::move(entry.letter));
  }
  return out;
}

TEST(round_journal, a_torn_end_is_cut_and_written_over) {
  const auto whole = three_entries();
  EXPECT_EQ(entries_of(whole).size(), 3U);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::size_t wanted = size < 41 ? 0 : size < 77 ? 1 : 2;
    auto file = std::make_unique<memory_file>(
        std::vector<std::byte>{whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)});
    memory_file* const disk = file.get();
    auto journal = round_journal::open(std::move(file)).value();
    EXPECT_EQ(journal.take_entries().size(), wanted) << size;
    EXPECT_TRUE(journal.append(filled(2, 7)));
    const auto again = entries_of(disk->content);
    ASSERT_EQ(again.size(), wanted + 1);
    EXPECT_EQ(again.back(), filled(2, 7));
  }
}

TEST(round_journal, damage_before_the_end_is_refused_and_at_the_end_is_cut) {
  const auto whole = three_entries();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto bytes = whole;
    bytes[at] ^= std::byte{1};
    auto journal = round_journal::open(std::make_unique<memory_file>(bytes));
    if (at >= 77) {
      // A shorter length leaves bytes behind it, which no torn end does.
      EXPECT_TRUE(journal || at < 77 + sizeof(std::uint32_t)) << at;
      EXPECT_TRUE(!journal || journal->take_entries().size() == 2U) << at;
    } else if (journal) { // a length that reaches beyond the end looks torn
      EXPECT_LT(journal->take_entries().size(), 2U) << at;
    }
  }
  auto changed = whole;
  changed[38] ^= std::byte{1}; // within the first entry's bytes
  const auto journal = round_journal::open(std::make_unique<memory_file>(changed));
  ASSERT_FALSE(journal);
  EXPECT_THAT(journal.error().message, HasSubstr("damaged at byte 0"));
}

TEST(round_journal, of_letters_and_ends_restores_a_round_that_died_anywhere) {
  round_world w{{.seed = 31}};
  std::vector<std::optional<letter>> written; // nothing: the end of a phase
  for (int phase = 0; phase < 5; ++phase) {
    w.exchange([&](std::size_t i) { return i != 2 || phase < 2; });
    for (std::size_t i = 0; i < w.size(); ++i) {
      if (i != 2 || phase < 2) {
        written.emplace_back(w.sent[i].back());
      }
    }
    w.coordinator->end_phase();
    written.emplace_back();
  }
  auto file = std::make_unique<memory_file>();
  memory_file* const disk = file.get();
  auto journal = round_journal::open(std::move(file)).value();
  for (const auto& one : written) {
    ASSERT_TRUE(journal.append(one ? to_bytes(*one) : std::vector<std::byte>{}));
    // The process dies here; another reads what is there and goes on with the rest.
    round_coordinator restored{w.task};
    const auto entries = entries_of(disk->content);
    for (std::size_t i = 0; i < written.size(); ++i) {
      const bool from_disk = i < entries.size();
      if (from_disk ? entries[i].empty() : !written[i].has_value()) {
        restored.end_phase();
        continue;
      }
      const letter next = from_disk ? letter_from(entries[i]).value() : *written[i];
      const node_id from = std::visit(
          [](const auto& x) {
            if constexpr (requires { x.worker; }) {
              return x.worker;
            } else {
              return node_id{};
            }
          },
          next);
      ASSERT_TRUE(restored.take(from, next));
    }
    ASSERT_EQ(restored.phase(), round_phase::summed) << restored.reason();
    ASSERT_EQ(restored.outcome().sum, w.coordinator->outcome().sum);
  }
}

} // namespace
} // namespace ovir::test
