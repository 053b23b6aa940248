#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What API keys have used of their limits, as a file keeps it (docs/formats/api-keys.md).
namespace ovir::gateway {

struct key_spend {
  std::string id;                 ///< of the key, 16 hexadecimal digits
  std::uint64_t day{0};           ///< since 1970, of UTC
  std::uint64_t spent{0};         ///< tokens, on that day
  std::uint64_t begun_millis{0};  ///< thousandths of requests that it may not begin at once
  std::uint64_t begun_seconds{0}; ///< Unix time of the latter

  friend bool operator==(const key_spend&, const key_spend&) = default;
};

struct spend_record {
  std::uint64_t closed_day{0}; ///< when keys with a quota were refused for the rest of the day
  std::vector<key_spend> keys; ///< sorted by id, each once

  friend bool operator==(const spend_record&, const spend_record&) = default;
};

[[nodiscard]] std::string text_of(const spend_record& record);
/// Accepts exactly what `text_of` writes; `over_limit` or `malformed`.
[[nodiscard]] result<spend_record> spend_from(std::string_view text);

} // namespace ovir::gateway
