// The gate finds a device that computes otherwise, whatever its driver says of itself.
#include "compute/devices/gate.hpp"
#include "tests/devices/device_under_test.hpp"

#include <gtest/gtest.h>

namespace ovir::compute {

namespace {

/// What the gate says of a program; "nothing" where it lets it pass.
std::string verdict_on(const device_program& what) {
  const auto opened = test::open_test_device(what);
  const auto checked = check_vectors(*opened);
  if (checked) {
    return "nothing";
  }
  EXPECT_EQ(checked.error().code, errc::self_test_failed);
  return checked.error().message;
}

std::string verdict_on_options(const std::string& more) {
  device_program what;
  what.options += more;
  return verdict_on(what);
}

} // namespace

TEST(device_gate, lets_the_programs_own_kernels_pass) {
  OVIR_NEEDS_DEVICE();
  const auto checked = check_vectors(test::test_device());
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST(device_gate, names_the_first_vector_that_a_wrong_constant_changes) {
  OVIR_NEEDS_DEVICE();
  const std::string said = verdict_on(test::changed_program("0x1.fffffcp-2f", "0x1.fffffep-2f"));
  EXPECT_NE(said.find("differs from the reference in silu, output "), std::string::npos) << said;
  EXPECT_NE(said.find("it is not used"), std::string::npos) << said;
}

TEST(device_gate, finds_one_wrong_bit_of_a_layout) {
  OVIR_NEEDS_DEVICE();
  const std::string said =
      verdict_on(test::changed_program("(high << 2 & 0x30303030u)", "(high << 2 & 0x30303020u)"));
  EXPECT_NE(said.find("the product with Q6_K"), std::string::npos) << said;
}

TEST(device_gate, finds_products_and_sums_that_the_compiler_joins) {
  OVIR_NEEDS_DEVICE();
  const std::string said = verdict_on(test::changed_program("#pragma OPENCL FP_CONTRACT OFF", ""));
  EXPECT_NE(said.find("a product and a sum, two roundings"), std::string::npos) << said;
}

TEST(device_gate, finds_fast_arithmetic) {
  OVIR_NEEDS_DEVICE();
  const std::string said = verdict_on_options(" -cl-fast-relaxed-math");
  EXPECT_NE(said.find("differs from the reference"), std::string::npos) << said;
}

TEST(device_gate, finds_subnormals_that_became_zeros) {
  OVIR_NEEDS_DEVICE();
  const std::string said = verdict_on_options(" -cl-denorms-are-zero");
  EXPECT_NE(said.find("subnormal"), std::string::npos) << said;
}

TEST(device_gate, finds_sums_rounded_by_way_of_binary64) {
  OVIR_NEEDS_DEVICE();
  const std::string said = verdict_on(test::changed_program("return float_of_long(s) * power;",
                                                            "return (float)(double)s * power;"));
  EXPECT_NE(said.find("rounding the sum 2^54 + 2^30 + 1"), std::string::npos) << said;
}

} // namespace ovir::compute
