#include "apps/ovir/base/size_text.hpp"

#include <charconv>
#include <limits>
#include <system_error>

namespace ovir::apps {

result<std::uint64_t> bytes_from(std::string_view text) {
  constexpr std::string_view letters = "KMGT";
  std::uint64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data(), end, count);
  const std::size_t letter = end - rest == 1 ? letters.find(*rest) : std::string_view::npos;
  const unsigned shift =
      letter == std::string_view::npos ? 0 : 10 * (static_cast<unsigned>(letter) + 1);
  if (wrong != std::errc{} || (rest != end && shift == 0) ||
      count > std::numeric_limits<std::uint64_t>::max() >> shift) {
    return fail(errc::invalid_argument,
                "'{}' is no size; give bytes, or a number with K, M, G or T, such as 20G", text);
  }
  return count << shift;
}

} // namespace ovir::apps
