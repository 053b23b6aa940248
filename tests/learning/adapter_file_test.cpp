// Files of adapters and checkpoints: what was written is read, and what a hostile file says is not
// believed.
#include "learning/adapter/adapter_file.hpp"
#include "learning/training/state_file.hpp"
#include "tests/learning/learn_cases.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace ovir::learning {
namespace {

using compute::synth_quantization;
using compute::tensor_type;

std::span<const std::byte> view(const std::string& bytes) {
  return std::as_bytes(std::span{bytes});
}

adapter small_adapter() {
  const auto model = test::small_llama(synth_quantization::f32);
  return test::stirred_adapter(model.get(), 3);
}

const provenance some_provenance{"learn-1", "bafkr4ibase", "bafkr4idata", "rank=3 seed=0", 12};

TEST(adapter_file, gives_back_what_was_written) {
  const adapter a = small_adapter();
  const std::string bytes = to_file(a, some_provenance);
  const auto read = adapter_from(view(bytes));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->is, a);
  EXPECT_EQ(read->from, some_provenance);
  EXPECT_EQ(to_file(read->is, read->from), bytes);
}

TEST(adapter_file, is_refused_at_every_length_but_its_own) {
  const std::string bytes = to_file(small_adapter(), some_provenance);
  for (std::size_t n = 0; n < bytes.size(); n += n < 4'000 ? 7 : 997) {
    EXPECT_FALSE(adapter_from(view(bytes.substr(0, n)))) << n;
  }
}

/// A valid file of one pair, 4 to 6, of rank 2.
test::gguf_builder one_pair() {
  test::gguf_builder file;
  file.text("general.type", "adapter").text("general.architecture", "llama");
  file.text("adapter.type", "lora").f32("adapter.lora.alpha", 2.0F);
  file.tensor("blk.3.attn_q.weight.lora_a", tensor_type::f32, {4, 2});
  file.tensor("blk.3.attn_q.weight.lora_b", tensor_type::f16, {2, 6});
  return file;
}

std::vector<std::byte> floats(std::size_t n, float value) {
  std::vector<float> all(n, value);
  const auto bytes = std::as_bytes(std::span{all});
  return {bytes.begin(), bytes.end()};
}

TEST(adapter_file, of_other_programs_is_read) {
  const auto read = adapter_from(one_pair().build());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->is.rank, 2U);
  EXPECT_EQ(read->is.numbers.size(), 4U);
  EXPECT_EQ(read->is.numbers[3][at_q].b.size(), 12U);
  EXPECT_EQ(read->from, provenance{});
}

TEST(adapter_file, that_is_wrong_in_any_way_is_refused_with_a_sentence) {
  struct wrong {
    const char* what;
    errc code;
    std::function<void(test::gguf_builder&)> make;
  };
  const auto remove = [](const char* name) {
    return [name](test::gguf_builder& b) { b.remove_tensor(name); };
  };
  const auto add = [](std::string name, std::vector<std::uint64_t> shape) {
    return [=](test::gguf_builder& b) { b.tensor(name, tensor_type::f32, shape); };
  };
  const char* const a = "blk.3.attn_q.weight.lora_a";
  const char* const b = "blk.3.attn_q.weight.lora_b";
  const std::vector<wrong> all{
      {"another type", errc::unsupported,
       [](auto& f) { f.remove_entry("general.type").text("general.type", "model"); }},
      {"no type", errc::not_found, [](auto& f) { f.remove_entry("general.type"); }},
      {"another kind", errc::unsupported,
       [](auto& f) { f.remove_entry("adapter.type").text("adapter.type", "control_vector"); }},
      {"no alpha", errc::not_found, [](auto& f) { f.remove_entry("adapter.lora.alpha"); }},
      {"alpha of zero", errc::malformed,
       [](auto& f) { f.remove_entry("adapter.lora.alpha").f32("adapter.lora.alpha", 0.0F); }},
      {"alpha that is none", errc::malformed,
       [](auto& f) {
         f.remove_entry("adapter.lora.alpha")
             .f32("adapter.lora.alpha", std::numeric_limits<float>::quiet_NaN());
       }},
      {"a long text", errc::over_limit,
       [](auto& f) { f.text("ovir.learn.settings", std::string(1'025, 'x')); }},
      {"too many steps", errc::over_limit, [](auto& f) { f.u32("ovir.learn.steps", 1U << 31U); }},
      {"half a pair", errc::malformed, remove(a)},
      {"no pair", errc::malformed, [&](auto& f) { f.remove_tensor(a).remove_tensor(b); }},
      {"another rank", errc::unsupported, add("blk.0.ffn_up.weight.lora_a", {4, 3})},
      {"a rank beyond the most", errc::over_limit, add("blk.0.ffn_up.weight.lora_a", {1, 257})},
      {"no matrix", errc::malformed, add("blk.0.ffn_up.weight.lora_a", {2, 2, 2})},
      {"a layer beyond the most", errc::over_limit, add("blk.1024.ffn_up.weight.lora_a", {2, 2})},
      {"a layer that is no number", errc::unsupported,
       add("blk.99999999999.ffn_up.weight.lora_a", {2, 2})},
      {"a layer twice", errc::unsupported, add("blk.03.attn_q.weight.lora_a", {4, 2})},
      {"another matrix", errc::unsupported, add("blk.0.attn_norm.weight.lora_a", {2, 2})},
      {"another tensor", errc::unsupported, add("token_embd.weight", {2, 2})},
      {"quantised numbers", errc::unsupported,
       [&](auto& f) {
         f.remove_tensor(a).tensor(a, tensor_type::q8_0, {32, 2});
       }},
      {"an infinity", errc::malformed,
       [&](auto& f) {
         f.remove_tensor(a).tensor(a, tensor_type::f32, {4, 2},
                                   floats(8, std::numeric_limits<float>::infinity()));
       }},
  };
  for (const wrong& w : all) {
    test::gguf_builder file = one_pair();
    w.make(file);
    const auto read = adapter_from(file.build());
    ASSERT_FALSE(read) << w.what;
    EXPECT_EQ(read.error().code, w.code) << w.what << ": " << read.error().message;
    EXPECT_FALSE(read.error().message.empty());
  }
}

TEST(adapters, that_do_not_fit_a_model_are_refused) {
  const auto model = test::small_llama(synth_quantization::f32);
  adapter a = small_adapter();
  EXPECT_TRUE(check_fits(a, model.get()));
  adapter other = a;
  other.architecture = "qwen2";
  EXPECT_EQ(check_fits(other, model.get()).error().code, errc::unsupported);
  other = a;
  other.numbers.resize(3);
  EXPECT_EQ(check_fits(other, model.get()).error().code, errc::malformed);
  other = a;
  other.numbers[1][at_down].a.pop_back();
  EXPECT_EQ(check_fits(other, model.get()).error().code, errc::malformed);
}

training_state some_state() {
  training_state s{small_adapter(), some_provenance, {}, {}, {{0, 3.5}, {10, 3.0}}};
  s.kept = {s.is.numbers, zeros_like(s.is.numbers)};
  s.losses.assign(12, 2.5);
  return s;
}

TEST(state_file, gives_back_what_was_written) {
  const training_state s = some_state();
  const std::string bytes = to_file(s);
  const auto read = state_from(view(bytes));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->is, s.is);
  EXPECT_EQ(read->from, s.from);
  EXPECT_EQ(read->kept.first, s.kept.first);
  EXPECT_EQ(read->kept.second, s.kept.second);
  EXPECT_EQ(read->losses, s.losses);
  EXPECT_EQ(read->evaluations, s.evaluations);
  EXPECT_EQ(to_file(*read), bytes);
}

TEST(state_file, with_a_changed_bit_is_refused) {
  const std::string bytes = to_file(some_state());
  int refused_by_check = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 211) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    const auto read = state_from(view(changed));
    // Padding between tensors is the one thing that is not looked at.
    if (read) {
      EXPECT_EQ(to_file(*read), bytes) << at;
    } else {
      refused_by_check += read.error().code == errc::digest_mismatch ? 1 : 0;
    }
  }
  EXPECT_GT(refused_by_check, 10);
}

TEST(state_file, is_no_adapter_and_an_adapter_is_none) {
  EXPECT_FALSE(adapter_from(view(to_file(some_state()))));
  EXPECT_FALSE(state_from(view(to_file(small_adapter(), some_provenance))));
}

} // namespace
} // namespace ovir::learning
