// What `ovir node --check` prints.
#include "apps/ovir/node/node_config.hpp"

#include <fmt/format.h>

#include <iterator>

namespace ovir::apps {

namespace {

using supervision::access_option;
using supervision::model_option;
using supervision::node_options;
using supervision::privacy_option;
using supervision::reach_option;

class table_writer {
public:
  template <class... Args>
  void line(std::string_view key, fmt::format_string<Args...> text, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), "{:<22}{}\n", key,
                   fmt::format(text, std::forward<Args>(args)...));
  }

  std::string take() && { return std::move(out_); }

private:
  std::string out_;
};

std::string_view or_else(std::string_view text, std::string_view otherwise) {
  return text.empty() ? otherwise : text;
}

json words_of(role_set roles) {
  json words = json::array();
  for (std::uint32_t bit = 1; bit <= roles.bits; bit <<= 1U) {
    if ((roles.bits & bit) != 0) {
      words.push_back(to_string(role_set{static_cast<std::uint16_t>(bit)}));
    }
  }
  return words;
}

std::string_view mapping_word(const reach_option& o) { return o.maps_ports ? "auto" : "off"; }

json reach_document(const reach_option& o) {
  return {{"through_nat", o.enabled}, {"port_mapping", mapping_word(o)}};
}

json attestation_texts(const node_options& o) {
  json texts = json::array();
  for (const attestation& one : o.attestations) {
    texts.push_back(to_text(one));
  }
  return texts;
}

json limits_document(const node_options& o) {
  return {{"memory_mib", o.memory_bytes >> 20U},
          {"threads", o.threads},
          {"context", o.context_max},
          {"prefill_chunk", o.prefill_chunk}};
}

json privacy_document(const privacy_option& o) {
  json nodes = json::array();
  for (const node_id& node : o.nodes) {
    nodes.push_back(to_hex(node));
  }
  return {{"requests", to_string(o.requests)},
          {"nodes", std::move(nodes)},
          {"first_layers", o.first_layers},
          {"last_layers", o.last_layers}};
}

void write_privacy(table_writer& out, const privacy_option& o) {
  std::string nodes;
  for (const node_id& node : o.nodes) {
    nodes += (nodes.empty() ? "" : ", ") + short_name(node);
  }
  out.line("privacy.requests", "{}", to_string(o.requests));
  out.line("privacy.nodes", "{}", or_else(nodes, "(this one alone)"));
  out.line("privacy.first_layers", "{}", o.first_layers);
  out.line("privacy.last_layers", "{}", o.last_layers);
}

json null_or(std::string_view text) { return text.empty() ? json(nullptr) : json(text); }

void write_identity(table_writer& out, const node_options& o) {
  out.line("name", "{}", o.name);
  out.line("cluster", "{}", o.cluster);
  out.line("roles", "{}", to_string(o.roles));
  out.line("state", "{}", or_else(o.state, "(OVIR_HOME or its default)"));
  out.line("listen", "{}", or_else(o.listen, "(nowhere)"));
  out.line("advertise", "{}", or_else(o.advertise, "(what it listens on)"));
  out.line("admin_listen", "{}", or_else(o.admin_listen, "(on listen)"));
  out.line("seeds", "{}", o.seeds.empty() ? "(none)" : fmt::format("{}", fmt::join(o.seeds, ", ")));
  out.line("membership", "{}", o.open ? "open: unknown keys are workers" : "invited");
  out.line("join_token", "{}", o.join_token.empty() ? "(none)" : "(set)");
  for (const attestation& one : o.attestations) {
    out.line("attestations", "{} by {}", to_string(one.properties), short_name(one.attestor));
  }
  if (o.attestations.empty()) {
    out.line("attestations", "(none)");
  }
  out.line("lan.announce", "{}", o.announce);
  out.line("link.transport", "{}", to_string(o.transport));
  out.line("reach.through_nat", "{}", o.reach.enabled);
  out.line("reach.port_mapping", "{}", mapping_word(o.reach));
  if (o.admins.empty()) {
    out.line("admins", "(none: no join token counts here)");
  }
  for (const node_id& admin : o.admins) {
    out.line("admins", "{}", to_hex(admin));
  }
  if (o.access.empty() && !o.open) {
    out.line("access", "(nobody without a join token)");
  }
  for (const access_option& entry : o.access) {
    out.line("access", "{} {}", to_hex(entry.key), to_string(entry.roles));
  }
}

std::string keys_text(const std::vector<node_id>& keys, std::string_view none) {
  std::vector<std::string> words;
  for (const node_id& key : keys) {
    words.push_back(to_hex(key));
  }
  return words.empty() ? std::string{none} : fmt::format("{}", fmt::join(words, ", "));
}

void write_group(table_writer& out, const supervision::group_option& o) {
  out.line("group.lead", "{}", o.chooses ? "auto" : keys_text(o.lead, "(none)"));
  out.line("group.join", "{}", keys_text(o.join, "(those of its operator's nodes)"));
  out.line("group.patience_ms", "{}", o.patience.count());
}

json group_document(const supervision::group_option& o) {
  const auto words = [](const std::vector<node_id>& keys) {
    json list = json::array();
    for (const node_id& key : keys) {
      list.push_back(to_hex(key));
    }
    return list;
  };
  return {{"lead", o.chooses ? json("auto") : words(o.lead)},
          {"join", words(o.join)},
          {"patience_ms", o.patience.count()}};
}

json models_document(const std::vector<supervision::model_option>& models) {
  json list = json::array();
  for (const supervision::model_option& model : models) {
    json layers = nullptr;
    if (model.layers) {
      layers = {{"first", model.layers->first}, {"last", model.layers->last - 1}};
    }
    list.push_back(
        {{"path", model.path}, {"layers", std::move(layers)}, {"draft", null_or(model.draft)}});
  }
  return list;
}

std::string_view layers_word(const node_options& o) {
  return !o.roles.has(role::worker)  ? "no layers"
         : supervision::is_placed(o) ? "the layers that the cluster places here"
                                     : "as many layers as fit";
}

void write_models(table_writer& out, const node_options& o) {
  if (o.models.empty()) {
    out.line("model", "(none)");
  }
  for (const model_option& model : o.models) {
    if (model.layers) {
      out.line("model", "{}, layers {}-{}", model.path, model.layers->first,
               model.layers->last - 1);
    } else {
      out.line("model", "{}, {}", model.path, layers_word(o));
    }
    if (!model.draft.empty()) {
      out.line("model.draft", "{}", model.draft);
    }
  }
}

void write_gateway(table_writer& out, const node_options& o) {
  const supervision::gateway_option g = o.gateway.value_or(supervision::gateway_option{});
  out.line("gateway.listen", "{}", or_else(g.listen, "(nowhere: no HTTP)"));
  out.line("gateway.ollama", "{}", or_else(g.ollama, "(only where the gateway listens)"));
  out.line("gateway.tls_cert", "{}", or_else(g.tls_certificate, "(plain HTTP)"));
  out.line("gateway.tls_key", "{}", or_else(g.tls_key, "(none)"));
  out.line("gateway.keys", "{}", or_else(g.keys, "(everybody on this machine)"));
  out.line("gateway.hosts", "{}", or_else(fmt::format("{}", fmt::join(g.hosts, ", ")), "(none)"));
  out.line("gateway.chat_format", "{}", g.chat_format);
  out.line("gateway.connections", "{}", g.connections_max);
  out.line("gateway.requests", "{}", g.requests_max);
  out.line("gateway.body_mib", "{}", g.body_bytes_max >> 20U);
  out.line("gateway.idle_ms", "{}", g.idle_wait.count());
  out.line("gateway.header_ms", "{}", g.header_wait.count());
  out.line("gateway.body_ms", "{}", g.body_wait.count());
  out.line("gateway.write_ms", "{}", g.write_wait.count());
  out.line("gateway.resume_ms", "{}", g.resume_wait.count());
  out.line("gateway.deadline_ms", "{}", g.deadline.count());
  const supervision::metrics_option m = o.metrics.value_or(supervision::metrics_option{});
  out.line("metrics.listen", "{}", or_else(m.listen, "(nowhere but at a gateway)"));
  out.line("metrics.tls_cert", "{}", or_else(m.tls_certificate, "(plain HTTP)"));
  out.line("metrics.tls_key", "{}", or_else(m.tls_key, "(none)"));
  out.line("metrics.keys", "{}", or_else(m.keys, "(everybody on this machine)"));
  out.line("metrics.hosts", "{}", or_else(fmt::format("{}", fmt::join(m.hosts, ", ")), "(none)"));
}

json metrics_document(const node_options& o) {
  if (!o.metrics) {
    return nullptr;
  }
  return {{"listen", o.metrics->listen},
          {"tls_cert", null_or(o.metrics->tls_certificate)},
          {"tls_key", null_or(o.metrics->tls_key)},
          {"keys", null_or(o.metrics->keys)},
          {"hosts", o.metrics->hosts}};
}

json gateway_document(const node_options& o) {
  if (!o.gateway) {
    return nullptr;
  }
  const supervision::gateway_option& g = *o.gateway;
  return {{"listen", g.listen},
          {"ollama", null_or(g.ollama)},
          {"tls_cert", null_or(g.tls_certificate)},
          {"tls_key", null_or(g.tls_key)},
          {"keys", null_or(g.keys)},
          {"hosts", g.hosts},
          {"chat_format", g.chat_format},
          {"connections", g.connections_max},
          {"requests", g.requests_max},
          {"body_mib", g.body_bytes_max >> 20U},
          {"idle_ms", g.idle_wait.count()},
          {"header_ms", g.header_wait.count()},
          {"body_ms", g.body_wait.count()},
          {"write_ms", g.write_wait.count()},
          {"resume_ms", g.resume_wait.count()},
          {"deadline_ms", g.deadline.count()}};
}

/// "0 (all processors)" or the number alone.
std::string number_text(std::uint64_t number, std::string_view zero) {
  return number == 0 ? fmt::format("0 ({})", zero) : fmt::format("{}", number);
}

} // namespace

std::string describe(const node_options& o) {
  table_writer out;
  write_identity(out, o);
  write_models(out, o);
  out.line("limits.memory_mib", "{}",
           number_text(o.memory_bytes >> 20U, "80 % of the machine's memory"));
  out.line("limits.threads", "{}", number_text(o.threads, "all processors"));
  out.line("limits.context", "{}", number_text(o.context_max, "the model's"));
  out.line("limits.prefill_chunk", "{}", o.prefill_chunk);
  out.line("fetch.window_mib", "{}", o.fetch_window_bytes >> 20U);
  out.line("fetch.mib_s", "{}", number_text(o.fetch_bytes_per_second >> 20U, "no limit"));
  out.line("fetch.serve_mib_s", "{}", number_text(o.serve_bytes_per_second >> 20U, "no limit"));
  out.line("fetch.orders", "{}", o.fetch_orders);
  out.line("fetch.spare_mib", "{}", number_text(o.spare_bytes >> 20U, "none"));
  out.line("audit.least_rate_ppm", "{}",
           number_text(o.audit_least_rate_ppm.value_or(0), "what the ledger's rules want"));
  out.line("audit.every_request", "{}", o.audit_every_request);
  out.line("audit.twice_tokens", "{}", number_text(o.audit_twice_tokens, "never"));
  out.line("audit.reveal", "{}", to_string(o.audit_reveal));
  write_privacy(out, o.privacy);
  write_group(out, o.group);
  out.line("ledger.folder", "{}", or_else(o.ledger.folder, "(of a keeper: in the state folder)"));
  out.line("ledger.policy", "{}", or_else(o.ledger.policy, "(none)"));
  std::string mint_keys;
  for (const node_id& key : o.ledger.mint_keys) {
    mint_keys += (mint_keys.empty() ? "" : ", ") + short_name(key);
  }
  out.line("ledger.mint_keys", "{}", or_else(mint_keys, "(of a new ledger: the keeper's)"));
  std::string keepers;
  for (const node_id& key : o.ledger.keepers) {
    keepers += (keepers.empty() ? "" : ", ") + to_hex(key);
  }
  out.line("ledger.keeper", "{}", or_else(keepers, "(none: nothing is paid)"));
  out.line("ledger.when_away", "{}", o.ledger.serves_unpaid ? "serve" : "refuse");
  out.line("ledger.follow", "{}", o.ledger.follow);
  out.line("ledger.clients", "{}", o.ledger.clients_pay ? "self" : "node");
  out.line("ledger.ask_ppm", "{}", o.ledger.ask_ppm);
  out.line("ledger.ask_max_ppm", "{}", o.ledger.ask_max_ppm);
  out.line("ledger.stake", "{}",
           o.ledger.stake ? fmt::format("{}", *o.ledger.stake) : "(none: nothing is locked)");
  out.line("ledger.rewards", "{}", to_string(o.ledger.rewards));
  out.line("link.shared_memory", "{}", o.link.shared_memory);
  out.line("link.busy_read_us", "{}",
           number_text(static_cast<std::uint64_t>(o.link.busy_read.count()), "not at all"));
  out.line("probe.interval_ms", "{}", o.probe_interval.count());
  out.line("probe.timeout_ms", "{}", o.probe_timeout.count());
  out.line("probe.suspect_ms", "{}", o.suspect_timeout.count());
  out.line("drain.wait_s", "{}",
           std::chrono::duration_cast<std::chrono::seconds>(o.drain_wait).count());
  out.line("log.level", "{}", o.log_level);
  out.line("log.format", "{}", o.log_format);
  out.line("log.file", "{}", or_else(o.log_file, "(standard error)"));
  out.line("log.max_mib", "{}", o.log_bytes_max >> 20U);
  out.line("log.files", "{}", o.log_files_max);
  out.line("chaos.enabled", "{}", o.chaos);
  write_gateway(out, o);
  out.line("cache.enabled", "{}", o.cache.enabled);
  out.line("cache.folder", "{}", or_else(o.cache.folder, "(store in the state folder)"));
  out.line("cache.memory_mib", "{}", o.cache.memory_bytes >> 20U);
  out.line("cache.disk_mib", "{}", number_text(o.cache.disk_bytes >> 20U, "nothing on disk"));
  out.line("cache.share", "{}", o.cache.share);
  out.line("cache.peers", "{}", o.cache.peers);
  out.line("cache.owner_key_file", "{}", or_else(o.cache.owner_key_file, "(this node's key)"));
  return std::move(out).take();
}

namespace {

json ledger_document(const supervision::ledger_option& o) {
  json mint_keys = json::array();
  for (const node_id& key : o.mint_keys) {
    mint_keys.push_back(to_hex(key));
  }
  json keepers = json::array();
  for (const node_id& key : o.keepers) {
    keepers.push_back(to_hex(key));
  }
  return {{"folder", null_or(o.folder)},
          {"policy", null_or(o.policy)},
          {"mint_keys", std::move(mint_keys)},
          {"keeper", o.keepers.empty()       ? json(nullptr)
                     : o.keepers.size() == 1 ? keepers.front()
                                             : std::move(keepers)},
          {"when_away", o.serves_unpaid ? "serve" : "refuse"},
          {"follow", o.follow},
          {"clients", o.clients_pay ? "self" : "node"},
          {"ask_ppm", o.ask_ppm},
          {"ask_max_ppm", o.ask_max_ppm},
          {"stake", o.stake ? json(*o.stake) : json(nullptr)},
          {"rewards", to_string(o.rewards)}};
}

json cache_document(const supervision::cache_option& o) {
  return {{"enabled", o.enabled},
          {"folder", null_or(o.folder)},
          {"memory_mib", o.memory_bytes >> 20U},
          {"disk_mib", o.disk_bytes >> 20U},
          {"share", o.share},
          {"peers", o.peers},
          {"owner_key_file", null_or(o.owner_key_file)}};
}

json link_document(const node_options& o) {
  return {{"transport", to_string(o.transport)},
          {"shared_memory", o.link.shared_memory},
          {"busy_read_us", o.link.busy_read.count()}};
}

} // namespace

json document_of(const node_options& o) {
  json admins = json::array();
  for (const node_id& admin : o.admins) {
    admins.push_back(to_hex(admin));
  }
  json access = json::array();
  for (const access_option& entry : o.access) {
    access.push_back({{"key", to_hex(entry.key)},
                      {"roles", words_of(entry.roles)},
                      {"operator", entry.operated_by}});
  }
  return {{"name", o.name},
          {"ledger", ledger_document(o.ledger)},
          {"cluster", o.cluster},
          {"roles", words_of(o.roles)},
          {"state", null_or(o.state)},
          {"listen", null_or(o.listen)},
          {"advertise", null_or(o.advertise)},
          {"admin_listen", null_or(o.admin_listen)},
          {"seeds", o.seeds},
          {"membership", o.open ? "open" : "invited"},
          {"join_token_set", !o.join_token.empty()},
          {"attestations", attestation_texts(o)},
          {"lan", {{"announce", o.announce}}},
          {"reach", reach_document(o.reach)},
          {"admins", std::move(admins)},
          {"access", std::move(access)},
          {"models", models_document(o.models)},
          {"limits", limits_document(o)},
          {"fetch",
           {{"window_mib", o.fetch_window_bytes >> 20U},
            {"mib_s", o.fetch_bytes_per_second >> 20U},
            {"serve_mib_s", o.serve_bytes_per_second >> 20U},
            {"orders", o.fetch_orders},
            {"spare_mib", o.spare_bytes >> 20U}}},
          {"audit",
           {{"least_rate_ppm", o.audit_least_rate_ppm.value_or(0)},
            {"every_request", o.audit_every_request},
            {"twice_tokens", o.audit_twice_tokens},
            {"reveal", to_string(o.audit_reveal)}}},
          {"privacy", privacy_document(o.privacy)},
          {"link", link_document(o)},
          {"group", group_document(o.group)},
          {"probe",
           {{"interval_ms", o.probe_interval.count()},
            {"timeout_ms", o.probe_timeout.count()},
            {"suspect_ms", o.suspect_timeout.count()}}},
          {"drain",
           {{"wait_s", std::chrono::duration_cast<std::chrono::seconds>(o.drain_wait).count()}}},
          {"log",
           {{"level", o.log_level},
            {"format", o.log_format},
            {"file", null_or(o.log_file)},
            {"max_mib", o.log_bytes_max >> 20U},
            {"files", o.log_files_max}}},
          {"chaos", {{"enabled", o.chaos}}},
          {"gateway", gateway_document(o)},
          {"metrics", metrics_document(o)},
          {"cache", cache_document(o.cache)}};
}

} // namespace ovir::apps
