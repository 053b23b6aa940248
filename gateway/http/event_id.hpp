#pragma once

#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// The `id:` of a streamed event: "00f3a1c2d4e5b697:12,3" is what a client has of that request once
/// it has read the event, 12 tokens of the first answer and 3 of the second. An answer's end counts
/// like one token more. It says everything that is needed to go on, so nobody has to remember what
/// was sent.
struct event_id {
  request_id request;
  std::vector<std::uint32_t> received; ///< by answer

  friend bool operator==(const event_id&, const event_id&) = default;
};

[[nodiscard]] std::string to_text(const event_id& id);
/// Inverse of `to_text`; anything else is `malformed`.
[[nodiscard]] result<event_id> event_id_from(std::string_view text);

/// 16 lower-case hexadecimal digits.
[[nodiscard]] std::string to_text(request_id id);
[[nodiscard]] result<request_id> request_id_from(std::string_view text);

} // namespace ovir::gateway
