#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

/// What a lead on one node and a stage on another say to each other: the orders and news of
/// protocol.hpp, and what needs addresses in place of handles, as Cap'n Proto
/// (messages/wire/wire.capnp, docs/formats/wire.md). Tensors travel on the data channel in frames;
/// a frame's `target` is `frame_target`.
namespace ovir::actors {

/// Where a stage's output goes.
struct next_hop {
  bool lead{false};   ///< to the lead's node
  node_id node;       ///< else to this node ...
  layer_range layers; ///< which computes these

  friend bool operator==(const next_hop&, const next_hop&) = default;
};

struct wire_open : session_order {
  digest model;
  layer_range layers;
  next_hop next;
  node_id previous; ///< who will send frames: a node, or the lead's for the first stage

  friend bool operator==(const wire_open&, const wire_open&) = default;
};

/// To a scheduler: drive this request on, its lead's node is gone.
struct wire_adopt {
  request_log log;

  friend bool operator==(const wire_adopt&, const wire_adopt&) = default;
};
/// To the node that asked for adoption: this scheduler drives it now.
struct wire_adopted {
  friend bool operator==(wire_adopted, wire_adopted) = default;
};

/// To a worker: fetch these layers from others and hold them; the message's request, if there is
/// one, waits for them.
struct wire_load {
  digest model;
  layer_range layers; ///< from the message's stage on
  bool spare{false};  ///< for its disk alone: others may need them

  friend bool operator==(const wire_load&, const wire_load&) = default;
};
/// To a worker whose layers the cluster places: hold these no longer.
struct wire_unload {
  digest model;
  layer_range layers; ///< from the message's stage on

  friend bool operator==(const wire_unload&, const wire_unload&) = default;
};
/// To the other schedulers: requests here want this model.
struct wire_asked {
  digest model;

  friend bool operator==(const wire_asked&, const wire_asked&) = default;
};
/// To who ordered layers to be fetched or dropped: it is not done.
struct wire_load_failed {
  digest model;
  error reason;

  friend bool operator==(const wire_load_failed&, const wire_load_failed&) = default;
};

template <class... Orders, class... News>
std::variant<wire_open, Orders..., News..., wire_adopt, wire_adopted, wire_load, wire_unload,
             wire_asked, wire_load_failed>
    one_of_them(message_list<Orders...>, message_list<News...>);
using wire_body = decltype(one_of_them(stage_orders{}, stage_news{}));

struct wire_message {
  request_id request;
  epoch driver;
  layer_index stage{0}; ///< its first layer: a name that stays when the path around it changes
  wire_body body;

  friend bool operator==(const wire_message&, const wire_message&) = default;
};

/// `target` of a frame for the lead; for a stage it is the stage's first layer.
inline constexpr std::uint32_t frame_to_lead = 0xffff'ffffU;

/// No encoding of `message` has more bytes than this.
[[nodiscard]] std::size_t wire_bytes(const wire_message& message);

/// Why `message` cannot be sent, or success: the same rules as `decode_wire`, docs/formats/wire.md
/// lists them. A log too long for one message is `over_limit`.
[[nodiscard]] result<void> check(const wire_message& message);

/// Starts at a multiple of 8. Precondition: `check(message)` succeeds. Error texts longer than
/// limits::error_text_bytes_max are cut.
[[nodiscard]] std::vector<std::byte> encode_wire(const wire_message& message);

/// Checks counts and lengths against the bytes present and messages/limits/general.hpp before it
/// allocates. A message has exactly one encoding, others are refused. `malformed`, `unsupported`
/// (another version, or a kind or error code this one does not know) or `over_limit`. Error texts
/// that came from the peer are cut to limits::error_text_bytes_max and printable. Precondition:
/// `bytes` starts at a multiple of 8, as `received_bytes` do.
[[nodiscard]] result<wire_message> decode_wire(std::span<const std::byte> bytes);

} // namespace ovir::actors
