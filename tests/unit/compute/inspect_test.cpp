#include "compute/base/printable.hpp"
#include "compute/gguf/inspect.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::compute {
namespace {

using test::gguf_builder;
using testing::HasSubstr;
using testing::Not;

TEST(printable, keeps_text_and_escapes_what_disturbs_a_terminal) {
  EXPECT_EQ(printable("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80"),
            "gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80");
  EXPECT_EQ(printable("a\nb\tc\\"), "a\\nb\\tc\\\\");
  EXPECT_EQ(printable("\x1B[2J\x7F"), "\\x1b[2J\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"), "\\xc2\\x9b");                   // C1 control
  EXPECT_EQ(printable("\xE2\x80\xAE"), "\\xe2\\x80\\xae");          // right-to-left override
  EXPECT_EQ(printable("\xC0\x80\xFF"), "\\xc0\\x80\\xff");          // not UTF-8
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");          // surrogate
  EXPECT_EQ(printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"); // beyond U+10FFFF
  EXPECT_EQ(printable("\xE2\x82"), "\\xe2\\x82");                   // cut short
}

TEST(printable, shortens_long_text_between_characters) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("\xE2\x82\xAC\xE2\x82\xAC", 2), "\xE2\x82\xAC...");
}

TEST(inspect, shows_metadata_tensors_and_totals) {
  gguf_builder b;
  b.text("general.architecture", "llama").f32("x.epsilon", 1e-5F).boolean("x.flag", false);
  b.integers("x.many", {1, 2, 3, 4, 5, 6, 7, 8, 9}).texts("x.words", {"a", "\x01"});
  b.tensor("one.weight", tensor_type::q8_0, {64, 2}).tensor("two", 13, {256});
  b.tensor("three", 40, {64});
  const auto bytes = b.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const std::string table = inspect_table(*file);
  EXPECT_THAT(table, HasSubstr("GGUF version 3, alignment 32"));
  EXPECT_THAT(table, HasSubstr("\"llama\""));
  EXPECT_THAT(table, HasSubstr("1e-05\n"));
  EXPECT_THAT(table, HasSubstr("i32[9]"));
  EXPECT_THAT(table, HasSubstr("[1, 2, 3, 4, 5, 6, 7, 8, ...]"));
  EXPECT_THAT(table, HasSubstr(R"(["a", "\x01"])"));
  EXPECT_THAT(table, HasSubstr("64 x 2"));
  EXPECT_THAT(table, HasSubstr("Q5_K"));
  EXPECT_THAT(table, HasSubstr("448 parameters in 312 bytes"));
  EXPECT_THAT(table, Not(HasSubstr("\x01")));
}

TEST(inspect, sums_tensors_by_type_with_most_bytes_first) {
  gguf_builder b;
  b.tensor("a", tensor_type::f32, {4}).tensor("b", tensor_type::f16, {100});
  b.tensor("c", tensor_type::f32, {2, 3});
  const auto bytes = b.build();
  const tensor_totals totals = totals_of(*gguf::parse(bytes));
  EXPECT_EQ(totals.elements, 110U);
  EXPECT_EQ(totals.bytes, 240U);
  ASSERT_EQ(totals.by_type.size(), 2U);
  EXPECT_EQ(totals.by_type[0].type, "F16");
  EXPECT_EQ(totals.by_type[1].tensors, 2U);
  EXPECT_EQ(totals.by_type[1].elements, 10U);
}

TEST(inspect, shortens_long_values) {
  const auto bytes = gguf_builder{}.text("k", std::string(1000, 'x')).build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file);
  EXPECT_LT(text_of_value(file->entries()[0], 40).size(), 50U);
}

TEST(inspect, shows_every_element_type) {
  gguf_builder b;
  b.raw_array("a", 0, 2, std::string_view{"A\xFF", 2}).raw_array("b", 1, 1, "\xFF");
  b.raw_array("c", 7, 2, std::string_view{"\0\1", 2}).floats("d", {0.1F});
  b.raw_array("e", 12, 0, "");
  const auto bytes = b.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(text_of_value(file->entries()[0], 72), "[65, 255]");
  EXPECT_EQ(text_of_value(file->entries()[1], 72), "[-1]");
  EXPECT_EQ(text_of_value(file->entries()[2], 72), "[false, true]");
  EXPECT_EQ(text_of_value(file->entries()[3], 72), "[0.1]");
  EXPECT_EQ(text_of_value(file->entries()[4], 72), "[]");
}

} // namespace
} // namespace ovir::compute
