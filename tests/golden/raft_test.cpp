// The bytes of docs/formats/raft.md and docs/formats/raft-journal.md.
#include "ledger/raft/journal.hpp"
#include "tests/support/ledger/raft_disk.hpp"

#include <gtest/gtest.h>

namespace ovir::raft {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

TEST(golden_raft, letters_are_tag_version_kind_and_fields) {
  EXPECT_EQ(hex(to_bytes(letter{append_entries{
                5,
                7,
                3,
                6,
                {{3, entry_kind::command, {std::byte{0xaa}}}, {5, entry_kind::barrier, {}}}}})),
            "720101"
            "0500000000000000"
            "0700000000000000"
            "0300000000000000"
            "0600000000000000"
            "0200"
            "030000000000000001"
            "01000000aa"
            "050000000000000002"
            "00000000");
  EXPECT_EQ(hex(to_bytes(letter{appended{5, 0, 9}})), "720102"
                                                      "0500000000000000"
                                                      "0000000000000000"
                                                      "0900000000000000");
  EXPECT_EQ(hex(to_bytes(letter{vote_request{6, 9, 5, true}})), "720103"
                                                                "0600000000000000"
                                                                "0900000000000000"
                                                                "0500000000000000"
                                                                "01");
  EXPECT_EQ(hex(to_bytes(letter{vote_answer{6, true, false}})), "720104"
                                                                "06000000000000000100");
  EXPECT_EQ(hex(to_bytes(letter{install_snapshot{5, {4, 2, {std::byte{0xbb}}}}})),
            "720105"
            "0500000000000000"
            "0400000000000000"
            "0200000000000000"
            "01000000bb");
  EXPECT_EQ(hex(to_bytes(letter{ask_standing{77}})), "7201064d00000000000000");
  EXPECT_EQ(hex(to_bytes(letter{standing{77, 5, 9, 5}})), "7201074d00000000000000"
                                                          "0500000000000000"
                                                          "0900000000000000"
                                                          "0500000000000000");
}

TEST(golden_raft, a_journal_is_a_log_of_these_records) {
  test::raft_disk disk;
  digest name;
  name.bytes.fill(0x11);
  journal_state beginning;
  beginning.term = 4;
  beginning.vote = 2;
  beginning.reach = place{3, 9};
  beginning.before = snapshot{1, 1, {std::byte{0xcc}}};
  beginning.first = 2;
  beginning.entries.push_back({3, entry_kind::command, {std::byte{0xaa}}});
  auto log = journal::create(disk, {name, 2, 3}, beginning);
  ASSERT_TRUE(log);
  log->cut(2);
  log->reached();
  ASSERT_TRUE(log->flush());
  std::vector<std::string> records;
  ledger::log_report report;
  const auto file = disk.open(1);
  ASSERT_TRUE(file);
  ASSERT_TRUE(ledger::entry_log::read(
      **file,
      [&records](std::uint64_t, std::span<const std::byte> r) {
        records.push_back(hex(r));
        return result<void>{};
      },
      report));
  std::string name_hex;
  for (int i = 0; i < 32; ++i) {
    name_hex += "11";
  }
  const std::vector<std::string> expected{"01" + name_hex +
                                              "0203"
                                              "0200000000000000"
                                              "0100000000000000"
                                              "0100000000000000"
                                              "01000000cc",
                                          "03040000000000000002",
                                          "0603000000000000000900000000000000",
                                          "0403000000000000000101000000aa",
                                          "07",
                                          "050200000000000000",
                                          "0600000000000000000000000000000000"};
  EXPECT_EQ(records, expected);
}

} // namespace
} // namespace ovir::raft
