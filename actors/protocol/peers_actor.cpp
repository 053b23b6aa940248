#include "actors/protocol/peers_actor.hpp"

#include "actors/runtime/turn_here_actor.hpp"
#include "ledger/keeper/message.hpp"
#include "messages/wire/frame.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

frame_bytes shared(std::vector<std::byte> bytes) {
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

} // namespace

peers::peers(node_id self, access_list& access, log& journal, clock unix_now)
    : self_(self), access_(access), log_(journal), unix_now_(std::move(unix_now)), links_(self) {}

void peers::use(network* net) {
  const std::unique_lock sending{sending_};
  const std::lock_guard lock{guard_};
  network_ = net;
}

void peers::use(const receivers& actors) {
  const std::lock_guard lock{guard_};
  if (actors.admin && network_ != nullptr) {
    // What they asked the actor before this one is lost with it.
    for (const connection_id shell : shells_) {
      network_->close(shell, {errc::busy, "the node's answers to shells begin anew; ask again"});
    }
  }
  const auto take = [](caf::actor& mine, const caf::actor& given) {
    if (given) {
      mine = given;
    }
  };
  take(actors_.host, actors.host);
  take(actors_.membership, actors.membership);
  take(actors_.paths, actors.paths);
  take(actors_.jobs, actors.jobs);
  take(actors_.admin, actors.admin);
  take(actors_.source, actors.source);
  take(actors_.fetcher, actors.fetcher);
  take(actors_.verifier, actors.verifier);
  take(actors_.blocks, actors.blocks);
  take(actors_.ledger, actors.ledger);
  take(actors_.payments, actors.payments);
  // A new actor learns of the links there are.
  for (const node_id& node : links_.linked()) {
    for (const caf::actor* actor : {&actors.membership, &actors.paths, &actors.host, &actors.blocks,
                                    &actors.ledger, &actors.payments}) {
      if (*actor) {
        caf::anon_send(*actor, link_changed{node, true, {}, links_.ours(node), seen_from(node)});
      }
    }
  }
}

void peers::use(address_book members) {
  const std::lock_guard lock{guard_};
  members_ = std::move(members);
}

void peers::forget_actors() {
  const std::lock_guard lock{guard_};
  actors_ = {};
  core_.clear();
  leads_.clear();
  stages_.clear();
}

void peers::connect(const std::string& address, const node_id& expected) {
  const std::lock_guard lock{guard_};
  if (network_ != nullptr && links_.wants(address, expected)) {
    links_.dialled(network_->connect(address, channel::control, expected), address, expected);
  }
}

void peers::tend() {
  const std::lock_guard lock{guard_};
  perform(links_.tick());
  for (const node_id& gone : access_.take_replaced()) {
    end_links(gone, {errc::busy, "others without leave came from elsewhere; come later"});
  }
  for (const node_id& late : mail_.tick()) {
    announce(late, false, "it could not be linked in time");
  }
}

bool peers::reachable(const node_id& node) const {
  const std::lock_guard lock{guard_};
  return links_.linked(node) || (members_ != nullptr && members_->contains(node));
}

bool peers::part(const node_id& node) {
  const std::lock_guard lock{guard_};
  const bool bulk = std::any_of(bulk_.begin(), bulk_.end(),
                                [&node](const auto& one) { return one.second == node; });
  if (bulk || used_.contains(node) || core_.involves(node)) {
    return false;
  }
  for (const connection_id one : links_.connections(node)) {
    if (network_ != nullptr) {
      network_->close(one, {errc::busy, "the link is not needed"});
    }
  }
  return true;
}

void peers::note_used(const node_id& node) {
  if (members_ != nullptr && links_.linked(node)) {
    used_.insert(node);
  }
}

void peers::post(const node_id& to, link_mail::letter mail) {
  if (network_ == nullptr) {
    return;
  }
  if (const auto way = links_.way(to, mail.way)) {
    note_used(to);
    (void)network_->send(*way, mail.kind, mail.target, std::move(mail.bytes));
    return;
  }
  if (members_ == nullptr || !members_->contains(to)) {
    return;
  }
  if (!mail_.add(to, std::move(mail))) {
    log_.say(log_level::warn, std::nullopt, "lost a message to {}: too many wait for links",
             short_name(to));
  }
  const std::string& address = members_->at(to);
  if (links_.wants(address, to)) {
    links_.dialled(network_->connect(address, channel::control, to), address, to);
  }
}

void peers::deliver_mail(const node_id& to) {
  for (link_mail::letter& mail : mail_.take(to)) {
    post(to, std::move(mail));
  }
}

bool peers::connected(const node_id& node) const {
  const std::lock_guard lock{guard_};
  return links_.linked(node);
}

bool peers::reached(const std::string& address) const {
  const std::lock_guard lock{guard_};
  return links_.reached(address);
}

void peers::disconnect(const node_id& node, const error& reason) {
  const std::lock_guard lock{guard_};
  end_links(node, reason);
}

void peers::end_links(const node_id& node, const error& reason) {
  if (network_ != nullptr) {
    for (const connection_id one : links_.connections(node)) {
      network_->close(one, reason);
    }
    for (const auto& [one, owner] : bulk_) {
      if (owner == node) {
        network_->close(one, reason);
      }
    }
  }
}

void peers::close(connection_id connection, error reason) {
  std::unique_lock lock{guard_};
  network* const net = network_;
  lock.unlock();
  if (net != nullptr) {
    net->close(connection, std::move(reason));
  }
}

void peers::send_gossip(const node_id& to, std::vector<std::byte> bytes) {
  const std::lock_guard lock{guard_};
  if (const auto control = links_.way(to, channel::control); control && network_ != nullptr) {
    (void)network_->send(*control, message_kind::gossip, 0, shared(std::move(bytes)));
  }
}

void peers::send_admin(connection_id to, const std::string& json) {
  const auto* const first = reinterpret_cast<const std::byte*>(json.data());
  const std::lock_guard lock{guard_};
  if (network_ != nullptr) {
    (void)network_->send(to, message_kind::reply, 0,
                         shared(std::vector<std::byte>{first, first + json.size()}));
  }
}

std::optional<connection_id> peers::connect_bulk(const std::string& address,
                                                 const node_id& expected, message_kind about) {
  const std::lock_guard lock{guard_};
  if (network_ == nullptr) {
    return std::nullopt;
  }
  const connection_id made = network_->connect(address, channel::bulk, expected);
  if (about == message_kind::blocks) {
    block_links_.insert(made);
  }
  return made;
}

void peers::send_bulk(connection_id to, std::vector<std::byte> bytes, message_kind about) {
  const std::lock_guard lock{guard_};
  if (network_ != nullptr) {
    (void)network_->send(to, about, 0, shared(std::move(bytes)));
  }
}

void peers::send_claims(const node_id& to, std::shared_ptr<const std::vector<std::byte>> bytes) {
  const std::lock_guard lock{guard_};
  if (const auto control = links_.way(to, channel::control); control && network_ != nullptr) {
    (void)network_->send(*control, message_kind::blocks, 0, std::move(bytes));
  }
}

void peers::send_audit(const node_id& to, std::vector<std::byte> bytes) {
  const std::lock_guard lock{guard_};
  post(to, {channel::data, message_kind::audit, 0, shared(std::move(bytes))});
}

void peers::send_credit(const node_id& to, std::vector<std::byte> bytes, message_kind kind) {
  if (to == self_) {
    return deliver_credit({self_, member_roles, shared(std::move(bytes)), kind});
  }
  const std::lock_guard lock{guard_};
  post(to, {channel::control, kind, 0, shared(std::move(bytes))});
}

/// Questions and the words of keepers are for who keeps the ledger, the rest for who uses it.
void peers::deliver_credit(credit_received news) {
  const bool asks = news.kind == message_kind::keepers || ledger::is_question(*news.bytes);
  const std::lock_guard lock{guard_};
  if (const caf::actor& receiver = asks ? actors_.ledger : actors_.payments) {
    return caf::anon_send(receiver, std::move(news));
  }
  drop(news.from, "a message about credits");
}

void peers::deliver_request(const peer_info& shell, received_bytes bytes) {
  const std::lock_guard lock{guard_};
  if (actors_.admin) {
    shells_.insert(shell.connection);
    caf::anon_send(actors_.admin, admin_request{shell, std::move(bytes)});
  } else if (network_ != nullptr) {
    network_->close(shell.connection, {errc::busy, "the node is starting; ask again"});
  }
}

void peers::route_lead(request_id request, lead_actor lead, peers_core::path path) {
  const std::lock_guard lock{guard_};
  core_.route_lead(request, std::move(path));
  leads_[request] = std::move(lead);
}

void peers::drop_lead(request_id request) {
  const std::lock_guard lock{guard_};
  core_.drop_lead(request);
  leads_.erase(request);
}

void peers::close_leads() {
  std::map<request_id, peers_core::path> left;
  {
    const std::lock_guard lock{guard_};
    left = core_.take_leads();
    leads_.clear();
  }
  for (const auto& [request, path] : left) {
    for (const auto& [node, stage] : path) {
      send_wire(node, {request, {}, stage, close_session{}});
    }
  }
}

void peers::route_stage(request_id request, layer_index stage, shard_actor shard,
                        node_id previous) {
  const std::lock_guard lock{guard_};
  core_.route_stage(request, stage, previous);
  stages_[{request, stage}] = std::move(shard);
}

void peers::drop_stage(request_id request, layer_index stage) {
  const std::lock_guard lock{guard_};
  core_.drop_stage(request, stage);
  stages_.erase({request, stage});
}

void peers::send_wire(const node_id& to, wire_message message) {
  if (to == self_) {
    deliver_wire(self_, member_roles, std::move(message), {});
    return;
  }
  const std::shared_lock sending{sending_};
  const auto control = way(to, channel::control);
  if (network_ == nullptr || !check(message)) {
    return;
  }
  if (control) {
    (void)network_->send(*control, message_kind::wire, 0, shared(encode_wire(message)));
    return;
  }
  const std::lock_guard lock{guard_};
  post(to, {channel::control, message_kind::wire, 0, shared(encode_wire(message))});
}

std::optional<connection_id> peers::way(const node_id& to, channel kind) const {
  const std::lock_guard lock{guard_};
  return links_.way(to, kind);
}

void peers::send_frame(const node_id& to, std::uint32_t target, frame_bytes frame) {
  if (to == self_) {
    if (const caf::strong_actor_ptr receiver = receiver_of(self_, target, *frame)) {
      send_and_run(receiver, caf::make_message(tensor_frame{std::move(frame)}));
    }
    return;
  }
  const std::shared_lock sending{sending_};
  if (const auto data = way(to, channel::data); data && network_ != nullptr) {
    (void)network_->send(*data, message_kind::tensor, target, std::move(frame));
    return;
  }
  const std::lock_guard lock{guard_};
  post(to, {channel::data, message_kind::tensor, target, std::move(frame)});
}

result<role_set> peers::admit(const peer_hello& hello) {
  if (const std::lock_guard lock{guard_}; network_ == nullptr) { // answers could not be sent
    return fail(errc::busy, "the node starts or ends; ask again");
  }
  auto admitted = access_.admit(hello, unix_now_());
  if (!admitted) {
    const std::lock_guard lock{guard_};
    if (const auto line = refusals_.refused(hello.node, admitted.error().message, unix_now_())) {
      log_.say(log_level::warn, std::nullopt, "{}", *line);
    }
    return admitted;
  }
  if (admitted->within(member_roles) == (hello.kind == channel::admin)) {
    return fail(errc::invalid_argument, "{} may be {} and opened another kind of connection",
                short_name(hello.node), to_string(*admitted));
  }
  return admitted;
}

address_prefix peers::seen_from(const node_id& node) const {
  const auto found = seen_from_.find(node);
  return found == seen_from_.end() ? address_prefix{} : found->second;
}

void peers::announce(const node_id& node, bool up, const std::string& reason, bool ours) {
  const link_changed news{node, up, reason, ours, seen_from(node)};
  for (const caf::actor* actor : {&actors_.membership, &actors_.paths, &actors_.host,
                                  &actors_.blocks, &actors_.ledger, &actors_.payments}) {
    if (*actor) {
      caf::anon_send(*actor, news);
    }
  }
}

void peers::perform(const link_table::effects& effects) {
  for (const link_effect& e : effects) {
    switch (e.what) {
    case link_effect::action::close:
      if (network_ != nullptr) {
        network_->close(e.connection, {errc::busy, e.reason});
      }
      break;
    case link_effect::action::dial_data:
      if (network_ != nullptr) {
        const connection_id data = network_->connect(e.address, channel::data, e.node);
        perform(links_.data_dialled(e.node, e.connection, data));
      }
      break;
    case link_effect::action::up:
      announce(e.node, true, {}, e.ours);
      deliver_mail(e.node);
      break;
    case link_effect::action::down:
      log_.say(members_ == nullptr ? log_level::warn : log_level::debug, std::nullopt,
               "lost {}: {}", short_name(e.node), e.reason);
      announce(e.node, false, e.reason);
      break;
    }
  }
}

void peers::connected(const peer_info& peer) {
  const std::lock_guard lock{guard_};
  if (peer.kind == channel::admin) {
    return;
  }
  if (peer.kind == channel::bulk) {
    bulk_[peer.connection] = peer.node;
    if (const caf::actor& receiver = bulk_receiver(peer)) {
      caf::anon_send(receiver, bulk_connected{peer});
    }
    return;
  }
  seen_from_[peer.node] = peer.from;
  access_.came(peer.node);
  const link_table::effects effects = links_.connected(peer);
  for (const link_effect& e : effects) {
    if (e.what == link_effect::action::up) {
      log_.say(members_ == nullptr ? log_level::info : log_level::debug, std::nullopt,
               "linked with {} ({}) at {}", short_name(peer.node), to_string(peer.roles),
               peer.address);
    }
  }
  perform(effects);
}

void peers::closed(const peer_info& peer, const error& reason) {
  const std::lock_guard lock{guard_};
  if (peer.kind == channel::admin) {
    if (shells_.erase(peer.connection) > 0 && actors_.admin) {
      caf::anon_send(actors_.admin, admin_closed{peer.connection});
    }
    return;
  }
  if (peer.kind == channel::bulk) {
    bulk_.erase(peer.connection);
    if (const caf::actor& receiver = bulk_receiver(peer)) {
      caf::anon_send(receiver, bulk_closed{peer, reason});
    }
    block_links_.erase(peer.connection);
    return;
  }
  log_.say(log_level::debug, std::nullopt, "a {} connection with {} ended: {}",
           peer.kind == channel::data ? "data" : "control", peer.address, reason.message);
  perform(links_.closed(peer, reason.message));
  if (links_.connections(peer.node).empty()) {
    seen_from_.erase(peer.node);
    access_.went(peer.node);
  }
}

void peers::drop(const node_id& from, std::string_view what) {
  ++dropped_;
  log_.say(log_level::debug, std::nullopt, "dropped {} from {}", what, short_name(from));
}

void peers::received(const peer_info& peer, message_kind kind, std::uint32_t target,
                     received_bytes bytes) {
  if (kind != message_kind::gossip) {
    const std::lock_guard lock{guard_};
    note_used(peer.node);
  }
  switch (kind) {
  case message_kind::tensor: deliver_frame(peer.node, target, bytes); return;
  case message_kind::wire: {
    auto message = decode_wire(*bytes);
    if (!message) {
      log_.say(log_level::warn, std::nullopt, "{} sent what is no order: {}", short_name(peer.node),
               message.error().message);
      close(peer.connection, message.error());
      return;
    }
    deliver_wire(peer.node, peer.roles, std::move(*message), bytes);
    return;
  }
  case message_kind::gossip: {
    const std::lock_guard lock{guard_};
    if (actors_.membership) {
      caf::anon_send(actors_.membership,
                     gossip_received{peer.node, peer.connection, std::move(bytes)});
    }
    return;
  }
  case message_kind::request: deliver_request(peer, std::move(bytes)); return;
  case message_kind::weights: {
    const std::lock_guard lock{guard_};
    if (const caf::actor& receiver = bulk_receiver(peer)) {
      caf::anon_send(receiver, bulk_received{peer, std::move(bytes)});
    }
    return;
  }
  case message_kind::audit: {
    const std::lock_guard lock{guard_};
    if (actors_.verifier) {
      caf::anon_send(actors_.verifier, audit_received{peer.node, peer.roles, std::move(bytes)});
    }
    return;
  }
  case message_kind::blocks: {
    const std::lock_guard lock{guard_};
    if (actors_.blocks) {
      caf::anon_send(actors_.blocks, blocks_received{peer, std::move(bytes)});
    }
    return;
  }
  case message_kind::credit:
  case message_kind::keepers:
    return deliver_credit({peer.node, peer.roles, std::move(bytes), kind});
  case message_kind::nat: // `reaching_network` keeps them
  case message_kind::reply:
    const std::lock_guard lock{guard_};
    return drop(peer.node, "a reply nobody waits for");
  }
}

void peers::deliver_frame(const node_id& from, std::uint32_t target, const frame_bytes& frame) {
  // Handled outside the lock: whoever gets the frame sends, too.
  if (const caf::strong_actor_ptr receiver = receiver_of(from, target, *frame)) {
    send_and_run(receiver, caf::make_message(tensor_frame{frame}));
  }
}

/// Null where it may have none, which is counted.
caf::strong_actor_ptr peers::receiver_of(const node_id& from, std::uint32_t target,
                                         std::span<const std::byte> frame) {
  const auto view = decode_frame(frame);
  const std::lock_guard lock{guard_};
  if (!view) {
    drop(from, "a malformed frame");
    return nullptr;
  }
  const peers_core::verdict verdict = core_.judge(from, target, view->header);
  if (verdict.to == peers_core::receiver::lead) {
    return caf::actor_cast<caf::strong_actor_ptr>(leads_.at(view->header.request));
  }
  if (verdict.to == peers_core::receiver::stage) {
    return caf::actor_cast<caf::strong_actor_ptr>(stages_.at({view->header.request, target}));
  }
  drop(from, verdict.refused);
  return nullptr;
}

void peers::deliver_wire(const node_id& from, role_set roles, wire_message message,
                         const received_bytes& bytes) {
  const request_id request = message.request;
  const layer_index stage = message.stage;
  // An order to open a stage may arrive long after the scheduler that sent it crashed.
  if (!give_wire(from, roles, std::move(message), bytes) && roles.has(role::worker)) {
    send_wire(from, {request, {}, stage, close_session{}});
  }
}

/// False: the stage that sent it is to be closed.
bool peers::give_wire(const node_id& from, role_set roles, wire_message message,
                      const received_bytes& bytes) {
  using receiver = peers_core::receiver;
  const std::lock_guard lock{guard_};
  const peers_core::verdict verdict = core_.judge(from, roles, message);
  const auto give = [&](const caf::actor& to, auto news) {
    if (to) {
      caf::anon_send(to, std::move(news));
    } else {
      drop(from, "what no actor here takes");
    }
    return true;
  };
  switch (verdict.to) {
  case receiver::none:
  case receiver::stage: drop(from, verdict.refused); return !verdict.closes;
  case receiver::jobs:
    return give(actors_.jobs,
                adoption_asked{from, std::move(std::get<wire_adopt>(message.body).log), bytes});
  case receiver::placer:
    return give(actors_.placer, asked_elsewhere{std::get<wire_asked>(message.body).model});
  case receiver::paths:
    if (actors_.placer) { // either may have given the order
      caf::anon_send(actors_.placer, load_failed{from, std::get<wire_load_failed>(message.body)});
    }
    return give(actors_.paths,
                load_failed{from, std::move(std::get<wire_load_failed>(message.body))});
  case receiver::host:
    if (std::holds_alternative<wire_adopted>(message.body)) {
      return give(actors_.host, adoption_answered{from, message.request});
    }
    return give(actors_.host, order_received{from, std::move(message), bytes});
  case receiver::lead: break;
  }
  std::visit(
      [&]<class Body>(Body& body) {
        if constexpr (stage_news::has<Body>) {
          caf::anon_send(leads_.at(message.request),
                         from_stage<Body>{std::move(body), verdict.stage, message.driver, bytes});
        }
      },
      message.body);
  return true;
}

} // namespace ovir::actors
