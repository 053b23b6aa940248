#include "storage/env/env.hpp"
#include "tests/support/shared_files.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace ovir::storage {
namespace {

using ::testing::HasSubstr;

class env_posix : public ::testing::Test {
protected:
  [[nodiscard]] std::string at(const std::string& name) const { return folder_.path() / name; }
  void given(const std::string& name, const std::string& content) const {
    std::ofstream{at(name), std::ios::binary} << content;
  }
  [[nodiscard]] std::string content(const std::string& name) const {
    std::ostringstream text;
    text << std::ifstream{at(name), std::ios::binary}.rdbuf();
    return text.str();
  }
  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator{folder_.path()}, {}));
  }
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span{text});
  }

  test::temporary_folder folder_;
  std::unique_ptr<env> env_ = make_env_posix();
};

TEST_F(env_posix, maps_a_file_and_reads_it) {
  given("model", "some bytes");
  const auto mapped = env_->map(at("model"));
  ASSERT_TRUE(mapped);
  const auto view = (*mapped)->bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data()), view.size()), "some bytes");
  EXPECT_EQ(env_->read(at("model"), 10).value(), "some bytes");
}

TEST_F(env_posix, says_what_is_wrong_with_a_path) {
  given("empty", "");
  const auto missing = env_->map(at("nothing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, errc::not_found);
  EXPECT_THAT(missing.error().message, HasSubstr("no such file"));
  const auto folder = env_->map(folder_.path());
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, errc::invalid_argument);
  EXPECT_THAT(folder.error().message, HasSubstr("is a directory"));
  const auto empty = env_->map(at("empty"));
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, errc::malformed);
  EXPECT_THAT(empty.error().message, HasSubstr("is empty"));
  const auto device = env_->map("/dev/null");
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("not a regular file"));
  EXPECT_EQ(env_->read(folder_.path(), 10).error().code, errc::invalid_argument);
  EXPECT_EQ(env_->read(at("nothing"), 10).error().code, errc::not_found);
}

TEST_F(env_posix, does_not_hang_on_a_named_pipe) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  const auto mapped = env_->map(at("pipe"));
  ASSERT_FALSE(mapped);
  EXPECT_THAT(mapped.error().message, HasSubstr("not a regular file"));
}

TEST_F(env_posix, a_signal_ends_the_wait_for_a_pipe) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  // Opened for writing too, so that its reader waits for more.
  const int writer = ::open(at("pipe").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  struct sigaction noted {};
  struct sigaction before {};
  noted.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &noted, &before);
  // Again and again: one that comes before the wait begins wakes nobody.
  const struct itimerval often {
    {0, 1'000}, { 0, 1'000 }
  };
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const auto text = env_->read(at("pipe"), 10);
  const struct itimerval never {};
  ::setitimer(ITIMER_REAL, &never, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  ::close(writer);
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, errc::cancelled);
  EXPECT_THAT(text.error().message, HasSubstr("interrupted"));
}

TEST_F(env_posix, says_that_a_file_may_not_be_read) {
  given("secret", "x");
  ::chmod(at("secret").c_str(), 0);
  // Root may read everything, so it steps down for a moment.
  constexpr ::uid_t nobody = 65534;
  const ::uid_t self = ::geteuid();
  ASSERT_TRUE(self != 0 || ::seteuid(nobody) == 0);
  const auto mapped = env_->map(at("secret"));
  ASSERT_TRUE(self != 0 || ::seteuid(self) == 0);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().code, errc::io_failed);
  EXPECT_THAT(mapped.error().message, HasSubstr("permission"));
}

TEST_F(env_posix, reads_no_more_than_asked_for) {
  given("text", std::string(100'000, 'x'));
  EXPECT_TRUE(env_->read(at("text"), 100'000));
  EXPECT_EQ(env_->read(at("text"), 99'999).error().code, errc::over_limit);
  EXPECT_EQ(env_->read("/dev/zero", 1'000).error().code, errc::over_limit);
}

TEST_F(env_posix, shows_a_staged_file_only_when_it_is_complete) {
  given("out", "old");
  auto staged = env_->stage(at("out"));
  ASSERT_TRUE(staged);
  const std::string large(1'000'000, 'y');
  ASSERT_TRUE((*staged)->append(bytes("new ")));
  ASSERT_TRUE((*staged)->append(bytes(large)));
  ASSERT_TRUE((*staged)->append(bytes(" end")));
  EXPECT_EQ(content("out"), "old");
  ASSERT_TRUE((*staged)->commit());
  EXPECT_EQ(content("out"), "new " + large + " end");
  staged->reset();
  EXPECT_EQ(content("out").size(), large.size() + 8);
  EXPECT_EQ(files(), 1U);
}

// A process that is killed while it writes leaves such a file behind.
TEST_F(env_posix, lists_no_file_that_is_being_written) {
  given("whole", "1");
  given("model.gguf.part", "a download's, not a staged file's");
  const auto staged = env_->stage(at("half"));
  ASSERT_TRUE(staged);
  ASSERT_EQ(files(), 3U);
  EXPECT_THAT(*env_->list(folder_.path()), testing::ElementsAre("model.gguf.part", "whole"));
  ASSERT_TRUE((*staged)->commit());
  EXPECT_THAT(*env_->list(folder_.path()),
              testing::ElementsAre("half", "model.gguf.part", "whole"));
}

TEST_F(env_posix, leaves_nothing_of_a_file_that_was_dropped) {
  {
    auto staged = env_->stage(at("out"));
    ASSERT_TRUE(staged);
    ASSERT_TRUE((*staged)->append(bytes(std::string(1'000'000, 'y'))));
    EXPECT_EQ(files(), 1U);
  }
  EXPECT_EQ(files(), 0U);
}

TEST_F(env_posix, names_the_folder_or_target_it_cannot_write) {
  const auto nowhere = env_->stage(at("no/such/folder/out"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, errc::not_found);
  const auto folder = env_->stage(folder_.path());
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("is a directory"));
  const auto device = env_->stage("/dev/full");
  ASSERT_FALSE(device);
  EXPECT_THAT(device.error().message, HasSubstr("not a regular file"));
}

TEST_F(env_posix, says_that_the_space_is_used_up_and_cleans_up) {
  // A limit on file size stands in for a full disk: the same path through write().
  struct rlimit saved {};
  ::getrlimit(RLIMIT_FSIZE, &saved);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = saved;
  small.rlim_cur = 300'000;
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  {
    auto staged = env_->stage(at("out"));
    const std::string part(100'000, 'z');
    for (int i = 0; i < 10 && staged && message.empty(); ++i) {
      const auto done = (*staged)->append(bytes(part));
      message = done ? "" : done.error().message;
    }
  }
  ::setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("free some space or choose another place"));
  EXPECT_EQ(files(), 0U);
}

TEST_F(env_posix, explains_a_mapped_file_that_shrinks) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  given("model", std::string(20'000, 'm'));
  EXPECT_EXIT(
      {
        const auto mapped = env_->map(at("model"));
        ::truncate(at("model").c_str(), 0);
        volatile const std::byte* data = (*mapped)->bytes().data();
        ::_exit(static_cast<int>(data[10'000]));
      },
      ::testing::ExitedWithCode(4), "became shorter");
}

class env_posix_secrets : public env_posix {
protected:
  [[nodiscard]] ::mode_t mode(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(::stat(at(name).c_str(), &status), 0) << name;
    return status.st_mode & 07777U;
  }
  [[nodiscard]] result<std::string> read(const std::string& name, std::size_t room) {
    std::string text(room, '\0');
    OVIR_ASSIGN(const std::size_t size,
                env_->read_secret_file(at(name), std::as_writable_bytes(std::span{text})));
    text.resize(size);
    return text;
  }
};

TEST_F(env_posix_secrets, are_for_their_owner_alone_whatever_the_mask) {
  for (const ::mode_t mask : {::mode_t{0}, ::mode_t{022}, ::mode_t{0377}}) {
    const std::string name = fmt::format("secret{:o}", mask);
    const ::mode_t before = ::umask(mask);
    const auto made = env_->make_secret_file(at(name), bytes("hidden"));
    ::umask(before);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_TRUE(*made);
    EXPECT_EQ(mode(name), 0600U);
    EXPECT_EQ(read(name, 6).value(), "hidden");
  }
}

TEST_F(env_posix_secrets, come_with_private_folders) {
  const ::mode_t before = ::umask(0);
  const auto made = env_->make_secret_file(at("a/b/secret"), bytes("x"));
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(mode("a"), 0700U);
  EXPECT_EQ(mode("a/b"), 0700U);
  EXPECT_EQ(mode("a/b/secret"), 0600U);
  EXPECT_TRUE(env_->make_folder(at("a/b")));
  given("file", "x");
  const auto blocked = env_->make_secret_file(at("file/secret"), bytes("x"));
  ASSERT_FALSE(blocked);
  EXPECT_EQ(blocked.error().code, errc::io_failed);
  EXPECT_THAT(blocked.error().message, HasSubstr("is not a directory"));
}

TEST_F(env_posix_secrets, never_replace_what_has_their_name) {
  given("file", "old");
  std::filesystem::create_directory(at("folder"));
  std::filesystem::create_symlink(at("nowhere"), at("link"));
  for (const char* name : {"file", "folder", "link"}) {
    const auto made = env_->make_secret_file(at(name), bytes("new"));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_FALSE(*made) << name;
  }
  EXPECT_EQ(content("file"), "old");
  EXPECT_EQ(files(), 3U) << "nothing is left beside them";
}

TEST_F(env_posix_secrets, are_refused_when_others_have_access) {
  given("secret", "hidden");
  for (const ::mode_t bits : {0640U, 0604U, 0620U, 0601U, 0644U}) {
    ASSERT_EQ(::chmod(at("secret").c_str(), bits), 0);
    const auto text = read("secret", 10);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, errc::io_failed);
    EXPECT_THAT(text.error().message, HasSubstr(fmt::format("(mode {:04o}); run chmod 600", bits)));
  }
  for (const ::mode_t bits : {0600U, 0400U, 0700U}) {
    ASSERT_EQ(::chmod(at("secret").c_str(), bits), 0);
    EXPECT_EQ(read("secret", 10).value(), "hidden");
  }
}

TEST_F(env_posix_secrets, are_read_whole_or_not_at_all) {
  ASSERT_TRUE(env_->make_secret_file(at("secret"), bytes("hidden")));
  EXPECT_EQ(read("secret", 6).value(), "hidden");
  EXPECT_EQ(read("secret", 5).error().code, errc::over_limit);
  EXPECT_EQ(read("secret", 0).error().code, errc::over_limit);
  EXPECT_EQ(read("nothing", 5).error().code, errc::not_found);
  EXPECT_EQ(read("", 5).error().code, errc::invalid_argument) << "a directory";
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_THAT(read("pipe", 5).error().message, HasSubstr("not a regular file"));
}

TEST_F(env_posix, cuts_and_lengthens_a_durable_file) {
  const auto file = env_->open_durable(at("f"), durable_use::make).value();
  ASSERT_TRUE(file->write_at(0, bytes("abcdef")));
  ASSERT_TRUE(file->truncate(3));
  EXPECT_EQ(content("f"), "abc");
  ASSERT_TRUE(file->truncate(5));
  EXPECT_EQ(content("f"), std::string("abc\0\0", 5));
  EXPECT_FALSE(env_->open_durable(at("f"), durable_use::read).value()->truncate(0));
}

TEST_F(env_posix, renames_over_what_has_the_name) {
  given("old", "1");
  given("new", "2");
  ASSERT_TRUE(env_->rename(at("new"), at("old")));
  EXPECT_EQ(content("old"), "2");
  EXPECT_EQ(files(), 1U);
  EXPECT_EQ(env_->rename(at("new"), at("old")).error().code, errc::io_failed);
}

TEST_F(env_posix, knows_the_date) {
  // Between this line's writing and the year 2100.
  EXPECT_GT(env_->unix_seconds(), 1'750'000'000U);
  EXPECT_LT(env_->unix_seconds(), 4'102'444'800U);
}

TEST_F(env_posix, draws_different_random_bytes_each_time) {
  std::array<std::byte, 32> a{};
  std::array<std::byte, 32> b{};
  env_->random(a);
  env_->random(b);
  EXPECT_NE(a, b);
}

TEST_F(env_posix, gives_large_memory_that_is_zero_and_aligned) {
  const auto real = make_env_posix();
  constexpr std::size_t size = 3U << 20U;
  const auto memory = real->allocate(size);
  ASSERT_TRUE(memory) << memory.error().message;
  const std::span<std::byte> bytes = (*memory)->bytes();
  ASSERT_EQ(bytes.size(), size);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64, 0U);
  EXPECT_TRUE(
      std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{}; }));
  bytes.back() = std::byte{1};
}

TEST_F(env_posix, refuses_more_memory_than_there_is) {
  const auto real = make_env_posix();
  const auto memory = real->allocate(std::size_t{1} << 62U);
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error().code, errc::over_limit);
}

} // namespace
} // namespace ovir::storage
