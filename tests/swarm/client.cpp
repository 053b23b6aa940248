#include "tests/swarm/client.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <utility>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr nanoseconds to_gateway = 300us;
constexpr nanoseconds pause_first = 100ms;
constexpr nanoseconds pause_most = 2s;
/// In which tokens may be on their way after a cancellation was confirmed.
constexpr nanoseconds cancel_bound = 10ms;
/// In which a cancellation is heard of by whoever draws; an answer that is kept comes at once.
constexpr nanoseconds cancel_takes = 20ms;
/// Tokens that may be drawn afterwards.
constexpr std::uint32_t on_the_way_most = 4;

} // namespace

void history::add(nanoseconds when, std::size_t client, std::string_view event, std::string more) {
  if (kept_) {
    lines_.push_back(fmt::format(R"({{"ns":{},"client":{},"event":"{}"{}{}}})", when.count(),
                                 client, event, more.empty() ? "" : ",", more));
  }
}

void history::add(nanoseconds when, std::string_view event, const std::string& more) {
  if (kept_) {
    lines_.push_back(fmt::format(R"({{"ns":{},"event":"{}",{}}})", when.count(), event, more));
  }
}

/// What arrives on one connection.
class client::one_call final : public http_client {
public:
  one_call(std::shared_ptr<client> of, std::uint64_t call) : client_(std::move(of)), call_(call) {}
  void on_head(int status, const gateway::http_reply& head) override {
    if (current()) {
      client_->on_head(status, head);
    }
  }
  void on_piece(const std::string& bytes) override {
    if (current()) {
      client_->on_piece(bytes);
    }
  }
  void on_end() override {
    if (current()) {
      client_->on_end();
    }
  }
  void on_lost() override {
    if (current()) {
      client_->on_lost();
    }
  }

private:
  [[nodiscard]] bool current() const { return client_->call_ == call_; }

  std::shared_ptr<client> client_;
  std::uint64_t call_;
};

namespace {

/// Of a DELETE.
class cancel_call final : public http_client {
public:
  cancel_call(history& told, world& in, std::shared_ptr<client> of)
      : history_(told), world_(in), client_(std::move(of)) {}
  void on_head(int status, const gateway::http_reply& /*head*/) override { status_ = status; }
  void on_piece(const std::string& bytes) override { body_ += bytes; }
  void on_end() override {
    const json said = json::parse(body_, nullptr, false);
    const bool confirmed = status_ == 200 && (!said.is_object() || said.value("cancelled", true));
    history_.add(world_.now(), client_->asked().client, "cancel_answered",
                 fmt::format(R"("status":{},"confirmed":{})", status_, confirmed));
    client_->on_cancel_answered(confirmed, status_ == 200);
  }
  void on_lost() override {}

private:
  history& history_;
  world& world_;
  std::shared_ptr<client> client_;
  int status_{0};
  std::string body_;
};

} // namespace

client::client(world& in, http_doors& doors, std::vector<std::string> gateways, const ask& wanted,
               history& told)
    : world_(in), doors_(doors), gateways_(std::move(gateways)), ask_(wanted), history_(told),
      id_(in.draws().split(0xc11e47 + wanted.client).next() | 1U),
      at_(wanted.gateway % gateways_.size()) {}

void client::begin() {
  history_.add(world_.now(), ask_.client, "ask",
               fmt::format(R"("id":"{:016x}","prompt":[{}],"max_tokens":{},"temperature":{},)"
                           R"("top_k":{},"seed":{},"stream":{})",
                           id_, fmt::join(ask_.wanted.prompt, ","), ask_.wanted.max_tokens,
                           ask_.wanted.sampling.temperature, ask_.wanted.sampling.top_k,
                           ask_.wanted.sampling.seed, ask_.stream));
  attempt();
}

gateway::http_request client::request() const {
  gateway::http_request r;
  r.method = "POST";
  r.path = "/v1/completions";
  r.fields["host"] = gateways_[at_];
  r.fields["content-type"] = "application/json";
  r.fields["x-ovir-request"] = fmt::format("{:016x}", id_);
  if (!last_event_.empty()) {
    r.fields["last-event-id"] = last_event_;
  }
  json body{{"model", "tiny"},
            {"prompt", ask_.wanted.prompt},
            {"max_tokens", ask_.wanted.max_tokens},
            {"temperature", ask_.wanted.sampling.temperature},
            {"top_k", ask_.wanted.sampling.top_k},
            {"seed", ask_.wanted.sampling.seed},
            {"stream", ask_.stream},
            {"receipt", ask_.receipt}};
  if (ask_.reveal_after) {
    body["audit"] = {{"reveal", "after"}};
  }
  r.body = body.dump();
  return r;
}

void client::attempt() {
  if (over()) {
    return;
  }
  ++attempts_;
  ++call_;
  state_ = state::asking;
  status_ = 0;
  body_.clear();
  done_ = false;
  world_.in(to_gateway, [self = shared_from_this(), call = call_] {
    if (self->call_ != call || self->over()) {
      return;
    }
    const auto there = self->doors_.find(self->gateways_[self->at_]);
    if (there == self->doors_.end()) {
      return self->again("the connection was refused");
    }
    self->hang_up_ =
        there->second->take(self->request(), std::make_shared<one_call>(self, call), to_gateway);
  });
}

void client::again(const std::string& why) {
  if (over()) {
    return;
  }
  trouble_ = why;
  history_.add(world_.now(), ask_.client, "lost");
  if (cancelled_at_ > nanoseconds{0}) {
    state_ = state::cancelled;
    return;
  }
  ++call_;
  state_ = state::waiting;
  hang_up_ = {};
  if (!ask_.stream) {
    text_.clear();
  }
  at_ = (at_ + 1) % gateways_.size();
  const nanoseconds pause =
      std::min<nanoseconds>(pause_most, pause_first * static_cast<std::int64_t>(attempts_));
  world_.at(std::max(world_.now() + pause, ask_.comes_back),
            [self = shared_from_this()] { self->attempt(); });
}

void client::cancel() {
  cancels_ = true;
  asked_to_end_ = world_.now();
  if (on_cancels) {
    on_cancels(at_);
  }
  history_.add(world_.now(), ask_.client, "cancel");
  world_.in(to_gateway, [self = shared_from_this()] {
    const auto there = self->doors_.find(self->gateways_[self->at_]);
    if (there != self->doors_.end()) {
      gateway::http_request r;
      r.method = "DELETE";
      r.path = fmt::format("/v1/requests/{:016x}", self->id_);
      r.fields["host"] = self->gateways_[self->at_];
      static_cast<void>(there->second->take(
          std::move(r), std::make_shared<cancel_call>(self->history_, self->world_, self),
          to_gateway));
    }
  });
}

void client::on_head(int status, const gateway::http_reply& /*head*/) { status_ = status; }

void client::on_cancel_answered(bool confirmed, bool at_all) {
  ignored_ = ignored_ || (at_all && !confirmed && after_cancel_ > on_the_way_most);
  if (!confirmed || cancelled_at_ > nanoseconds{0}) {
    return;
  }
  cancelled_at_ = world_.now();
  if (on_cancelled && attempts_ == 1) {
    on_cancelled({id_});
  }
}

void client::on_piece(const std::string& bytes) {
  body_ += bytes;
  if (status_ == 200 && ask_.stream) {
    read_events();
  }
}

void client::read_events() {
  for (std::size_t end = body_.find("\n\n"); end != std::string::npos && !over();
       end = body_.find("\n\n")) {
    const std::string event = body_.substr(0, end);
    body_.erase(0, end + 2);
    std::string_view id;
    std::string_view data;
    for (std::string_view left = event; !left.empty();) {
      const std::string_view line = left.substr(0, left.find('\n'));
      left.remove_prefix(std::min(left.size(), line.size() + 1));
      if (line.starts_with("id: ")) {
        id = line.substr(4);
      } else if (line.starts_with("data: ")) {
        data = line.substr(6);
      }
    }
    const std::uint64_t call = call_;
    if (!data.empty()) {
      read_event(id, data);
    }
    if (call != call_) {
      return;
    }
  }
}

void client::read_event(std::string_view id, std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const json event = json::parse(data);
  if (event.contains("error")) {
    return again(event["error"].value("message", "an error without a message"));
  }
  last_event_ = id;
  ++events_;
  after_cancel_ += cancels_ && world_.now() > asked_to_end_ + cancel_takes ? 1 : 0;
  const json& choice = event.at("choices").at(0);
  const std::string piece = choice.value("text", "");
  text_ += piece;
  went_on_ = cancelled_at_ > nanoseconds{0} && world_.now() > cancelled_at_ + cancel_bound &&
             choice.value("finish_reason", json{}) != "cancelled";
  if (!choice.at("finish_reason").is_null()) {
    reason_ = choice.at("finish_reason");
  }
  history_.add(world_.now(), ask_.client, "told",
               fmt::format(R"("place":"{}","text":{},"finish":"{}")", id,
                           json(piece).dump(-1, ' ', true, json::error_handler_t::replace),
                           reason_));
  if (ask_.cancel_after == events_ && reason_.empty()) {
    cancel();
  }
  if (ask_.hang_up_after == events_ && !std::exchange(hung_up_, true) && reason_.empty()) {
    history_.add(world_.now(), ask_.client, "hang_up");
    if (hang_up_) {
      world_.in(to_gateway, std::exchange(hang_up_, {}));
    }
    again("it hung up");
  }
}

void client::read_whole() {
  const json document = json::parse(body_);
  const json& choice = document.at("choices").at(0);
  text_ = choice.value("text", "");
  reason_ = choice.at("finish_reason");
  done_ = true;
  history_.add(world_.now(), ask_.client, "told",
               fmt::format(R"("place":"","text":{},"finish":"{}")",
                           json(text_).dump(-1, ' ', true, json::error_handler_t::replace),
                           reason_));
}

void client::on_end() {
  if (over()) {
    return;
  }
  ended_ = world_.now();
  if (status_ == 200) {
    if (!ask_.stream) {
      read_whole();
    }
    if (!done_) {
      return again("the stream ended before the answer did");
    }
    state_ = reason_ == "cancelled" ? state::cancelled : state::answered;
    history_.add(world_.now(), ask_.client, "end");
    return;
  }
  const json document = json::parse(body_, nullptr, false);
  const std::string why =
      document.is_object() && document.contains("error")
          ? fmt::format("{} {}", status_, document["error"].value("message", ""))
          : fmt::format("{}", status_);
  const bool poor = why.find("add credit") != std::string::npos; // an operator is about to
  const bool passes = poor || status_ == 404 || status_ == 408 || status_ == 409 ||
                      status_ == 429 || status_ >= 500;
  if (cancels_ && status_ == 404) {
    state_ = state::cancelled;
    return;
  }
  if (poor && text_.empty()) { // it ended in this error for good: another one is asked
    id_ = world_.draws().next() | 1U;
    last_event_.clear();
    history_.add(world_.now(), ask_.client, "renamed", fmt::format(R"("id":"{:016x}")", id_));
  }
  if (passes) {
    return again(why);
  }
  trouble_ = why;
  state_ = state::refused;
  history_.add(world_.now(), ask_.client, "refused");
}

void client::on_lost() { again("the connection was lost"); }

} // namespace ovir::swarm
