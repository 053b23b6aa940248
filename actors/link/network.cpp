#include "actors/link/network.hpp"

#include "messages/limits/audit.hpp"
#include "messages/limits/blocks.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/fetch.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/nat.hpp"

namespace ovir::actors {

std::size_t message_bytes_max(channel c, message_kind kind) noexcept {
  switch (kind) {
  case message_kind::tensor: return c == channel::data ? limits::frame_bytes_max : 0;
  case message_kind::wire: return c == channel::control ? limits::wire_bytes_max : 0;
  case message_kind::gossip: return c == channel::control ? limits::gossip_bytes_max : 0;
  case message_kind::request:
  case message_kind::reply: return c == channel::admin ? limits::admin_bytes_max : 0;
  case message_kind::credit: return c == channel::control ? limits::credit_message_bytes_max : 0;
  case message_kind::keepers: return c == channel::control ? limits::keepers_word_bytes_max : 0;
  case message_kind::weights: return c == channel::bulk ? limits::fetch_frame_bytes_max : 0;
  case message_kind::nat: return c == channel::relay ? limits::nat_message_bytes_max : 0;
  case message_kind::audit: return c == channel::data ? limits::audit_message_bytes_max : 0;
  case message_kind::blocks:
    return c == channel::bulk      ? limits::block_frame_bytes_max
           : c == channel::control ? limits::block_claims_bytes_max
                                   : 0;
  }
  return 0;
}

std::size_t send_bytes_max(channel c) noexcept {
  switch (c) {
  case channel::control: return limits::control_send_bytes_max;
  case channel::data: return limits::data_send_bytes_max;
  case channel::admin: return limits::admin_send_bytes_max;
  case channel::bulk: return limits::bulk_send_bytes_max;
  case channel::relay: return limits::relay_send_bytes_max;
  }
  return 0;
}

std::size_t receive_bytes_max(channel c) noexcept {
  switch (c) {
  case channel::control: return limits::control_receive_bytes_max;
  case channel::data: return limits::data_receive_bytes_max;
  case channel::admin: return limits::admin_receive_bytes_max;
  case channel::bulk: return limits::bulk_receive_bytes_max;
  case channel::relay: return limits::relay_receive_bytes_max;
  }
  return 0;
}

} // namespace ovir::actors
