// The bytes of docs/formats/manifest.md, field by field. A change here is a new version.
#include "compute/gguf/manifest.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::compute {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

TEST(manifest_golden, a_small_model_is_these_bytes_and_this_name) {
  test::gguf_builder file;
  file.text("general.architecture", "llama").u32("llama.block_count", 2);
  file.tensor("w", tensor_type::f32, {2, 1});
  const std::vector<std::byte> bytes = file.build();
  const model_manifest m = manifest_of(gguf::parse(bytes).value()).value();
  EXPECT_EQ(hex(to_bytes(m)),
            "4f564d31" // "OVM1"
            "46000000" // length of the parameters
            "14000000" // general.architecture
            "67656e6572616c2e617263686974656374757265"
            "08000000" // a text
            "05000000000000006c6c616d61"
            "11000000" // llama.block_count
            "6c6c616d612e626c6f636b5f636f756e74"
            "04000000" // u32
            "02000000"
            // the tokenizer: none, and its digest is that of no bytes
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
            "0000000000000000"
            "01000000" // tensors
            "010077"   // "w"
            "00000000" // F32
            "02000000"
            "0200000000000000"
            "0100000000000000" // 2 x 1
            "0800000000000000" // bytes
            "71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb");
  EXPECT_EQ(to_cid(name_of(m)), "bafkr4idz4ezg7wodih6kmdxnd4jhk5foqt3lzppl4kit4oq4qncozdbnwa");
}

} // namespace
} // namespace ovir::compute
