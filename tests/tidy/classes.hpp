#pragma once

#include "tests/tidy/source_text.hpp"

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// How big a class may be, where it is defined, and which test is its own.
namespace ovir::tidy {

inline constexpr std::size_t members_max = 25;
inline constexpr std::size_t member_exceptions_max = 5;

/// A class or struct with a body.
struct class_extent {
  std::string name;
  std::size_t line{0};
  std::size_t members{0}; ///< data members that are not static, those of nested classes left out
};

/// Classes of code formatted by our .clang-format, nested ones too. A member is a declaration at
/// the class's own level without a parenthesis before its initializer.
[[nodiscard]] std::vector<class_extent> classes_of(std::string_view text);

/// Types with more than `members_max` members; `exceptions`: type to reason. Also exceptions that
/// are too many, or of a type that needs none in `files`.
[[nodiscard]] std::vector<finding>
check_members(const std::vector<source>& files,
              const std::map<std::string, std::string, std::less<>>& exceptions);

/// Classes of `folders` whose functions are defined in more than one source file of a folder.
[[nodiscard]] std::vector<finding> check_one_source(const std::vector<source>& files,
                                                    const std::vector<std::string>& folders);

/// Headers x_core.hpp for which no x_core_test.cpp stands anywhere under tests/.
[[nodiscard]] std::vector<finding> check_core_tests(const std::vector<source>& files);

} // namespace ovir::tidy
