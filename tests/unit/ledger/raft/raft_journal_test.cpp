#include "ledger/raft/journal.hpp"
#include "messages/limits/raft.hpp"
#include "tests/support/ledger/raft_disk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace ovir::raft {
namespace {

using test::raft_disk;
using testing::HasSubstr;

const group keepers{hash("ovir/test/raft", {}), 2, 3};

journal_state beginning() {
  journal_state log;
  log.entries.push_back({1, entry_kind::servers, {}});
  return log;
}

std::vector<std::byte> any_bytes(std::mt19937_64& chance, std::size_t most) {
  std::vector<std::byte> bytes(1 + chance() % most);
  for (std::byte& b : bytes) {
    b = static_cast<std::byte>(chance());
  }
  return bytes;
}

/// One change of any kind.
void change(journal& log, std::mt19937_64& chance) {
  const std::uint64_t term = log.state().term;
  switch (chance() % 8) {
  case 0: return log.vote(term + 1, static_cast<std::uint8_t>(chance() % 4));
  case 1: return log.vote(term, static_cast<std::uint8_t>(chance() % 4));
  case 2: {
    const std::uint64_t kept = log.state().before ? log.state().before->index : 1;
    if (log.last_index() > kept) {
      log.cut(kept + 1 + chance() % (log.last_index() - kept));
    }
    return;
  }
  case 3:
    if (const std::uint64_t to = log.state().first + chance() % (log.state().entries.size() + 1);
        log.term_at(to) != 0 && chance() % 4 == 0) {
      static_cast<void>(log.take({to, log.term_at(to), any_bytes(chance, 40'000)}, chance() % 5));
    }
    return;
  case 4:
    if (chance() % 16 == 0) {
      static_cast<void>(
          log.replace({log.last_index() + chance() % 9, term, any_bytes(chance, 99)}));
    }
    return;
  default: return log.append({term, entry_kind::command, any_bytes(chance, 40'000)});
  }
}

TEST(raft_journal, opens_as_it_was_after_any_changes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 chance{seed};
    raft_disk disk;
    auto log = journal::create(disk, keepers, beginning());
    ASSERT_TRUE(log);
    for (int i = 0; i < 60; ++i) {
      change(*log, chance);
    }
    ASSERT_TRUE(log->flush());
    const auto again = journal::open(disk, keepers);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->state(), log->state()) << "seed " << seed;
    EXPECT_EQ(again->entry_bytes(), log->entry_bytes());
    EXPECT_EQ(disk.files.size(), 1U);
  }
}

/// At any write: what was flushed is there, and of what was not, a beginning.
TEST(raft_journal, keeps_what_was_flushed_when_the_power_goes) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 chance{seed};
    raft_disk disk;
    auto log = journal::create(disk, keepers, beginning());
    ASSERT_TRUE(log);
    disk.calls_until_failure = chance() % 60;
    std::vector<journal_state> possible{log->state()};
    for (bool works = true; works;) {
      change(*log, chance);
      possible.push_back(log->state());
      if (chance() % 3 == 0) {
        works = log->flush().has_value();
        if (works) {
          possible = {log->state()};
        }
      }
    }
    disk.cut_power(chance);
    const auto again = journal::open(disk, keepers);
    ASSERT_TRUE(again) << "seed " << seed << ": " << again.error().message;
    EXPECT_THAT(possible, testing::Contains(again->state())) << "seed " << seed;
  }
}

TEST(raft_journal, is_for_one_server_of_one_group) {
  raft_disk disk;
  ASSERT_TRUE(journal::create(disk, keepers, beginning()));
  for (group other : {group{hash("ovir/test/other", {}), 2, 3}, group{keepers.name, 1, 3},
                      group{keepers.name, 2, 5}}) {
    const auto opened = journal::open(disk, other);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, errc::invalid_argument);
  }
  const auto again = journal::create(disk, keepers, beginning());
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("already"));
}

TEST(raft_journal, without_a_whole_file_is_not_found) {
  raft_disk disk;
  EXPECT_EQ(journal::open(disk, keepers).error().code, errc::not_found);
  ASSERT_TRUE(disk.create(7));
  EXPECT_EQ(journal::open(disk, keepers).error().code, errc::not_found);
  EXPECT_TRUE(disk.files.empty()) << "what was begun is in the way of the next one";
}

TEST(raft_journal, that_is_damaged_is_refused) {
  raft_disk disk;
  auto log = journal::create(disk, keepers, beginning());
  ASSERT_TRUE(log);
  for (int i = 0; i < 4; ++i) {
    log->append({1, entry_kind::command, std::vector<std::byte>(700, std::byte{3})});
    ASSERT_TRUE(log->flush());
  }
  const raft_disk::content whole = *disk.files.begin()->second;
  int refused = 0;
  for (std::size_t at = 0; at < 4'000; at += 37) {
    *disk.files.begin()->second = whole;
    disk.files.begin()->second->now[at] ^= std::byte{0x10};
    const auto opened = journal::open(disk, keepers);
    if (!opened) {
      ++refused;
    } else {
      EXPECT_EQ(opened->state(), log->state()) << "byte " << at; // padding
    }
  }
  EXPECT_GT(refused, 80);
}

} // namespace
} // namespace ovir::raft
