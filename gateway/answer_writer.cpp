#include "gateway/answer_writer.hpp"

#include "gateway/bounded_json.hpp"
#include "messages/check.hpp"

#include <algorithm>

namespace ovir::gateway {

namespace {

std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view reason_of(generation_ending ending) {
  switch (ending) {
  case generation_ending::stop: return "stop";
  case generation_ending::length: return "length";
  case generation_ending::cancelled: return "cancelled";
  }
  return "length";
}

std::string id_of(const answer_shape& shape) {
  return (shape.kind == api_kind::chat ? "chatcmpl-" : "cmpl-") + to_text(shape.id);
}

json head_of(const answer_shape& shape) {
  const bool chat = shape.kind == api_kind::chat;
  std::string object = chat ? "chat.completion" : "text_completion";
  if (chat && shape.stream) {
    object += ".chunk";
  }
  return {{"id", id_of(shape)},
          {"object", std::move(object)},
          {"created", shape.created},
          {"model", shape.model},
          {"system_fingerprint", shape.fingerprint}};
}

json evidence_of(request_id id, const generation_outcome& outcome) {
  return {{"request", to_text(id)}, {"transcript", to_hex(outcome.transcript)}};
}

json usage_of(const answer_shape& shape, std::uint64_t drawn) {
  return {{"prompt_tokens", shape.prompt_tokens},
          {"completion_tokens", drawn},
          {"total_tokens", shape.prompt_tokens + drawn}};
}

} // namespace

answer_writer::answer_writer(answer_shape shape, std::vector<std::uint32_t> received)
    : shape_(std::move(shape)), answers_(shape_.answers.size()) {
  for (std::size_t i = 0; i < answers_.size() && i < received.size(); ++i) {
    answers_[i].received = received[i];
  }
}

bool answer_writer::fits(const answer_shape& shape, const event_id& last) {
  return last.request == shape.id && last.received.size() == shape.answers.size();
}

event_id answer_writer::place() const {
  event_id id{shape_.id, {}};
  for (const answer& a : answers_) {
    id.received.push_back(a.received);
  }
  return id;
}

std::string answer_writer::event(std::uint32_t index, const std::string& text,
                                 const generation_outcome* end) {
  json choice{{"index", index}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  if (shape_.kind == api_kind::chat) {
    choice["delta"] = json::object();
    if (end == nullptr || !text.empty()) {
      choice["delta"]["content"] = text;
    }
    if (answers_[index].received == 0) {
      choice["delta"]["role"] = "assistant";
    }
  } else {
    choice["text"] = text;
  }
  if (end != nullptr) {
    choice["finish_reason"] = reason_of(end->ending);
    choice["ovir"] = evidence_of(shape_.answers[index], *end);
  }
  ++answers_[index].received;
  json document = head_of(shape_);
  document["choices"] = json::array({std::move(choice)});
  if (shape_.include_usage) {
    document["usage"] = nullptr;
  }
  return fmt::format("id: {}\ndata: {}\n\n", to_text(place()), dumped(document));
}

std::string answer_writer::on_token(std::uint32_t which, std::uint32_t index,
                                    const std::string& text) {
  answer& a = answers_.at(which);
  OVIR_CHECK(index == a.next, index, a.next);
  ++a.next;
  a.text_bytes += text.size();
  return shape_.stream && index >= a.received ? event(which, text, nullptr) : std::string{};
}

std::string answer_writer::on_end(std::uint32_t which, generation_outcome outcome) {
  answer& a = answers_.at(which);
  const std::string rest =
      outcome.text.size() > a.text_bytes ? outcome.text.substr(a.text_bytes) : std::string{};
  a.outcome = std::move(outcome);
  std::string events;
  if (!shape_.stream) {
    return events;
  }
  if (a.received <= a.next) { // else it has the end already
    events = event(which, rest, &*a.outcome);
  }
  if (over()) {
    if (shape_.include_usage) {
      json document = head_of(shape_);
      document["choices"] = json::array();
      document["usage"] = usage_of(shape_, tokens());
      events += fmt::format("id: {}\ndata: {}\n\n", to_text(place()), dumped(document));
    }
    events += "data: [DONE]\n\n";
  }
  return events;
}

bool answer_writer::over() const {
  return std::all_of(answers_.begin(), answers_.end(),
                     [](const answer& a) { return a.outcome.has_value(); });
}

std::uint64_t answer_writer::tokens() const {
  std::uint64_t sum = 0;
  for (const answer& a : answers_) {
    sum += a.outcome ? a.outcome->tokens : a.next;
  }
  return sum;
}

std::optional<digest> answer_writer::transcript() const {
  return answers_.size() == 1 && answers_.front().outcome
             ? std::optional{answers_.front().outcome->transcript}
             : std::nullopt;
}

std::string answer_writer::body() const {
  json choices = json::array();
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    const generation_outcome& outcome = *answers_[i].outcome;
    json choice{{"index", i},
                {"logprobs", nullptr},
                {"finish_reason", reason_of(outcome.ending)},
                {"ovir", evidence_of(shape_.answers[i], outcome)}};
    if (shape_.kind == api_kind::chat) {
      choice["message"] = {{"role", "assistant"}, {"content", outcome.text}, {"refusal", nullptr}};
    } else {
      choice["text"] = outcome.text;
    }
    choices.push_back(std::move(choice));
  }
  json document = head_of(shape_);
  document["choices"] = std::move(choices);
  document["usage"] = usage_of(shape_, tokens());
  return dumped(document);
}

std::string error_event(const api_error& e) { return fmt::format("data: {}\n\n", body_of(e)); }

std::string beat_event() { return ": waits\n\n"; }

} // namespace ovir::gateway
