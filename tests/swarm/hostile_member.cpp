#include "tests/swarm/hostile_member.hpp"

#include "actors/protocol/wire.hpp"
#include "tests/swarm/hostile_words.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t heard_most = 256;
constexpr std::size_t open_most = 12;
constexpr nanoseconds pause_least = 1ms;
constexpr nanoseconds pause_most = 40ms;
/// Of the messages about requests and credits.
constexpr std::uint64_t one_is_answered = 8;
constexpr nanoseconds answer_most = 4ms;

actors::tls_options as_member(role_set roles) {
  actors::tls_options how;
  how.identity.cluster = "swarm";
  how.identity.address = "10.9.9.9:7300"; // where no node listens
  how.identity.roles = roles;
  return how;
}

// The request that this message opens a stage for, or asks another scheduler to adopt: its sender
// then counts as the request's scheduler. Absent for other messages.
std::optional<request_id> own_request(actors::message_kind what,
                                      const std::vector<std::byte>& bytes) {
  const auto read = what == actors::message_kind::wire ? actors::decode_wire(bytes)
                                                       : result<actors::wire_message>{error{}};
  const bool opens = read && (std::holds_alternative<actors::wire_open>(read->body) ||
                              std::holds_alternative<actors::wire_adopt>(read->body));
  return opens ? std::optional{read->request} : std::nullopt;
}

} // namespace

hostile_member::hostile_member(world& in, wires& at, std::size_t machine,
                               const std::array<std::byte, 32>& key_seed, role_set roles,
                               std::vector<std::string> them,
                               std::function<void(request_id)> drives, std::size_t number)
    : world_(in), draws_(in.draws().split(0xbad + number)), key_(secret_key::from_seed(key_seed)),
      them_(std::move(them)), drives_(std::move(drives)),
      links_(std::make_unique<endpoint>(at, machine, key_.id(), as_member(roles), *this,
                                        [](const std::function<void()>& run) { run(); })) {}

void hostile_member::begin(nanoseconds length, std::int64_t of_many) {
  until_ = world_.now() + length;
  of_many_ = of_many;
  act();
}

void hostile_member::overhear(std::size_t to, actors::channel kind, actors::message_kind what,
                              std::uint32_t target, const std::vector<std::byte>& bytes) {
  if (heard_.size() == heard_most) {
    heard_.pop_front();
  }
  heard_.push_back({kind, what, target, bytes});
  const bool worth = what == actors::message_kind::wire || what == actors::message_kind::credit;
  if (worth && to < them_.size() && world_.now() < until_ && draws_.one_in(one_is_answered)) {
    world_.in(draws_.between(nanoseconds{0}, answer_most),
              [this, address = them_[to], one = heard_.back()] { answer(address, one); });
  }
}

void hostile_member::answer(const std::string& address, heard what) {
  const auto to = std::find_if(open_.begin(), open_.end(), [&](const auto& one) {
    return one.second.kind == what.channel && one.second.address == address;
  });
  if (to != open_.end() && tell_otherwise(what.what, what.bytes, what.target, draws_)) {
    speak(to->first, std::move(what));
  }
}

void hostile_member::dial() {
  constexpr std::array kinds{actors::channel::control, actors::channel::data,
                             actors::channel::bulk};
  if (open_.size() < open_most) {
    static_cast<void>(
        links_->connect(them_[draws_.below(them_.size())], kinds[draws_.below(kinds.size())], {}));
  }
}

void hostile_member::spoil(std::vector<std::byte>& bytes) {
  switch (draws_.below(5)) {
  case 0: bytes.resize(draws_.below(bytes.size() + 1)); break;
  case 1: bytes.insert(bytes.end(), draws_.below(64), std::byte{0xff}); break;
  case 2:
    for (std::uint64_t n = draws_.between(1, 4); n > 0 && !bytes.empty(); --n) {
      bytes[draws_.below(bytes.size())] = static_cast<std::byte>(draws_.next());
    }
    break;
  default: break; // as it was
  }
}

void hostile_member::say(actors::connection_id to, heard what) {
  if (draws_.one_in(2) || !tell_otherwise(what.what, what.bytes, what.target, draws_)) {
    spoil(what.bytes);
    what.target = draws_.one_in(2) ? what.target : static_cast<std::uint32_t>(draws_.below(4));
  }
  speak(to, std::move(what));
}

void hostile_member::speak(actors::connection_id to, heard what) {
  if (const auto own = own_request(what.what, what.bytes)) {
    drives_(*own);
  }
  if (links_->send(to, what.what, what.target,
                   std::make_shared<const std::vector<std::byte>>(std::move(what.bytes)))) {
    ++sent_;
  }
}

void hostile_member::act() {
  if (world_.now() >= until_) {
    for (const auto& [id, peer] : std::map{open_}) {
      links_->close(id, {errc::cancelled, "enough"});
    }
    return;
  }
  if (open_.empty() || draws_.one_in(10)) {
    dial();
  }
  if (!open_.empty() && !heard_.empty()) {
    const auto to =
        std::next(open_.begin(), static_cast<std::ptrdiff_t>(draws_.below(open_.size())));
    const heard& what = heard_[draws_.below(heard_.size())];
    if (what.channel == to->second.kind) {
      say(to->first, what);
    }
  }
  world_.in(draws_.between(of_many_ * pause_least, of_many_ * pause_most), [this] { act(); });
}

result<role_set> hostile_member::admit(const actors::peer_hello& hello) { return hello.roles; }

void hostile_member::connected(const actors::peer_info& peer) { open_[peer.connection] = peer; }

void hostile_member::received(const actors::peer_info& /*peer*/, actors::message_kind /*kind*/,
                              std::uint32_t /*target*/, actors::received_bytes /*bytes*/) {}

void hostile_member::closed(const actors::peer_info& peer, const error& /*reason*/) {
  open_.erase(peer.connection);
}

} // namespace ovir::swarm
