#include "actors/reach/announcement.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/lan.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::actors {
namespace {

announcement some_announcement() {
  announcement told{"swarm-0123", {}, true};
  told.key.key[0] = 7;
  return told;
}

std::vector<std::string> with(std::size_t at, const std::string& text) {
  std::vector<std::string> txt = to_txt(some_announcement());
  txt[at] = text;
  return txt;
}

TEST(announcement, comes_back_as_it_was_in_any_order_and_beside_other_keys) {
  for (const bool asks : {true, false}) {
    announcement told = some_announcement();
    told.asks = asks;
    std::vector<std::string> txt = to_txt(told);
    txt.emplace_back("later=1");
    txt.emplace_back("");
    txt.emplace_back("v");
    std::sort(txt.begin(), txt.end());
    do {
      const auto read = announcement_from(txt);
      ASSERT_TRUE(read) << read.error().message;
      EXPECT_EQ(*read, told);
    } while (std::next_permutation(txt.begin(), txt.end()));
  }
}

TEST(announcement, of_another_version_is_unsupported) {
  const auto read = announcement_from(with(0, "v=2"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, errc::unsupported);
}

TEST(announcement, that_lacks_or_repeats_a_key_is_malformed) {
  for (std::size_t left_out = 0; left_out < 4; ++left_out) {
    std::vector<std::string> txt = to_txt(some_announcement());
    std::vector<std::string> twice = txt;
    twice.push_back(txt[left_out]);
    txt.erase(txt.begin() + static_cast<std::ptrdiff_t>(left_out));
    for (const auto& wrong : {txt, twice}) {
      const auto read = announcement_from(wrong);
      ASSERT_FALSE(read) << left_out;
      EXPECT_EQ(read.error().code, errc::malformed);
    }
  }
}

TEST(announcement, with_values_of_another_form_is_malformed_and_prints_no_control_bytes) {
  const std::string longest(limits::cluster_name_bytes_max, 'c');
  EXPECT_TRUE(announcement_from(with(1, "cluster=" + longest)));
  for (const auto& wrong :
       {with(1, "cluster="), with(1, "cluster=" + longest + "c"), with(1, "cluster=\x1b[2J"),
        with(1, "cluster=\xff"), with(2, "key=" + std::string(64, '0')),
        with(2, "key=" + std::string(63, 'a')), with(2, "key=" + std::string(64, 'A')),
        with(3, "asks="), with(3, "asks=2"), with(3, "asks=true"), with(0, "v=\x1b[2J")}) {
    const auto read = announcement_from(wrong);
    ASSERT_FALSE(read) << wrong[1];
    EXPECT_EQ(read.error().message.find('\x1b'), std::string::npos);
  }
}

TEST(announcement, beyond_its_bounds_is_refused_before_it_is_read) {
  std::vector<std::string> many = to_txt(some_announcement());
  many.resize(limits::lan_txt_strings_max);
  EXPECT_TRUE(announcement_from(many));
  many.emplace_back();
  std::vector<std::string> large = to_txt(some_announcement());
  large.push_back("x=" + std::string(limits::lan_txt_bytes_max, 'x'));
  for (const auto& wrong : {many, large}) {
    const auto read = announcement_from(wrong);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, errc::over_limit);
  }
}

} // namespace
} // namespace ovir::actors
