#include "compute/gguf/manifest.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace ovir::compute {
namespace {

using test::gguf_builder;

gguf_builder small_model() {
  gguf_builder file;
  file.text("general.architecture", "llama").text("general.name", "one");
  file.u32("llama.block_count", 2).f32("llama.rope.freq_base", 10'000);
  file.texts("tokenizer.ggml.tokens", {"a", "b"});
  std::vector<std::byte> data(3U << 20U, std::byte{1}); // three chunks
  data.back() = std::byte{2};
  file.tensor("b", tensor_type::f32, {256, 3 << 10}, data);
  file.tensor("a", tensor_type::q8_0, {32});
  return file;
}

model_manifest manifest_for(const gguf_builder& file) {
  const std::vector<std::byte> bytes = file.build();
  return manifest_of(gguf::parse(bytes).value()).value();
}

TEST(manifest, lists_tensors_by_name_with_a_digest_for_each_chunk) {
  const model_manifest m = manifest_for(small_model());
  ASSERT_EQ(m.tensors.size(), 2U);
  EXPECT_EQ(m.tensors[0].name, "a");
  EXPECT_EQ(m.tensors[0].bytes, 34U);
  ASSERT_EQ(m.tensors[1].chunks.size(), 3U);
  EXPECT_EQ(m.tensors[1].chunks[0], m.tensors[1].chunks[1]);
  EXPECT_NE(m.tensors[1].chunks[1], m.tensors[1].chunks[2]);
  EXPECT_EQ(m.tensors[1].chunks[0],
            hash_plain(std::vector<std::byte>(manifest_chunk_bytes, std::byte{1})));
}

TEST(manifest, reads_what_it_writes) {
  const model_manifest m = manifest_for(small_model());
  const std::string bytes = to_bytes(m);
  EXPECT_EQ(manifest_from(std::as_bytes(std::span{bytes})).value(), m);
}

TEST(manifest, names_the_model_and_not_the_file) {
  const digest name = name_of(manifest_for(small_model()));
  EXPECT_EQ(name_of(manifest_for(small_model().text("general.author", "somebody"))), name);
  EXPECT_EQ(name_of(manifest_for(small_model().alignment(64))), name);
  for (const gguf_builder& other :
       {small_model().u32("llama.context_length", 9), small_model().text("tokenizer.x", "y"),
        small_model().tensor("c", tensor_type::f32, {1})}) {
    EXPECT_NE(name_of(manifest_for(other)), name);
  }
}

TEST(manifest, refuses_every_shorter_and_longer_text) {
  std::string bytes = to_bytes(manifest_for(small_model()));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(manifest_from(std::as_bytes(std::span{bytes}.first(length)))) << length;
  }
  bytes += '\0';
  EXPECT_FALSE(manifest_from(std::as_bytes(std::span{bytes})));
}

TEST(manifest, refuses_other_versions_and_tensors_out_of_order) {
  model_manifest m = manifest_for(small_model());
  std::string bytes = to_bytes(m);
  bytes[3] = '2';
  EXPECT_EQ(manifest_from(std::as_bytes(std::span{bytes})).error().code, errc::unsupported);
  std::swap(m.tensors[0], m.tensors[1]);
  bytes = to_bytes(m);
  EXPECT_EQ(manifest_from(std::as_bytes(std::span{bytes})).error().code, errc::malformed);
}

TEST(manifest, refuses_a_tensor_of_more_chunks_than_there_are_before_it_makes_room_for_them) {
  model_manifest m = manifest_for(small_model());
  m.tensors[1].bytes = std::uint64_t{1} << 40U;
  const std::string bytes = to_bytes(m);
  EXPECT_EQ(manifest_from(std::as_bytes(std::span{bytes})).error().code, errc::malformed);
}

} // namespace
} // namespace ovir::compute
