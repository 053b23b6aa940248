#include "gateway/doors/responses_voice.hpp"

#include "gateway/api/answer_writer.hpp"
#include "gateway/doors/answer_blocks.hpp"
#include "gateway/doors/door_body.hpp"

#include <fmt/format.h>

#include <utility>

namespace ovir::gateway {

namespace {

/// What all answers to one request know of it.
struct responses_memory {
  json echo;
  ordered_json conversation;
  bool store{true};
};

class responses_voice final : public answer_voice {
public:
  responses_voice(std::shared_ptr<const responses_memory> memory, const answer_shape& shape)
      : memory_(std::move(memory)), id_(to_text(shape.id)), name_(response_name(shape.id)),
        model_(shape.model), created_(shape.created) {}

  std::string add(const tool_call_reader::pieces& more) override {
    std::string events = begun();
    return events + events_of(blocks_.add(more));
  }

  std::string finish(const answer_end& end) override {
    std::string events = begun();
    events += events_of(blocks_.finish());
    end_ = end;
    const std::string status = status_of_end();
    return events + event("response." + status, {{"response", response(status)}});
  }

  std::string body() const override { return dumped(response(status_of_end())); }

  std::string beat() override { return beat_event(); }

  std::string failed(const api_error& why) override {
    std::string events = begun();
    json response_now = response("failed");
    response_now["error"] = {{"code", why.code}, {"message", why.message}};
    return events + event("response.failed", {{"response", std::move(response_now)}});
  }

  std::optional<kept_answer> kept() const override {
    if (!memory_->store) {
      return std::nullopt;
    }
    ordered_json said{{"role", "assistant"}};
    std::string text;
    ordered_json calls = ordered_json::array();
    for (std::size_t i = 0; i < blocks_.all().size(); ++i) {
      const answer_block& block = blocks_.all()[i];
      if (!block.is_call) {
        text += block.text;
      } else if (answer_blocks::is_whole(block)) {
        calls.push_back(chat_call_of(call_name(i), block.name, block.text));
      }
    }
    if (!text.empty() || calls.empty()) {
      said["content"] = text;
    }
    if (!calls.empty()) {
      said["tool_calls"] = std::move(calls);
    }
    ordered_json conversation = memory_->conversation;
    conversation.push_back(std::move(said));
    return kept_answer{body(), dumped(conversation)};
  }

private:
  [[nodiscard]] std::string call_name(std::size_t block) const {
    return fmt::format("call_{}_{}", id_, block);
  }

  /// An answer that was cancelled was cut off, as one at its limit.
  [[nodiscard]] std::string status_of_end() const {
    return end_.why == finish_reason::stop ? "completed" : "incomplete";
  }

  [[nodiscard]] json part(const std::string& text) const {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", json::array()},
            {"logprobs", json::array()}};
  }

  [[nodiscard]] std::string item_name(std::size_t block) const {
    return fmt::format("{}_{}_{}", blocks_.all()[block].is_call ? "fc" : "msg", id_, block);
  }

  /// `whole`: with what came of it; else as it opens.
  [[nodiscard]] json item(std::size_t i, bool whole) const {
    const answer_block& block = blocks_.all()[i];
    const bool cut = block.is_call && !answer_blocks::is_whole(block);
    json out{{"id", item_name(i)},
             {"type", block.is_call ? "function_call" : "message"},
             {"status", !whole ? "in_progress"
                        : cut  ? "incomplete"
                               : "completed"}};
    if (block.is_call) {
      out["call_id"] = call_name(i);
      out["name"] = block.name;
      out["arguments"] = whole ? block.text : std::string{};
    } else {
      out["role"] = "assistant";
      out["content"] = whole ? json::array({part(block.text)}) : json::array();
    }
    return out;
  }

  [[nodiscard]] json response(const std::string& status) const {
    json out = memory_->echo;
    out["id"] = name_;
    out["object"] = "response";
    out["created_at"] = created_;
    out["model"] = model_;
    out["status"] = status;
    out["error"] = nullptr;
    out["incomplete_details"] = nullptr;
    out["output"] = json::array();
    out["usage"] = nullptr;
    if (status == "in_progress" || status == "failed") {
      return out;
    }
    if (end_.why != finish_reason::stop) {
      const bool cancelled = end_.why == finish_reason::cancelled;
      out["incomplete_details"] = {{"reason", cancelled ? "cancelled" : "max_output_tokens"}};
    }
    for (std::size_t i = 0; i < blocks_.all().size(); ++i) {
      out["output"].push_back(item(i, true));
    }
    out["usage"] = {{"input_tokens", end_.prompt_tokens},
                    {"input_tokens_details", {{"cached_tokens", end_.cached}}},
                    {"output_tokens", end_.tokens},
                    {"output_tokens_details", {{"reasoning_tokens", 0}}},
                    {"total_tokens", end_.prompt_tokens + end_.tokens}};
    out["ovir"] = end_.evidence;
    return out;
  }

  std::string event(const std::string& type, json data) {
    data["type"] = type;
    data["sequence_number"] = sequence_++;
    return typed_event(type, data);
  }

  std::string begun() {
    if (std::exchange(begun_, true)) {
      return {};
    }
    std::string events = event("response.created", {{"response", response("in_progress")}});
    return events + event("response.in_progress", {{"response", response("in_progress")}});
  }

  std::string opened(std::size_t i) {
    std::string events =
        event("response.output_item.added", {{"output_index", i}, {"item", item(i, false)}});
    if (!blocks_.all()[i].is_call) {
      events += event("response.content_part.added", {{"item_id", item_name(i)},
                                                      {"output_index", i},
                                                      {"content_index", 0},
                                                      {"part", part("")}});
    }
    return events;
  }

  std::string grown(std::size_t i, const std::string& more) {
    json data{{"item_id", item_name(i)}, {"output_index", i}, {"delta", more}};
    if (blocks_.all()[i].is_call) {
      return event("response.function_call_arguments.delta", std::move(data));
    }
    data["content_index"] = 0;
    data["logprobs"] = json::array();
    return event("response.output_text.delta", std::move(data));
  }

  std::string closed(std::size_t i) {
    const answer_block& block = blocks_.all()[i];
    const json place{{"item_id", item_name(i)}, {"output_index", i}};
    std::string events;
    if (block.is_call) {
      json done = place;
      done["name"] = block.name;
      done["arguments"] = block.text;
      events = event("response.function_call_arguments.done", std::move(done));
    } else {
      json done = place;
      done["content_index"] = 0;
      json part_done = done;
      done["text"] = block.text;
      done["logprobs"] = json::array();
      part_done["part"] = part(block.text);
      events = event("response.output_text.done", std::move(done));
      events += event("response.content_part.done", std::move(part_done));
    }
    return events +
           event("response.output_item.done", {{"output_index", i}, {"item", item(i, true)}});
  }

  std::string events_of(const std::vector<block_step>& steps) {
    std::string events;
    for (const block_step& step : steps) {
      switch (step.what) {
      case block_step::kind::open: events += opened(step.block); break;
      case block_step::kind::more: events += grown(step.block, step.more); break;
      case block_step::kind::close: events += closed(step.block); break;
      }
    }
    return events;
  }

  std::shared_ptr<const responses_memory> memory_;
  std::string id_;
  std::string name_;
  std::string model_;
  std::uint64_t created_;
  answer_blocks blocks_;
  answer_end end_;
  std::uint64_t sequence_{0};
  bool begun_{false};
};

class whole_responses_form final : public answer_form {
public:
  explicit whole_responses_form(responses_request request)
      : memory_(std::make_shared<const responses_memory>(responses_memory{
            std::move(request.echo), std::move(request.conversation), request.store})) {}

  std::unique_ptr<answer_voice> voice(const answer_shape& shape) const override {
    return std::make_unique<responses_voice>(memory_, shape);
  }
  std::string_view stream_type() const override { return "text/event-stream; charset=utf-8"; }
  std::string error_body(const api_error& why) const override { return body_of(why); }

private:
  std::shared_ptr<const responses_memory> memory_;
};

} // namespace

std::shared_ptr<const answer_form> responses_form(responses_request request) {
  return std::make_shared<whole_responses_form>(std::move(request));
}

} // namespace ovir::gateway
