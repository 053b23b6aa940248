// The bytes of docs/formats/adapter.md, field by field. A change here is a new version.
#include "compute/gguf/join_adapter.hpp"
#include "compute/gguf/manifest.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <span>

namespace ovir::learning {
namespace {

std::string hex_of(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

TEST(adapter_golden, a_small_adapter_is_these_bytes) {
  adapter a{"llama", 1, 2, lora_numbers(1)};
  a.numbers[0][at_v] = {{1, -2}, {0.5F}};
  EXPECT_EQ(hex_of(to_file(a, {"learn-1", "b", "", "", 7})),
            // GGUF, version 3, two tensors, seven entries
            "474755460300000002000000000000000700000000000000"
            // general.type
            "0c0000000000000067656e6572616c2e74797065080000000700000000000000"
            "61646170746572"
            // general.architecture
            "140000000000000067656e6572616c2e61726368697465637475726508000000"
            "05000000000000006c6c616d61"
            // adapter.type
            "0c00000000000000616461707465722e74797065080000000400000000000000"
            "6c6f7261"
            // adapter.lora.alpha
            "1200000000000000616461707465722e6c6f72612e616c706861060000000000"
            "0040"
            // ovir.learn.profile
            "12000000000000006f7669722e6c6561726e2e70726f66696c65080000000700"
            "0000000000006c6561726e2d31"
            // ovir.learn.base
            "0f000000000000006f7669722e6c6561726e2e62617365080000000100000000"
            "00000062"
            // ovir.learn.steps
            "10000000000000006f7669722e6c6561726e2e73746570730400000007000000"
            // blk.0.attn_v.weight.lora_a: 2 x 1, F32, offset 0
            "1a00000000000000626c6b2e302e6174746e5f762e7765696768742e6c6f7261"
            "5f61020000000200000000000000010000000000000000000000000000000000"
            "0000"
            // blk.0.attn_v.weight.lora_b: 1 x 1, F32, offset 32
            "1a00000000000000626c6b2e302e6174746e5f762e7765696768742e6c6f7261"
            "5f62020000000100000000000000010000000000000000000000200000000000"
            "0000"
            "00000000000000000000000000000000000000000000000000" // to a multiple of 32
            "0000803f000000c0000000000000000000000000000000000000000000000000"   // A: 1, -2
            "0000003f00000000000000000000000000000000000000000000000000000000"); // B: 0.5
}

TEST(adapter_golden, the_manifest_of_a_model_with_one_begins_with_its_alpha) {
  compute::synth_spec spec;
  spec.layers = 1;
  const test::loaded_model base{test::synthetic_model(spec)};
  adapter a = fresh_adapter(base.get(), 1, 2, 1U << at_v, 3).value();
  const std::string file = to_file(a, {});
  const auto both = compute::join_adapter(
                        base.file(), compute::gguf::parse(std::as_bytes(std::span{file})).value())
                        .value();
  const compute::model_manifest manifest = compute::manifest_of(both).value();
  EXPECT_EQ(hex_of(std::string_view{manifest.parameters}.substr(0, 30)),
            "12000000"                             // length of the key
            "616461707465722e6c6f72612e616c706861" // adapter.lora.alpha
            "06000000"                             // F32
            "00000040");                           // 2
  EXPECT_EQ(std::string_view{manifest.parameters}.substr(30),
            compute::manifest_of(base.file()).value().parameters);
}

} // namespace
} // namespace ovir::learning
