#pragma once

#include "messages/digest.hpp"
#include "messages/evidence/attestation.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ovir::actors {

/// A segment a node holds ready: any range of layers within it can be a stage there.
struct held_segment {
  digest model;
  layer_range layers;
  std::uint32_t model_layers{0}; ///< of the whole model

  friend bool operator==(const held_segment&, const held_segment&) = default;
};

/// A measured round trip to another node.
struct measured_rtt {
  node_id node;
  std::uint32_t microseconds{0};

  friend bool operator==(const measured_rtt&, const measured_rtt&) = default;
};

/// What a node says of itself to the others: enough to plan with. Bounds: limits::advert_*.
struct node_advert {
  std::string name;          ///< for people; the key is what counts
  std::string address;       ///< HOST:PORT of its listener
  std::string admin_address; ///< HOST:PORT where it takes admin shells
  role_set roles;
  bool draining{false}; ///< finishes what it has and takes nothing new
  bool placed{false};   ///< holds what placers order (`placer_core`), not what its owner named
  std::vector<held_segment> held;
  std::vector<held_segment> spares;          ///< on its disk for others to fetch, not held ready
  std::uint64_t spare_free{0};               ///< bytes of its disk for more of them
  std::uint64_t memory_bytes{0};             ///< it may use, weights included
  std::uint64_t memory_free{0};              ///< of these, for KV and buffers of new requests
  std::uint64_t decode_bytes_per_second{0};  ///< weight bytes; 0: not measured
  std::uint64_t prefill_bytes_per_second{0}; ///< weight bytes times positions; 0: not measured
  std::uint32_t sessions{0};                 ///< requests it computes for
  std::uint32_t ask_ppm{1'000'000};          ///< what it asks, of a model's rate (LEDGER.md, 1)
  std::vector<measured_rtt> rtts;
  /// What attestors say of it: at most limits::attestations_per_node_max, all of them about it.
  std::vector<attestation> attested{};

  friend bool operator==(const node_advert&, const node_advert&) = default;
};

} // namespace ovir::actors
