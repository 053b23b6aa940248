#pragma once

#include "messages/digest.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace ovir {

/// `hash(domain, bytes)` for many short messages in one domain: what the domain costs is paid once,
/// and nothing of 2 KiB is copied for each. One thread at a time.
class short_hasher {
public:
  /// `domain` as `hasher`'s.
  explicit short_hasher(std::string_view domain);
  [[nodiscard]] digest operator()(std::span<const std::byte> bytes);

private:
  alignas(8) std::array<std::byte, 1920> state_; // as `hasher`'s
};

} // namespace ovir
