// What a sandboxed process may not do is refused by the system, whatever program asks for it.
#include "apps/ovir-verify/sandbox.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

namespace ovir::apps {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

const std::atomic<bool> never{false};

result<std::string> confined(const std::function<result<std::string>()>& work,
                             const sandbox_limits& bounds = {}) {
  return run_sandboxed(bounds, work, never);
}

/// `act` is reached, and nothing after it.
void expect_refused(const std::function<void()>& act) {
  const auto done = confined([&]() -> result<std::string> {
    act();
    return std::string{"it was allowed"};
  });
  ASSERT_FALSE(done) << *done;
  EXPECT_EQ(done.error().code, errc::internal);
  EXPECT_THAT(done.error().message, HasSubstr("a system call that it may not make"));
}

TEST(sandbox, returns_what_the_work_returned_and_its_errors) {
  EXPECT_EQ(confined([] { return result<std::string>{"equal"}; }).value(), "equal");
  EXPECT_EQ(confined([] { return result<std::string>{""}; }).value(), "");
  const auto failed =
      confined([]() -> result<std::string> { return fail(errc::malformed, "not so"); });
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, errc::malformed);
  EXPECT_EQ(failed.error().message, "not so");
}

TEST(sandbox, lets_work_compute_on_several_threads_with_memory) {
  if (thread_sanitized) {
    GTEST_SKIP() << "the thread sanitizer makes calls of its own for a thread with memory";
  }
  const auto done = confined([]() -> result<std::string> {
    std::atomic<std::size_t> sum{0};
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&sum] {
        const std::vector<char> memory(std::size_t{8} << 20U, 'x');
        sum += memory.size();
      });
    }
    for (std::thread& t : threads) {
      t.join();
    }
    return std::to_string(sum.load());
  });
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*done, "33554432");
}

TEST(sandbox, refuses_the_network) {
  expect_refused([] { (void)::socket(AF_INET, SOCK_STREAM, 0); });
  expect_refused([] { (void)::socket(AF_UNIX, SOCK_DGRAM, 0); });
  expect_refused([] {
    int pair[2];
    (void)::socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  });
}

TEST(sandbox, refuses_files) {
  for (const char* const path : {"/etc/passwd", "/dev/null", "/proc/self/maps", "new"}) {
    const auto tried = confined([&]() -> result<std::string> {
      return std::string{::open(path, O_RDWR | O_CREAT, 0600) < 0 ? std::strerror(errno) : "open"};
    });
    ASSERT_TRUE(tried) << tried.error().message;
    EXPECT_EQ(*tried, std::strerror(EACCES)) << path;
  }
  expect_refused([] { (void)::unlink("/no/such/file"); });
  expect_refused([] { (void)::access("/", R_OK); });
  expect_refused([] {
    char byte = 0;
    (void)::read(0, &byte, 1);
  });
}

TEST(sandbox, refuses_programs_and_code) {
  expect_refused([] { (void)::fork(); });
  expect_refused([] { (void)::execl("/bin/true", "true", nullptr); });
  expect_refused([] {
    (void)::mmap(nullptr, 4'096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  });
  expect_refused([] { (void)::kill(::getppid(), 0); });
}

TEST(sandbox, has_no_file_of_its_parent) {
  const int low = ::open("/dev/zero", O_RDWR);
  const int ours = ::fcntl(low, F_DUPFD, 100); // beyond those that the sandbox uses
  ASSERT_GE(ours, 100);
  ::close(low);
  // Writing there is a call that may not be made; mapping it is not one of fresh memory.
  expect_refused([&] { (void)::write(ours, "x", 1); });
  expect_refused([&] { (void)::mmap(nullptr, 4'096, PROT_READ, MAP_PRIVATE, ours, 0); });
  ::close(ours);
}

TEST(sandbox, bounds_memory) {
  if (address_sanitized || thread_sanitized) {
    GTEST_SKIP() << "sanitizers reserve all memory there is";
  }
  const auto take = [](std::size_t mib) {
    return confined(
        [mib]() -> result<std::string> {
          std::vector<char> memory(mib << 20U, 'x');
          return std::string(1, memory[memory.size() / 2]);
        },
        {.memory_bytes = std::uint64_t{64} << 20U});
  };
  EXPECT_TRUE(take(32));
  const auto much = take(128);
  ASSERT_FALSE(much);
  EXPECT_EQ(much.error().code, errc::over_limit);
  EXPECT_THAT(much.error().message, HasSubstr("64 MiB"));
}

TEST(sandbox, bounds_time) {
  const auto done = confined(
      []() -> result<std::string> {
        volatile unsigned turns = 0;
        while (turns < 2) {
          turns = 1;
        }
        return std::string{};
      },
      {.time = 1s});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, errc::timed_out);
}

TEST(sandbox, bounds_what_is_said) {
  const auto done = confined([] { return result<std::string>{std::string(2'000, 'x')}; },
                             {.output_bytes_max = 1'000});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, errc::over_limit);
}

TEST(sandbox, ends_when_interrupted) {
  const std::atomic<bool> pressed{true};
  const auto done = run_sandboxed(
      {}, [] { return result<std::string>{"x"}; }, pressed);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, errc::cancelled);
}

TEST(sandbox, survives_a_child_that_crashes) {
  const auto done = confined([]() -> result<std::string> { std::abort(); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, errc::internal);
}

} // namespace
} // namespace ovir::apps
