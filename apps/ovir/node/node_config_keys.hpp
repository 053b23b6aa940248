#pragma once

#include "apps/ovir/node/node_config_cache.hpp"
#include "apps/ovir/node/node_config_gateway.hpp"
#include "apps/ovir/node/node_config_group.hpp"
#include "apps/ovir/node/node_config_lan.hpp"
#include "apps/ovir/node/node_config_ledger.hpp"
#include "apps/ovir/node/node_config_link.hpp"
#include "apps/ovir/node/node_config_log.hpp"
#include "apps/ovir/node/node_config_privacy.hpp"
#include "apps/ovir/node/node_config_probe.hpp"
#include "apps/ovir/node/node_config_reach.hpp"

#include <array>
#include <span>
#include <string_view>

namespace ovir::apps {

/// What a node's file may have: anything else is refused. config/all.toml says what each means.
inline constexpr std::array<std::string_view, 30> file_keys{
    "name",   "cluster", "roles",   "listen",     "advertise",  "admin_listen", "state",   "seeds",
    "admins", "access",  "model",   "join_token", "limits",     "fetch",        "audit",   "probe",
    "drain",  "log",     "chaos",   "gateway",    "cache",      "ledger",       "metrics", "lan",
    "link",   "reach",   "privacy", "group",      "membership", "attestations"};
inline constexpr std::array<std::string_view, 3> access_keys{"key", "roles", "operator"};
inline constexpr std::array<std::string_view, 3> model_keys{"path", "layers", "draft"};
inline constexpr std::array<std::string_view, 4> limits_keys{"memory_mib", "threads", "context",
                                                             "prefill_chunk"};
inline constexpr std::array<std::string_view, 4> audit_keys{"least_rate_ppm", "every_request",
                                                            "twice_tokens", "reveal"};
inline constexpr std::array<std::string_view, 5> fetch_keys{"window_mib", "mib_s", "serve_mib_s",
                                                            "orders", "spare_mib"};
inline constexpr std::array<std::string_view, 1> drain_keys{"wait_s"};
inline constexpr std::array<std::string_view, 1> chaos_keys{"enabled"};

/// A table and its keys.
struct table_keys {
  std::string_view table;
  std::span<const std::string_view> keys;
};
inline constexpr std::array<table_keys, 18> tables_of_file{{{"access", access_keys},
                                                            {"ledger", ledger_section_keys},
                                                            {"model", model_keys},
                                                            {"limits", limits_keys},
                                                            {"fetch", fetch_keys},
                                                            {"audit", audit_keys},
                                                            {"probe", probe_keys},
                                                            {"drain", drain_keys},
                                                            {"log", log_keys},
                                                            {"chaos", chaos_keys},
                                                            {"gateway", gateway_keys},
                                                            {"metrics", metrics_keys},
                                                            {"cache", cache_keys},
                                                            {"lan", lan_keys},
                                                            {"link", link_keys},
                                                            {"reach", reach_keys},
                                                            {"privacy", privacy_keys},
                                                            {"group", group_keys}}};

} // namespace ovir::apps
