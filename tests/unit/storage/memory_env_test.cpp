#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ovir::storage {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span{text}); }

TEST(memory_env, maps_and_reads_what_was_committed) {
  memory_env env;
  {
    auto staged = env.stage("a");
    ASSERT_TRUE((*staged)->append(bytes("one ")));
    ASSERT_TRUE((*staged)->append(bytes("two")));
    EXPECT_FALSE(env.has_file("a"));
    ASSERT_TRUE((*staged)->commit());
  }
  EXPECT_EQ(env.read("a", 100).value(), "one two");
  EXPECT_EQ(env.read("a", 6).error().code, errc::over_limit);
  const auto mapped = env.map("a");
  ASSERT_TRUE(mapped);
  env.remove_file("a");
  EXPECT_EQ((*mapped)->bytes().size(), 7U);
  EXPECT_EQ(env.read("a", 100).error().code, errc::not_found);
}

TEST(memory_env, keeps_secrets_as_a_disk_would) {
  memory_env env;
  EXPECT_TRUE(env.make_secret_file("a", bytes("one")).value());
  EXPECT_FALSE(env.make_secret_file("a", bytes("two")).value());
  std::array<std::byte, 3> out{};
  EXPECT_EQ(env.read_secret_file("a", out).value(), 3U);
  EXPECT_EQ(out[0], std::byte{'o'});
  EXPECT_EQ(env.read_secret_file("a", std::span{out}.first(2)).error().code, errc::over_limit);
  env.add_file("open", "x");
  EXPECT_THAT(env.read_secret_file("open", out).error().message, HasSubstr("chmod 600"));
  EXPECT_TRUE(env.make_folder("folder"));
  EXPECT_FALSE(env.make_secret_file("folder", bytes("x")).value());
  EXPECT_EQ(env.read_secret_file("folder", out).error().code, errc::invalid_argument);
  EXPECT_EQ(env.make_folder("a").error().code, errc::io_failed);
  env.set_sync_fails(true);
  EXPECT_EQ(env.make_secret_file("b", bytes("x")).error().code, errc::io_failed);
  EXPECT_FALSE(env.has_file("b"));
}

TEST(memory_env, has_a_date_that_moves_with_its_clock) {
  memory_env env;
  EXPECT_EQ(env.unix_seconds(), memory_env::first_unix_seconds);
  env.advance(90s);
  EXPECT_EQ(env.unix_seconds(), memory_env::first_unix_seconds + 90);
}

TEST(memory_env, refuses_the_append_that_fills_the_disk) {
  memory_env env;
  env.add_file("old", "12345");
  env.set_disk_bytes(10);
  {
    auto staged = env.stage("new");
    EXPECT_TRUE((*staged)->append(bytes("12345")));
    const auto refused = (*staged)->append(bytes("6"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, errc::io_failed);
    EXPECT_THAT(refused.error().message, HasSubstr("No space left"));
  }
  EXPECT_EQ(env.leftovers(), 0U);
  EXPECT_FALSE(env.has_file("new"));
}

TEST(memory_env, loses_what_was_not_committed_when_the_power_goes) {
  memory_env env;
  env.add_file("kept", "old");
  auto staged = env.stage("kept");
  ASSERT_TRUE((*staged)->append(bytes("new")));
  env.lose_power();
  EXPECT_FALSE((*staged)->append(bytes("more")));
  EXPECT_FALSE((*staged)->commit());
  EXPECT_EQ(env.read("kept", 10).value(), "old");
}

TEST(memory_env, keeps_the_old_file_when_a_sync_fails) {
  memory_env env;
  env.add_file("a", "old");
  env.set_sync_fails(true);
  auto staged = env.stage("a");
  ASSERT_TRUE((*staged)->append(bytes("new")));
  EXPECT_EQ((*staged)->commit().error().code, errc::io_failed);
  EXPECT_EQ(env.read("a", 10).value(), "old");
}

TEST(memory_env, fails_as_a_real_disk_does) {
  memory_env env;
  env.add_folder("folder");
  env.add_file("empty", "");
  env.add_file("bad", "x");
  env.make_unreadable("bad");
  EXPECT_EQ(env.map("folder").error().code, errc::invalid_argument);
  EXPECT_EQ(env.stage("folder").error().code, errc::invalid_argument);
  EXPECT_EQ(env.map("empty").error().code, errc::malformed);
  EXPECT_EQ(env.map("bad").error().code, errc::io_failed);
  EXPECT_EQ(env.map("nothing").error().code, errc::not_found);
}

TEST(memory_env, moves_its_clock_only_when_told) {
  memory_env env;
  const auto start = env.now();
  EXPECT_EQ(env.now(), start);
  env.advance(5s);
  EXPECT_EQ(env.now() - start, 5s);
}

TEST(memory_env, draws_the_same_bytes_for_the_same_seed) {
  memory_env a{7};
  memory_env b{7};
  memory_env c{8};
  std::array<std::array<std::byte, 16>, 4> drawn{};
  a.random(drawn[0]);
  b.random(drawn[1]);
  c.random(drawn[2]);
  a.random(drawn[3]);
  EXPECT_EQ(drawn[0], drawn[1]);
  EXPECT_NE(drawn[0], drawn[2]);
  EXPECT_NE(drawn[0], drawn[3]);
}

} // namespace
} // namespace ovir::storage
