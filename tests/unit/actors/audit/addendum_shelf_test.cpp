#include "actors/audit/addendum_shelf.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace ovir::actors {
namespace {

using test::receipt_maker;

class shelf_of_addenda : public testing::Test {
protected:
  [[nodiscard]] std::unique_ptr<addendum_shelf> open() {
    return addendum_shelf::open(*env_, folder_.path().string());
  }
  [[nodiscard]] static addendum_shelf::receipt_bytes bytes_of(const receipt& r) {
    return std::make_shared<const std::vector<std::byte>>(encode_receipt(r));
  }
  [[nodiscard]] addendum by(const secret_key& key, const addendum_shelf::receipt_bytes& about,
                            std::uint32_t window) const {
    addendum a;
    a.receipt = receipt_digest(*about);
    a.units = {{0, window, audit_finding::right}};
    sign_addendum(a, key);
    return a;
  }
  [[nodiscard]] addendum by(std::size_t who, const addendum_shelf::receipt_bytes& about,
                            std::uint32_t window) const {
    return by(cast_.key(who), about, window);
  }
  [[nodiscard]] static bool takes(addendum_shelf& shelf, const addendum& a) {
    std::optional<compute::addendum_fault> fault;
    return shelf.take(a, fault).has_value();
  }
  [[nodiscard]] std::size_t files() const {
    const auto folder = std::filesystem::directory_iterator{folder_.path() / "audits/addenda"};
    return static_cast<std::size_t>(std::distance(begin(folder), end(folder)));
  }
  static secret_key key(std::uint64_t number) {
    const digest seed = hasher{"ovir/test/shelf"}.update_u64(number).finish();
    return secret_key::from_seed(std::as_bytes(std::span{seed.bytes}));
  }

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  receipt_maker cast_;
  addendum_shelf::receipt_bytes honest_ = bytes_of(cast_.honest());
};

TEST_F(shelf_of_addenda, keeps_them_with_the_receipt_and_over_restarts) {
  const addendum told = by(receipt_maker::stranger, honest_, 1);
  {
    const auto shelf = open();
    EXPECT_FALSE(shelf->find(request_id{7}));
    EXPECT_FALSE(takes(*shelf, told)) << "no such receipt is here";
    shelf->hold(request_id{7}, honest_, true);
    EXPECT_TRUE(takes(*shelf, told));
    const auto found = shelf->find(request_id{7});
    ASSERT_TRUE(found);
    EXPECT_EQ(*found->bytes, *honest_);
    EXPECT_EQ(shelf->about(found->name).addenda, std::vector<addendum>{told});
    EXPECT_TRUE(shelf->about(found->name).age);
  }
  const auto again = open();
  EXPECT_EQ(again->about(told.receipt).addenda, std::vector<addendum>{told});
  // An answer that is told again brings its receipt, and what is said now joins what was said.
  again->hold(request_id{8}, honest_, false);
  EXPECT_FALSE(again->about(told.receipt).age);
  EXPECT_FALSE(takes(*again, told)) << "said before";
  EXPECT_TRUE(takes(*again, by(receipt_maker::stranger, honest_, 2)));
  EXPECT_EQ(open()->about(told.receipt).addenda.size(), 2U);
  EXPECT_EQ(files(), 1U);
}

TEST_F(shelf_of_addenda, says_what_does_not_count_and_keeps_nothing_of_it) {
  const auto shelf = open();
  shelf->hold(request_id{7}, honest_, true);
  std::optional<compute::addendum_fault> fault;
  EXPECT_FALSE(shelf->take(by(std::size_t{1}, honest_, 0), fault));
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->what, compute::addendum_fault::kind::party);
  EXPECT_EQ(fault->by, cast_.id(1));
  EXPECT_TRUE(shelf->about(receipt_digest(*honest_)).addenda.empty());
  EXPECT_EQ(files(), 0U);
}

TEST_F(shelf_of_addenda, takes_so_much_of_one_verifier_and_of_all) {
  const auto shelf = open();
  const auto large = bytes_of(cast_.make({1, 1, 32 * 80, 1, 17}));
  shelf->hold(request_id{7}, large, true);
  std::uint32_t taken = 0;
  for (std::uint32_t i = 0; i <= limits::addenda_per_verifier_max; ++i) {
    taken += takes(*shelf, by(receipt_maker::stranger, large, i)) ? 1 : 0;
  }
  EXPECT_EQ(taken, limits::addenda_per_verifier_max);
  for (std::uint64_t i = 0; i < limits::addenda_per_receipt_max; ++i) {
    taken += takes(*shelf, by(key(i), large, 0)) ? 1 : 0;
  }
  EXPECT_EQ(taken, limits::addenda_per_receipt_max);
}

TEST_F(shelf_of_addenda, lets_the_oldest_receipts_go) {
  const auto shelf = open();
  const auto made_up = [](std::uint64_t i, std::size_t size) {
    std::vector<std::byte> bytes(size);
    std::memcpy(bytes.data(), &i, sizeof i);
    return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  };
  constexpr std::size_t size = limits::kept_answers_bytes_max / 8;
  for (std::uint64_t i = 0; i < 12; ++i) {
    shelf->hold(request_id{i}, made_up(i, size), true);
  }
  EXPECT_FALSE(shelf->find(request_id{3}));
  EXPECT_TRUE(shelf->find(request_id{4}));
  for (std::uint64_t i = 100; i < 101 + limits::kept_answers_max; ++i) {
    shelf->hold(request_id{i}, made_up(i, 8), true);
  }
  EXPECT_FALSE(shelf->find(request_id{100}));
  EXPECT_TRUE(shelf->find(request_id{101}));
  // The same receipt under two requests lasts as long as one of them.
  shelf->hold(request_id{1}, honest_, true);
  shelf->hold(request_id{2}, honest_, false);
  for (std::uint64_t i = 0; i + 1 < limits::kept_answers_max; ++i) {
    shelf->hold(request_id{10'000 + i}, made_up(20'000 + i, 8), true);
  }
  EXPECT_FALSE(shelf->find(request_id{1}));
  ASSERT_TRUE(shelf->find(request_id{2}));
  EXPECT_EQ(*shelf->find(request_id{2})->bytes, *honest_);
}

TEST_F(shelf_of_addenda, reads_no_file_that_is_not_its_own) {
  {
    const auto shelf = open();
    shelf->hold(request_id{7}, honest_, true);
    EXPECT_TRUE(takes(*shelf, by(receipt_maker::stranger, honest_, 1)));
  }
  const auto folder = folder_.path() / "audits/addenda";
  const auto file = folder / to_hex(receipt_digest(*honest_));
  std::filesystem::copy_file(file, folder / std::string(64, 'a'));
  std::ofstream{folder / "torn"} << "not one of ours";
  EXPECT_EQ(open()->about(receipt_digest(*honest_)).addenda.size(), 1U);
  EXPECT_EQ(files(), 1U);
}

} // namespace
} // namespace ovir::actors
