#pragma once

#include "actors/path/request_pace.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/request/path.hpp"

#include <caf/allowed_unsafe_message_type.hpp>

#include <cstdint>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Who computes the tokens of a request from index `from` on, until there are news.
struct path_taken {
  request_id request;
  std::uint32_t from{0};
  layer_places path;
};

/// How it goes now.
struct pace_told {
  request_id request;
  request_pace pace;
};

} // namespace ovir::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::pace_told)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ovir::actors::path_taken)
