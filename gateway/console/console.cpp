#include "gateway/console/console.hpp"

#include "gateway/console/console_files.hpp"
#include "messages/limits/console.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::gateway {

namespace {

using json = nlohmann::json;

constexpr std::string_view page_path = "/console/";
constexpr std::string_view data_path = "/v1/cluster/";
constexpr std::string_view job_path = "jobs/";

/// Commands of the admin protocol that are answered as they are.
constexpr std::array<std::string_view, 10> plain{"version", "nodes",   "models", "tree",  "jobs",
                                                 "plan",    "fetches", "audits", "cache", "ledger"};

bool is_plain(std::string_view name) {
  return std::find(plain.begin(), plain.end(), name) != plain.end();
}

/// No other origin may be asked for anything, nor show the page within its own.
constexpr std::string_view policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

http_reply document(const json& value) {
  http_reply reply;
  reply.body = value.dump(-1, ' ', false, json::error_handler_t::replace);
  reply.fields.emplace_back("Cache-Control", "no-store");
  return reply;
}

http_reply reply_of(const api_error& e) {
  http_reply reply;
  reply.status = e.status;
  reply.body = body_of(e);
  if (e.status == 401) {
    reply.fields.emplace_back("WWW-Authenticate", "Bearer");
  }
  if (e.retry_after) {
    reply.fields.emplace_back("Retry-After", std::to_string(e.retry_after->count()));
  }
  return reply;
}

/// The admin protocol's codes as statuses.
api_error error_of(const json& reply) {
  const json& why = reply.at("error");
  const std::string code = why.value("code", "internal");
  const std::map<std::string_view, int> statuses{{"not_found", 404},        {"unsupported", 404},
                                                 {"invalid_argument", 400}, {"forbidden", 403},
                                                 {"over_limit", 400},       {"busy", 503}};
  const auto found = statuses.find(code);
  return refusal(found == statuses.end() ? 502 : found->second, code, why.value("message", code));
}

http_reply file_reply(const console_file& file) {
  http_reply reply;
  reply.content_type = file.type;
  reply.body = file.bytes;
  reply.fields = {{"Content-Security-Policy", std::string{policy}},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Referrer-Policy", "no-referrer"},
                  {"Cross-Origin-Opener-Policy", "same-origin"},
                  {"Cache-Control", "no-cache"}};
  return reply;
}

/// The arguments of a query; empty for one that is none of ours. Names and numbers need no escapes.
std::optional<json> arguments_of(std::string_view command, std::string_view query) {
  json args = json::object();
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    const std::string_view key = pair.substr(0, equals);
    const std::string value{equals == pair.npos ? std::string_view{} : pair.substr(equals + 1)};
    const bool number = !value.empty() && value.size() <= 9 &&
                        value.find_first_not_of("0123456789") == std::string::npos;
    if (value.find('%') != std::string::npos || value.empty()) {
      return std::nullopt;
    }
    if (command == "plan" && key == "context" && number) {
      args["context"] = std::stoul(value);
    } else if (command == "plan" && key == "model") {
      args["model"] = value;
    } else if (command == "ledger" && key == "account") {
      args["subject"] = value;
    } else {
      return std::nullopt;
    }
  }
  if (command == "ledger") {
    args["action"] = args.contains("subject") ? "balance" : "head";
  }
  return args;
}

std::string event_text(std::string_view kind, const std::string& data) {
  return fmt::format("event: {}\ndata: {}\n\n", kind, data);
}

} // namespace

console::console(host_rule callers, cluster_view& view, clock now,
                 std::function<api_counts()> counts)
    : callers_(std::move(callers)), view_(view), now_(std::move(now)), counts_(std::move(counts)),
      begun_(now_()), next_sample_(begun_) {}

bool console::serves(std::string_view path) {
  return path == "/console" || path.starts_with(page_path) || path.starts_with(data_path);
}

std::optional<http_reply> console::refuse_early(const http_request& head) {
  if (head.method != "GET") {
    http_reply reply = reply_of(
        refusal(405, "method_not_allowed", "the console only looks: this path answers GET"));
    reply.fields.emplace_back("Allow", "GET");
    return reply;
  }
  const std::string_view path = head.path;
  if (!path.starts_with(data_path)) {
    return std::nullopt; // the page itself says nothing about the node
  }
  if (const auto why = refuse_caller(callers_, head)) {
    return reply_of(refusal(403, "cross_origin", std::string{*why}));
  }
  if (callers_.keys_needed) {
    constexpr std::string_view scheme = "Bearer ";
    const std::string_view field = head.field("authorization");
    const api_key* const key =
        keys_.table.find(field.starts_with(scheme) ? field.substr(scheme.size()) : "", keys_.with);
    if (key == nullptr) {
      return reply_of(refusal(401, "invalid_api_key",
                              "there is no API key, or it is not known or was revoked"));
    }
    if (!key->may_look) {
      return reply_of(refusal(403, "role_missing", "this API key has not the role reader"));
    }
  }
  return std::nullopt;
}

void console::serve(http_request request, std::shared_ptr<http_exchange> exchange) {
  if (auto refused = refuse_early(request)) {
    return exchange->reply(std::move(*refused));
  }
  const std::string_view path = request.path;
  if (path == "/console") {
    http_reply elsewhere;
    elsewhere.status = 308;
    elsewhere.fields.emplace_back("Location", "/console/");
    return exchange->reply(std::move(elsewhere));
  }
  if (path.starts_with(page_path)) {
    const console_file* const file = find_console_file(path.substr(page_path.size()));
    return exchange->reply(
        file != nullptr ? file_reply(*file)
                        : reply_of(refusal(404, "unknown_url", "the console has no such file")));
  }
  std::string_view name = path.substr(data_path.size());
  if (name == "events") {
    return watch(exchange);
  }
  if (name == "history") {
    return exchange->reply(history());
  }
  std::optional<json> args;
  if (name.starts_with(job_path) && name.size() > job_path.size() && request.query.empty()) {
    args = json{{"request", name.substr(job_path.size())}};
    name = "job";
  } else if (is_plain(name)) {
    args = arguments_of(name, request.query);
    if (!args) {
      return exchange->reply(reply_of(refusal(
          400, "unknown_parameter",
          "plan takes 'model' and 'context', ledger 'account', without percent signs; the others "
          "take nothing")));
    }
  } else {
    return exchange->reply(reply_of(refusal(404, "unknown_url", "there is nothing at this path")));
  }
  const auto gone = std::make_shared<bool>(false);
  exchange->when_gone([gone] { *gone = true; });
  view_.look(std::string{name}, std::move(*args), [exchange, gone](const json& reply) {
    if (!*gone) {
      exchange->reply(reply.value("ok", false) ? document(reply.at("data"))
                                               : reply_of(error_of(reply)));
    }
  });
}

http_reply console::refuse_malformed(int status, std::string_view why) {
  return reply_of(refusal(status, "bad_request", fmt::format("this is no request: {}", why)));
}

void console::watch(const std::shared_ptr<http_exchange>& exchange) {
  if (watchers_.size() >= limits::console_watchers_max) {
    return exchange->reply(reply_of(
        refusal(503, "overloaded",
                fmt::format("{} consoles watch already, as many as may", watchers_.size()))));
  }
  if (watchers_.empty()) {
    shown_.clear(); // nobody looked since
  }
  const std::uint64_t id = next_watcher_++;
  exchange->when_gone([this, id] { watchers_.erase(id); });
  http_reply head;
  head.content_type = "text/event-stream";
  head.fields.emplace_back("Cache-Control", "no-store");
  watchers_[id] = exchange;
  exchange->begin_stream(std::move(head));
  std::string known;
  for (const auto& [kind, data] : shown_) {
    known += event_text(kind, data);
  }
  if (!known.empty() && watchers_.contains(id)) {
    exchange->send(std::move(known));
  }
}

void console::send_all(const std::string& piece) {
  // Whoever is gone or too slow takes himself out while he is sent to.
  const auto now = watchers_;
  for (const auto& [id, exchange] : now) {
    if (watchers_.contains(id)) {
      exchange->send(piece);
    }
  }
}

void console::take_state(std::string_view what, const json& reply) {
  --asked_;
  const json data = reply.value("ok", false) ? reply.at("data") : json{{"error", reply["error"]}};
  std::string text = data.dump(-1, ' ', false, json::error_handler_t::replace);
  std::string& before = shown_[std::string{what}];
  if (text != before) {
    before = std::move(text);
    send_all(event_text(what, before));
  }
}

void console::take_sample() {
  const api_counts counts = counts_();
  sample now{};
  now.at_ms = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(now_() - begun_).count());
  now.prompt_tokens = counts.prompt_tokens;
  now.completion_tokens = counts.completion_tokens;
  now.under_way = counts.under_way;
  for (const auto& [status, count] : counts.replies) {
    now.replies += count;
    now.errors += status >= 400 ? count : 0;
  }
  samples_.push_back(now);
  if (samples_.size() > limits::console_samples_max) {
    samples_.pop_front();
  }
}

http_reply console::history() const {
  json list = json::array();
  for (const sample& s : samples_) {
    list.push_back(
        {s.at_ms, s.prompt_tokens, s.completion_tokens, s.under_way, s.replies, s.errors});
  }
  return document(
      {{"columns",
        {"at_ms", "prompt_tokens", "completion_tokens", "under_way", "replies", "errors"}},
       {"samples", std::move(list)}});
}

void console::tick() {
  if (now_() >= next_sample_) {
    next_sample_ = now_() + limits::console_sample_every;
    take_sample();
  }
  // A node that nobody watches is asked nothing; one that is busy, nothing twice.
  if (watchers_.empty() || asked_ > 0) {
    return;
  }
  asked_ = watched.size();
  for (const std::string_view what : watched) {
    view_.look(std::string{what}, json::object(),
               [this, what](const json& reply) { take_state(what, reply); });
  }
}

} // namespace ovir::gateway
