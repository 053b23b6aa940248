#pragma once

#include "actors/link/link_transport.hpp"
#include "ledger/rules/policy.hpp"
#include "ledger/rules/rewards.hpp"
#include "messages/digest.hpp"
#include "messages/evidence/attestation.hpp"
#include "messages/ids.hpp"
#include "messages/limits/fetch.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/parts.hpp"
#include "messages/node_id.hpp"
#include "messages/request/request.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ovir::supervision {

/// A model this node knows and the part of it that it holds ready.
struct model_option {
  std::string path;                  ///< as the configuration names it
  std::optional<layer_range> layers; ///< absent: every layer that fits the memory
  /// Named by content: fetched from other members where it is not here already.
  std::optional<digest> content{};
  /// Role scheduler: a file with a small model of the same vocabulary, which guesses for requests.
  std::string draft{};
};

/// Someone who may connect: a node or an admin shell.
struct access_option {
  node_id key;
  role_set roles;
  std::string operated_by{}; ///< empty: the key is its own operator
};

/// The HTTP endpoint of a scheduler.
struct gateway_option {
  std::string listen; ///< HOST:PORT
  std::string ollama; ///< HOST:PORT where Ollama's clients look; empty: none beside `listen`
  std::string tls_certificate; ///< PEM file; empty: plain HTTP
  std::string tls_key;         ///< PEM file
  std::string keys;            ///< file of API keys; empty: everybody may ask
  /// Without keys: names that clients call it by, beside its addresses and "localhost".
  std::vector<std::string> hosts;
  std::string chat_format{"auto"};
  std::size_t connections_max{limits::http_connections_max};
  std::size_t requests_max{limits::api_requests_max}; ///< under way at once
  std::size_t body_bytes_max{limits::http_body_bytes_max};
  std::chrono::milliseconds idle_wait{limits::http_idle_wait};
  std::chrono::milliseconds header_wait{limits::http_header_wait};
  std::chrono::milliseconds body_wait{limits::http_body_wait};
  std::chrono::milliseconds write_wait{limits::http_write_wait};
  std::chrono::milliseconds resume_wait{limits::api_resume_wait}; ///< for a client that went
  /// Of a request whose client gives none, at most limits::api_deadline_max, which is none.
  std::chrono::milliseconds deadline{limits::api_deadline_max};

  friend bool operator==(const gateway_option&, const gateway_option&) = default;
};

/// Where any node tells Prometheus what it counts.
struct metrics_option {
  std::string listen;             ///< HOST:PORT
  std::string tls_certificate;    ///< PEM file; empty: plain HTTP
  std::string tls_key;            ///< PEM file
  std::string keys;               ///< file of API keys; empty: everybody may read
  std::vector<std::string> hosts; ///< likewise

  friend bool operator==(const metrics_option&, const metrics_option&) = default;
};

/// What a node keeps for reuse, beside inputs of windows for audits and what `memory_bytes` of
/// `node_options` is for.
struct cache_option {
  bool enabled{true};
  std::string folder; ///< empty: `store` in the state folder
  std::uint64_t memory_bytes{std::uint64_t{256} << 20U};
  std::uint64_t disk_bytes{std::uint64_t{4} << 30U}; ///< of prefixes; 0: memory alone
  bool share{false}; ///< what requests leave may be used by everybody, unless they say otherwise
  bool peers{true};  ///< fetch from other nodes, and serve them
  /// Whose content makes owners' salts; the same on schedulers that are to share what they keep.
  std::string owner_key_file; ///< empty: the node's own key

  friend bool operator==(const cache_option&, const cache_option&) = default;
};

/// How a node hands its work over to others.
struct link_option {
  bool shared_memory{true}; ///< to processes of the same user beside it
  /// How long a thread that waits for the next message looks for it before it sleeps.
  std::chrono::microseconds busy_read{0};

  friend bool operator==(const link_option&, const link_option&) = default;
};

/// What a node has to do with the ledger of its cluster.
struct ledger_option {
  std::string folder;                  ///< where a keeper has it; empty: in `state`
  std::string policy;                  ///< file with the rules of a new one
  std::optional<ledger::policy> rules; ///< of that file
  std::vector<node_id> mint_keys;      ///< of a new one; empty: the keeper's own
  std::vector<node_id> keepers;        ///< of the one it uses, or some of them; empty: none
  bool serves_unpaid{false};           ///< requests, while the keeper is away
  bool follow{true};                   ///< keeps a copy of the keeper's log, and checks it
  /// Requests of shells run only when their own accounts pay.
  bool clients_pay{false};
  std::uint32_t ask_ppm{1'000'000}; ///< what this node asks, of a model's rate
  /// Who asks for more is not planned.
  std::uint32_t ask_max_ppm{limits::ledger_ask_ppm_usual_max};
  ledger::reward_rule rewards{ledger::reward_rule::work};
  /// Micro-credits that this node puts at stake, once its account has them. None: it locks nothing.
  std::optional<std::uint64_t> stake;
};

/// Which groups of nodes that hold a segment together it leads and joins (actors/group). It joins
/// those of its operator's nodes, and leads none unless it is told to.
struct group_option {
  std::vector<node_id> lead; ///< all of these that hold the same layers
  bool chooses{false};       ///< of its operator's nodes, those with which a group is faster
  std::vector<node_id> join; ///< whose groups it joins, beside those of its operator's nodes
  std::chrono::milliseconds patience{limits::group_patience}; ///< of a leader, for a message

  friend bool operator==(const group_option&, const group_option&) = default;
};

/// How a node reaches others behind routers, and is reached (actors/nat).
struct reach_option {
  bool enabled{true};
  bool maps_ports{true}; ///< asks the router by NAT-PMP or UPnP

  friend bool operator==(const reach_option&, const reach_option&) = default;
};

/// Which nodes see requests of this scheduler (messages/request/privacy.hpp).
struct privacy_option {
  privacy_mode requests{privacy_mode::none}; ///< of every request
  std::vector<node_id> nodes;                ///< beside this one, for the ends
  std::uint32_t first_layers{limits::ends_first_usual};
  std::uint32_t last_layers{limits::ends_last_usual};

  friend bool operator==(const privacy_option&, const privacy_option&) = default;
};

/// What a node is, as its configuration file says (config/worker.toml explains every key).
struct node_options {
  std::string name;    ///< for people
  std::string cluster; ///< nodes of other clusters are refused
  role_set roles;
  std::string listen;       ///< HOST:PORT
  std::string advertise;    ///< HOST:PORT others use; empty: what it listens on
  std::string admin_listen; ///< HOST:PORT for admin shells
  std::string state;        ///< folder for key, request logs, memberships
  std::vector<std::string> seeds;
  std::vector<access_option> access;
  std::vector<node_id> admins; ///< keys whose join tokens count
  bool open{false};            ///< keys without leave are let in as strangers
  std::string join_token;      ///< presented to the seeds; empty: the key must be known there
  std::vector<attestation> attestations; ///< of this node, which it shows to all
  bool announce{false}; ///< to the local network, unless it listens on loopback alone
  actors::link_transport transport{actors::link_transport::automatic}; ///< of links between members
  reach_option reach;
  std::vector<model_option> models;
  std::uint64_t memory_bytes{0}; ///< limit for weights, KV and buffers; 0: 80 % of the machine's
  std::uint32_t threads{0};      ///< 0: all processors
  std::uint32_t context_max{0};  ///< positions promised per request; 0: the model's
  std::uint32_t prefill_chunk{64};
  std::chrono::milliseconds probe_interval{100};
  std::chrono::milliseconds probe_timeout{250};
  std::chrono::milliseconds suspect_timeout{600};
  std::chrono::milliseconds drain_wait{30'000}; ///< SIGTERM: for running requests
  std::uint64_t fetch_window_bytes{limits::fetch_window_bytes_max}; ///< asked for, not yet here
  std::uint64_t fetch_bytes_per_second{0};                          ///< of all it fetches; 0: any
  std::uint64_t serve_bytes_per_second{0}; ///< of weights to others, in all; 0: any
  bool fetch_orders{true}; ///< schedulers may order layers to be fetched that nobody holds
  std::uint64_t spare_bytes{std::uint64_t{32} << 30U}; ///< of the disk, for layers it does not hold
  /// Role verifier: of units, how many at least. None: what the ledger's rules want, without one
  /// limits::free_audit_rate_ppm.
  std::optional<std::uint32_t> audit_least_rate_ppm;
  [[nodiscard]] std::uint64_t least_audit_rate() const noexcept {
    return audit_least_rate_ppm.value_or(limits::free_audit_rate_ppm);
  }
  std::uint32_t audit_twice_tokens{0}; ///< role scheduler; 0: nothing is computed twice
  bool audit_every_request{true};      ///< role scheduler: also without a receipt asked for
  reveal_when audit_reveal{reveal_when::at_once}; ///< role scheduler: of every request
  privacy_option privacy;                         ///< role scheduler
  std::optional<gateway_option> gateway;          ///< absent: no HTTP
  std::optional<metrics_option> metrics;          ///< absent: none but a gateway's
  cache_option cache;
  link_option link;
  group_option group;
  ledger_option ledger;
  bool chaos{false}; ///< admin `chaos` commands are obeyed
  std::string log_level{"info"};
  std::string log_format{"text"};          ///< or "json"
  std::string log_file;                    ///< empty: standard error
  std::uint64_t log_bytes_max{16U << 20U}; ///< then it rotates
  std::uint32_t log_files_max{4};
};

/// Whether placers decide what the node holds: it is a worker that takes orders, and no [[model]]
/// of its configuration names layers.
[[nodiscard]] inline bool is_placed(const node_options& options) {
  return options.roles.has(role::worker) && options.fetch_orders &&
         std::none_of(options.models.begin(), options.models.end(),
                      [](const model_option& model) { return model.layers.has_value(); });
}

} // namespace ovir::supervision
