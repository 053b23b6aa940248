#pragma once

#include "tests/tidy/source_text.hpp"

#include <vector>

/// What the code of a folder may not call, and words that may not stand anywhere.
namespace ovir::tidy {

/// Calls and types that break a promise of the folder the file is in: clocks, threads and global
/// randomness in the cores, libm's transcendental functions and estimates on the exact path,
/// captures of everything and sleeping in actors, sleeps and fixed ports in tests, and so on.
[[nodiscard]] std::vector<finding> check_banned_calls(const source& file);

/// Notes to finish later, paths of one machine and names of package registries, in any text file.
[[nodiscard]] std::vector<finding> check_words(const source& file);

/// Words that make a reader of a page guess who is meant, outside code.
[[nodiscard]] std::vector<finding> check_plain_english(const source& page);

} // namespace ovir::tidy
