#include "actors/audit/held_receipts.hpp"
#include "ledger/rules/equivocation.hpp"
#include "messages/limits/audit.hpp"
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
  const std::map<digest, std::size_t> one{{about_, bytes_->size()}};
  held_receipts next = open();
  EXPECT_EQ(next.left(), one);
  ASSERT_EQ(next.get(about_).size(), 1U);
  EXPECT_EQ(*next.get(about_).front(), *bytes_);
  next.drop(about_);
  EXPECT_TRUE(open().left().empty());
  EXPECT_TRUE(next.get(about_).empty());
}

TEST_F(waiting_receipts, of_parts_of_a_request_wait_side_by_side_and_the_oldest_goes) {
  held_receipts held = open();
  std::vector<held_receipts::bytes> parts;
  std::size_t size = 0;
  for (std::uint64_t i = 0; i < limits::held_receipts_same_max + 2; ++i) {
    receipt part = made_;
    part.first_token_us = i;
    parts.push_back(std::make_shared<const std::vector<std::byte>>(encode_receipt(part)));
    EXPECT_TRUE(held.put(about_, parts.back()));
  }
  parts.erase(parts.begin(), parts.begin() + 2);
  for (const bool again : {false, true}) {
    const auto found = again ? open().get(about_) : held.get(about_);
    ASSERT_EQ(found.size(), parts.size()) << again;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(*found[i], *parts[i]) << i;
      size += again ? parts[i]->size() : 0;
    }
  }
  held_receipts next = open();
  EXPECT_EQ(next.left().at(about_), size);
  next.drop(about_);
  EXPECT_TRUE(open().left().empty());
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
  ASSERT_EQ(held.get(about_).size(), 1U);
  EXPECT_EQ(*held.get(about_).front(), *bytes_);
  held.drop(about_);
  EXPECT_TRUE(held.get(about_).empty());
}

} // namespace
} // namespace ovir::actors
