// What a device is asked for before anything runs on it, and built programs that are kept.
#include "compute/devices/gate.hpp"
#include "compute/devices/program_file.hpp"
#include "tests/devices/device_under_test.hpp"

#include <gtest/gtest.h>

namespace ovir::compute {

namespace {

device_facts good_facts() {
  return {.platform = "p",
          .name = "n",
          .driver = "1.0",
          .memory_bytes = 1U << 30U,
          .allocation_bytes_max = 1U << 28U,
          .local_bytes = 48U << 10U,
          .group_items_max = 1024,
          .fused = true,
          .subnormals = true,
          .rounded_division = true,
          .nearest = true,
          .infinities = true,
          .little_endian = true,
          .compiler = true};
}

std::vector<std::byte> some_bytes(std::size_t n) {
  std::vector<std::byte> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = static_cast<std::byte>(i * 31 + 7);
  }
  return out;
}

const digest some_key = hash("ovir/test", {});

} // namespace

TEST(device_demands, are_refused_by_name) {
  EXPECT_TRUE(check_demands(good_facts()));
  struct lack {
    bool device_facts::*member;
    const char* named;
  };
  for (const lack& l :
       {lack{&device_facts::fused, "fused multiply-add"},
        lack{&device_facts::subnormals, "subnormal"},
        lack{&device_facts::rounded_division, "division"},
        lack{&device_facts::nearest, "nearest even"}, lack{&device_facts::infinities, "infinities"},
        lack{&device_facts::little_endian, "little-endian"},
        lack{&device_facts::compiler, "compiler"}}) {
    device_facts facts = good_facts();
    facts.*l.member = false;
    const auto checked = check_demands(facts);
    ASSERT_FALSE(checked) << l.named;
    EXPECT_EQ(checked.error().code, errc::unsupported);
    EXPECT_NE(checked.error().message.find(l.named), std::string::npos) << checked.error().message;
  }
  device_facts small = good_facts();
  small.local_bytes = 1024;
  EXPECT_FALSE(check_demands(small));
  small = good_facts();
  small.group_items_max = 128;
  EXPECT_FALSE(check_demands(small));
}

TEST(device_program_file, comes_back_under_its_key_alone) {
  const auto program = some_bytes(1000);
  const auto file = encode_program(some_key, program);
  const auto back = decode_program(some_key, file);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(std::equal(back->begin(), back->end(), program.begin(), program.end()));
  EXPECT_EQ(decode_program(hash("ovir/other", {}), file).error().code, errc::digest_mismatch);
}

TEST(device_program_file, is_refused_with_any_bit_flipped_and_at_any_length) {
  const auto file = encode_program(some_key, some_bytes(40));
  for (std::size_t i = 0; i < file.size() * 8; ++i) {
    auto bad = file;
    bad[i / 8] ^= static_cast<std::byte>(1U << (i % 8));
    EXPECT_FALSE(decode_program(some_key, bad)) << "bit " << i;
  }
  for (std::size_t n = 0; n < file.size(); ++n) {
    EXPECT_FALSE(decode_program(some_key, std::span{file}.first(n))) << n << " bytes";
  }
  auto longer = file;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_program(some_key, longer));
}

TEST(device_program_file, has_the_bytes_of_its_page) {
  const auto file = encode_program(some_key, some_bytes(3));
  EXPECT_EQ(file.size(), 4U + 2 + 2 + 8 + 32 + 3 + 32);
  EXPECT_EQ(to_hex(hash("ovir/test", file)),
            "e976bd163a2edac7bc6e79e5d426f877653547ff819cdd7b2accf87783a221e0");
}

TEST(device_program_key, depends_on_driver_options_and_source) {
  const device_facts facts = good_facts();
  const digest source = source_digest("a");
  const digest key = program_key(facts, "-x", source);
  device_facts newer = facts;
  newer.driver = "1.1";
  EXPECT_NE(program_key(newer, "-x", source), key);
  EXPECT_NE(program_key(facts, "-y", source), key);
  EXPECT_NE(program_key(facts, "-x", source_digest("b")), key);
}

TEST(device_programs, are_built_once_and_anew_where_the_file_is_damaged) {
  OVIR_NEEDS_DEVICE();
  test::memory_programs store;
  (void)test::open_test_device({}, &store);
  ASSERT_EQ(store.files.size(), 1U);
  EXPECT_EQ(store.found, 0);
  const auto whole = store.files.begin()->second;
  {
    const auto again = test::open_test_device({}, &store);
    EXPECT_EQ(store.found, 1);
    EXPECT_TRUE(check_vectors(*again));
  }
  // A file that is damaged in its middle is written anew.
  auto& kept = store.files.begin()->second;
  kept[kept.size() / 2] ^= std::byte{0x10};
  const auto third = test::open_test_device({}, &store);
  EXPECT_TRUE(check_vectors(*third));
  const digest key =
      program_key(third->facts(), device_build_options, source_digest(kernel_source()));
  EXPECT_TRUE(decode_program(key, store.files.begin()->second));
  // A whole file with a program that is none: the driver refuses it, and it is built from source.
  store.files.begin()->second = encode_program(key, some_bytes(5000));
  const auto fourth = test::open_test_device({}, &store);
  EXPECT_TRUE(check_vectors(*fourth));
}

TEST(device_programs, that_do_not_build_are_told_with_the_compilers_words) {
  OVIR_NEEDS_DEVICE();
  std::string said;
  try {
    (void)test::open_test_device(
        test::changed_program("exact_silu(float x)", "exact_silu(flot x)"));
  } catch (const std::runtime_error& e) {
    said = e.what();
  }
  EXPECT_NE(said.find("does not build OVIR's kernels"), std::string::npos) << said;
  EXPECT_NE(said.find("flot"), std::string::npos) << said;
}

} // namespace ovir::compute
