#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <functional>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 16> gateway_keys{
    "listen",      "ollama",      "tls_cert",  "tls_key",    "keys",    "hosts",
    "chat_format", "connections", "requests",  "body_mib",   "idle_ms", "header_ms",
    "body_ms",     "write_ms",    "resume_ms", "deadline_ms"};

inline constexpr std::array<std::string_view, 5> metrics_keys{"listen", "tls_cert", "tls_key",
                                                              "keys", "hosts"};

/// How the file's reader understands addresses and paths.
struct gateway_places {
  /// Of "listen" and "ollama"; empty when absent.
  std::function<result<std::string>(std::string_view key)> address;
  std::function<result<std::string>(std::string_view key)> file_path;
};

/// The table [gateway] of a node's configuration.
[[nodiscard]] result<supervision::gateway_option>
read_gateway(const config_reader& in, const toml::table& table, const gateway_places& places);

/// The table [metrics].
[[nodiscard]] result<supervision::metrics_option>
read_metrics(const config_reader& in, const toml::table& table, const gateway_places& places);

/// Whether only programs of this machine can connect to HOST:PORT.
[[nodiscard]] bool is_local_address(std::string_view address);

} // namespace ovir::apps
