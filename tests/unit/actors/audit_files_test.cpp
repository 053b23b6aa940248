#include "actors/audit/audit_files.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace ovir::actors {
namespace {

using ledger::track_event;
using ledger::work_event;

class kept_audits : public testing::Test {
protected:
  audit_files open() {
    auto files = audit_files::open(*env_, folder_.path().string());
    EXPECT_TRUE(files) << files.error().message;
    return std::move(*files);
  }
  std::vector<track_event> events(std::uint32_t from, std::uint32_t to) {
    std::vector<track_event> list;
    for (std::uint32_t i = from; i < to; ++i) {
      list.push_back({i, node_, work_event::valid, i});
    }
    return list;
  }
  std::filesystem::path only_file() {
    for (const auto& entry : std::filesystem::directory_iterator{folder_.path() / "audits"}) {
      if (entry.is_regular_file()) {
        return entry.path();
      }
    }
    return {};
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  node_id node_;
};

TEST_F(kept_audits, are_there_again_in_the_next_life_in_order) {
  {
    audit_files first = open();
    EXPECT_TRUE(first.append(events(0, 3)));
    EXPECT_TRUE(first.append(events(3, 5)));
  }
  audit_files second = open();
  EXPECT_EQ(*second.read_events(), events(0, 5));
  EXPECT_TRUE(second.append(events(5, 7)));
  EXPECT_EQ(*open().read_events(), events(0, 7));
}

TEST_F(kept_audits, keep_receipts_until_they_are_settled) {
  const std::vector<std::byte> bytes(100, std::byte{7});
  const digest name = receipt_digest(bytes);
  EXPECT_TRUE(open().keep_open(bytes));
  const std::vector<std::pair<digest, std::vector<std::byte>>> one{{name, bytes}};
  EXPECT_EQ(open().read_open(), one);
  std::ofstream{folder_.path() / "audits/open" / to_hex(name)} << "something else";
  EXPECT_TRUE(open().read_open().empty());
  EXPECT_TRUE(open().keep_open(bytes));
  open().drop_open(name);
  EXPECT_TRUE(open().read_open().empty());
}

TEST_F(kept_audits, keep_so_many_receipts_at_once) {
  for (std::size_t i = 0; i < limits::audit_open_kept_max; ++i) {
    EXPECT_TRUE(open().keep_open(std::vector<std::byte>(i, std::byte{7})));
  }
  const auto beyond = open().keep_open(std::vector<std::byte>(100));
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, errc::over_limit);
}

TEST_F(kept_audits, know_for_whom_the_cache_was_emptied) {
  node_id other;
  other.key[0] = 1;
  audit_files files = open();
  EXPECT_FALSE(files.is_quarantined(node_));
  EXPECT_TRUE(files.note_quarantine(node_));
  EXPECT_TRUE(files.note_quarantine(node_)) << "again changes nothing";
  const audit_files later = open();
  EXPECT_TRUE(later.is_quarantined(node_));
  EXPECT_FALSE(later.is_quarantined(other));
}

TEST_F(kept_audits, end_where_a_crash_tore_them) {
  EXPECT_TRUE(open().append(events(0, 4)));
  std::filesystem::resize_file(only_file(), 3 * ledger::track_event_bytes + 17);
  EXPECT_EQ(*open().read_events(), events(0, 3));
}

TEST_F(kept_audits, convictions_are_kept_by_who_was_convicted_and_damaged_ones_left_out) {
  conviction c;
  c.receipts = {std::vector<std::byte>(100)};
  node_id other;
  other.key.fill(7);
  EXPECT_TRUE(open().keep(c));
  c.guilty = other;
  EXPECT_TRUE(open().keep(c));
  EXPECT_TRUE(open().keep(c));
  EXPECT_EQ(open().read_convictions().size(), 2U);
  std::ofstream{folder_.path() / "audits" / "convictions" / to_hex(other)} << "damaged";
  EXPECT_EQ(open().read_convictions().size(), 1U);
}

// Who is killed while it keeps one may not think that it has it: it would never take it again.
TEST_F(kept_audits, a_conviction_that_was_being_written_is_none) {
  conviction c;
  c.receipts = {std::vector<std::byte>(100)};
  EXPECT_TRUE(open().keep(c));
  const std::filesystem::path folder = folder_.path() / "audits" / "convictions";
  for (const std::string& name : {to_hex(c.guilty) + ".0123abcd.part", to_hex(c.guilty) + ".old"}) {
    std::filesystem::rename(folder / to_hex(c.guilty), folder / name);
    EXPECT_TRUE(open().read_convictions().empty()) << name;
    EXPECT_FALSE(open().read_conviction(c.guilty)) << name;
    std::filesystem::rename(folder / name, folder / to_hex(c.guilty));
  }
  EXPECT_EQ(open().read_convictions().size(), 1U);
}

} // namespace
} // namespace ovir::actors
