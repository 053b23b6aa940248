#include "apps/ovir/node/node_config_gateway.hpp"

#include "gateway/api/chat_format.hpp"
#include "gateway/http/host_check.hpp"
#include "messages/limits/access.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/general.hpp"

namespace ovir::apps {

namespace {

constexpr std::uint64_t wait_least = 100; // milliseconds

const toml::source_region& place_of(const toml::table& table, std::string_view key) {
  const toml::node* const node = table.get(key);
  return node != nullptr ? node->source() : table.source();
}

/// Where an endpoint listens, and who may ask there.
template <class Option>
result<void> read_endpoint(const config_reader& in, const toml::table& table,
                           const gateway_places& places, Option& out) {
  OVIR_ASSIGN(out.listen, places.address("listen"));
  if (out.listen.empty()) {
    return in.refuse(table.source(), "the key 'listen' is missing");
  }
  OVIR_ASSIGN(out.tls_certificate, places.file_path("tls_cert"));
  OVIR_ASSIGN(out.tls_key, places.file_path("tls_key"));
  if (out.tls_certificate.empty() != out.tls_key.empty()) {
    return in.refuse(table.source(), "'tls_cert' and 'tls_key' belong together; set both");
  }
  OVIR_ASSIGN(out.keys, places.file_path("keys"));
  if (out.keys.empty() && !is_local_address(out.listen)) {
    return in.refuse(place_of(table, "listen"),
                     "'listen' is an address that other machines reach, and without 'keys' "
                     "everybody may ask; set 'keys', or listen on 127.0.0.1");
  }
  OVIR_ASSIGN(const toml::array* const names, in.array(table, "hosts", limits::http_hosts_max));
  for (std::size_t i = 0; names != nullptr && i < names->size(); ++i) {
    OVIR_ASSIGN(std::string name,
                in.text_of(*names->get(i), "hosts", {"name", limits::http_host_bytes_max}));
    if (gateway::host_of(name) != name) {
      return in.refuse(names->get(i)->source(), "'hosts' has '{}', which is no name without a port",
                       name);
    }
    out.hosts.push_back(std::move(name));
  }
  return {};
}

result<void> read_waits(const config_reader& in, const toml::table& table,
                        supervision::gateway_option& out) {
  constexpr auto most = static_cast<std::uint64_t>(limits::http_wait_bound.count());
  struct wait {
    std::string_view key;
    std::chrono::milliseconds& value;
    std::uint64_t least;
  };
  for (const wait& w :
       {wait{"idle_ms", out.idle_wait, wait_least}, wait{"header_ms", out.header_wait, wait_least},
        wait{"body_ms", out.body_wait, wait_least}, wait{"write_ms", out.write_wait, wait_least},
        wait{"resume_ms", out.resume_wait, 0}}) {
    OVIR_ASSIGN(const std::uint64_t ms, in.whole(table, w.key, {w.least, most},
                                                 static_cast<std::uint64_t>(w.value.count())));
    w.value = std::chrono::milliseconds{ms};
  }
  constexpr auto deadline_most = static_cast<std::uint64_t>(limits::api_deadline_max.count());
  OVIR_ASSIGN(const std::uint64_t deadline,
              in.whole(table, "deadline_ms", {1, deadline_most}, deadline_most));
  out.deadline = std::chrono::milliseconds{deadline};
  return {};
}

} // namespace

bool is_local_address(std::string_view address) {
  const auto host = gateway::host_of(address);
  return host && gateway::is_this_machine(*host);
}

result<supervision::gateway_option> read_gateway(const config_reader& in, const toml::table& table,
                                                 const gateway_places& places) {
  OVIR_TRY(in.known_keys(table, "[gateway]", gateway_keys));
  supervision::gateway_option out;
  OVIR_TRY(read_endpoint(in, table, places, out));
  OVIR_ASSIGN(out.ollama, places.address("ollama"));
  if (out.keys.empty() && !out.ollama.empty() && !is_local_address(out.ollama)) {
    return in.refuse(place_of(table, "ollama"),
                     "'ollama' is an address that other machines reach, and without 'keys' "
                     "everybody may ask; set 'keys', or listen on 127.0.0.1");
  }
  OVIR_ASSIGN(out.chat_format, in.text(table, "chat_format", {"word", limits::node_name_bytes_max},
                                       out.chat_format));
  if (!gateway::is_chat_format(out.chat_format)) {
    return in.refuse(place_of(table, "chat_format"), "'chat_format' is none of {}",
                     gateway::chat_format_names());
  }
  OVIR_ASSIGN(
      out.connections_max,
      in.whole(table, "connections", {1, limits::http_connections_bound}, out.connections_max));
  OVIR_ASSIGN(out.requests_max,
              in.whole(table, "requests", {1, limits::api_requests_bound}, out.requests_max));
  OVIR_ASSIGN(const std::uint64_t mib, in.whole(table, "body_mib", {1, limits::http_body_mib_bound},
                                                out.body_bytes_max >> 20U));
  out.body_bytes_max = mib << 20U;
  OVIR_TRY(read_waits(in, table, out));
  return out;
}

result<supervision::metrics_option> read_metrics(const config_reader& in, const toml::table& table,
                                                 const gateway_places& places) {
  OVIR_TRY(in.known_keys(table, "[metrics]", metrics_keys));
  supervision::metrics_option out;
  OVIR_TRY(read_endpoint(in, table, places, out));
  return out;
}

} // namespace ovir::apps
