#pragma once

#include "apps/download_url.hpp"
#include "apps/ovir/base/command.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace ovir::apps {

using sha256 = std::array<std::uint8_t, 32>;

/// 64 hexadecimal digits.
[[nodiscard]] std::optional<sha256> sha256_from(std::string_view text);
[[nodiscard]] std::string text_of(const sha256& digest);

/// A file to fetch.
struct download_order {
  download_url url;
  std::string target;             ///< where it goes; beside it, while it arrives, TARGET.part
  std::optional<sha256> expected; ///< refused where it is another
  /// What else must hold before it gets its name; looks at the bytes that arrived.
  std::function<result<void>(const std::string& path)> check;
};

struct downloaded {
  std::uint64_t bytes{0};
  std::uint64_t bytes_before{0}; ///< of these, what earlier runs had fetched
  sha256 digest{};
};

/// Fetches a file and gives it its name once it is whole, sound and on the disk. What a connection
/// that breaks off leaves is kept and continued, in this run or a later one, but only where the
/// server says by a validator (a strong ETag, or else the date) that its file is the same; a file
/// that changed is fetched anew. Follows redirections, but from https to https only.
///
/// `cancelled` when interrupted, `peer_lost` or `timed_out` after several tries in a row that
/// brought nothing: what came is kept. `digest_mismatch` where the digest is another, what `check`
/// says, and `malformed` where the server contradicts itself again and again: nothing is kept.
[[nodiscard]] result<downloaded> download(const download_order& order, surroundings& around);

} // namespace ovir::apps
