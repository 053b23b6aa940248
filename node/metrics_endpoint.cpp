#include "node/metrics_endpoint.hpp"

#include "gateway/access/api_key_file.hpp"
#include "gateway/http/http_server.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/limits/metrics.hpp"
#include "node/server_gate.hpp"

#include <atomic>
#include <optional>
#include <string_view>
#include <utility>

namespace ovir::supervision {

namespace {

gateway::http_options http_of(const metrics_option& o) {
  gateway::http_options http;
  http.listen = o.listen;
  http.tls_certificate = o.tls_certificate;
  http.tls_key = o.tls_key;
  http.callers = {!o.keys.empty(), o.hosts};
  http.connections_max = limits::metrics_connections_max;
  http.body_bytes_max = limits::metrics_body_bytes_max;
  return http;
}

gateway::http_reply text_reply(int status, std::string_view text) {
  gateway::http_reply reply;
  reply.status = status;
  reply.content_type = "text/plain; charset=utf-8";
  reply.body = std::string{text} + "\n";
  return reply;
}

class whole_endpoint final : public metrics_endpoint, public gateway::http_handler {
public:
  whole_endpoint(const metrics_option& options, gateway::metrics_source& metrics, storage::env& env,
                 actors::log& journal, machine& on)
      : options_(options), machine_(on), metrics_(metrics), env_(env), journal_(journal),
        gate_(std::make_shared<server_gate>()) {}

  ~whole_endpoint() override {
    gate_->close();
    server_.reset();
  }

  result<void> raise() {
    if (!options_.keys.empty()) {
      OVIR_ASSIGN(keys_, gateway::load_api_keys(env_, options_.keys));
    }
    next_reading_ = env_.now() + limits::api_keys_reread;
    OVIR_ASSIGN(server_, machine_.serve_http(http_of(options_), *this));
    gate_->open([this](std::function<void()> act) { server_->post(std::move(act)); });
    ready_.store(true);
    return {};
  }

  std::string address() const override { return server_->listen_address(); }

  // On the server's thread, from its first moment on.

  std::optional<gateway::http_reply> refuse_early(const gateway::http_request& head) override {
    if (!ready_.load()) {
      return refuse_malformed(503, "this node is being started");
    }
    if (head.path != "/metrics") {
      return text_reply(404, "there is nothing at this path; /metrics is");
    }
    if (head.method != "GET") {
      gateway::http_reply reply = text_reply(405, "this path answers GET");
      reply.fields.emplace_back("Allow", "GET");
      return reply;
    }
    if (!head.field("origin").empty()) {
      return text_reply(403, "web pages may not read this");
    }
    return refuse_key(head);
  }

  void serve(gateway::http_request request,
             std::shared_ptr<gateway::http_exchange> exchange) override {
    if (auto refused = refuse_early(request)) {
      return exchange->reply(std::move(*refused));
    }
    metrics_.measure([gate = gate_](std::function<void()> act) { gate->post(std::move(act)); },
                     [exchange](const gateway::metric_families& families) {
                       gateway::http_reply page;
                       page.content_type = gateway::metrics_content_type;
                       page.body = gateway::metrics_text(families);
                       exchange->reply(std::move(page));
                     });
  }

  gateway::http_reply refuse_malformed(int status, std::string_view why) override {
    gateway::http_reply reply = text_reply(status, why);
    if (status == 503) {
      reply.fields.emplace_back("Retry-After", std::to_string(limits::api_retry_after.count()));
    }
    return reply;
  }

  void tick() override {
    if (!ready_.load() || options_.keys.empty() || env_.now() < next_reading_) {
      return;
    }
    next_reading_ = env_.now() + limits::api_keys_reread;
    server_->post_long([this] { read_keys(); });
  }

private:
  std::optional<gateway::http_reply> refuse_key(const gateway::http_request& head) const {
    if (options_.keys.empty()) {
      return std::nullopt;
    }
    constexpr std::string_view scheme = "Bearer ";
    const std::string_view field = head.field("authorization");
    const gateway::api_key* const key = keys_.table.find(
        field.starts_with(scheme) ? field.substr(scheme.size()) : std::string_view{}, keys_.with);
    if (key == nullptr) {
      gateway::http_reply reply = text_reply(401, "send 'Authorization: Bearer KEY'");
      reply.fields.emplace_back("WWW-Authenticate", "Bearer");
      return reply;
    }
    return key->may_read_metrics
               ? std::nullopt
               : std::optional{text_reply(403, "this API key has not the role metrics")};
  }

  /// A key that was revoked or made since.
  void read_keys() {
    if (auto keys = gateway::load_api_keys(env_, options_.keys)) {
      unreadable_ = false;
      server_->post([this, fresh = std::move(*keys)]() mutable { keys_ = std::move(fresh); });
    } else if (!std::exchange(unreadable_, true)) {
      journal_.say(actors::log_level::error, std::nullopt, "the API keys stay as they were: {}",
                   keys.error().message);
    }
  }

  metrics_option options_;
  machine& machine_;
  gateway::metrics_source& metrics_;
  storage::env& env_;
  actors::log& journal_;
  std::shared_ptr<server_gate> gate_;
  gateway::known_keys keys_;
  std::atomic<bool> ready_{false};
  storage::env::time_point next_reading_;
  bool unreadable_{false}; ///< of the long thread
  std::unique_ptr<gateway::http_server> server_;
};

} // namespace

result<std::unique_ptr<metrics_endpoint>>
metrics_endpoint::start(const metrics_option& options, gateway::metrics_source& metrics,
                        storage::env& env, actors::log& journal, machine& on) {
  auto made = std::make_unique<whole_endpoint>(options, metrics, env, journal, on);
  OVIR_TRY(made->raise());
  return std::unique_ptr<metrics_endpoint>{std::move(made)};
}

} // namespace ovir::supervision
