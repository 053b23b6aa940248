#pragma once

#include "gateway/api/api_door.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/bounded_json.hpp"
#include "gateway/http/http_exchange.hpp"
#include "gateway/http/metrics.hpp"

namespace ovir::gateway {

/// A reply with status 200 whose body is `value`; text in it that is not UTF-8 is mended.
[[nodiscard]] http_reply document(const json& value);

/// What the endpoint counts, and its replies, each of which is counted.
struct reply_counter {
  api_counts counts;

  [[nodiscard]] http_reply counted(http_reply reply) {
    ++counts.replies[reply.status];
    return reply;
  }
  /// The reply that says what is wrong, as a door tells it; null: as OpenAI's API.
  [[nodiscard]] http_reply answer_of(const api_error& e, const api_door* door = nullptr);
};

} // namespace ovir::gateway
