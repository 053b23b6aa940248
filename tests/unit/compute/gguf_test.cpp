#include "compute/gguf/gguf.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace ovir::compute {
namespace {

using test::gguf_builder;
using testing::HasSubstr;

constexpr std::uint32_t raw_f32 = 0;

std::string text_bytes(std::string_view text) {
  const std::uint64_t length = text.size();
  std::string out(sizeof(length), '\0');
  std::memcpy(out.data(), &length, sizeof(length));
  return out.append(text);
}

/// Parses what must be refused.
error refusal(const std::vector<std::byte>& bytes) {
  const auto parsed = gguf::parse(bytes);
  return parsed ? error{errc::internal, "it was accepted"} : parsed.error();
}

void expect_refusal(const gguf_builder& builder, errc code, const std::string& part) {
  const error e = refusal(builder.build());
  EXPECT_EQ(e.code, code) << e.message;
  EXPECT_THAT(e.message, HasSubstr(part));
}

TEST(gguf, reads_every_kind_of_value) {
  gguf_builder b;
  b.u32("a.u32", 7).i32("a.i32", -7).u64("a.u64", 1ULL << 40U).f32("a.f32", 0.5F);
  b.f64("a.f64", 0.25).boolean("a.bool", true).text("a.text", "gr\xC3\xBC\xC3\x9F");
  b.texts("a.texts", {"x", "", "yz"}).floats("a.floats", {1.5F, -2.0F}).integers("a.ints", {3, -4});
  b.raw_entry("a.u8", 0, "\x09").raw_entry("a.i16", 3, std::string_view{"\xFE\xFF", 2});
  const auto bytes = b.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->version(), 3U);
  EXPECT_EQ(*file->unsigned_at("a.u32"), 7U);
  EXPECT_EQ(file->unsigned_at("a.i32").error().code, errc::malformed);
  EXPECT_EQ(*file->unsigned_at("a.u64"), 1ULL << 40U);
  EXPECT_EQ(*file->float_at("a.f32"), 0.5);
  EXPECT_EQ(*file->float_at("a.f64"), 0.25);
  EXPECT_EQ(*file->bool_at("a.bool"), true);
  EXPECT_EQ(*file->text_at("a.text"), "gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(std::get<std::uint64_t>(file->find("a.u8")->value), 9U);
  EXPECT_EQ(std::get<std::int64_t>(file->find("a.i16")->value), -2);
  EXPECT_THAT(*strings_of(*file->array_at("a.texts", gguf_type::string)),
              testing::ElementsAre("x", "", "yz"));
  EXPECT_THAT(*floats_of(*file->array_at("a.floats", gguf_type::f32)),
              testing::ElementsAre(1.5F, -2.0F));
  EXPECT_THAT(*integers_of(*file->array_at("a.ints", gguf_type::i32)), testing::ElementsAre(3, -4));
}

TEST(gguf, tells_an_absent_key_from_one_of_another_type) {
  const auto bytes = gguf_builder{}.text("a", "x").texts("b", {"x"}).build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->unsigned_at("c").error().code, errc::not_found);
  EXPECT_EQ(file->unsigned_at("a").error().code, errc::malformed);
  EXPECT_EQ(file->float_at("a").error().code, errc::malformed);
  EXPECT_EQ(file->bool_at("a").error().code, errc::malformed);
  EXPECT_EQ(file->text_at("b").error().code, errc::malformed);
  EXPECT_EQ(file->array_at("a", gguf_type::string).error().code, errc::malformed);
  EXPECT_EQ(file->array_at("b", gguf_type::f32).error().code, errc::malformed);
  EXPECT_EQ(floats_of(*file->array_at("b", gguf_type::string)).error().code, errc::malformed);
  EXPECT_EQ(integers_of(*file->array_at("b", gguf_type::string)).error().code, errc::malformed);
}

TEST(gguf, places_tensors_where_their_offsets_say) {
  gguf_builder b;
  b.tensor("one", raw_f32, {3}, std::vector<std::byte>(12, std::byte{1}));
  b.tensor("two", tensor_type::q8_0, {32, 2}, std::vector<std::byte>(68, std::byte{2}));
  const auto bytes = b.build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  const gguf_tensor* two = file->find_tensor("two");
  ASSERT_NE(two, nullptr);
  EXPECT_EQ(two->offset % 32, 0U);
  EXPECT_EQ(two->offset, file->data_offset() + 32);
  EXPECT_EQ(two->data.data(), bytes.data() + two->offset);
  EXPECT_EQ(two->data.size(), 68U);
  EXPECT_EQ(two->data[67], std::byte{2});
  EXPECT_EQ(two->shape, (std::array<std::uint64_t, 4>{32, 2, 1, 1}));
  EXPECT_EQ(file->find_tensor("three"), nullptr);
}

TEST(gguf, reads_version_2_and_other_alignments) {
  for (const std::uint32_t alignment : {1U, 4U, 64U, limits::alignment_max}) {
    const auto bytes = gguf_builder{}.version(2).alignment(alignment).tensor("t", 0, {1}).build();
    const auto file = gguf::parse(bytes);
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ(file->alignment(), alignment);
    EXPECT_EQ(file->data_offset() % alignment, 0U);
  }
}

TEST(gguf, keeps_tensors_of_types_it_cannot_compute_for_inspection) {
  const auto bytes = gguf_builder{}.tensor("q5", 13, {256, 2}).tensor("new", 40, {64}).build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->find_tensor("q5")->data.size(), 352U);
  EXPECT_TRUE(file->find_tensor("new")->data.empty());
}

TEST(gguf, refuses_other_files_and_versions_by_name) {
  EXPECT_THAT(refusal({}).message, HasSubstr("GGUF"));
  EXPECT_EQ(refusal(std::vector<std::byte>(64)).code, errc::malformed);
  expect_refusal(gguf_builder{}.version(1), errc::unsupported, "version 1");
  expect_refusal(gguf_builder{}.version(0x03000000), errc::unsupported, "big-endian");
  expect_refusal(gguf_builder{}.version(4), errc::unsupported, "version 4");
  expect_refusal(gguf_builder{}.version(0), errc::unsupported, "version 0");
}

TEST(gguf, refuses_counts_the_file_cannot_hold) {
  expect_refusal(gguf_builder{}.claim_tensors(limits::tensors_max + 1), errc::over_limit,
                 "tensor count at byte 8");
  expect_refusal(gguf_builder{}.claim_entries(~0ULL), errc::over_limit, "metadata count");
  expect_refusal(gguf_builder{}.claim_entries(1000), errc::malformed, "1000 metadata entries");
  expect_refusal(gguf_builder{}.claim_tensors(1000), errc::malformed, "1000 tensors");
}

TEST(gguf, refuses_texts_longer_than_the_file) {
  const std::string huge("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
  expect_refusal(gguf_builder{}.raw_entry("k", 8, huge), errc::malformed,
                 "the value of \"k\" at byte 37");
  expect_refusal(gguf_builder{}.raw_array("k", 8, 1, huge), errc::malformed, "element 0");
  expect_refusal(gguf_builder{}.text("", "x"), errc::malformed, "is empty");
  expect_refusal(gguf_builder{}.text("\xC0\x80", "x"), errc::malformed, "not UTF-8");
  expect_refusal(gguf_builder{}.text(std::string(limits::key_bytes_max + 1, 'k'), "x"),
                 errc::over_limit, "65536 bytes");
  expect_refusal(gguf_builder{}.text("k", std::string(limits::string_bytes_max + 1, 'x')),
                 errc::over_limit, "bytes long");
}

TEST(gguf, refuses_arrays_that_lie) {
  expect_refusal(gguf_builder{}.raw_array("k", 4, ~0ULL, ""), errc::malformed, "claims");
  expect_refusal(gguf_builder{}.raw_array("k", 4, 1ULL << 62U, "abcd"), errc::malformed, "claims");
  expect_refusal(gguf_builder{}.raw_array("k", 9, 1, "abcdabcdabcd"), errc::unsupported, "nested");
  expect_refusal(gguf_builder{}.raw_array("k", 13, 0, ""), errc::malformed, "13");
  expect_refusal(gguf_builder{}.raw_array("k", 7, 2, std::string_view{"\1\2", 2}), errc::malformed,
                 "element 1");
  expect_refusal(gguf_builder{}.raw_array("k", 0, limits::array_elements_max + 1,
                                          std::string(limits::array_elements_max + 1, 'x')),
                 errc::over_limit, "elements");
}

TEST(gguf, refuses_types_and_booleans_gguf_does_not_define) {
  expect_refusal(gguf_builder{}.raw_entry("k", 13, "abcd"), errc::malformed, "is 13");
  expect_refusal(gguf_builder{}.raw_entry("k", 7, "\x02"), errc::malformed, "a boolean is 0 or 1");
  expect_refusal(gguf_builder{}.tensor("t", 43, {1}).at_offset(0), errc::unsupported, "is 43");
}

TEST(gguf, refuses_duplicates) {
  expect_refusal(gguf_builder{}.u32("k", 1).u32("j", 1).u32("k", 2), errc::malformed, "\"k\"");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1}).tensor("s", 0, {1}).tensor("t", 0, {1}),
                 errc::malformed, "\"t\"");
}

TEST(gguf, refuses_shapes_that_are_not_shapes) {
  expect_refusal(gguf_builder{}.tensor("t", 0, {}), errc::malformed, "0 dimensions");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1, 1, 1, 1, 1}), errc::malformed, "5 dimensions");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1, 0}), errc::malformed, "dimension 1");
  expect_refusal(gguf_builder{}.tensor("t", 8, {33}, std::vector<std::byte>(68)), errc::malformed,
                 "multiple of the 32");
  const std::vector<std::byte> little(64);
  expect_refusal(gguf_builder{}.tensor("t", 0, {17}, little), errc::malformed, "64 bytes left");
  const std::uint64_t big = 1ULL << 32U;
  expect_refusal(gguf_builder{}.tensor("t", 0, {big, big}, little), errc::malformed, "elements");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1ULL << 45U, 1, 2}, little), errc::malformed,
                 "needs more than");
  // 2^62 floats are 2^64 bytes: a product that wraps to zero.
  expect_refusal(gguf_builder{}.tensor("t", 0, {1ULL << 62U}, little), errc::malformed, "elements");
}

TEST(gguf, refuses_offsets_outside_unaligned_or_overlapping) {
  expect_refusal(gguf_builder{}.tensor("t", 0, {1}).at_offset(4), errc::malformed,
                 "multiple of the alignment 32");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1}).at_offset(1ULL << 40U), errc::malformed,
                 "into data of only");
  expect_refusal(gguf_builder{}.tensor("t", 0, {1}).at_offset(~31ULL), errc::malformed,
                 "into data of only");
  gguf_builder b;
  b.tensor("first", 0, {16}).tensor("second", 0, {16}).at_offset(32);
  expect_refusal(b, errc::malformed, "\"second\"");
  gguf_builder same;
  same.tensor("first", 0, {1}).tensor("second", 0, {1}).at_offset(0);
  expect_refusal(same, errc::malformed, "overlaps");
}

TEST(gguf, refuses_alignments_that_are_not_powers_of_two) {
  expect_refusal(gguf_builder{}.u32("general.alignment", 0), errc::malformed, "power of two");
  expect_refusal(gguf_builder{}.u32("general.alignment", 48), errc::malformed, "power of two");
  expect_refusal(gguf_builder{}.u32("general.alignment", limits::alignment_max * 2),
                 errc::over_limit, "131072");
  expect_refusal(gguf_builder{}.text("general.alignment", "32"), errc::malformed, "32-bit");
}

TEST(gguf, escapes_hostile_names_in_errors) {
  const error e = refusal(gguf_builder{}.raw_entry("k\x1B[2J", 99, "").build());
  EXPECT_THAT(e.message, HasSubstr("k\\x1b[2J"));
}

TEST(gguf, copies_out_no_more_than_a_vocabulary_needs) {
  const std::uint64_t count = limits::array_copied_elements_max + 1;
  const auto bytes = gguf_builder{}.raw_array("k", 8, count, std::string(count * 8, '\0')).build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(strings_of(*file->array_at("k", gguf_type::string)).error().code, errc::over_limit);
}

TEST(gguf, integers_must_fit_32_bits) {
  std::string wide(8, '\0');
  wide[4] = 1;
  const auto bytes = gguf_builder{}.raw_array("k", 10, 1, wide).build();
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file);
  EXPECT_EQ(integers_of(*file->array_at("k", gguf_type::u64)).error().code, errc::malformed);
}

TEST(gguf, reads_a_vocabulary_file_without_tensors) {
  OVIR_SHARED_FILE(path, "vocab/ggml-vocab-llama-bpe.gguf");
  const auto bytes = test::bytes_of_file(path);
  const auto file = gguf::parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->tensors().empty());
  EXPECT_EQ(file->array_at("tokenizer.ggml.tokens", gguf_type::string)->count, 128256U);
}

TEST(gguf, finds_the_offset_of_a_bad_text_element) {
  gguf_builder b;
  b.raw_array("k", 8, 2, text_bytes("fine") + std::string(8, '\x7F'));
  expect_refusal(b, errc::malformed, "element 1 of the array \"k\" at byte 61");
}

} // namespace
} // namespace ovir::compute
