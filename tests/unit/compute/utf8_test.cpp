#include "compute/base/utf8.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::compute {

namespace {

std::string encoded(char32_t value) {
  std::string out;
  append_utf8(out, value);
  return out;
}

} // namespace

TEST(utf8, reads_back_every_code_point_it_writes) {
  for (char32_t value = 0; value <= 0x10FFFF; ++value) {
    if (value == 0xD800) {
      value = 0xE000;
    }
    const std::string bytes = encoded(value);
    const utf8_step step = read_utf8(bytes);
    ASSERT_EQ(step.status, utf8_status::character) << static_cast<std::uint32_t>(value);
    ASSERT_EQ(step.value, value);
    ASSERT_EQ(step.bytes, bytes.size());
  }
}

TEST(utf8, writes_the_lengths_of_the_standard) {
  EXPECT_EQ(encoded(U'A'), "A");
  EXPECT_EQ(encoded(U'\u00E9'), "\xC3\xA9");
  EXPECT_EQ(encoded(U'\u20AC'), "\xE2\x82\xAC");
  EXPECT_EQ(encoded(U'\U0001F600'), "\xF0\x9F\x98\x80");
}

TEST(utf8, refuses_overlong_forms_surrogates_and_values_beyond_unicode) {
  for (const std::string_view bytes :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xED\xBF\xBF",
        "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80",
        "\xFF"}) {
    const utf8_step step = read_utf8(bytes);
    EXPECT_EQ(step.status, utf8_status::invalid) << bytes;
    EXPECT_EQ(step.bytes, 1) << bytes;
  }
}

TEST(utf8, tells_a_text_that_ends_early_from_one_that_is_wrong) {
  EXPECT_EQ(read_utf8("\xE2").status, utf8_status::incomplete);
  EXPECT_EQ(read_utf8("\xE2\x82").status, utf8_status::incomplete);
  EXPECT_EQ(read_utf8("\xE2\x82").bytes, 2);
  EXPECT_EQ(read_utf8("\xF0\x9F\x98").status, utf8_status::incomplete);
  EXPECT_EQ(read_utf8("\xE2\x82x").status, utf8_status::invalid);
  EXPECT_EQ(read_utf8("\xE2\x82x").bytes, 2);
}

// The example of the Unicode standard, section 3.9, table 3-8 and 3-11.
TEST(utf8, replaces_each_maximal_subpart_by_one_character) {
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"),
            "\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(replace_invalid_utf8("a\xE2\x82"), "a\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("caf\xC3\xA9"), "caf\xC3\xA9");
}

} // namespace ovir::compute
