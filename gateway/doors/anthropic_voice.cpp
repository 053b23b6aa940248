#include "gateway/doors/anthropic_voice.hpp"

#include "gateway/api/answer_writer.hpp"
#include "gateway/doors/answer_blocks.hpp"
#include "gateway/doors/door_body.hpp"

#include <fmt/format.h>

namespace ovir::gateway {

namespace {

std::string_view anthropic_type_of(int status) {
  switch (status) {
  case 401: return "authentication_error";
  case 403: return "permission_error";
  case 404: return "not_found_error";
  case 413: return "request_too_large";
  case 429: return "rate_limit_error";
  case 503: return "overloaded_error";
  case 504: return "timeout_error";
  default: break;
  }
  return status < 500 ? "invalid_request_error" : "api_error";
}

json anthropic_error_json(const api_error& why) {
  return {{"type", "error"},
          {"error", {{"type", anthropic_type_of(why.status)}, {"message", why.message}}}};
}

class anthropic_voice final : public answer_voice {
public:
  explicit anthropic_voice(const answer_shape& shape)
      : id_(to_text(shape.id)), model_(shape.model), prompt_tokens_(shape.prompt_tokens) {}

  std::string add(const tool_call_reader::pieces& more) override {
    return begun() + events_of(blocks_.add(more));
  }

  std::string finish(const answer_end& end) override {
    std::string events = begun() + events_of(blocks_.finish());
    end_ = end;
    events += typed_event(
        "message_delta",
        {{"type", "message_delta"},
         {"delta", {{"stop_reason", stop_reason()}, {"stop_sequence", stop_sequence()}}},
         {"usage", usage()},
         {"ovir", end_.evidence}});
    return events + typed_event("message_stop", {{"type", "message_stop"}});
  }

  std::string body() const override {
    json message = message_json();
    for (std::size_t i = 0; i < blocks_.all().size(); ++i) {
      const answer_block& block = blocks_.all()[i];
      if (block.is_call && !answer_blocks::is_whole(block)) {
        continue; // cut off: there is nothing to call with
      }
      json one = opened(i);
      if (block.is_call) {
        one["input"] = json::parse(block.text, nullptr, false);
      } else {
        one["text"] = block.text;
      }
      message["content"].push_back(std::move(one));
    }
    message["stop_reason"] = stop_reason();
    message["stop_sequence"] = stop_sequence();
    message["usage"] = usage();
    message["ovir"] = end_.evidence;
    return dumped(message);
  }

  std::string beat() override { return begun() + ping(); }

  std::string failed(const api_error& why) override {
    return typed_event("error", anthropic_error_json(why));
  }

private:
  static std::string ping() { return typed_event("ping", {{"type", "ping"}}); }

  [[nodiscard]] json message_json() const {
    return {{"id", "msg_" + id_},      {"type", "message"},        {"role", "assistant"},
            {"model", model_},         {"content", json::array()}, {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }

  std::string begun() {
    if (std::exchange(begun_, true)) {
      return {};
    }
    json message = message_json();
    message["usage"] = {{"input_tokens", prompt_tokens_},
                        {"cache_creation_input_tokens", 0},
                        {"cache_read_input_tokens", 0},
                        {"output_tokens", 0}};
    return typed_event("message_start", {{"type", "message_start"}, {"message", message}}) + ping();
  }

  /// A block as it opens.
  [[nodiscard]] json opened(std::size_t i) const {
    const answer_block& block = blocks_.all()[i];
    if (!block.is_call) {
      return {{"type", "text"}, {"text", ""}};
    }
    return {{"type", "tool_use"},
            {"id", fmt::format("toolu_{}_{}", id_, i)},
            {"name", block.name},
            {"input", json::object()}};
  }

  [[nodiscard]] std::string events_of(const std::vector<block_step>& steps) const {
    std::string events;
    for (const block_step& step : steps) {
      const bool call = blocks_.all()[step.block].is_call;
      json event{{"index", step.block}};
      switch (step.what) {
      case block_step::kind::open:
        event["type"] = "content_block_start";
        event["content_block"] = opened(step.block);
        break;
      case block_step::kind::more:
        event["type"] = "content_block_delta";
        event["delta"] = call ? json{{"type", "input_json_delta"}, {"partial_json", step.more}}
                              : json{{"type", "text_delta"}, {"text", step.more}};
        break;
      case block_step::kind::close: event["type"] = "content_block_stop"; break;
      }
      const std::string type = event["type"];
      events += typed_event(type, event);
    }
    return events;
  }

  /// An answer that was cancelled was cut off, as one at its limit.
  [[nodiscard]] std::string_view stop_reason() const {
    if (end_.why != finish_reason::stop) {
      return "max_tokens";
    }
    if (blocks_.calls() > 0) {
      return "tool_use";
    }
    return end_.stop.empty() ? "end_turn" : "stop_sequence";
  }
  [[nodiscard]] json stop_sequence() const {
    return stop_reason() == "stop_sequence" ? json(end_.stop) : json(nullptr);
  }
  /// Tokens of the prompt that were kept are counted apart.
  [[nodiscard]] json usage() const {
    return {{"input_tokens", end_.prompt_tokens - std::min(end_.prompt_tokens, end_.cached)},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", end_.cached},
            {"output_tokens", end_.tokens}};
  }

  std::string id_;
  std::string model_;
  std::uint64_t prompt_tokens_;
  answer_blocks blocks_;
  answer_end end_;
  bool begun_{false};
};

class whole_anthropic_form final : public answer_form {
public:
  explicit whole_anthropic_form(bool count) : count_(count) {}

  std::unique_ptr<answer_voice> voice(const answer_shape& shape) const override {
    return std::make_unique<anthropic_voice>(shape);
  }
  std::string_view stream_type() const override { return "text/event-stream; charset=utf-8"; }
  std::string error_body(const api_error& why) const override { return anthropic_error(why); }
  form_purpose purpose() const override {
    return count_ ? form_purpose::count : form_purpose::answer;
  }
  http_reply told(const served_model& model, std::uint64_t tokens) const override {
    static_cast<void>(model);
    http_reply reply;
    reply.body = dumped(json{{"input_tokens", tokens}});
    return reply;
  }

private:
  bool count_;
};

} // namespace

std::shared_ptr<const answer_form> anthropic_form(bool count) {
  return std::make_shared<whole_anthropic_form>(count);
}

std::string anthropic_error(const api_error& why) { return dumped(anthropic_error_json(why)); }

} // namespace ovir::gateway
