// docs/guide/security.md names a test for what it claims: each of them is there.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;

/// "suite.name" of every test that C++ below tests/ defines, without what parameters add.
std::set<std::string> tests_there_are() {
  static const std::regex form{R"(\bTEST(?:_F|_P)?\(\s*(\w+)\s*,\s*(\w+)\s*\))"};
  std::set<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator{source_file("tests")}) {
    if (entry.path().extension() != ".cpp") {
      continue;
    }
    const std::string text = read_file(entry.path());
    for (std::sregex_iterator at{text.begin(), text.end(), form}, end; at != end; ++at) {
      found.insert((*at)[1].str() + "." + (*at)[2].str());
    }
  }
  return found;
}

/// A line of a table that says who can or cannot do what.
struct claim {
  std::string text;
  bool denies{false};
  std::vector<std::string> tests;
};

/// Of tables whose first column says "can" or "cannot" and whose last names tests in backticks.
std::vector<claim> claims_of(const std::string& page) {
  static const std::regex test{R"(`(\w+\.\w+)`)"};
  std::vector<claim> found;
  std::istringstream lines{page};
  for (std::string line; std::getline(lines, line);) {
    const bool denies = line.starts_with("| cannot |");
    if (!denies && !line.starts_with("| can |")) {
      continue;
    }
    claim one{line, denies, {}};
    const std::size_t last = line.rfind('|', line.size() - 2);
    const std::string cell = line.substr(last == std::string::npos ? 0 : last);
    for (std::sregex_iterator at{cell.begin(), cell.end(), test}, end; at != end; ++at) {
      one.tests.push_back((*at)[1].str());
    }
    found.push_back(std::move(one));
  }
  return found;
}

/// What the page claims without a test, or with one that is not there.
std::vector<std::string> unshown(const std::string& page, const std::set<std::string>& there) {
  std::vector<std::string> found;
  for (const claim& one : claims_of(page)) {
    if (one.denies && one.tests.empty()) {
      found.push_back("no test: " + one.text);
    }
    for (const std::string& test : one.tests) {
      if (!there.contains(test)) {
        found.push_back("there is no test " + test);
      }
    }
  }
  return found;
}

TEST(security_page, names_a_test_that_is_there_for_everything_that_cannot_be_done) {
  const std::string page = read_file(source_file("docs/guide/security.md"));
  EXPECT_THAT(unshown(page, tests_there_are()), testing::IsEmpty());
  const auto claims = claims_of(page);
  EXPECT_GE(std::count_if(claims.begin(), claims.end(), [](const claim& c) { return c.denies; }),
            20);
  for (const char* const who : {"A stranger", "A member", "A scheduler", "A verifier", "A keeper",
                                "A client", "An operator"}) {
    EXPECT_THAT(page, testing::HasSubstr(std::string{"### "} + who + "\n"));
  }
}

TEST(security_page, is_not_believed_where_a_test_is_missing) {
  const std::set<std::string> there{"a.b"};
  EXPECT_THAT(unshown("| cannot | x | `a.b` |\n| can | y | |\n", there), testing::IsEmpty());
  EXPECT_THAT(unshown("| cannot | x | `a.c`, `a.b` |\n", there),
              testing::ElementsAre("there is no test a.c"));
  EXPECT_THAT(unshown("| cannot | says `a.b` | |\n", there), testing::SizeIs(1));
}

} // namespace
} // namespace ovir::test
