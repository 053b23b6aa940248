#include "actors/payment/joint_ledger.hpp"
#include "actors/payment/kept_ledger.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {
namespace {

using test::ledger_world;
using ::testing::HasSubstr;

class joint_ledger : public ::testing::Test {
protected:
  joint_ledger() {
    rules_.keepers = {ledger_world::node(210), ledger_world::node(211), ledger_world::node(212)};
    std::ranges::sort(rules_.keepers);
    first_ = first_entry_of(rules_, ledger_world::t0);
  }
  [[nodiscard]] std::string folder(int number) const {
    return (folder_.path() / std::to_string(number)).string();
  }
  [[nodiscard]] std::string make(int number, const secret_key& key,
                                 joint_use use = joint_use::begin) {
    const auto made = make_joint_ledger(*env_, folder(number), first_, key, use);
    return made ? "" : made.error().message;
  }
  [[nodiscard]] result<std::unique_ptr<kept_ledger>> open(int number) {
    kept_ledger_options how;
    how.folder = folder(number);
    how.key = &key_;
    how.env = env_.get();
    return kept_ledger::open(std::move(how));
  }
  static void say_nothing(const node_id& /*to*/, const std::vector<std::byte>& /*bytes*/) {}

  test::temporary_folder folder_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  ledger::genesis rules_ = ledger_world::rules();
  std::vector<std::byte> first_;
  secret_key key_ = ledger_world::key(210);
};

TEST_F(joint_ledger, of_each_keeper_begins_with_the_same_entry) {
  ASSERT_EQ(make(1, key_), "");
  ASSERT_EQ(make(2, ledger_world::key(211)), "");
  const auto kept = open(1);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ((*kept)->keeper().book().id(), ledger::leaf_hash(first_));
  EXPECT_FALSE((*kept)->keeper().has_head()) << "most keepers signed nothing yet";
  EXPECT_EQ(env_->read(folder(2) + "/first", 16'384).value(),
            env_->read(folder(1) + "/first", 16'384).value());
  const auto group = (*kept)->join_group(say_nothing);
  ASSERT_TRUE(group) << group.error().message;
  EXPECT_FALSE((*group)->report().recovering);
}

TEST_F(joint_ledger, takes_no_vote_where_its_journal_is_lost) {
  ASSERT_EQ(make(1, key_, joint_use::replace), "");
  const auto kept = open(1);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_TRUE((*kept)->join_group(say_nothing).value()->report().recovering);
}

TEST_F(joint_ledger, is_made_once_and_by_its_keepers) {
  EXPECT_THAT(make(1, ledger_world::key(5)), HasSubstr("this ledger is kept by"));
  ASSERT_EQ(make(1, key_), "");
  EXPECT_THAT(make(1, key_), HasSubstr("there is a ledger already"));
  rules_.keepers = {key_.id()};
  first_ = first_entry_of(rules_, ledger_world::t0);
  EXPECT_THAT(make(2, key_), HasSubstr("one keeper"));
  first_.resize(first_.size() / 2);
  EXPECT_NE(make(2, key_), "");
  EXPECT_FALSE(std::filesystem::exists(folder(2) + "/log"));
}

TEST_F(joint_ledger, is_not_begun_anew_by_a_node_that_lost_it) {
  const auto kept = open(1);
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, HasSubstr("there is no ledger"));
}

} // namespace
} // namespace ovir::actors
