#include "include/ovir/cluster.hpp"

#include "bindings/cpp/engine_parts.hpp"
#include "bindings/cpp/event_stream.hpp"
#include "bindings/cpp/http_exchange.hpp"
#include "bindings/cpp/thrown.hpp"
#include "messages/limits/bindings.hpp"
#include "messages/request/finish_reason.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <utility>

namespace ovir::v0 {

using apps::json;
using bindings::event_stream;
using bindings::exchange_question;
using bindings::http_exchange;

namespace {

/// What a second try at another address may mend.
bool is_lost(const ovir::error& why) {
  return why.code == errc::peer_lost || why.code == errc::timed_out;
}

/// Goes into a header or an address as it is.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string checked_address(std::string address) {
  if (address.find("//") == std::string::npos) {
    address.insert(0, "http://");
  }
  while (address.ends_with('/')) {
    address.pop_back();
  }
  const bool known = address.starts_with("http://") || address.starts_with("https://");
  if (!known || !is_plain(address) || address.size() > ovir::limits::cluster_address_bytes_max) {
    throw_error(fail(errc::invalid_argument, "{} is no address; give http://HOST:PORT", address));
  }
  return address;
}

std::string new_request() {
  std::array<std::byte, 8> drawn{};
  bindings::machine().random(drawn);
  std::string text;
  for (const std::byte one : drawn) {
    text += fmt::format("{:02x}", std::to_integer<unsigned>(one));
  }
  return text;
}

[[noreturn]] void throw_refusal(const json& said, unsigned status) {
  const json why = bindings::object_in(said, "error");
  std::string code = bindings::text_in(why, "code");
  if (code.empty()) {
    code = bindings::text_in(why, "type");
  }
  std::string message = bindings::text_in(why, "message");
  if (message.empty()) {
    throw error{"malformed", fmt::format("the endpoint answered {} without a reason", status)};
  }
  throw error{code.empty() ? std::to_string(status) : code, message};
}

json body_of(const ask_options& options) {
  json body = json::object();
  body["model"] = options.model;
  body["max_tokens"] = options.max_tokens;
  const sampling_params params = params_from(options.sampling);
  const sampling_params plain;
  for_each_parameter([&](const auto& row) {
    if (params.*row.value != plain.*row.value) {
      body[std::string{row.name}] = params.*row.value;
    }
  });
  body["temperature"] = params.temperature;
  if (params.seed != 0) {
    body["seed"] = params.seed;
  }
  if (!options.stop.empty()) {
    body["stop"] = options.stop;
  }
  if (options.receipt) {
    body["receipt"] = true;
  }
  return body;
}

void add_further(json& body, const std::string& more) {
  if (more.empty()) {
    return;
  }
  const json members = json::parse(more, nullptr, false);
  if (!members.is_object()) {
    throw_error(fail(errc::invalid_argument, "ask_options::more is no JSON object"));
  }
  body.update(members);
}

/// What is told of an answer so far.
struct told_answer {
  cluster_answer answer;
  std::string last_event;
  bool over{false};

  /// Takes an event or a whole answer, and returns its text.
  std::string take(const json& document) {
    const json choice = bindings::first_choice(document);
    const json evidence = bindings::object_in(choice, "ovir");
    for (const auto& [key, into] :
         {std::pair{"request", &answer.request}, std::pair{"transcript", &answer.transcript}}) {
      if (std::string text = bindings::text_in(evidence, key); !text.empty()) {
        *into = std::move(text);
      }
    }
    if (std::string why = bindings::text_in(choice, "finish_reason"); !why.empty()) {
      answer.finish_reason = std::move(why);
    }
    if (!choice.empty()) {
      answer.json = apps::to_text(document);
    }
    std::string text = bindings::text_in(choice, "text");
    for (const char* const part : {"message", "delta"}) {
      text += bindings::text_in(bindings::object_in(choice, part), "content");
    }
    answer.text += text;
    return text;
  }
};

} // namespace

struct cluster::impl {
  std::vector<std::string> addresses;
  std::string key;
  std::chrono::milliseconds silence{};
  std::atomic<std::size_t> at{0};

  result<std::unique_ptr<http_exchange>> open(std::string method, const std::string& path,
                                              const json* body,
                                              std::vector<std::string> fields) const {
    exchange_question question{std::move(method), addresses[at.load() % addresses.size()] + path,
                               std::move(fields), std::nullopt, silence};
    if (!key.empty()) {
      question.fields.push_back("Authorization: Bearer " + key);
    }
    if (body != nullptr) {
      question.body = body->dump(-1, ' ', false, json::error_handler_t::replace);
    }
    return http_exchange::ask(question);
  }

  /// Each address once; a request's id makes a second try the same request to the cluster.
  std::string ask(const std::string& method, const std::string& path, const json* body = nullptr,
                  const std::vector<std::string>& fields = {}) {
    for (std::size_t left = addresses.size(); left-- > 0;) {
      const auto opened = open(method, path, body, fields);
      unsigned status = opened ? (*opened)->status() : 0;
      result<std::string> whole = opened ? all_of(**opened) : opened.error();
      if (!whole && is_lost(whole.error()) && left > 0) {
        at.fetch_add(1);
        continue;
      }
      std::string text = unwrap(std::move(whole));
      if (status != 200) {
        const auto said = bindings::object_from(text);
        throw_refusal(said ? *said : json::object(), status);
      }
      return text;
    }
    throw_error(fail(errc::internal, "a cluster has no address"));
  }

  static result<std::string> all_of(http_exchange& from) {
    std::string whole;
    while (true) {
      OVIR_ASSIGN(const std::string more, from.read());
      if (more.empty()) {
        return whole;
      }
      whole += more;
      if (whole.size() > ovir::limits::cluster_body_bytes_max) {
        return fail(errc::over_limit, "the answer has more than {} bytes",
                    ovir::limits::cluster_body_bytes_max);
      }
    }
  }

  std::vector<std::string> models() {
    const json listed = unwrap(bindings::object_from(ask("GET", "/v1/models")));
    std::vector<std::string> names;
    if (const auto data = listed.find("data"); data != listed.end() && data->is_array()) {
      for (const json& one : *data) {
        names.push_back(one.is_object() ? bindings::text_in(one, "id") : std::string{});
      }
    }
    return names;
  }

  cluster_answer answer(const std::string& path, json body, const ask_options& options,
                        const text_callback& on_text) {
    body.update(body_of(options));
    add_further(body, options.more);
    if (bindings::text_in(body, "model").empty()) {
      const std::vector<std::string> names = models();
      if (names.empty()) {
        throw_error(fail(errc::segment_missing, "the cluster has no model at the moment"));
      }
      body["model"] = names.front();
    }
    told_answer told;
    told.answer.request = new_request();
    if (on_text) {
      body["stream"] = true;
      stream(path, body, told, on_text);
    } else {
      told.take(unwrap(bindings::object_from(
          ask("POST", path, &body, {"X-OVIR-Request: " + told.answer.request}))));
    }
    return std::move(told.answer);
  }

  void stream(const std::string& path, const json& body, told_answer& told,
              const text_callback& on_text) {
    const std::string request = told.answer.request;
    for (std::uint32_t failures = 0; !told.over;) {
      const std::string before = told.last_event;
      std::vector<std::string> fields{"X-OVIR-Request: " + request};
      if (!before.empty()) {
        fields.push_back("Last-Event-ID: " + before);
      }
      const result<void> heard = receive(path, body, fields, told, on_text);
      if (told.over) {
        break;
      }
      if (!heard && !is_lost(heard.error())) {
        throw_error(heard.error());
      }
      failures = told.last_event == before ? failures + 1 : 1;
      if (failures > ovir::limits::cluster_resumes_max) {
        throw_error(fail(errc::peer_lost, "the answer broke off, and no address went on: {}",
                         heard ? "the stream ended early" : heard.error().message));
      }
      at.fetch_add(1);
    }
  }

  result<void> receive(const std::string& path, const json& body,
                       const std::vector<std::string>& fields, told_answer& told,
                       const text_callback& on_text) {
    OVIR_ASSIGN(const auto from, open("POST", path, &body, fields));
    if (from->status() != 200) {
      OVIR_ASSIGN(const std::string text, all_of(*from));
      const auto said = bindings::object_from(text);
      throw_refusal(said ? *said : json::object(), from->status());
    }
    event_stream events;
    while (true) {
      OVIR_ASSIGN(const std::string bytes, from->read());
      if (bytes.empty()) {
        return {};
      }
      OVIR_TRY(events.add(bytes));
      while (const auto event = events.next()) {
        if (!take_event(*event, told, on_text)) {
          return {};
        }
      }
    }
  }

  /// False at the end of the answer.
  bool take_event(const event_stream::event& event, told_answer& told,
                  const text_callback& on_text) {
    if (event.data == "[DONE]") {
      told.over = true;
      return false;
    }
    const json document = unwrap(bindings::object_from(event.data));
    if (document.contains("error")) {
      throw_refusal(document, 200);
    }
    const std::string text = told.take(document);
    // It goes into a header: what is no word is none.
    told.last_event = !event.id.empty() && is_plain(event.id) ? event.id : told.last_event;
    if (text.empty() || on_text(text)) {
      return true;
    }
    told.over = true;
    told.answer.finish_reason = to_string(finish_reason::cancelled);
    told.answer.transcript.clear();
    // Without an answer to this the gateway cancels as well, later.
    static_cast<void>(open("DELETE", "/v1/requests/" + told.answer.request, nullptr, {}));
    return false;
  }
};

cluster::cluster(std::string address, const cluster_options& options)
    : cluster(std::vector{std::move(address)}, options) {}

cluster::cluster(std::vector<std::string> addresses, const cluster_options& options)
    : impl_(std::make_unique<impl>()) {
  if (addresses.empty()) {
    throw_error(fail(errc::invalid_argument, "give the address of an endpoint, http://HOST:PORT"));
  }
  for (std::string& address : addresses) {
    impl_->addresses.push_back(checked_address(std::move(address)));
  }
  if (options.silence.count() < 1 || options.silence > std::chrono::hours{24}) {
    throw_error(fail(errc::invalid_argument, "silence must be between 1 s and a day"));
  }
  impl_->silence = options.silence;
  const char* const named = std::getenv("OVIR_API_KEY");
  impl_->key = options.key ? *options.key : std::string{named == nullptr ? "" : named};
  if (!is_plain(impl_->key)) {
    throw_error(fail(errc::invalid_argument, "the API key has other characters than keys have"));
  }
}

cluster::~cluster() = default;
cluster::cluster(cluster&&) noexcept = default;
cluster& cluster::operator=(cluster&&) noexcept = default;

std::vector<std::string> cluster::models() const { return impl_->models(); }

cluster_answer cluster::complete(std::string_view prompt, const ask_options& options,
                                 const text_callback& on_text) const {
  return impl_->answer("/v1/completions", json{{"prompt", prompt}}, options, on_text);
}

cluster_answer cluster::chat(std::span<const message> messages, const ask_options& options,
                             const text_callback& on_text) const {
  json list = json::array();
  for (const message& one : messages) {
    list.push_back({{"role", one.role}, {"content", one.content}});
  }
  return impl_->answer("/v1/chat/completions", json{{"messages", std::move(list)}}, options,
                       on_text);
}

std::vector<std::byte> cluster::receipt(const cluster_answer& answer) const {
  if (!is_plain(answer.request) || answer.request.find('/') != std::string::npos) {
    throw_error(fail(errc::invalid_argument, "the answer names no request"));
  }
  const std::string bytes = impl_->ask("GET", "/v1/receipts/" + answer.request);
  const auto* const first = reinterpret_cast<const std::byte*>(bytes.data());
  return {first, first + bytes.size()};
}

} // namespace ovir::v0
