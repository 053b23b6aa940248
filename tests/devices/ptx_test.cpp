// The kernels' text as PTX, by clang alone: every operation of binary32 rounds as exact-1 says, and
// nothing is left for an assembler to join, flush or estimate.
#include "compute/devices/device_kernels.hpp"
#include "compute/devices/kernel_source.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

namespace ovir::compute {

namespace {

std::string clang() {
  for (const char* name : {"clang-14", "clang"}) {
    const std::string asked = std::string{name} + " --print-targets 2>/dev/null | grep -q nvptx64";
    if (std::system(asked.c_str()) == 0) {
      return name;
    }
  }
  return {};
}

struct compiled {
  int code{0};
  std::string ptx;
};

compiled ptx_of(const std::string& compiler, const std::string& source, const std::string& more) {
  const test::temporary_folder folder;
  const std::string in = folder.path() / "kernels.cl";
  const std::string out = folder.path() / "kernels.ptx";
  std::ofstream{in} << source;
  const std::string command = compiler + " -x cl -cl-std=CL1.2 -target nvptx64-nvidia-cuda " +
                              "-march=sm_70 -O3 -cl-fp32-correctly-rounded-divide-sqrt " + more +
                              " -S " + in + " -o " + out;
  compiled result;
  result.code = std::system(command.c_str());
  std::ifstream file{out};
  std::stringstream text;
  text << file.rdbuf();
  result.ptx = text.str();
  return result;
}

/// The first line that may give other bits; empty: there is none.
std::string wrong_line(const std::string& ptx) {
  static const std::regex wrong{
      R"(\.(ftz|approx|full)\b|^\s+(add|sub|mul)\.f32|mad(\.\w+)?\.f32|rsqrt|ex2|\.extern)"};
  std::istringstream lines{ptx};
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_search(line, wrong)) {
      return line;
    }
  }
  return {};
}

} // namespace

TEST(device_ptx, has_no_operation_that_could_round_otherwise) {
  const std::string compiler = clang();
  if (compiler.empty()) {
    GTEST_SKIP() << "needs clang with the target nvptx64 (scripts/setup test)";
  }
  const compiled all = ptx_of(compiler, kernel_source(), "-ffp-contract=off");
  ASSERT_EQ(all.code, 0);
  EXPECT_EQ(wrong_line(all.ptx), "");
  for (const device_kernel_row& row : device_kernel_rows) {
    EXPECT_NE(all.ptx.find(".entry " + std::string{row.name} + "("), std::string::npos) << row.name;
  }
  for (const char* needed : {"fma.rn.f32", "div.rn.f32", "sqrt.rn.f32", "cvt.rn.f32.s64", "dp4a"}) {
    EXPECT_NE(all.ptx.find(needed), std::string::npos) << needed;
  }
}

TEST(device_ptx, check_finds_a_compiler_that_joins_sums_or_estimates) {
  const std::string compiler = clang();
  if (compiler.empty()) {
    GTEST_SKIP() << "needs clang with the target nvptx64 (scripts/setup test)";
  }
  // With this option clang ignores the pragma.
  EXPECT_NE(wrong_line(ptx_of(compiler, kernel_source(), "-ffp-contract=fast").ptx), "");
  const std::string fast = "-ffp-contract=off -cl-fast-relaxed-math";
  EXPECT_NE(wrong_line(ptx_of(compiler, kernel_source(), fast).ptx), "");
}

} // namespace ovir::compute
