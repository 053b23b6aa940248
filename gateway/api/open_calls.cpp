#include "gateway/api/open_calls.hpp"

#include "gateway/api/open_call_parts.hpp"
#include "messages/limits/access.hpp"
#include "messages/limits/gateway.hpp"
#include "messages/mutant.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::gateway {

namespace {

/// For what was cancelled to say so, before it is given up.
constexpr std::chrono::seconds cancel_wait{30};

/// `b` are the orders `a`, and are not to be told later, or seen by fewer nodes, than these.
bool same_orders(const std::vector<generation_order>& a, const std::vector<generation_order>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const generation_order& x, const generation_order& y) {
                      return x.id == y.id && digest_of(x) == digest_of(y) &&
                             x.reveal == stricter(x.reveal, y.reveal) &&
                             x.privacy == stricter(x.privacy, y.privacy) &&
                             (!y.tier || x.tier == y.tier);
                    });
}

std::string_view name_of(api_kind kind) {
  switch (kind) {
  case api_kind::completion: return "completion";
  case api_kind::chat: return "chat";
  case api_kind::embedding: return "embeddings";
  }
  return "";
}

/// Behind other errors it may still run, or begin again.
bool ends_it(const error& why) {
  const reaction what = reaction_to(why.code);
  return what != reaction::retry && what != reaction::reroute;
}

api_error too_late() { return refusal(504, "timed_out", "the request's deadline is over"); }

/// What the client says it has; none where it says nothing.
api_result<std::optional<event_id>> last_event_of(const http_request& request) {
  const std::string_view text = request.field("last-event-id");
  if (text.empty()) {
    return std::optional<event_id>{};
  }
  const auto id = event_id_from(text);
  if (!id) {
    return bad_parameter("Last-Event-ID", fmt::format("'Last-Event-ID': {}", id.error().message));
  }
  return std::optional{*id};
}

} // namespace

request_owner owner_of(const api_key& key) {
  return key.id.empty() ? request_owner{} : owner_of_api_key(key.hash);
}

open_calls::open_calls(const api_options& options, const api_surroundings& around,
                       reply_counter& replies)
    : options_(options), around_(around), replies_(replies) {}

open_calls::~open_calls() = default;

void open_calls::use_spend(const spend_record& kept) {
  budget_.restore(kept, around_.unix_seconds());
}

void open_calls::distrust_spend() {
  budget_.close_day(around_.unix_seconds());
  keep_spend(false);
}

void open_calls::keep_spend(bool ahead) {
  if (around_.keep_spend) {
    around_.keep_spend(budget_.record(ahead, around_.now(), around_.unix_seconds()));
  }
}

void open_calls::generate(http_request request, const api_key& key,
                          const std::shared_ptr<http_exchange>& exchange, const api_door* door,
                          const unattended_request* unattended) {
  const auto refuse = [&](const api_error& why) { exchange->reply(replies_.answer_of(why, door)); };
  auto last = last_event_of(request);
  if (const auto* const refused = std::get_if<api_error>(&last)) {
    return refuse(*refused);
  }
  const auto p = std::make_shared<pending>();
  p->last = std::get<std::optional<event_id>>(last);
  if (const std::string_view named = request.field("x-ovir-request"); !named.empty()) {
    const auto id = request_id_from(named);
    if (!id || (p->last && p->last->request != *id)) {
      return refuse(bad_parameter(
          "X-OVIR-Request", id ? "'X-OVIR-Request' and 'Last-Event-ID' name different requests"
                               : fmt::format("'X-OVIR-Request': {}", id.error().message)));
    }
    p->id = *id;
  } else {
    p->id = p->last ? p->last->request : request_id{std::max<std::uint64_t>(around_.random(), 1)};
  }
  if (const auto refused = budget_.begin(key, around_.now())) {
    return refuse(*refused);
  }
  ++preparing_;
  p->door = door;
  if (unattended != nullptr) {
    p->unattended = *unattended;
  }
  p->request = std::move(request);
  p->key = key;
  p->who = owner_of(key);
  p->exchange = exchange;
  p->models = around_.engine->models();
  p->format = options_.chat_format;
  p->kept = kept_.of(key.id);
  p->deadline = options_.deadline;
  exchange->when_gone([p] { p->gone = true; });
  around_.elsewhere([p] { p->read(); }, [this, p] { take_prepared(*p); });
}

void open_calls::take_prepared(pending& p) {
  --preparing_;
  const auto exchange = std::exchange(p.exchange, nullptr);
  const auto refuse = [&](const api_error& why) {
    budget_.end(p.key.id);
    if (!p.gone) {
      exchange->reply(replies_.answer_of(why, p.door));
    }
  };
  if (const auto* const refused = std::get_if<api_error>(&p.outcome)) {
    return refuse(*refused);
  }
  if (auto* const told = std::get_if<http_reply>(&p.outcome)) { // nothing is computed for it
    budget_.end(p.key.id);
    if (!p.gone) {
      exchange->reply(replies_.counted(std::move(*told)));
    }
    return;
  }
  auto& ready = std::get<prepared_request>(p.outcome);
  if (p.gone) {
    return refuse({});
  }
  if (p.last && !answer_writer::fits(ready.shape, *p.last)) {
    return refuse(bad_parameter("Last-Event-ID", "'Last-Event-ID' is not of such a request"));
  }
  std::vector<std::uint32_t> received = p.last ? p.last->received : std::vector<std::uint32_t>{};
  if (const auto known = calls_.find({p.key.id, p.id}); known != calls_.end()) {
    const call_pointer c = known->second;
    if (!same_orders(c->orders, ready.orders)) {
      return refuse(
          refusal(409, "request_exists", "a request of this id is another one; choose another id"));
    }
    budget_.end(p.key.id); // counted when it began
    return go_on(c, exchange, std::move(received));
  }
  const std::uint64_t seconds = around_.unix_seconds();
  if (const auto refused = budget_.reserve(p.key, ready.tokens_max, seconds)) {
    return refuse(*refused);
  }
  if (budget_.is_behind()) { // before anything is computed for it
    keep_spend(true);
  }
  const auto c = std::make_shared<call>();
  c->owner = p.key.id;
  c->key_name = p.key.name;
  c->orders = std::move(ready.orders);
  for (generation_order& order : c->orders) {
    order.owner = p.key.id;
    order.budget = budget_of(p.key);
    c->terms.push_back(digest_of(order));
  }
  ready.shape.created = seconds;
  c->looked_for = p.last.has_value() || (p.unattended && p.unattended->may_run);
  c->deadline = around_.now() + p.deadline;
  c->reserved = ready.tokens_max;
  c->unattended = p.unattended.has_value();
  c->day = key_budget::day_of(seconds);
  replies_.counts.resumed += p.last ? 1 : 0;
  c->writer.emplace(std::move(ready.shape), std::move(received));
  attach(c, exchange);
  begin(c);
}

/// Another connection for a request under way: from the first token on, less what its client has.
void open_calls::go_on(const call_pointer& c, const std::shared_ptr<http_exchange>& exchange,
                       std::vector<std::uint32_t> received) {
  if (c->cancelled_at && !c->asked_to_end) { // given up, not over yet: what follows is no answer
    return exchange->reply(answer_of(
        *c, refusal(503, "overloaded", "this request was given up a moment ago; ask again")));
  }
  ++replies_.counts.resumed;
  if (const auto before = std::exchange(c->exchange, nullptr)) {
    before->when_gone(nullptr);
    if (c->streaming) {
      before->end_stream();
    } else {
      before->reply(
          answer_of(*c, refusal(409, "taken_over", "another connection took this request")));
    }
  }
  answer_shape shape = c->shape();
  c->writer.emplace(std::move(shape), std::move(received));
  c->streaming = false;
  for (call::progress& answer : c->answers) {
    answer.next = 0;
    answer.over = false;
  }
  c->looked_for = true;
  attach(c, exchange);
  watch_again(c);
}

void open_calls::resume(const http_request& request, const api_key& key,
                        const std::shared_ptr<http_exchange>& exchange) {
  const auto id = request_id_from(
      std::string_view{request.path}.substr(std::string_view{"/v1/requests/"}.size()));
  auto last = last_event_of(request);
  if (const auto* const refused = std::get_if<api_error>(&last)) {
    return exchange->reply(replies_.answer_of(*refused));
  }
  const auto& received = std::get<std::optional<event_id>>(last);
  const auto known = id ? calls_.find({key.id, *id}) : calls_.end();
  const auto over = id ? finished_.find({key.id, *id}) : finished_.end();
  const bool here = known != calls_.end();
  if (!here && over == finished_.end()) {
    return exchange->reply(replies_.answer_of(
        refusal(404, "unknown_request",
                "this node has no such request; send the same request again with "
                "'X-OVIR-Request' and 'Last-Event-ID', here or to another node")));
  }
  const answer_shape& shape = here ? known->second->shape() : over->second.shape;
  if (received && !answer_writer::fits(shape, *received)) {
    return exchange->reply(replies_.answer_of(
        bad_parameter("Last-Event-ID", "'Last-Event-ID' is not of this request")));
  }
  auto list = received ? received->received : std::vector<std::uint32_t>{};
  if (here) {
    return go_on(known->second, exchange, std::move(list));
  }
  if (full()) {
    return exchange->reply(
        replies_.answer_of(refusal(503, "overloaded", "too many requests are under way")));
  }
  ++replies_.counts.resumed;
  const auto c = std::make_shared<call>();
  c->owner = key.id;
  c->key_name = key.name;
  c->watched_only = true;
  c->terms = over->second.terms;
  for (const request_id answer : shape.answers) {
    c->orders.emplace_back().id = name_in_cluster(owner_of(key), answer);
  }
  c->deadline = around_.now() + limits::api_deadline_max;
  c->writer.emplace(shape, std::move(list));
  attach(c, exchange);
  begin(c);
}

void open_calls::begin(const call_pointer& c) {
  const answer_shape& shape = c->shape();
  calls_[{c->owner, shape.id}] = c;
  c->begun = around_.now();
  c->answers.resize(c->orders.size());
  if (!c->watched_only) {
    replies_.counts.prompt_tokens += shape.prompt_tokens;
  }
  around_.say(shape.id,
              fmt::format("key '{}': {}, {} prompt tokens, {} answers{}; the first is {}",
                          c->key_name, name_of(shape.kind), shape.prompt_tokens, c->orders.size(),
                          shape.stream ? ", streamed" : "", to_text(c->orders.front().id)));
  watch_again(c);
}

void open_calls::watch_again(const call_pointer& c) {
  for (call::progress& answer : c->answers) {
    if (answer.tag != 0) {
      around_.engine->forget(answer.tag);
      tags_.erase(answer.tag);
      answer.tag = 0;
    }
  }
  listen_to_more(c);
}

/// The many texts of a request for embeddings take turns, so that they leave room for others.
void open_calls::listen_to_more(const call_pointer& c) {
  const std::size_t most =
      c->shape().kind == api_kind::embedding ? limits::api_embeddings_at_once : c->answers.size();
  auto listening = static_cast<std::size_t>(
      std::count_if(c->answers.begin(), c->answers.end(),
                    [](const call::progress& answer) { return answer.tag != 0; }));
  for (std::uint32_t i = 0; i < c->answers.size() && listening < most; ++i) {
    call::progress& answer = c->answers[i];
    if (answer.over || answer.tag != 0) {
      continue;
    }
    ++listening;
    answer.tag = next_tag_++;
    tags_[answer.tag] = {c, i};
    if (c->watched_only) {
      around_.engine->watch(answer.tag, c->orders[i].id, c->terms[i]);
    } else {
      around_.engine->start(answer.tag, c->orders[i], c->looked_for);
    }
  }
}

void open_calls::attach(const call_pointer& c, const std::shared_ptr<http_exchange>& exchange) {
  c->exchange = exchange;
  c->gone_since.reset();
  c->quiet_since = around_.now();
  exchange->when_gone([this, weak = std::weak_ptr<call>(c)] {
    if (const auto gone = weak.lock()) {
      gone->exchange = nullptr;
      gone->gone_since = around_.now();
    }
  });
}

http_reply open_calls::answer_of(const call& c, const api_error& why) {
  http_reply reply = replies_.answer_of(why);
  if (const auto& form = c.shape().form) {
    reply.body = form->error_body(why);
  }
  return reply;
}

std::vector<std::pair<std::string, std::string>> open_calls::fields_of(const call& c) const {
  std::vector<std::pair<std::string, std::string>> fields;
  const std::string id = to_text(c.shape().id);
  fields.emplace_back("X-Request-Id", id);
  fields.emplace_back("X-OVIR-Request", id);
  fields.emplace_back("X-OVIR-Job", to_text(c.orders.front().id));
  if (c.shape().system_folded) {
    fields.emplace_back("X-OVIR-System", "folded");
  }
  if (const auto transcript = c.writer->transcript()) {
    fields.emplace_back("X-OVIR-Transcript", to_hex(*transcript));
    const request_id first = c.shape().answers.front();
    if (receipts_.find({c.owner, first}) != nullptr) {
      fields.emplace_back("X-OVIR-Receipt", receipt_url(first));
    }
  }
  return fields;
}

void open_calls::begin_stream(const call_pointer& c) {
  if (c->exchange && !std::exchange(c->streaming, true)) {
    http_reply head;
    head.content_type = c->writer->stream_type();
    head.fields = fields_of(*c);
    c->exchange->begin_stream(replies_.counted(std::move(head)));
  }
}

void open_calls::on_token(std::uint64_t tag, const told_token& token) {
  const auto found = tags_.find(tag);
  if (found == tags_.end()) {
    return;
  }
  const auto [c, which] = found->second;
  call::progress& answer = c->answers[which];
  if (token.index != answer.next) {
    return; // told again after a restart
  }
  if (around_.now() >= c->deadline) {
    return fail_call(c, too_late());
  }
  const bool wanted = c->shape().vocabulary != nullptr || c->shape().ranks();
  if (wanted && token.logprobs == nullptr) {
    return fail_call(c, refusal(503, "logprobs_lost",
                                "the request goes on at a node that does not tell logprobs; ask "
                                "again"));
  }
  if (++answer.next > answer.drawn) { // else told again, to a client that came back
    answer.drawn = answer.next;
    replies_.counts.completion_tokens += c->watched_only ? 0 : 1;
  }
  if (!std::exchange(c->spoke, true) && !c->watched_only) {
    c->first_after = around_.now() - c->begun;
    replies_.counts.first_token.add(c->first_after);
  }
  std::string event = c->writer->on_token(which, token);
  if (!event.empty() && c->exchange) {
    begin_stream(c);
    c->quiet_since = around_.now();
    c->exchange->send(std::move(event));
  }
}

void open_calls::on_end(std::uint64_t tag, const result<generation_outcome>& outcome) {
  const auto found = tags_.find(tag);
  if (found == tags_.end()) {
    return;
  }
  const auto [c, which] = found->second;
  tags_.erase(found);
  c->answers[which].over = outcome || ends_it(outcome.error());
  c->answers[which].tag = 0;
  c->was_cancelled |=
      outcome ? outcome->end == finish_reason::cancelled : outcome.error().code == errc::cancelled;
  if (outcome && !outcome->may_return.empty()) {
    c->may_return = outcome->may_return;
  }
  if (!outcome) {
    if (c->cancelled_at && outcome.error().code == errc::io_failed) {
      c->may_return = outcome.error().message;
    }
    // Of a voucher's budget as of a quota of this gateway.
    const bool unpaid = c->orders[which].budget && outcome.error().code == errc::over_limit;
    return fail_call(c, unpaid ? refusal(429, "insufficient_quota", outcome.error().message)
                               : from_error(outcome.error()));
  }
  if (around_.now() >= c->deadline) {
    return fail_call(c, too_late());
  }
  receipts_.keep({c->owner, c->shape().answers[which]}, outcome->receipt);
  if (!c->watched_only) {
    const auto now = around_.now();
    const auto whole = [](auto time) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(time);
    };
    times_.keep({c->owner, c->shape().answers[which]},
                {whole(now - c->begun), whole(c->deadline - now)});
  }
  c->writer->set_times(around_.now() - c->begun, c->first_after);
  std::string events = c->writer->on_end(which, *outcome);
  if (!events.empty() && c->exchange) {
    begin_stream(c);
    c->exchange->send(std::move(events));
  }
  if (c->writer->over()) {
    finish(c);
  } else {
    listen_to_more(c);
  }
}

void open_calls::cancel(const api_key& key, std::string_view text,
                        const std::shared_ptr<http_exchange>& exchange) {
  const auto id = request_id_from(text);
  const auto found = id ? calls_.find({key.id, *id}) : calls_.end();
  if (found == calls_.end()) {
    if (id && finished_.contains({key.id, *id})) { // nothing is left to cancel
      return exchange->reply(
          replies_.counted(document({{"id", to_text(*id)}, {"cancelled", false}})));
    }
    return exchange->reply(
        replies_.answer_of(refusal(404, "unknown_request", "this node has no such request")));
  }
  const call_pointer c = found->second;
  if (c->cancels.size() >= limits::api_cancels_waiting_max) {
    return exchange->reply(
        replies_.answer_of(refusal(429, "busy", "other calls cancel this request already")));
  }
  c->cancels.push_back(exchange);
  c->asked_to_end = true;
  if (!c->cancelled_at) {
    c->cancelled_at = around_.now();
  }
  cancel_answers(*c);
}

void open_calls::answer_cancels(call& c) {
  const bool all = std::all_of(c.answers.begin(), c.answers.end(),
                               [](const call::progress& answer) { return answer.over; });
  const std::string why =
      !all ? "the nodes that compute this request have not said yet that it is over; ask again"
           : c.may_return;
  for (const auto& exchange : std::exchange(c.cancels, {})) {
    exchange->reply(why.empty() ? replies_.counted(document({{"id", to_text(c.shape().id)},
                                                             {"cancelled", c.was_cancelled}}))
                                : replies_.answer_of(refusal(503, "not_confirmed", why)));
  }
}

void open_calls::cancel_answers(call& c) {
  for (std::size_t i = 0; i < c.answers.size(); ++i) {
    if (!c.answers[i].over) {
      around_.engine->cancel(c.orders[i].id, c.asked_to_end);
    }
  }
}

void open_calls::on_restart() {
  const auto all = OVIR_MUTANT("gateway_overlooks_restarts") ? decltype(calls_){} : calls_;
  for (const auto& [name, c] : all) {
    c->looked_for = true;
    watch_again(c);
    if (c->cancelled_at) { // who was told of it may be who ended
      cancel_answers(*c);
    }
  }
}

void open_calls::finish(const call_pointer& c) {
  if (const auto exchange = std::exchange(c->exchange, nullptr)) {
    exchange->when_gone(nullptr);
    if (c->shape().stream) {
      exchange->end_stream();
    } else {
      http_reply reply;
      reply.fields = fields_of(*c);
      reply.body = c->writer->body();
      exchange->reply(replies_.counted(std::move(reply)));
    }
  }
  if (auto kept = c->writer->kept(); kept && !c->was_cancelled) {
    kept_.keep(c->owner, c->shape().id, std::move(*kept));
  }
  const owned_id name{c->owner, c->shape().id};
  const bool left = c->was_cancelled && !c->asked_to_end; // who asks again begins it anew
  const bool may_be_large = c->shape().form != nullptr || !c->shape().echoes.empty();
  if (!left && !may_be_large && !c->unattended &&
      finished_.insert_or_assign(name, finished{c->shape(), c->terms}).second) {
    finished_order_.push_back(name);
  }
  if (finished_order_.size() > limits::api_finished_kept_max) {
    finished_.erase(finished_order_.front());
    finished_order_.pop_front();
  }
  end_call(c);
}

void open_calls::fail_call(const call_pointer& c, const api_error& why) {
  for (std::size_t i = 0; i < c->answers.size(); ++i) {
    if (c->answers[i].tag != 0) {
      around_.engine->forget(c->answers[i].tag);
      tags_.erase(c->answers[i].tag);
      around_.engine->cancel(c->orders[i].id, c->asked_to_end);
    }
  }
  if (const auto exchange = std::exchange(c->exchange, nullptr)) {
    exchange->when_gone(nullptr);
    if (c->streaming) {
      exchange->send(c->writer->failed(why));
      exchange->end_stream();
    } else {
      http_reply reply = answer_of(*c, why);
      for (auto& field : fields_of(*c)) {
        reply.fields.push_back(std::move(field));
      }
      exchange->reply(std::move(reply));
    }
  }
  around_.say(c->shape().id, fmt::format("failed for its client: {}", why.message));
  end_call(c);
}

void open_calls::end_call(const call_pointer& c) {
  answer_cancels(*c);
  if (!c->watched_only) {
    replies_.counts.duration.add(around_.now() - c->begun);
    std::uint64_t drawn = 0; // the writer of a client that has just come back may lag behind
    for (const call::progress& answer : c->answers) {
      drawn += answer.drawn;
    }
    const std::uint64_t used = c->shape().prompt_tokens + std::max(drawn, c->writer->tokens());
    budget_.settle(c->owner, c->day, c->reserved, used);
    budget_.end(c->owner);
  }
  calls_.erase({c->owner, c->shape().id});
}

void open_calls::tick() {
  const auto now = around_.now();
  if (budget_.has_changed() && now >= next_keeping_) {
    next_keeping_ = now + limits::api_spend_pause;
    keep_spend(false);
  }
  const auto all = calls_; // one that ends is taken out
  for (const auto& [name, c] : all) {
    if (now >= c->deadline) {
      fail_call(c, too_late());
    } else if (c->cancelled_at && now - *c->cancelled_at >= cancel_wait) {
      fail_call(c, refusal(409, "cancelled", "the request was cancelled"));
    } else if (c->gone_since && !c->cancelled_at && now - *c->gone_since >= options_.resume_wait) {
      ++replies_.counts.abandoned;
      c->cancelled_at = now;
      cancel_answers(*c);
      around_.say(name.second, "cancelled: its client went and did not come back");
    } else if (c->exchange && c->shape().stream && now - c->quiet_since >= limits::http_beat) {
      c->quiet_since = now;
      if (std::string beat = c->writer->beat(); !beat.empty()) {
        begin_stream(c);
        c->exchange->send(std::move(beat));
      }
    }
  }
}

} // namespace ovir::gateway
