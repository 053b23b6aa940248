// Models with adapters as files: their names, what they are made of, and what is refused.
#include "compute/devices/device_segment.hpp"
#include "compute/forward/segment_file.hpp"
#include "compute/gguf/join_adapter.hpp"
#include "compute/gguf/manifest.hpp"
#include "compute/gguf/piece_list.hpp"
#include "compute/kernels/reference/plain_blocks.hpp"
#include "compute/model/lora.hpp"
#include "compute/parts/segment_cut.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "tests/learning/adapted_models.hpp"
#include "tests/learning/learn_cases.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace ovir::test {
namespace {

using compute::model_manifest;
using compute::synth_quantization;

model_manifest manifest_by(const loaded_model& base, const learning::adapter& adapter,
                           const learning::provenance& from = {}) {
  const std::string bytes = learning::to_file(adapter, from);
  return compute::manifest_of(joined(base.file(), bytes).value()).value();
}

TEST(adapted_file, has_a_name_of_its_own_by_what_is_computed) {
  const auto base = small_llama(synth_quantization::q8_0);
  const learning::adapter adapter = stirred_adapter(base.get(), 7);
  const model_manifest plain = compute::manifest_of(base.file()).value();
  const model_manifest adapted = manifest_by(base, adapter);
  EXPECT_FALSE(compute::has_adapter(plain));
  EXPECT_TRUE(compute::has_adapter(adapted));
  EXPECT_NE(name_of(adapted), name_of(plain));
  EXPECT_EQ(name_of(manifest_by(base, adapter, {"learn-1", "b", "d", "s", 9})), name_of(adapted))
      << "where an adapter comes from changes no bit";
  learning::adapter louder = adapter;
  louder.alpha *= 2;
  EXPECT_NE(name_of(manifest_by(base, louder)), name_of(adapted));
  learning::adapter other = adapter;
  other.numbers[1][learning::at_v].a[0] += 1;
  EXPECT_NE(name_of(manifest_by(base, other)), name_of(adapted));
}

TEST(adapted_file, gives_its_bases_manifest_back) {
  const auto base = small_llama(synth_quantization::f32);
  const model_manifest plain = compute::manifest_of(base.file()).value();
  const adapted_model adapted{base, stirred_adapter(base.get(), 7)};
  const model_manifest both = compute::manifest_of(adapted.file()).value();
  EXPECT_EQ(compute::base_of(both).value(), plain);
  EXPECT_EQ(compute::manifest_of(adapted.file(), {}, &plain).value(), both)
      << "with the base's tensors taken as hashed";
  const std::string bytes = compute::to_bytes(both);
  const auto again = compute::manifest_from(std::as_bytes(std::span{bytes}));
  EXPECT_EQ(again.value(), both);
  model_manifest without = both;
  without.parameters = plain.parameters;
  EXPECT_EQ(compute::base_of(without).error().code, errc::malformed);
}

TEST(adapted_file, laid_out_from_its_manifest_is_the_same_model_and_is_cut_with_its_layers) {
  const auto base = small_llama(synth_quantization::q8_0);
  const adapted_model adapted{base, stirred_adapter(base.get(), 7)};
  const auto manifest =
      std::make_shared<const model_manifest>(compute::manifest_of(adapted.file()).value());
  const auto layout =
      compute::lay_out(*manifest, compute::tokenizer_bytes_of(adapted.file())).value();
  std::string bytes = layout.head;
  bytes.resize(layout.bytes);
  for (std::size_t i = 0; i < manifest->tensors.size(); ++i) {
    const auto data = adapted.file().find_tensor(manifest->tensors[i].name)->data;
    std::memcpy(bytes.data() + layout.places[i], data.data(), data.size());
  }
  const auto file = compute::gguf::parse(std::as_bytes(std::span{bytes})).value();
  EXPECT_EQ(compute::manifest_of(file).value(), *manifest);
  const compute::model bound = compute::bind_model(file).value();
  ASSERT_TRUE(bound.lora);
  EXPECT_EQ(bound.lora->file_bytes({0, 2}), adapted.get().lora->file_bytes({0, 2}));

  const auto pieces = compute::piece_list::of(manifest).value();
  const auto plain = compute::piece_list::of(std::make_shared<const model_manifest>(
                                                 compute::manifest_of(base.file()).value()))
                         .value();
  const std::uint64_t more = pieces.bytes_of(pieces.of_segment({1, 2}).value()) -
                             plain.bytes_of(plain.of_segment({1, 2}).value());
  EXPECT_EQ(more, adapted.get().lora->file_bytes({1, 2}));
}

/// The code of what is wrong with a base and an adapter's bytes; `internal` where nothing is.
errc refusal_of(const loaded_model& base, const std::string& bytes) {
  const auto both = joined(base.file(), bytes);
  if (!both) {
    return both.error().code;
  }
  auto bound = compute::bind_model(*both);
  if (!bound) {
    return bound.error().code;
  }
  compute::serial_runner runner;
  const auto checked = compute::check_weights(*bound, {0, bound->config.layers}, runner);
  return checked ? errc::internal : checked.error().code;
}

std::string with(std::string bytes, const std::string& from, const std::string& to) {
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(from.size(), to.size());
  return bytes.replace(at, from.size(), to);
}

TEST(adapted_file, refuses_adapters_that_are_not_the_models_by_what_is_wrong) {
  const auto base = small_llama(synth_quantization::q8_0);
  const learning::adapter adapter = stirred_adapter(base.get(), 7);
  const std::string good = learning::to_file(adapter, {});
  EXPECT_EQ(refusal_of(base, good), errc::internal);
  EXPECT_EQ(refusal_of(base, with(good, "adapter.type", "adapter.kind")), errc::not_found);
  EXPECT_EQ(refusal_of(base, with(good, "lora.alpha", "lora.omega")), errc::malformed);
  EXPECT_EQ(refusal_of(base, with(good, "llama", "qwen2")), errc::unsupported);
  EXPECT_EQ(refusal_of(base, with(good, "attn_q.weight.lora_b", "attn_q.weight.lora_c")),
            errc::unsupported);
  EXPECT_EQ(
      refusal_of(base, with(good, "blk.0.attn_q.weight.lora_b", "blk.9.attn_q.weight.lora_b")),
      errc::malformed)
      << "half a pair";
  EXPECT_EQ(
      refusal_of(base, with(with(good, "blk.1.attn_q.weight.lora_b", "blk.7.attn_q.weight.lora_b"),
                            "blk.1.attn_q.weight.lora_a", "blk.7.attn_q.weight.lora_a")),
      errc::unsupported)
      << "a layer that the model has not";
  EXPECT_EQ(
      refusal_of(base, with(with(good, "blk.1.attn_q.weight.lora_b", "blk.1.attn_x.weight.lora_b"),
                            "blk.1.attn_q.weight.lora_a", "blk.1.attn_x.weight.lora_a")),
      errc::unsupported)
      << "a matrix that the model has not";
  learning::adapter silent = adapter;
  silent.alpha = 0;
  EXPECT_EQ(refusal_of(base, learning::to_file(silent, {})), errc::malformed);
  silent.alpha = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(refusal_of(base, learning::to_file(silent, {})), errc::malformed);
  learning::adapter wild = adapter;
  wild.numbers[1][learning::at_down].b.back() = std::numeric_limits<float>::infinity();
  EXPECT_EQ(refusal_of(base, learning::to_file(wild, {})), errc::malformed);
  learning::adapter narrow = adapter;
  narrow.numbers[0][learning::at_up].a.resize(narrow.numbers[0][learning::at_up].a.size() - 3 * 8);
  EXPECT_EQ(refusal_of(base, learning::to_file(narrow, {})), errc::malformed);
  const auto both = joined(base.file(), good).value();
  EXPECT_EQ(joined(both, good).error().code, errc::unsupported) << "two adapters";
}

TEST(adapted_file, refuses_pairs_beside_matrices_that_several_products_share) {
  const auto phi = small_model_of("phi3");
  const std::string pairs = learning::to_file(stirred_adapter(phi.get(), 7), {});
  EXPECT_EQ(refusal_of(phi, pairs), errc::unsupported);
}

TEST(adapted_model, is_refused_where_adapters_are_not_computed) {
  const auto base = small_llama(synth_quantization::q8_0);
  const adapted_model adapted{base, stirred_adapter(base.get(), 7)};
  const compute::model& m = adapted.get();
  EXPECT_TRUE(compute::require_plain_blocks(base.get(), "checks"));
  EXPECT_EQ(compute::require_plain_blocks(m, "checks").error().code, errc::unsupported);
  EXPECT_EQ(compute::check_for_parts(m, {0, 2}).error().code, errc::unsupported);
  EXPECT_EQ(compute::check_for_device(m, {0, 2}).error().code, errc::unsupported);
  EXPECT_EQ(learning::freeze(m, compute::kernels_reference()).error().code, errc::unsupported);
}

TEST(adapted_path, names_two_files_and_the_model_of_both) {
  const auto names = compute::adapted_path_from("models/a.gguf+tone.gguf");
  ASSERT_TRUE(names);
  EXPECT_EQ(names->base, "models/a.gguf");
  EXPECT_EQ(names->adapter, "models/tone.gguf");
  EXPECT_EQ(compute::adapted_name(*names), "a+tone");
  EXPECT_EQ(compute::adapted_path_from("a.gguf+/x/b.gguf")->adapter, "/x/b.gguf");
  EXPECT_FALSE(compute::adapted_path_from("a+b.gguf"));
  EXPECT_FALSE(compute::adapted_path_from("a.gguf+"));
}

} // namespace
} // namespace ovir::test
