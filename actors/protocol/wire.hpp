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

/// What a lead on one node and a stage on another say to each other: the messages of protocol.hpp
/// with addresses in place of handles, as Cap'n Proto (messages/wire/wire.capnp,
/// docs/formats/wire.md). Tensors travel on the data channel in frames; a frame's `target` is
/// `frame_target`.
namespace ovir::actors {

/// Where a stage's output goes.
struct next_hop {
  bool lead{false};   ///< to the lead's node
  node_id node;       ///< else to this node ...
  layer_range layers; ///< which computes these

  friend bool operator==(const next_hop&, const next_hop&) = default;
};

/// What a stage may take from its cache, and keep there: as in `open_session`.
struct wire_reuse {
  std::uint32_t windows{0};     ///< at most as many as there are names
  std::vector<digest> prefixes; ///< names of the windows known (`compute::window_name`)
  bool explain{false};          ///< the answer says how the lookup went

  friend bool operator==(const wire_reuse&, const wire_reuse&) = default;
};

struct wire_open {
  digest model;
  layer_range layers;
  std::uint32_t positions{0};                   ///< most the request will reach
  position keep{0};                             ///< a session that has gone further begins afresh
  stage_answers answers{stage_answers::logits}; ///< as in `open_session`
  bool signs{false};                            ///< likewise
  bool traces{false};                           ///< likewise
  next_hop next;
  node_id previous; ///< who will send frames: a node, or the lead's for the first stage
  std::optional<request_log> log;    ///< to the first stage
  std::optional<wire_reuse> reuse{}; ///< absent: the cache is not used

  friend bool operator==(const wire_open&, const wire_open&) = default;
};
struct wire_replay {
  position first{0};
  std::uint32_t count{0};
  std::uint32_t logit_rows{0};

  friend bool operator==(const wire_replay&, const wire_replay&) = default;
};
struct wire_resend {
  position at{0};

  friend bool operator==(const wire_resend&, const wire_resend&) = default;
};
struct wire_finish {
  position at{0}; ///< as in `finish_session`

  friend bool operator==(wire_finish, wire_finish) = default;
};
struct wire_close {
  friend bool operator==(wire_close, wire_close) = default;
};
/// Names of windows from `first` on, as in `name_windows`.
struct wire_names {
  std::uint32_t first{0};
  std::vector<digest> prefixes; ///< at least one

  friend bool operator==(const wire_names&, const wire_names&) = default;
};
/// To the first stage's node: appended to its copy of the log. `index` counts drawn tokens from 0.
struct wire_drawn {
  std::uint32_t index{0};
  drawn_token drawn;

  friend bool operator==(const wire_drawn&, const wire_drawn&) = default;
};

struct wire_opened {
  position length{0};
  std::vector<compute::unit_leaf> leaves; ///< all completed so far
  position replays_from{0};               ///< as in `session_opened`
  units_reused reused{};
  std::optional<reuse_told> told{}; ///< where the open asked for it

  friend bool operator==(const wire_opened&, const wire_opened&) = default;
};
struct wire_step {
  position length{0};
  std::uint64_t units{0};
  std::vector<compute::unit_leaf> leaves;
  std::uint32_t compute_us{0}; ///< of a request that is traced

  friend bool operator==(const wire_step&, const wire_step&) = default;
};
struct wire_finished {
  position length{0};
  std::uint64_t units{0};
  std::uint64_t kv_bytes{0};
  std::vector<compute::unit_leaf> leaves;

  friend bool operator==(const wire_finished&, const wire_finished&) = default;
};
struct wire_failed {
  error reason;

  friend bool operator==(const wire_failed&, const wire_failed&) = default;
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

/// To a stage: sign what is computed of the request, which is of the message's.
struct wire_sign {
  evidence_order order;

  friend bool operator==(const wire_sign&, const wire_sign&) = default;
};

/// To a worker: fetch these layers from others and hold them; the message's request waits for them.
struct wire_load {
  digest model;
  layer_range layers; ///< from the message's stage on

  friend bool operator==(const wire_load&, const wire_load&) = default;
};
/// To who ordered that: it will not hold them.
struct wire_load_failed {
  digest model;
  error reason;

  friend bool operator==(const wire_load_failed&, const wire_load_failed&) = default;
};

using wire_body =
    std::variant<wire_open, wire_replay, wire_resend, wire_finish, wire_close, wire_drawn,
                 wire_opened, wire_step, wire_finished, wire_failed, wire_adopt, wire_adopted,
                 wire_sign, wire_names, wire_load, wire_load_failed>;

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
