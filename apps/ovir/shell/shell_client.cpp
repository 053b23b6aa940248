#include "apps/ovir/shell/shell_client.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace ovir::apps {

namespace {

constexpr std::chrono::milliseconds slice{50};
constexpr std::string_view forbidden = "forbidden";
constexpr std::string_view elsewhere = "elsewhere";

std::optional<errc> errc_from(std::string_view code) {
  for (unsigned value = 0; value <= std::numeric_limits<std::uint8_t>::max(); ++value) {
    if (const auto known = static_cast<errc>(value);
        to_string(known) == code && code != "unknown") {
      return known;
    }
  }
  return std::nullopt;
}

const json* member(const json& object, std::string_view key) {
  const auto at = object.find(key);
  return at == object.end() ? nullptr : &*at;
}

std::string text_of(const json& object, std::string_view key) {
  const json* const value = member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

std::optional<std::uint64_t> number_of(const json& object, std::string_view key) {
  const json* const value = member(object, key);
  return value != nullptr && value->is_number_unsigned()
             ? std::optional{value->get<std::uint64_t>()}
             : std::nullopt;
}

bool is_last(const json& reply) { return reply.contains("ok"); }

bool is_ok(const json& reply) {
  const json* const ok = member(reply, "ok");
  return ok != nullptr && ok->is_boolean() && ok->get<bool>();
}

json data_of(const json& reply) {
  const json* const data = member(reply, "data");
  return data != nullptr && data->is_object() ? *data : json::object();
}

shell_failure failure_of(const json& reply) {
  const json* const e = member(reply, "error");
  if (e == nullptr || !e->is_object()) {
    return error{errc::malformed, "the node refused the command and did not say why"};
  }
  const std::string code = text_of(*e, "code");
  const bool known = code == forbidden || code == elsewhere || errc_from(code).has_value();
  shell_failure failure{known ? code : to_string(errc::internal), text_of(*e, "message")};
  if (code == elsewhere) {
    failure.node = text_of(*e, "node");
    failure.address = text_of(*e, "address");
  }
  return failure;
}

// Whoever refuses us at the door will do so again; a place where nobody is may be alive later.
bool is_refusal(const error& e) { return reaction_to(e.code) == reaction::refuse; }

shell_failure as_refusal(const error& e) { return {forbidden, e.message}; }

constexpr std::string_view ctrl_c = "interrupted; the command may have been done";

result<std::vector<token_id>> tokens_in(const json& list) {
  std::vector<token_id> tokens;
  for (const json& one : list) {
    if (!one.is_number_unsigned() || one.get<std::uint64_t>() >= limits::vocabulary_max) {
      return fail(errc::malformed, "the node's answer has a token that is none");
    }
    tokens.push_back(one.get<token_id>());
  }
  return tokens;
}

} // namespace

exit_code exit_code_of(const shell_failure& failure) {
  const auto code = errc_from(failure.code);
  if (code) {
    return exit_code_of(*code);
  }
  return failure.code == forbidden ? exit_code::refused : exit_code::unavailable;
}

/// A request whose answer is followed from node to node.
struct shell_client::followed {
  const shell_command& command;
  const shell_listener& listener;
  std::string request;
  clock::time_point deadline; ///< moves with every event
  run_progress progress{};
  bool whole{true};        ///< followed from its first token
  bool known{false};       ///< it was submitted, or a node sent something of it
  bool submit_next{false}; ///< send `run`, not `attach`
  std::optional<clock::time_point> unknown_since{};
  std::optional<clock::time_point> cancelled_at{};
  std::uint64_t from{0}; ///< of the first token wanted
  std::uint64_t id{0};   ///< of the command under way
  std::string& refused;  ///< why it was not taken, as far as a node said it last

  [[nodiscard]] bool is_run() const { return command.spec->name == "run"; }
};

result<std::uint64_t> shell_client::send(std::string_view name, const json& args) {
  ++last_id_;
  OVIR_TRY(link_.send(json{{"id", last_id_}, {"command", name}, {"args", args}}));
  return last_id_;
}

shell_link::event shell_client::next(clock::time_point until) {
  return link_.next(std::min(until, clock::now() + slice));
}

// Each address once: a command that was never sent fails quickly when nobody is there.
std::optional<shell_failure> shell_client::connect_once(clock::time_point until) {
  error last{errc::peer_lost, "no node answers"};
  for (std::size_t tried = 0; tried < link_.places(); ++tried) {
    link_.connect_next();
    while (true) {
      if (interrupted_.load()) {
        return error{errc::cancelled, "interrupted before a node answered"};
      }
      if (clock::now() >= until) {
        return fail(errc::timed_out, "{} did not answer in time", link_.place());
      }
      const auto what = next(until);
      if (std::holds_alternative<shell_link::up>(what)) {
        return std::nullopt;
      }
      if (const auto* const lost = std::get_if<shell_link::down>(&what)) {
        last = in_context(link_.place(), lost->reason);
        break;
      }
    }
  }
  return is_refusal(last) ? as_refusal(last) : shell_failure{last};
}

result<void> shell_client::reconnect(clock::time_point until, const shell_listener& listener) {
  bool told = false;
  while (true) {
    const auto failed = connect_once(until);
    if (!failed) {
      if (told) {
        listener.note(fmt::format("connected to {}", link_.place()));
      }
      return {};
    }
    if (clock::now() >= until) {
      return fail(errc::timed_out, "no node answered before the deadline; the last said: {}",
                  failed->message);
    }
    if (interrupted_.load()) {
      return fail(errc::cancelled, "interrupted while no node answers; the request may go on");
    }
    if (!told) {
      listener.note(failed->message);
      told = true;
    }
    static_cast<void>(next(std::min(until, clock::now() + patience_.again)));
  }
}

/// One question and its answer, on the connection there is.
shell_outcome shell_client::ask(std::string_view name, const json& args, clock::time_point until) {
  OVIR_ASSIGN(const std::uint64_t id, send(name, args));
  while (true) {
    if (interrupted_.load()) {
      return error{errc::cancelled, std::string{ctrl_c}};
    }
    if (clock::now() >= until) {
      return fail(errc::timed_out, "{} did not answer '{}' in time", link_.place(), name);
    }
    auto what = next(until);
    if (const auto* const lost = std::get_if<shell_link::down>(&what)) {
      return fail(errc::peer_lost, "{} was lost before it answered: {}", link_.place(),
                  lost->reason.message);
    }
    const json* const reply = std::get_if<json>(&what);
    if (reply != nullptr && number_of(*reply, "id") == id && is_last(*reply)) {
      return is_ok(*reply) ? shell_outcome{data_of(*reply)} : failure_of(*reply);
    }
  }
}

/// Puts the payment of a `run` that is to be paid for in the place of what it may cost.
std::optional<shell_failure> shell_client::pay(json& args, clock::time_point until) {
  const auto most = args.find("pay");
  if (most == args.end()) {
    return std::nullopt;
  }
  const std::uint64_t at_most = most->is_number_unsigned() ? most->get<std::uint64_t>() : 0;
  args.erase(most);
  if (account_ == nullptr) {
    return error{errc::unsupported, "this shell has no account to pay from"};
  }
  auto quote = ask("quote", args, until);
  if (auto* const failure = std::get_if<shell_failure>(&quote)) {
    return std::move(*failure);
  }
  const auto payment =
      account_->sign_offer(*std::get_if<json>(&quote), args, link_.peer(), at_most);
  if (!payment) {
    return shell_failure{payment.error()};
  }
  args["payment"] = *payment;
  return std::nullopt;
}

shell_outcome shell_client::act_on_account(const shell_command& command) {
  if (account_ == nullptr) {
    return error{errc::unsupported, "this shell has no account"};
  }
  const auto until = clock::now() + patience_.deadline;
  if (!link_.is_up()) {
    if (auto failed = connect_once(until)) {
      return *failed;
    }
  }
  const std::string action = text_of(command.args, "action");
  const std::string subject = text_of(command.args, "subject");
  if (action == "balance" || action == "statement") {
    json args{{"action", action}, {"subject", to_hex(account_->id())}};
    if (!subject.empty()) {
      args["amount"] = subject; // of a statement, where it begins
    }
    return ask("ledger", args, until);
  }
  if (action != "transfer" && action != "stake" && action != "unstake") {
    return fail(errc::invalid_argument,
                "'{}' is none of balance, statement, transfer, stake and unstake",
                action.substr(0, 32));
  }
  auto head = ask("ledger", {{"action", "head"}}, until);
  if (std::holds_alternative<shell_failure>(head)) {
    return head;
  }
  OVIR_ASSIGN(const std::string entry,
              account_->sign_action(*std::get_if<json>(&head), action, subject,
                                    text_of(command.args, "amount")));
  return ask("ledger", {{"action", "submit"}, {"subject", entry}}, until);
}

shell_outcome shell_client::call(const shell_command& command, const shell_listener& listener) {
  if (command.spec->name == "account") {
    return act_on_account(command);
  }
  if (command.spec->name == "attach" ||
      (command.spec->name == "run" && command.args.value("wait", true))) {
    return follow(command, listener);
  }
  // What changes something is sent once: an answer that is lost leaves open whether it was done.
  for (std::size_t tried = 0;; ++tried) {
    bool lost = false;
    auto outcome = call_once(command, listener, lost);
    const bool harmless = command.spec->looks || command.spec->name == "run";
    if (!lost || !harmless || tried >= link_.places()) {
      return outcome;
    }
  }
}

shell_outcome shell_client::call_once(const shell_command& command, const shell_listener& listener,
                                      bool& lost) {
  const bool watches = command.args.value("follow", false);
  const auto begun = clock::now();
  auto until = begun + patience_.deadline;
  if (!link_.is_up()) {
    if (auto failed = connect_once(until)) {
      return *failed;
    }
  }
  json args = command.args;
  if (command.spec->name == "run") {
    if (auto unpaid = pay(args, until)) {
      return *unpaid;
    }
  }
  OVIR_ASSIGN(const std::uint64_t id, send(command.spec->name, args));
  bool stopping = false;
  while (true) {
    if (!watches && clock::now() >= until) {
      return fail(errc::timed_out, "{} did not answer within {} s", link_.place(),
                  std::chrono::duration<double>(patience_.deadline).count());
    }
    if (interrupted_.load() && !watches) {
      return error{errc::cancelled, std::string{ctrl_c}};
    }
    if (interrupted_.load() && !stopping) {
      stopping = true;
      OVIR_TRY(send("stop", {{"id", id}}));
      until = clock::now() + patience_.ending;
    }
    if (stopping && clock::now() >= until) {
      return json::object();
    }
    auto what = next(watches && !stopping ? clock::time_point::max() : until);
    if (const auto* const down = std::get_if<shell_link::down>(&what)) {
      lost = true;
      return fail(errc::peer_lost, "{} was lost before it answered: {}", link_.place(),
                  down->reason.message);
    }
    const json* const reply = std::get_if<json>(&what);
    if (reply == nullptr || number_of(*reply, "id") != id) {
      continue;
    }
    if (is_last(*reply)) {
      return is_ok(*reply) ? shell_outcome{data_of(*reply)} : failure_of(*reply);
    }
    if (const json* const event = member(*reply, "event")) {
      listener.event(*event);
    }
  }
}

shell_outcome shell_client::follow(const shell_command& command, const shell_listener& listener) {
  std::string refused;
  auto outcome = [&]() -> shell_outcome {
    followed what{.command = command,
                  .listener = listener,
                  .request = text_of(command.args, "request"),
                  .deadline = clock::now() + patience_.deadline,
                  .refused = refused};
    what.submit_next = what.is_run();
    if (!what.is_run()) {
      what.from = number_of(command.args, "from").value_or(0);
      what.whole = what.from == 0;
    }
    if (!link_.is_up()) {
      if (auto failed = connect_once(what.deadline)) {
        return *failed;
      }
    }
    while (true) {
      if (const auto unsent = send_followed(what)) {
        if (const auto final = take_unsent(what, *unsent)) {
          return *final;
        }
      } else if (link_.is_up()) {
        if (auto heard = listen(what)) {
          return std::move(*heard);
        }
      }
      if (what.submit_next && link_.is_up()) {
        continue; // the node that knew nothing of it is to run it
      }
      OVIR_TRY(reconnect(what.deadline, listener));
    }
  }();
  // A deadline that was waited for in vain is no reason: what a node said last is.
  auto* const failure = std::get_if<shell_failure>(&outcome);
  if (failure != nullptr && errc_from(failure->code) == errc::timed_out && !refused.empty()) {
    failure->message += "; the last reason given was: " + refused;
  }
  return outcome;
}

/// What could not even be submitted. Nothing: try again; the next node, where this one is lost.
std::optional<shell_failure> shell_client::take_unsent(const followed& what,
                                                       const shell_failure& failure) {
  const auto code = errc_from(failure.code);
  if (!link_.is_up() && code == errc::peer_lost) {
    return std::nullopt;
  }
  // A cluster that lost a node a moment ago may have no path, or no keeper, for a while.
  if (code != errc::timed_out) {
    what.refused = failure.message;
  }
  const bool passes =
      code == errc::peer_lost || code == errc::busy || code == errc::segment_missing;
  if (!what.known || !passes || clock::now() >= what.deadline) {
    return failure;
  }
  static_cast<void>(next(std::min(what.deadline, clock::now() + patience_.again)));
  return std::nullopt;
}

namespace {

void tell_in_bunches(json& args, std::uint32_t tokens) {
  if (tokens > 1) {
    args["bunch"] = tokens;
  }
}

} // namespace

// `peer_lost`: another node is to be asked.
std::optional<shell_failure> shell_client::send_followed(followed& what) {
  const bool submits = what.submit_next;
  json args = what.command.args;
  if (submits) {
    if (auto unpaid = pay(args, what.deadline)) {
      return unpaid;
    }
  } else {
    const json reveal = args.value("reveal", json{});
    args = {{"request", what.request}, {"from", what.from + what.progress.next()}};
    if (!reveal.is_null()) { // whoever goes on with it keeps to it
      args["reveal"] = reveal;
    }
  }
  tell_in_bunches(args, what.listener.bunch);
  const auto sent = send(submits ? "run" : "attach", args);
  if (!sent) {
    return shell_failure{sent.error()};
  }
  what.id = *sent;
  if (submits) {
    what.submit_next = false;
    what.known = true;
    what.unknown_since.reset();
  }
  return std::nullopt;
}

// Until the last reply or the end of the connection; nothing: go on elsewhere.
std::optional<shell_outcome> shell_client::listen(followed& what) {
  std::optional<std::uint64_t> cancelling;
  auto heard = clock::now();
  while (true) {
    const auto now = clock::now();
    if (now >= heard + patience_.silence) { // it would at least beat: frozen, or cut off
      what.listener.note(fmt::format("{} has fallen silent", link_.place()));
      return std::nullopt;
    }
    if (now >= what.deadline) {
      return fail(errc::timed_out, "no news of request {} for {} s; it may go on: attach {}",
                  what.request, std::chrono::duration<double>(patience_.deadline).count(),
                  what.request);
    }
    if (interrupted_.load() && !cancelling) {
      auto sent = what.is_run() ? send("cancel", {{"request", what.request}})
                                : send("stop", {{"id", what.id}});
      cancelling = sent ? std::optional{*sent} : std::nullopt;
      what.cancelled_at = what.cancelled_at ? what.cancelled_at : now;
    }
    if (what.cancelled_at && now >= *what.cancelled_at + patience_.ending) {
      return error{errc::cancelled,
                   "interrupted; no node confirmed the end of request " + what.request};
    }
    auto arrived = next(what.deadline);
    if (const auto* const lost = std::get_if<shell_link::down>(&arrived)) {
      what.listener.note(fmt::format("{}: {}", link_.place(), lost->reason.message));
      return std::nullopt;
    }
    auto* const reply = std::get_if<json>(&arrived);
    if (reply == nullptr) {
      continue;
    }
    heard = clock::now();
    if (number_of(*reply, "id") != what.id) {
      continue;
    }
    if (is_last(*reply)) {
      return take_last(what, *reply);
    }
    const json* const event = member(*reply, "event");
    if (event != nullptr && member(*event, "beat") == nullptr) {
      what.known = true;
      what.unknown_since.reset();
      what.refused.clear();
      what.deadline = clock::now() + patience_.deadline;
      if (const auto taken = take_event(what, *event); !taken) {
        static_cast<void>(send("stop", {{"id", what.id}}));
        return shell_outcome{taken.error()};
      }
    }
  }
}

result<void> shell_client::take_event(followed& what, const json& event) {
  const auto index = number_of(event, "index");
  if (!index) {
    what.listener.event(event);
    return {};
  }
  const auto token = number_of(event, "token");
  const json* const text = member(event, "text");
  if (*index < what.from || !token || *token >= limits::vocabulary_max || text == nullptr ||
      !text->is_string()) {
    return fail(errc::malformed, "{} sent a token that is none", link_.place());
  }
  const std::uint64_t known = what.progress.next();
  OVIR_ASSIGN(const std::string_view grown,
              what.progress.take(*index - what.from, static_cast<token_id>(*token),
                                 text->get_ref<const std::string&>()));
  if (!grown.empty()) {
    what.listener.text(grown);
  }
  if (what.listener.token && what.progress.next() > known) {
    what.listener.token(*index);
  }
  return {};
}

std::optional<shell_outcome> shell_client::take_last(followed& what, const json& reply) {
  if (!is_ok(reply)) {
    return take_refusal(what, reply);
  }
  json data = data_of(reply);
  if (!what.whole || !data.contains("finish_reason")) {
    return shell_outcome{std::move(data)};
  }
  if (!data.contains("tokens")) {
    data["tokens"] = what.progress.tokens();
  }
  if (!data.contains("text")) {
    data["text"] = what.progress.text();
  }
  const auto tokens = tokens_in(data["tokens"]);
  if (!tokens) {
    return shell_outcome{tokens.error()};
  }
  const auto tail = what.progress.finish(*tokens, text_of(data, "text"));
  if (!tail) {
    return shell_outcome{tail.error()};
  }
  if (!tail->empty()) {
    what.listener.text(*tail);
  }
  return shell_outcome{std::move(data)};
}

std::optional<shell_outcome> shell_client::take_refusal(followed& what, const json& reply) {
  const shell_failure failure = failure_of(reply);
  const auto code = errc_from(failure.code);
  const bool unknown = code == errc::not_found;
  const bool another = code == errc::busy || code == errc::peer_lost ||
                       code == errc::segment_missing || code == errc::superseded;
  // A scheduler that says so has waited for a second path, or for a node with the ends or the tier.
  const bool one_path =
      code == errc::segment_missing &&
      (what.command.args.value("reveal", "") == "after" ||
       what.command.args.value("privacy", "") == "ends" || what.command.args.contains("tier"));
  if (what.cancelled_at || one_path || !(another || (unknown && what.known))) {
    return shell_outcome{failure};
  }
  if (!unknown) {
    what.refused = failure.message;
  }
  const auto now = clock::now();
  if (unknown) {
    what.unknown_since = what.unknown_since.value_or(now);
    if (now - *what.unknown_since >= patience_.unknown) {
      if (!what.is_run()) {
        return shell_outcome{failure};
      }
      what.submit_next = true;
    }
  } else {
    what.unknown_since.reset();
  }
  if (!what.submit_next) {
    // The next node in turn is asked after a moment, so that a busy cluster is left time.
    const auto until = std::min(what.deadline, now + patience_.again);
    while (clock::now() < until && !interrupted_.load()) {
      if (std::holds_alternative<shell_link::down>(link_.next(until))) {
        break;
      }
    }
  }
  return std::nullopt;
}

void complete_run(shell_command& run, std::span<const std::byte, 16> random) {
  std::array<std::uint64_t, 2> chance{};
  std::memcpy(chance.data(), random.data(), random.size());
  if (!run.args.contains("request")) {
    run.args["request"] = fmt::format("{:016x}", chance[0]);
  }
  const bool draws = run.args.value("temperature", 0.0) > 0;
  if (draws && !run.args.contains("seed")) {
    // JSON readers commonly hold numbers as binary64: a seed they can repeat has 53 bits.
    run.args["seed"] = chance[1] >> 11U;
    run.args["fresh_seed"] = true;
  }
}

} // namespace ovir::apps
