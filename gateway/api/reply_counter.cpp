#include "gateway/api/reply_counter.hpp"

#include <string>
#include <utility>

namespace ovir::gateway {

http_reply document(const json& value) {
  http_reply reply;
  reply.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return reply;
}

http_reply reply_counter::answer_of(const api_error& e, const api_door* door) {
  http_reply reply;
  reply.status = e.status;
  reply.body = door == nullptr ? body_of(e) : door->error_body(e);
  if (e.retry_after) {
    reply.fields.emplace_back("Retry-After", std::to_string(e.retry_after->count()));
  }
  if (e.status == 401) {
    reply.fields.emplace_back("WWW-Authenticate", "Bearer");
  }
  return counted(std::move(reply));
}

} // namespace ovir::gateway
