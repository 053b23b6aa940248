#include "actors/shared/greeting.hpp"
#include "actors/shared/region.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

namespace ovir::actors {
namespace {

digest pass_of_sevens() {
  digest pass;
  pass.bytes.fill(7);
  return pass;
}

std::string hex_of(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return text;
}

TEST(shared_greeting, has_the_bytes_its_page_shows) {
  std::string sevens;
  for (int i = 0; i < 32; ++i) {
    sevens += "07";
  }
  EXPECT_EQ(hex_of(encode_greeting({shared_region::size_bytes, pass_of_sevens()})),
            "4f56534d"
            "0100"
            "0000"
            "0020200000000000" +
                sevens);
}

TEST(shared_greeting, comes_back_as_it_was) {
  const shared_greeting greeting{shared_region::size_bytes, pass_of_sevens()};
  EXPECT_EQ(*decode_greeting(encode_greeting(greeting)), greeting);
}

TEST(shared_greeting, of_another_length_version_or_size_of_memory_is_refused) {
  const auto good = encode_greeting({shared_region::size_bytes, pass_of_sevens()});
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_greeting(std::span{good}.first(size)));
  }
  for (std::size_t at = 0; at < 16; ++at) { // all in front of the pass
    auto bad = good;
    bad[at] ^= std::byte{1};
    EXPECT_FALSE(decode_greeting(bad)) << at;
  }
  auto longer = good;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_greeting(longer));
}

TEST(shared_greeting, its_answer_shows_that_the_connection_is_known) {
  const auto answer = encode_answer(pass_of_sevens());
  EXPECT_TRUE(check_answer(answer, pass_of_sevens()));
  EXPECT_FALSE(check_answer(answer, digest{}));
  EXPECT_FALSE(check_answer(encode_answer(digest{}), pass_of_sevens()));
  for (std::size_t at = 0; at < answer.size(); ++at) {
    auto bad = answer;
    bad[at] ^= std::byte{1};
    EXPECT_FALSE(check_answer(bad, pass_of_sevens())) << at;
  }
}

TEST(shared_greeting, its_answer_does_not_tell_the_pass) {
  const auto answer = encode_answer(pass_of_sevens());
  EXPECT_EQ(std::count(answer.begin(), answer.end(), std::byte{7}) > 16, false);
}

TEST(shared_region, is_seen_by_both_who_have_its_file) {
  auto mine = shared_region::make();
  ASSERT_TRUE(mine);
  auto theirs = shared_region::take(file_handle{::dup(mine->file())});
  ASSERT_TRUE(theirs);
  mine->ring(1)[5'000] = std::byte{9};
  EXPECT_EQ(theirs->ring(1)[5'000], std::byte{9});
  EXPECT_EQ(theirs->ring(0)[5'000], std::byte{0});
}

TEST(shared_region, cannot_be_made_smaller_by_the_other_side) {
  auto mine = shared_region::make();
  ASSERT_TRUE(mine);
  EXPECT_NE(::ftruncate(mine->file(), 4'096), 0);
  EXPECT_NE(::ftruncate(mine->file(), 64 << 20), 0);
}

TEST(shared_region, is_refused_where_its_size_is_another_or_could_change) {
  const auto file_of = [](std::size_t size, int seals) {
    file_handle file{::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
    EXPECT_EQ(::fcntl(file.get(), F_ADD_SEALS, seals), 0);
    return file;
  };
  constexpr int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  EXPECT_TRUE(shared_region::take(file_of(shared_region::size_bytes, all)));
  EXPECT_FALSE(shared_region::take(file_of(shared_region::size_bytes - 1, all)));
  EXPECT_FALSE(shared_region::take(file_of(shared_region::size_bytes + 4'096, all)));
  EXPECT_FALSE(
      shared_region::take(file_of(shared_region::size_bytes, F_SEAL_SHRINK | F_SEAL_GROW)));
  EXPECT_FALSE(shared_region::take(file_of(shared_region::size_bytes, F_SEAL_GROW | F_SEAL_SEAL)));
  EXPECT_FALSE(shared_region::take(file_of(shared_region::size_bytes, all | F_SEAL_WRITE)));
  EXPECT_FALSE(shared_region::take(file_handle{::open("/dev/null", O_RDWR | O_CLOEXEC)}));
  EXPECT_FALSE(shared_region::take(file_handle{}));
}

} // namespace
} // namespace ovir::actors
