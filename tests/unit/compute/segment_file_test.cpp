#include "compute/forward/segment_file.hpp"
#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"
#include "compute/text/tokenizer.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace ovir::compute {
namespace {

/// Every tensor at its place.
std::vector<std::byte> filled(const segment_file& file, const gguf& from,
                              const model_manifest& manifest) {
  std::vector<std::byte> bytes(file.bytes);
  std::memcpy(bytes.data(), file.head.data(), file.head.size());
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    const auto data = from.find_tensor(manifest.tensors[i].name)->data;
    std::memcpy(bytes.data() + file.places[i], data.data(), data.size());
  }
  return bytes;
}

TEST(segment_file, the_complete_file_has_the_manifest_it_was_made_from) {
  for (const auto quantization : {synth_quantization::f32, synth_quantization::q4_k_m}) {
    const std::vector<std::byte> original = test::tiny_model(3, quantization);
    const gguf from = gguf::parse(original).value();
    const model_manifest manifest = manifest_of(from).value();
    const segment_file file = lay_out(manifest, tokenizer_bytes_of(from)).value();
    const std::vector<std::byte> bytes = filled(file, from, manifest);
    const gguf again = gguf::parse(bytes).value();
    EXPECT_EQ(manifest_of(again).value(), manifest);
    EXPECT_EQ(name_of(manifest_of(again).value()), name_of(manifest));
    EXPECT_TRUE(bind_model(again));
    EXPECT_TRUE(tokenizer::make(again));
  }
}

TEST(segment_file, every_kind_of_metadata_is_carried_over) {
  test::gguf_builder builder = test::minimal_llama();
  builder.text("llama.text", "x").u64("llama.u64", 1).f32("llama.f32", 0.5F).f64("llama.f64", -1);
  builder.boolean("llama.yes", true).i32("llama.i32", -4);
  builder.texts("tokenizer.words", {"a", "", "ccc"}).floats("tokenizer.floats", {1, 2});
  builder.integers("tokenizer.integers", {1, -2, 3});
  const std::vector<std::byte> original = builder.build();
  const gguf from = gguf::parse(original).value();
  const model_manifest manifest = manifest_of(from).value();
  const segment_file file = lay_out(manifest, tokenizer_bytes_of(from)).value();
  const std::vector<std::byte> bytes = filled(file, from, manifest);
  EXPECT_EQ(manifest_of(gguf::parse(bytes).value()).value(), manifest);
}

TEST(segment_file, tensors_share_no_page) {
  const std::vector<std::byte> original = test::tiny_model(3, synth_quantization::q8_0);
  const gguf from = gguf::parse(original).value();
  const model_manifest manifest = manifest_of(from).value();
  const segment_file file = lay_out(manifest, tokenizer_bytes_of(from)).value();
  std::uint64_t end = file.head.size();
  for (std::size_t i = 0; i < manifest.tensors.size(); ++i) {
    EXPECT_EQ(file.places[i] % segment_file_page, 0U);
    EXPECT_GE(file.places[i], end);
    end = file.places[i] + manifest.tensors[i].bytes;
  }
  EXPECT_GE(file.bytes, end);
}

TEST(segment_file, another_tokenizer_is_refused) {
  const std::vector<std::byte> original = test::tiny_model(3, synth_quantization::q8_0);
  const gguf from = gguf::parse(original).value();
  const model_manifest manifest = manifest_of(from).value();
  std::string words = tokenizer_bytes_of(from);
  words.back() = static_cast<char>(words.back() ^ 1);
  EXPECT_EQ(lay_out(manifest, words).error().code, errc::digest_mismatch);
  EXPECT_EQ(lay_out(manifest, {}).error().code, errc::digest_mismatch);
}

TEST(segment_file, metadata_of_a_forger_who_knows_the_digests_is_refused) {
  const auto forged = [](std::string_view parameters, std::string_view words) {
    model_manifest m;
    m.parameters = parameters;
    m.tokenizer = hash_plain(std::as_bytes(std::span{words}));
    m.tokenizer_bytes = words.size();
    return lay_out(m, words);
  };
  using namespace std::string_view_literals;
  EXPECT_TRUE(forged("\1\0\0\0k\4\0\0\0\1\0\0\0"sv, ""sv));
  EXPECT_EQ(forged("\1\0\0\0k\4\0\0\0\1\0\0"sv, ""sv).error().code, errc::malformed); // cut short
  EXPECT_EQ(forged("\xff\xff\xff\xffk"sv, ""sv).error().code, errc::malformed);       // key
  EXPECT_EQ(forged(""sv, "\1\0\0\0k\x0d\0\0\0"sv).error().code, errc::unsupported);   // type 13
  EXPECT_EQ(forged(""sv, "\1\0\0\0k\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"sv).error().code,
            errc::malformed); // a text of 2^64 - 1 bytes
  EXPECT_EQ(
      forged(""sv, "\1\0\0\0k\x09\0\0\0\4\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f"sv).error().code,
      errc::malformed); // a list of 2^63 - 1 numbers
  EXPECT_EQ(forged(""sv, "\1\0\0\0k\x09\0\0\0\x09\0\0\0\1\0\0\0\0\0\0\0"sv).error().code,
            errc::unsupported); // a list of lists
}

} // namespace
} // namespace ovir::compute
