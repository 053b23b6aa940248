#include "gateway/api/answer_writer.hpp"

#include "compute/forward/pooled_rows.hpp"
#include "gateway/api/embedding_json.hpp"
#include "gateway/http/bounded_json.hpp"
#include "messages/check.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <numeric>

namespace ovir::gateway {

namespace {

std::string dumped(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view reason_of(finish_reason end, std::size_t calls) {
  switch (end) {
  case finish_reason::stop: return calls > 0 ? "tool_calls" : "stop";
  case finish_reason::length: return "length";
  case finish_reason::cancelled: return "cancelled";
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
  json evidence{{"request", to_text(id)}, {"transcript", to_hex(outcome.transcript)}};
  if (outcome.receipt) {
    if (*outcome.receipt) {
      evidence["receipt"] = receipt_url(id);
    } else {
      evidence["receipt_error"] = outcome.receipt->error().message;
    }
  }
  return evidence;
}

/// Names follow from the answer's, so that whoever comes back finds the same.
std::string call_id(request_id answer, std::size_t call) {
  return fmt::format("call_{}_{}", to_text(answer), call);
}

json calls_of(request_id answer, const std::vector<tool_call_reader::call_piece>& calls,
              bool as_delta) {
  json list = json::array();
  for (const tool_call_reader::call_piece& piece : calls) {
    json one{{"function", {{"arguments", piece.arguments}}}};
    if (as_delta) {
      one["index"] = piece.call;
    }
    if (!piece.name.empty()) {
      one["id"] = call_id(answer, piece.call);
      one["type"] = "function";
      one["function"]["name"] = piece.name;
    }
    list.push_back(std::move(one));
  }
  return list;
}

/// Pieces of one call belong together.
void add(tool_call_reader::pieces& known, tool_call_reader::pieces more) {
  known.content += more.content;
  for (tool_call_reader::call_piece& piece : more.calls) {
    if (piece.name.empty() && !known.calls.empty() && known.calls.back().call == piece.call) {
      known.calls.back().arguments += piece.arguments;
    } else {
      known.calls.push_back(std::move(piece));
    }
  }
}

json usage_of(const answer_shape& shape, std::uint64_t drawn, std::uint64_t cached) {
  return {{"prompt_tokens", shape.prompt_tokens},
          {"completion_tokens", drawn},
          {"total_tokens", shape.prompt_tokens + drawn},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

/// The first of `stop` that became whole in `text`; empty: none.
std::string first_of(const std::vector<std::string>& stop, const std::string& text) {
  std::string first;
  std::size_t least = std::string::npos;
  for (const std::string& one : stop) {
    const std::size_t at = text.find(one);
    if (at != std::string::npos && at + one.size() < least) {
      least = at + one.size();
      first = one;
    }
  }
  return first;
}

} // namespace

answer_writer::answer_writer(answer_shape shape, std::vector<std::uint32_t> received)
    : shape_(std::move(shape)), answers_(shape_.answers.size()) {
  for (std::size_t i = 0; i < answers_.size() && i < received.size(); ++i) {
    answers_[i].received = received[i];
  }
  if (shape_.form) {
    voice_ = shape_.form->voice(shape_);
  }
}

bool answer_writer::fits(const answer_shape& shape, const event_id& last) {
  return !shape.form && last.request == shape.id && last.received.size() == shape.answers.size();
}

event_id answer_writer::place() const {
  event_id id{shape_.id, {}};
  for (const answer& a : answers_) {
    id.received.push_back(a.received);
  }
  return id;
}

tool_call_reader::pieces answer_writer::pieces_of(answer& a, const std::string& text) const {
  return shape_.has_tools ? a.calls.add(text) : tool_call_reader::pieces{text, {}};
}

/// Null where there are none; what is taken is not told again.
json answer_writer::take_logprobs(answer& a) const {
  if (shape_.vocabulary == nullptr || a.told.tokens.empty()) {
    return nullptr;
  }
  json told = logprobs_json(shape_.kind, a.told, *shape_.vocabulary);
  for (const told_token& one : a.told.tokens) {
    a.told.offset += characters_of(one.token, *shape_.vocabulary);
  }
  a.told.tokens.clear();
  return told;
}

std::string answer_writer::event(std::uint32_t index, const tool_call_reader::pieces& text,
                                 const generation_outcome* end) {
  json choice{
      {"index", index}, {"logprobs", take_logprobs(answers_[index])}, {"finish_reason", nullptr}};
  if (shape_.kind == api_kind::chat) {
    choice["delta"] = json::object();
    if (!text.calls.empty()) {
      choice["delta"]["tool_calls"] = calls_of(shape_.answers[index], text.calls, true);
    }
    if (!text.content.empty() || (end == nullptr && text.calls.empty())) {
      choice["delta"]["content"] = text.content;
    }
    if (answers_[index].received == 0) {
      choice["delta"]["role"] = "assistant";
    }
  } else {
    const bool first = answers_[index].received == 0;
    choice["text"] = first ? shape_.echo_of(index) + text.content : text.content;
  }
  if (end != nullptr) {
    choice["finish_reason"] = reason_of(end->end, answers_[index].calls.calls());
    choice["ovir"] = evidence_of(shape_.answers[index], *end);
  }
  answers_[index].received += OVIR_MUTANT("gateway_counts_no_events") ? 0 : 1;
  json document = head_of(shape_);
  document["choices"] = json::array({std::move(choice)});
  if (shape_.include_usage) {
    document["usage"] = nullptr;
  }
  return fmt::format("id: {}\ndata: {}\n\n", to_text(place()), dumped(document));
}

std::string answer_writer::on_token(std::uint32_t which, const told_token& token) {
  answer& a = answers_.at(which);
  OVIR_CHECK(token.index == a.next, token.index, a.next);
  ++a.next;
  a.text_bytes += token.text.size();
  if (shape_.ranks() && token.logprobs != nullptr) {
    a.likelihood += static_cast<double>(token.logprobs->drawn);
  }
  if (shape_.vocabulary != nullptr) {
    a.told.tokens.push_back(token);
  }
  if (voice_) {
    if (!shape_.stop.empty() && token.index >= shape_.stop_from) {
      a.raw += shape_.words->piece(token.token, false);
    }
    std::string told = voice_->add(pieces_of(a, token.text));
    return shape_.stream ? told : std::string{};
  }
  if (!shape_.stream) {
    return {};
  }
  const auto pieces = pieces_of(a, token.text);
  if (token.index < a.received + (OVIR_MUTANT("gateway_skips_a_token_of_a_return") &&
                                          a.received > 0 && token.index == a.received
                                      ? 1
                                      : 0)) {
    static_cast<void>(take_logprobs(a));
    return {};
  }
  return event(which, pieces, nullptr);
}

std::string answer_writer::on_end(std::uint32_t which, generation_outcome outcome) {
  answer& a = answers_.at(which);
  const std::string rest =
      outcome.text.size() > a.text_bytes ? outcome.text.substr(a.text_bytes) : std::string{};
  a.outcome = std::move(outcome);
  std::string events;
  if (voice_) {
    auto last = pieces_of(a, rest);
    add(last, a.calls.finish());
    if (shape_.kind != api_kind::embedding) {
      events = say_end(a, last);
    } else if (over()) { // in their order, whichever came first
      for (answer& one : answers_) {
        events += say_end(one, {});
      }
    }
    return shape_.stream ? events : std::string{};
  }
  if (!shape_.stream) {
    return events;
  }
  auto pieces = pieces_of(a, rest);
  add(pieces, a.calls.finish());
  if (a.received <= a.next) { // else it has the end already
    events = event(which, pieces, &*a.outcome);
  }
  if (over()) {
    if (shape_.include_usage) {
      json document = head_of(shape_);
      document["choices"] = json::array();
      document["usage"] = usage_of(shape_, tokens(), cached());
      events += fmt::format("id: {}\ndata: {}\n\n", to_text(place()), dumped(document));
    }
    events += "data: [DONE]\n\n";
  }
  return events;
}

std::string answer_writer::say_end(answer& a, const tool_call_reader::pieces& rest) {
  std::string events;
  if (!rest.content.empty() || !rest.calls.empty()) {
    events = voice_->add(rest);
  }
  answer_end end;
  end.why = a.outcome->end;
  end.stop = end.why == finish_reason::stop ? first_of(shape_.stop, a.raw) : std::string{};
  end.prompt_tokens = shape_.prompt_tokens;
  end.tokens = a.outcome->tokens;
  end.cached = a.outcome->cached_tokens;
  const auto which = static_cast<std::size_t>(&a - answers_.data());
  end.evidence = evidence_of(shape_.answers[which], *a.outcome);
  end.took = took_;
  end.first = first_;
  end.vector = vector_of(*a.outcome);
  return events + voice_->finish(end);
}

void answer_writer::set_times(std::chrono::nanoseconds took, std::chrono::nanoseconds first) {
  took_ = took;
  first_ = first;
}

std::string_view answer_writer::stream_type() const {
  return shape_.form ? shape_.form->stream_type() : "text/event-stream; charset=utf-8";
}

std::string answer_writer::beat() { return voice_ ? voice_->beat() : beat_event(); }

std::string answer_writer::failed(const api_error& why) {
  return voice_ ? voice_->failed(why) : error_event(why);
}

std::optional<kept_answer> answer_writer::kept() const {
  return voice_ ? voice_->kept() : std::nullopt;
}

bool answer_writer::over() const {
  return std::all_of(answers_.begin(), answers_.end(),
                     [](const answer& a) { return a.outcome.has_value(); });
}

// Answers to one prompt share it: the most that any of them found counts, once for each prompt.
std::uint64_t answer_writer::cached() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < answers_.size(); i += shape_.answers_each) {
    std::uint32_t most = 0;
    for (std::size_t k = i; k < std::min(answers_.size(), i + shape_.answers_each); ++k) {
      most = std::max(most, answers_[k].outcome ? answers_[k].outcome->cached_tokens : 0);
    }
    sum += most;
  }
  return sum;
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

std::vector<float> answer_writer::vector_of(const generation_outcome& outcome) const {
  return shape_.dimensions && *shape_.dimensions < outcome.embedding.size()
             ? compute::shortened(outcome.embedding, *shape_.dimensions)
             : outcome.embedding;
}

json answer_writer::embeddings() const {
  json data = json::array();
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    const generation_outcome& outcome = *answers_[i].outcome;
    data.push_back({{"object", "embedding"},
                    {"index", i},
                    {"embedding", embedding_json(vector_of(outcome), shape_.base64)},
                    {"ovir", evidence_of(shape_.answers[i], outcome)}});
  }
  return {
      {"object", "list"},
      {"model", shape_.model},
      {"system_fingerprint", shape_.fingerprint},
      {"data", std::move(data)},
      {"usage", {{"prompt_tokens", shape_.prompt_tokens}, {"total_tokens", shape_.prompt_tokens}}}};
}

std::string answer_writer::body() const {
  if (voice_) {
    return voice_->body();
  }
  if (shape_.kind == api_kind::embedding) {
    return dumped(embeddings());
  }
  json choices = json::array();
  for (const std::size_t which : told()) {
    choices.push_back(choice_of(which, choices.size()));
  }
  json document = head_of(shape_);
  document["choices"] = std::move(choices);
  document["usage"] = usage_of(shape_, tokens(), cached());
  return dumped(document);
}

// Of equally likely answers the one that was made first.
std::vector<std::size_t> answer_writer::told() const {
  std::vector<std::size_t> all(answers_.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  if (!shape_.ranks()) {
    return all;
  }
  std::vector<std::size_t> best;
  for (auto first = all.begin(); first != all.end(); first += shape_.answers_each) {
    const auto last = first + shape_.answers_each;
    std::stable_sort(first, last, [this](std::size_t x, std::size_t y) {
      return answers_[x].likelihood > answers_[y].likelihood;
    });
    best.insert(best.end(), first, first + shape_.told_each);
  }
  return best;
}

json answer_writer::choice_of(std::size_t which, std::size_t index) const {
  const generation_outcome& outcome = *answers_[which].outcome;
  const told_tokens& told = answers_[which].told;
  json choice{{"index", index},
              {"logprobs", shape_.vocabulary == nullptr
                               ? json{}
                               : logprobs_json(shape_.kind, told, *shape_.vocabulary)},
              {"ovir", evidence_of(shape_.answers[which], outcome)}};
  std::size_t calls = 0;
  if (shape_.kind == api_kind::chat) {
    tool_call_reader::pieces pieces{outcome.text, {}};
    if (shape_.has_tools) {
      tool_call_reader reader;
      pieces = reader.add(outcome.text);
      add(pieces, reader.finish());
    }
    calls = pieces.calls.size();
    json message{{"role", "assistant"}, {"content", pieces.content}, {"refusal", nullptr}};
    if (calls > 0) {
      message["tool_calls"] = calls_of(shape_.answers[which], pieces.calls, false);
      if (pieces.content.empty()) {
        message["content"] = nullptr;
      }
    }
    choice["message"] = std::move(message);
  } else {
    choice["text"] = shape_.echo_of(which) + outcome.text;
  }
  choice["finish_reason"] = reason_of(outcome.end, calls);
  return choice;
}

std::string receipt_url(request_id answer) { return "/v1/receipts/" + to_text(answer); }

std::string error_event(const api_error& e) { return fmt::format("data: {}\n\n", body_of(e)); }

std::string beat_event() { return ": waits\n\n"; }

} // namespace ovir::gateway
