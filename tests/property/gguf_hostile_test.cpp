#include "compute/gguf/inspect.hpp"
#include "compute/model/model.hpp"
#include "messages/limits/general.hpp"
#include "messages/sanitized.hpp"
#include "tests/support/allocation_meter.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>

namespace ovir::compute {
namespace {

constexpr std::size_t extra_bytes_max = std::size_t{64} << 20U;

// What is allowed in a program as users run it, and what that comes to where every access is
// checked or nothing is optimised.
#if defined(__OPTIMIZE__)
constexpr double seconds_max = address_sanitized ? 20.0 : 1.0;
#else
constexpr double seconds_max = 20.0;
#endif

std::uint64_t seed_of_this_run() {
  const char* text = std::getenv("OVIR_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20'240'229;
}

/// Processor time of this thread: the machine may be busy with other things.
double processor_seconds() {
  std::timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Everything a program does with a file it has been given. True when the model is usable.
bool read_all(std::span<const std::byte> bytes) {
  const auto file = gguf::parse(bytes);
  if (!file) {
    EXPECT_FALSE(file.error().message.empty());
    return false;
  }
  EXPECT_FALSE(inspect_table(*file).empty());
  auto weights = bind_model(*file);
  if (!weights) {
    EXPECT_FALSE(weights.error().message.empty());
    return false;
  }
  serial_runner runner;
  return check_weights(*weights, {0, weights->config.layers}, runner).has_value();
}

/// The same, within the memory and time a hostile file may cost.
bool read_within_bounds(std::span<const std::byte> bytes) {
  const std::size_t before = test::allocated_bytes();
  test::reset_allocation_peak();
  const double start = processor_seconds();
  const bool usable = read_all(bytes);
  const double took = processor_seconds() - start;
  EXPECT_LT(took, seconds_max);
  EXPECT_LE(test::allocation_peak() - before, extra_bytes_max);
  return usable;
}

compute::synth_spec small_spec(synth_quantization quantization, std::uint32_t width) {
  synth_spec spec;
  spec.layers = 1;
  spec.dim = width;
  spec.ffn_dim = width;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.vocabulary = synth_vocabulary_min + 4;
  spec.quantization = quantization;
  spec.tied = true;
  return spec;
}

TEST(hostile_gguf, every_truncation_is_refused) {
  for (const auto& whole : {test::minimal_llama().build(),
                            test::synthetic_model(small_spec(synth_quantization::q8_0, 32))}) {
    ASSERT_TRUE(read_within_bounds(whole));
    for (std::size_t size = 0; size < whole.size(); ++size) {
      // A copy of exactly this size, so that a sanitizer sees a read beyond it.
      const std::vector<std::byte> cut(whole.begin(),
                                       whole.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(read_within_bounds(cut)) << "cut to " << size << " bytes";
      ASSERT_FALSE(HasFailure()) << "cut to " << size << " bytes";
    }
  }
}

TEST(hostile_gguf, ten_thousand_flipped_bits_do_no_harm) {
  const std::uint64_t seed = seed_of_this_run();
  SCOPED_TRACE("OVIR_SEED=" + std::to_string(seed));
  std::mt19937_64 random{seed};
  std::vector<std::vector<std::byte>> bases{
      test::minimal_llama().build(),
      test::synthetic_model(small_spec(synth_quantization::q8_0, 32)),
      test::synthetic_model(small_spec(synth_quantization::q4_k_m, 256))};
  for (int i = 0; i < 10'000; ++i) {
    std::vector<std::byte>& bytes = bases[static_cast<std::size_t>(i) % bases.size()];
    // Half of them in the metadata, where a bit means most.
    const std::size_t metadata = static_cast<std::size_t>(gguf::parse(bytes)->data_offset());
    const std::size_t at = random() % (i % 2 == 0 ? metadata : bytes.size());
    const std::byte bit = std::byte{1} << static_cast<int>(random() % 8);
    bytes[at] ^= bit;
    read_within_bounds(bytes);
    bytes[at] ^= bit;
    ASSERT_FALSE(HasFailure()) << "bit of value " << static_cast<int>(bit) << " of byte " << at
                               << " of base " << i % 3;
  }
}

TEST(hostile_gguf, absurd_numbers_anywhere_in_the_metadata_do_no_harm) {
  const std::uint64_t numbers[] = {0,           1,           0x7FFFFFFF,  0x80000000,
                                   0xFFFFFFFF,  1ULL << 32U, 1ULL << 61U, 1ULL << 62U,
                                   1ULL << 63U, ~0ULL,       ~0ULL - 31};
  auto bytes = test::minimal_llama().build();
  const auto metadata = static_cast<std::size_t>(gguf::parse(bytes)->data_offset());
  for (std::size_t at = 4; at + 8 <= metadata; ++at) {
    for (const std::uint64_t number : numbers) {
      std::byte saved[8];
      std::memcpy(saved, &bytes[at], 8);
      std::memcpy(&bytes[at], &number, 8);
      read_within_bounds(bytes);
      std::memcpy(&bytes[at], saved, 8);
      ASSERT_FALSE(HasFailure()) << number << " at byte " << at;
    }
  }
}

TEST(hostile_gguf, as_many_entries_and_tensors_as_allowed_cost_little_memory) {
  test::gguf_builder b;
  // Long equal beginnings make sorting by name as slow as it gets.
  const std::string prefix(200, 'k');
  for (std::uint64_t i = 0; i < limits::metadata_entries_max; ++i) {
    b.texts(prefix + std::to_string(i), {"\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B\x1B"});
  }
  for (std::uint64_t i = 0; i < limits::tensors_max; ++i) {
    b.tensor(std::string(64, '\x01') + std::to_string(i), tensor_type::f32, {1});
  }
  read_within_bounds(b.build());
}

TEST(hostile_gguf, arrays_of_a_million_empty_strings_cost_no_memory) {
  test::gguf_builder b = test::minimal_llama();
  const std::string lengths(std::size_t{8} << 20U, '\0');
  b.raw_array("tokenizer.ggml.tokens", 8, 1U << 20U, lengths);
  b.raw_array("tokenizer.ggml.merges", 8, 1U << 20U, lengths);
  read_within_bounds(b.build());
}

TEST(hostile_gguf, a_wide_row_in_every_block_is_still_quick) {
  // Scales so large that the weights themselves must be added up in every row.
  auto spec = small_spec(synth_quantization::q6_k, 1024);
  auto bytes = test::synthetic_model(spec);
  const auto file = gguf::parse(bytes);
  for (const gguf_tensor& tensor : file->tensors()) {
    if (tensor.raw_type == static_cast<std::uint32_t>(tensor_type::q6_k)) {
      for (std::size_t at = 208; at < tensor.data.size(); at += 210) {
        const std::uint16_t scale = 0x27FF; // just below 2^-5
        std::memcpy(&bytes[tensor.offset + at], &scale, 2);
      }
    }
  }
  EXPECT_TRUE(read_within_bounds(bytes));
}

TEST(hostile_gguf, the_meter_sees_what_it_measures) {
  if (thread_sanitized) {
    GTEST_SKIP() << "nothing is counted under the thread sanitizer";
  }
  const std::size_t before = test::allocated_bytes();
  test::reset_allocation_peak();
  { const std::vector<char> large(extra_bytes_max); }
  EXPECT_GE(test::allocation_peak() - before, extra_bytes_max);
  EXPECT_LT(test::allocated_bytes() - before, extra_bytes_max);
}

} // namespace
} // namespace ovir::compute
