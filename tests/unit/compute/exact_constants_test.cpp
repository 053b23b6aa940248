#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file{std::filesystem::path{OVIR_SOURCE_DIR} / path};
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// Every hexadecimal floating constant of `text`, signed, without the suffix of binary32.
std::set<std::string> constants_of(const std::string& text) {
  static const std::regex constant{"-?0x1(\\.[0-9a-f]+)?p[+-][0-9]+"};
  return {std::sregex_token_iterator{text.begin(), text.end(), constant}, {}};
}

TEST(exact_constants, all_stand_on_the_page_of_the_profile) {
  const std::set<std::string> code = constants_of(text_of("compute/base/exact_constants.hpp"));
  const std::set<std::string> page = constants_of(text_of("docs/formats/exact-1.md"));
  EXPECT_GE(code.size(), 60U);
  for (const std::string& constant : code) {
    EXPECT_TRUE(page.contains(constant)) << constant << " is missing from docs/formats/exact-1.md";
  }
}

} // namespace
