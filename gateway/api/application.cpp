#include "gateway/api/application.hpp"

#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ovir::gateway {

namespace {

constexpr std::string_view models_path = "/v1/models";
constexpr std::string_view requests_path = "/v1/requests/";
constexpr std::string_view receipts_path = "/v1/receipts/";

bool generates(std::string_view path) {
  return path == "/v1/completions" || path == "/v1/chat/completions" || path == "/v1/embeddings";
}

/// The methods of a path; empty: there is no such path.
std::string_view own_methods_of(std::string_view path) {
  if (generates(path)) {
    return "POST";
  }
  if (path.starts_with(requests_path) && path.size() > requests_path.size()) {
    return "GET, DELETE";
  }
  const bool model = path.starts_with("/v1/models/") && path.size() > models_path.size() + 1;
  const bool receipt = path.starts_with(receipts_path) && path.size() > receipts_path.size();
  return path == "/health" || path == "/ready" || path == "/metrics" || path == models_path ||
                 model || receipt || account_routes::serves(path)
             ? "GET"
             : "";
}

/// "GET" of "GET, DELETE"; not "ET", which Beast's parser takes for a method, too.
bool is_one_of(std::string_view method, std::string_view methods) {
  constexpr std::string_view between = ", ";
  while (!methods.empty()) {
    const std::string_view one = methods.substr(0, methods.find(between));
    if (method == one) {
      return true;
    }
    methods.remove_prefix(std::min(methods.size(), one.size() + between.size()));
  }
  return false;
}

/// Of an endpoint without keys.
api_key key_of_all() {
  api_key everybody;
  everybody.name = "everybody";
  everybody.may_read_metrics = true;
  return everybody;
}

/// Hears what nothing is done with.
class deaf_exchange final : public http_exchange {
public:
  void reply(http_reply) override {}
  void begin_stream(http_reply) override {}
  void send(std::string) override {}
  void end_stream() override {}
  void when_gone(std::function<void()>) override {}
};

bool is_open_to_all(std::string_view path) { return path == "/health" || path == "/ready"; }

json model_json(const served_model& m) {
  return {{"id", m.name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "ovir"},
          {"ovir", {{"model", to_hex(m.id)}, {"cid", to_cid(m.id)}, {"context", m.context}}}};
}

} // namespace

application::application(const api_options& options, const api_surroundings& around)
    : around_(around), keys_needed_(options.keys_needed), version_(options.version),
      calls_(options, around_, replies_), answers_(around_, replies_, calls_),
      accounts_(around_, replies_) {}

void application::use_keys(known_keys keys) { keys_ = std::move(keys); }

api_counts application::counts() const {
  api_counts now = replies_.counts;
  now.under_way = calls_.under_way();
  now.connections = around_.connections();
  return now;
}

http_reply application::refuse_malformed(int status, std::string_view why) {
  if (status == 503) { // it is not the request's fault
    return replies_.answer_of(refusal(status, "overloaded", std::string{why}));
  }
  if (status == 403) {
    return replies_.answer_of(refusal(status, "cross_origin", std::string{why}));
  }
  return replies_.answer_of(
      refusal(status, "bad_request", fmt::format("this is no request: {}", why)));
}

api_result<api_key> application::key_of(const http_request& request) const {
  if (!keys_needed_) {
    return key_of_all();
  }
  constexpr std::string_view scheme = "Bearer ";
  const std::string_view field = request.field("authorization");
  const std::string_view other = request.field("x-api-key"); // of Anthropic's clients
  std::string_view text = field.empty() ? other : std::string_view{};
  if (field.starts_with(scheme)) {
    text = field.substr(scheme.size());
  }
  const api_key* const key = keys_.table.find(text, keys_.with);
  if (key == nullptr) {
    return refusal(401, "invalid_api_key",
                   field.empty() && other.empty()
                       ? "there is no API key; send 'Authorization: Bearer KEY'"
                       : "this API key is not known or was revoked");
  }
  return *key;
}

/// A browser says which page it asks for; no page may.
std::optional<api_error> application::check_origin(const http_request& request) const {
  return request.field("origin").empty()
             ? std::nullopt
             : std::optional{refusal(403, "cross_origin",
                                     "web pages of other origins may not call this endpoint")};
}

const api_door* application::door_of(std::string_view path) const {
  const auto found = std::find_if(around_.doors.begin(), around_.doors.end(),
                                  [&](const api_door* d) { return !d->methods(path).empty(); });
  return found == around_.doors.end() ? nullptr : *found;
}

bool application::in_annex(std::string_view path) const {
  return around_.annex != nullptr && !around_.annex->methods(path).empty();
}

std::string_view application::methods_of(std::string_view path, const api_door* door) const {
  if (in_annex(path)) {
    return around_.annex->methods(path);
  }
  return door != nullptr ? door->methods(path) : own_methods_of(path);
}

std::optional<std::size_t> application::body_bytes_for(const http_request& head) const {
  return in_annex(head.path) ? around_.annex->body_bytes_for(head) : std::nullopt;
}

std::optional<api_key> application::key_called(std::string_view id) const {
  if (!keys_needed_) {
    return id.empty() ? std::optional{key_of_all()} : std::nullopt;
  }
  const auto& all = keys_.table.keys();
  const auto found = std::find_if(all.begin(), all.end(), [&](const api_key& key) {
    return key.id == id && key.revoked == 0 && key.may_infer;
  });
  return found == all.end() ? std::nullopt : std::optional{*found};
}

ask_start application::ask(std::string_view key_id, http_request request,
                           const std::shared_ptr<http_exchange>& exchange, bool may_run) {
  const auto key = key_called(key_id);
  if (!key) {
    return ask_start::no_key;
  }
  if (draining_ || calls_.full()) {
    return ask_start::no_room;
  }
  const unattended_request how{may_run};
  calls_.generate(std::move(request), *key, exchange, nullptr, &how);
  return ask_start::begun;
}

void application::give_up(std::string_view key_id, request_id id) {
  if (const auto key = key_called(key_id)) {
    calls_.cancel(*key, to_text(id), std::make_shared<deaf_exchange>());
  }
}

void application::tick() {
  calls_.tick();
  if (around_.annex != nullptr) {
    around_.annex->tick();
  }
}

std::optional<api_error> application::refuse_route(const http_request& request,
                                                   const api_door* door) const {
  const std::string_view methods = methods_of(request.path, door);
  if (methods.empty()) {
    return refusal(404, "unknown_url", "there is nothing at this path");
  }
  if (!is_one_of(request.method, methods)) {
    return refusal(405, "method_not_allowed", fmt::format("this path answers {}", methods));
  }
  return std::nullopt;
}

std::optional<api_error> application::refuse_caller(const http_request& head,
                                                    const api_door* door) {
  const auto key = key_of(head);
  if (const auto* const refused = std::get_if<api_error>(&key)) {
    return *refused;
  }
  const bool metrics = head.path == "/metrics";
  const auto& good = std::get<api_key>(key);
  if (metrics ? !good.may_read_metrics : !good.may_infer) {
    return refusal(403, "role_missing",
                   fmt::format("this API key has not the role {}", metrics ? "metrics" : "infer"));
  }
  if (in_annex(head.path)) {
    return around_.annex->refuse(head, draining_);
  }
  if (door != nullptr ? !door->reads(head.path) : !generates(head.path)) {
    return std::nullopt;
  }
  if (draining_) {
    return refusal(503, "draining", "this node is about to stop; ask another");
  }
  if (!is_json(head.field("content-type")) && (door == nullptr || !door->takes_any_type())) {
    return refusal(415, "unsupported_media_type",
                   "the body must be JSON, with 'Content-Type: application/json'");
  }
  if (calls_.full()) {
    return refusal(
        503, "overloaded",
        fmt::format("{} requests are under way here, as many as there may be", calls_.under_way()));
  }
  return std::nullopt;
}

std::optional<http_reply> application::refuse_early(const http_request& head) {
  const api_door* const door = door_of(head.path);
  if (const auto wrong = check_origin(head)) {
    return replies_.answer_of(*wrong, door);
  }
  if (const auto wrong = refuse_route(head, door)) {
    http_reply reply = replies_.answer_of(*wrong, door);
    if (wrong->status == 405) {
      reply.fields.emplace_back("Allow", methods_of(head.path, door));
    }
    return reply;
  }
  if (door != nullptr ? door->is_open(head.path) : is_open_to_all(head.path)) {
    return std::nullopt;
  }
  const auto wrong = refuse_caller(head, door);
  return wrong ? std::optional{replies_.answer_of(*wrong, door)} : std::nullopt;
}

void application::serve(http_request request, std::shared_ptr<http_exchange> exchange) {
  if (request.path == "/health") {
    return exchange->reply(replies_.counted(document({{"status", "ok"}})));
  }
  if (request.path == "/ready") {
    return exchange->reply(replies_.counted(ready()));
  }
  // Again, because the body may have taken half a minute.
  if (auto refused = refuse_early(request)) {
    return exchange->reply(std::move(*refused));
  }
  const api_door* const door = door_of(request.path);
  if (door != nullptr && door->is_open(request.path)) {
    return exchange->reply(reply_of(*door, request, {}));
  }
  const auto found = key_of(request);
  const api_key& key = std::get<api_key>(found);
  if (in_annex(request.path)) {
    return around_.annex->serve(std::move(request), key, exchange);
  }
  if (door != nullptr && door->reads(request.path)) {
    return calls_.generate(std::move(request), key, exchange, door);
  }
  if (door != nullptr) {
    return exchange->reply(reply_of(*door, request, key.id));
  }
  if (generates(request.path)) {
    return calls_.generate(std::move(request), key, exchange);
  }
  if (request.path == "/metrics") {
    return show_metrics(exchange);
  }
  if (account_routes::serves(request.path)) {
    return accounts_.show(request, key, exchange);
  }
  if (request.path == models_path) {
    return exchange->reply(replies_.counted(list_models()));
  }
  if (request.path.starts_with(receipts_path)) {
    return answers_.show(key, std::string_view{request.path}.substr(receipts_path.size()),
                         exchange);
  }
  if (request.path.starts_with(requests_path)) {
    if (request.method == "DELETE") {
      return calls_.cancel(key, request.path.substr(requests_path.size()), exchange);
    }
    return calls_.resume(request, key, exchange);
  }
  exchange->reply(show_model(std::string_view{request.path}.substr(models_path.size() + 1)));
}

http_reply application::reply_of(const api_door& door, const http_request& request,
                                 const std::string& owner) {
  const auto models = around_.engine->models();
  return replies_.counted(door.reply(request, {owner, models, calls_.kept(), version_}));
}

/// The node's part may come when the client is gone, which the exchange does not mind.
void application::show_metrics(const std::shared_ptr<http_exchange>& exchange) {
  const auto show = [this, exchange](metric_families node) {
    metric_families all = families_of(counts());
    if (around_.annex != nullptr) {
      around_.annex->measure(all);
    }
    std::move(node.begin(), node.end(), std::back_inserter(all));
    http_reply page;
    page.content_type = metrics_content_type;
    page.body = metrics_text(all);
    exchange->reply(replies_.counted(std::move(page)));
  };
  if (around_.measure) {
    around_.measure(show);
  } else {
    show({});
  }
}

http_reply application::ready() {
  if (!draining_ && around_.engine->ready()) {
    return document({{"status", "ready"}});
  }
  std::string why = "this node drains";
  if (!draining_) {
    const std::string doing = around_.engine->doing();
    why = "no model has all its layers on nodes that live" + (doing.empty() ? doing : "; " + doing);
  }
  http_reply reply = document({{"status", std::move(why)}});
  reply.status = 503;
  reply.fields.emplace_back("Retry-After", std::to_string(limits::api_retry_after.count()));
  return reply;
}

http_reply application::list_models() {
  json list = json::array();
  for (const served_model& m : around_.engine->models()) {
    list.push_back(model_json(m));
  }
  return document({{"object", "list"}, {"data", std::move(list)}});
}

http_reply application::show_model(std::string_view name) {
  const auto found = find_model(around_.engine->models(), name);
  if (const auto* const refused = std::get_if<api_error>(&found)) {
    return replies_.answer_of(*refused);
  }
  return replies_.counted(document(model_json(std::get<served_model>(found))));
}

} // namespace ovir::gateway
