#include "actors/audit/held_receipts.hpp"
#include "ledger/rules/equivocation.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace ovir::actors {
namespace {

class waiting_receipts : public testing::Test {
protected:
  waiting_receipts() : made_(test::receipt_maker{}.honest()) {
    about_ = ledger::about_of(terms_of(made_.asked));
    bytes_ = std::make_shared<const std::vector<std::byte>>(encode_receipt(made_));
  }
  held_receipts open() {
    auto held = held_receipts::open(*env_, folder_.path().string());
    EXPECT_TRUE(held) << held.error().message;
    return std::move(*held);
  }
  [[nodiscard]] std::filesystem::path file() const {
    return folder_.path() / "audits/held" / to_hex(about_);
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  receipt made_;
  digest about_;
  held_receipts::bytes bytes_;
};

TEST_F(waiting_receipts, are_there_in_the_next_life_until_they_are_dropped) {
  EXPECT_TRUE(open().put(about_, bytes_));
  const std::vector<std::pair<digest, std::size_t>> one{{about_, bytes_->size()}};
  held_receipts next = open();
  EXPECT_EQ(next.left(), one);
  ASSERT_NE(next.get(about_), nullptr);
  EXPECT_EQ(*next.get(about_), *bytes_);
  next.drop(about_);
  EXPECT_TRUE(open().left().empty());
  EXPECT_EQ(next.get(about_), nullptr);
}

TEST_F(waiting_receipts, are_removed_where_they_are_torn_or_about_something_else) {
  EXPECT_TRUE(open().put(about_, bytes_));
  std::filesystem::resize_file(file(), bytes_->size() / 2);
  EXPECT_TRUE(open().left().empty());
  EXPECT_FALSE(std::filesystem::exists(file()));
  digest other = about_;
  other.bytes[0] ^= 1;
  EXPECT_TRUE(open().put(other, bytes_));
  EXPECT_TRUE(open().left().empty());
}

TEST_F(waiting_receipts, stay_in_memory_where_the_disk_takes_none) {
  held_receipts held = open();
  std::filesystem::create_directory(file()); // no file can have this name
  EXPECT_TRUE(held.put(about_, bytes_));
  ASSERT_NE(held.get(about_), nullptr);
  EXPECT_EQ(*held.get(about_), *bytes_);
  held.drop(about_);
  EXPECT_EQ(held.get(about_), nullptr);
}

} // namespace
} // namespace ovir::actors
