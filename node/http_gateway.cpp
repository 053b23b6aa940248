#include "node/http_gateway.hpp"

#include "gateway/access/api_key_file.hpp"
#include "gateway/api/application.hpp"
#include "gateway/batches/batch_desk.hpp"
#include "gateway/console/console.hpp"
#include "gateway/doors/anthropic_door.hpp"
#include "gateway/doors/ollama_door.hpp"
#include "gateway/doors/responses_door.hpp"
#include "gateway/http/http_server.hpp"
#include "messages/limits/access.hpp"
#include "messages/limits/batches.hpp"
#include "messages/limits/gateway.hpp"
#include "node/server_gate.hpp"

#include <algorithm>
#include <cstring>

namespace ovir::supervision {

namespace {

gateway::host_rule callers_of(const gateway_option& o) { return {!o.keys.empty(), o.hosts}; }

gateway::http_options http_of(const gateway_option& o) {
  gateway::http_options http;
  http.callers = callers_of(o);
  http.listen = o.listen;
  http.also = o.ollama;
  http.tls_certificate = o.tls_certificate;
  http.tls_key = o.tls_key;
  http.connections_max = o.connections_max;
  http.body_bytes_max = o.body_bytes_max;
  http.idle_wait = o.idle_wait;
  http.header_wait = o.header_wait;
  http.body_wait = o.body_wait;
  http.write_wait = o.write_wait;
  return http;
}

/// "0.1.0" of "ovir 0.1.0 (...)".
std::string version_in(const std::string& software) {
  const std::size_t first = software.find_first_of("0123456789");
  if (first == std::string::npos) {
    return "0";
  }
  return software.substr(first, software.find_first_not_of("0123456789.", first) - first);
}

gateway::api_options api_of(const gateway_option& o, const std::string& software) {
  gateway::api_options api;
  api.version = version_in(software);
  api.chat_format = o.chat_format;
  api.requests_max = o.requests_max;
  api.resume_wait = o.resume_wait;
  api.deadline = o.deadline;
  api.keys_needed = !o.keys.empty();
  return api;
}

/// Most of the places are for requests that a client waits for.
std::uint32_t batch_lines_of(const gateway_option& o) {
  return std::clamp<std::uint32_t>(static_cast<std::uint32_t>(o.requests_max / 4), 1,
                                   limits::batch_lines_at_once);
}

class whole_gateway final : public http_gateway, public gateway::http_handler {
public:
  whole_gateway(const gateway_option& options, actors::gateway_desk& desk,
                actors::console_desk& view, const actors::answer_checker& answers,
                gateway::metrics_source& metrics, storage::env& env, actors::log& journal,
                const std::string& state, const std::string& software, machine& on)
      : options_(options), machine_(on), spend_path_(state + "/api-key-spend"), desk_(desk),
        view_(view), answers_(answers), metrics_(metrics), env_(env), journal_(journal),
        gate_(std::make_shared<server_gate>()),
        application_(api_of(options, software), surroundings()),
        disk_(on.make_executor(job_kind::cache_back, 1)),
        batches_(surroundings(), application_, env, state + "/batches", on_disk(),
                 batch_lines_of(options)),
        console_(
            callers_of(options), view, [this] { return env_.now(); },
            [this] { return application_.counts(); }) {}

  ~whole_gateway() override {
    desk_.use(nullptr, nullptr);
    view_.use(actors::console_desk::poster{});
    gate_->close();
    const bool answered = server_ != nullptr;
    server_.reset();
    disk_.reset(); // what it works on is the batches'
    if (answered && !options_.keys.empty()) {
      application_.calls().keep_spend(false);
    }
  }

  result<void> raise() {
    if (const auto opened = batches_.open(); !opened) {
      journal_.say(actors::log_level::error, std::nullopt,
                   "files and batches of clients are refused: {}", opened.error().message);
    }
    if (!options_.keys.empty()) {
      OVIR_ASSIGN(auto keys, gateway::load_api_keys(env_, options_.keys));
      console_.use_keys(keys);
      application_.use_keys(std::move(keys));
      read_spend();
    }
    next_reading_ = env_.now() + limits::api_keys_reread;
    OVIR_ASSIGN(server_, machine_.serve_http(http_of(options_), *this));
    const auto post = [this](std::function<void()> act) { server_->post(std::move(act)); };
    gate_->open(post);
    ready_.store(true); // from now on there are ticks
    desk_.use(&application_.calls(), post);
    view_.use(post);
    return {};
  }

  std::string address() const override { return server_->listen_address(); }

  void drain() override {
    server_->post([this] { application_.drain(); });
    server_->drain();
  }

  std::size_t connections() const override { return server_->connections(); }

  // On the server's thread, from its first moment on.

  std::optional<gateway::http_reply> refuse_early(const gateway::http_request& head) override {
    if (!ready_.load()) {
      return refuse_malformed(503, "this node is being started");
    }
    if (gateway::console::serves(head.path)) {
      return console_.refuse_early(head);
    }
    if (!gateway::is_own_page(callers_of(options_), head)) {
      return application_.refuse_early(head);
    }
    gateway::http_request own = head;
    own.fields.erase("origin");
    return application_.refuse_early(own);
  }
  void serve(gateway::http_request request,
             std::shared_ptr<gateway::http_exchange> exchange) override {
    if (gateway::console::serves(request.path)) {
      return console_.serve(request, exchange);
    }
    if (gateway::is_own_page(callers_of(options_), request)) {
      request.fields.erase("origin");
    }
    application_.serve(std::move(request), std::move(exchange));
  }
  std::optional<std::size_t> body_bytes_for(const gateway::http_request& head) const override {
    return application_.body_bytes_for(head);
  }
  gateway::http_reply refuse_malformed(int status, std::string_view why) override {
    return application_.refuse_malformed(status, why);
  }
  void tick() override {
    if (!ready_.load()) {
      return;
    }
    application_.tick();
    console_.tick();
    if (!options_.keys.empty() && env_.now() >= next_reading_) {
      next_reading_ = env_.now() + limits::api_keys_reread;
      server_->post_long([this] { read_keys(); });
    }
  }

private:
  gateway::api_surroundings surroundings() {
    gateway::api_surroundings around;
    around.engine = &desk_;
    around.doors = {&anthropic_, &ollama_, &responses_};
    around.annex = &batches_;
    around.now = [this] { return env_.now(); };
    around.unix_seconds = [this] { return env_.unix_seconds(); };
    around.random = [this] {
      std::array<std::byte, sizeof(std::uint64_t)> bytes{};
      env_.random(bytes);
      std::uint64_t value = 0;
      std::memcpy(&value, bytes.data(), bytes.size());
      return value;
    };
    around.elsewhere = [this](std::function<void()> work, std::function<void()> then) {
      server_->post_long([this, work = std::move(work), then = std::move(then)] {
        work();
        server_->post(then);
      });
    };
    around.measure = [this](std::function<void(gateway::metric_families)> done) {
      metrics_.measure([gate = gate_](std::function<void()> act) { gate->post(std::move(act)); },
                       std::move(done));
    };
    around.connections = [this] { return server_->connections(); };
    around.check_answer = [this](request_id request, const auto& receipt) {
      return answers_.check(request, receipt);
    };
    around.addenda_of = [this](request_id request, const auto& receipt) {
      return answers_.addenda_of(request, receipt);
    };
    if (!options_.keys.empty()) {
      around.keep_spend = [this](const gateway::spend_record& record) { write_spend(record); };
    }
    around.say = [this](std::optional<request_id> id, const std::string& text) {
      journal_.write(actors::log_level::info, id, text);
    };
    return around;
  }

  /// Beside what clients wait for.
  gateway::disk_work on_disk() {
    return [this](std::function<void()> work, std::function<void()> then) {
      disk_->post([gate = gate_, work = std::move(work),
                   then = std::move(then)](compute::parallel_runner&) mutable {
        work();
        gate->post(std::move(then));
      });
    };
  }

  void read_spend() {
    const auto text = env_.read(spend_path_, limits::api_spend_file_bytes_max);
    if (!text && text.error().code == errc::not_found) {
      return;
    }
    const auto kept =
        text ? gateway::spend_from(*text) : result<gateway::spend_record>{text.error()};
    if (kept) {
      return application_.calls().use_spend(*kept);
    }
    journal_.say(actors::log_level::error, std::nullopt,
                 "{}: {}; API keys with a quota are refused until the day ends: to let them begin "
                 "anew, stop the node, remove the file and start it",
                 spend_path_, kept.error().message);
    application_.calls().distrust_spend();
  }

  /// Whole, or as it was before.
  void write_spend(const gateway::spend_record& record) {
    const std::string text = gateway::text_of(record);
    const auto written = [&]() -> result<void> {
      OVIR_ASSIGN(const auto file, env_.stage(spend_path_));
      OVIR_TRY(file->append(std::as_bytes(std::span{text})));
      return file->commit();
    }();
    if (!written && !std::exchange(unwritable_, true)) {
      journal_.say(actors::log_level::error, std::nullopt,
                   "what API keys spent is lost when this node ends: {}", written.error().message);
    }
    unwritable_ = unwritable_ && !written;
  }

  /// A key that was revoked or made since.
  void read_keys() {
    auto keys = gateway::load_api_keys(env_, options_.keys);
    if (keys) {
      unreadable_ = false;
      server_->post([this, fresh = std::move(*keys)] {
        console_.use_keys(fresh);
        application_.use_keys(fresh);
      });
    } else if (!std::exchange(unreadable_, true)) {
      journal_.say(actors::log_level::error, std::nullopt, "the API keys stay as they were: {}",
                   keys.error().message);
    }
  }

  gateway_option options_;
  machine& machine_;
  std::string spend_path_;
  actors::gateway_desk& desk_;
  actors::console_desk& view_;
  const actors::answer_checker& answers_;
  gateway::metrics_source& metrics_;
  storage::env& env_;
  actors::log& journal_;
  std::shared_ptr<server_gate> gate_;
  const gateway::anthropic_door anthropic_;
  const gateway::ollama_door ollama_;
  const gateway::responses_door responses_;
  gateway::application application_;
  std::unique_ptr<actors::compute_executor> disk_;
  gateway::batch_desk batches_;
  gateway::console console_;
  std::atomic<bool> ready_{false};
  storage::env::time_point next_reading_;
  bool unreadable_{false}; ///< of the long thread
  bool unwritable_{false}; ///< of the server's thread
  std::unique_ptr<gateway::http_server> server_;
};

} // namespace

result<std::unique_ptr<http_gateway>>
http_gateway::start(const gateway_option& options, actors::gateway_desk& desk,
                    actors::console_desk& console, const actors::answer_checker& answers,
                    gateway::metrics_source& metrics, storage::env& env, actors::log& journal,
                    const std::string& state, const std::string& software, machine& on) {
  auto made = std::make_unique<whole_gateway>(options, desk, console, answers, metrics, env,
                                              journal, state, software, on);
  OVIR_TRY(made->raise());
  return std::unique_ptr<http_gateway>{std::move(made)};
}

} // namespace ovir::supervision
