#include "apps/ovir/node/open_join.hpp"

#include "actors/link/stranger_door.hpp"
#include "actors/link/tls_network.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/strangers.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <utility>

namespace ovir::apps {

namespace {

using clock = std::chrono::steady_clock;

/// For the ledger's keeper, once all else is known: a cluster may have none.
constexpr std::chrono::milliseconds keeper_wait{1'500};
/// How often a person's Ctrl-C is looked at.
constexpr std::chrono::milliseconds stop_wait{100};
constexpr std::size_t members_asked_max = 8;

} // namespace

void introduction_words::take_hello(const node_id& node, const std::string& cluster,
                                    std::span<const std::byte> token, bool bound,
                                    std::uint64_t unix_now) {
  node_ = node;
  cluster_ = cluster;
  const auto shown = shown_token_from_bytes(token);
  if (shown && bound && shown->token.node == node && !is_revocation(*shown) &&
      check(*shown, unix_now)) {
    leave_ = *shown;
  }
}

void introduction_words::take_adverts(std::span<const actors::signed_update> updates) {
  for (const actors::signed_update& update : updates) {
    const auto* const said = std::get_if<actors::signed_advert>(&update);
    if (said != nullptr && is_genuine(update) &&
        (adverts_.contains(said->node) || adverts_.size() < limits::introduction_adverts_max)) {
      adverts_[said->node] = said->advert;
    }
  }
}

std::optional<digest> introduction_words::model() const {
  std::map<digest, std::size_t> holders;
  for (const auto& [node, advert] : adverts_) {
    std::set<digest> its;
    for (const actors::held_segment& held : advert.held) {
      its.insert(held.model);
    }
    for (const digest& one : its) {
      ++holders[one];
    }
  }
  const auto most =
      std::max_element(holders.begin(), holders.end(),
                       [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == holders.end() ? std::nullopt : std::optional{most->first};
}

node_id introduction_words::keeper() const {
  if (leave_ && leave_->token.roles.has(role::ledger)) {
    return node_;
  }
  const auto found = std::find_if(adverts_.begin(), adverts_.end(), [](const auto& one) {
    return one.second.roles.has(role::ledger);
  });
  return found == adverts_.end() ? node_id{} : found->first;
}

introduction introduction_words::taken() const {
  return {cluster_, leave_->admin(), *model(), keeper()};
}

std::vector<std::string> introduction_words::others() const {
  std::vector<std::string> all;
  for (const auto& [node, advert] : adverts_) {
    if (node != node_ && !advert.address.empty()) {
      all.push_back(advert.address);
    }
  }
  return all;
}

bool is_address_list(std::string_view text) {
  return text.find('/') == std::string_view::npos && text.find(':') != std::string_view::npos;
}

namespace {

/// One member, asked over a link of its own.
class introducer final : public actors::network_handler {
public:
  introducer(const secret_key& key, std::uint64_t unix_now) : unix_now_(unix_now) {
    actors::tls_options how;
    how.identity.roles = actors::stranger_door::roles;
    auto started = actors::tls_network::start(key, how, *this);
    if (started) {
      network_ = std::move(*started);
    } else {
      ended_ = started.error();
    }
  }
  ~introducer() override { network_.reset(); }
  introducer(const introducer&) = delete;
  introducer& operator=(const introducer&) = delete;

  result<introduction_words> ask(const std::string& address, const std::function<bool()>& stop) {
    if (network_ == nullptr) {
      return *ended_;
    }
    (void)network_->connect(address, actors::channel::control, {});
    std::unique_lock lock{guard_};
    const auto end = clock::now() + limits::introduction_wait;
    std::optional<clock::time_point> enough_since;
    while (!ended_ && clock::now() < end && !stop()) {
      (void)changed_.wait_for(lock, stop_wait);
      if (words_.enough() && !enough_since) {
        enough_since = clock::now();
      }
      const bool other = !words_.has_leave() && !words_.others().empty();
      if (words_.complete() || other ||
          (enough_since && clock::now() - *enough_since > keeper_wait)) {
        return words_;
      }
    }
    if (ended_) {
      return in_context(address, *ended_);
    }
    return fail(errc::timed_out,
                "{} does not say which model its cluster serves; name another "
                "member",
                address);
  }

private:
  result<role_set> admit(const actors::peer_hello& hello) override {
    const std::lock_guard lock{guard_};
    if (!far_.empty() && hello.node != far_) {
      return fail(errc::invalid_argument, "two nodes answer at one address");
    }
    far_ = hello.node;
    words_.take_hello(hello.node, hello.cluster, hello.token, hello.token_bound, unix_now_);
    return member_roles;
  }
  void connected(const actors::peer_info& peer) override {
    if (peer.kind == actors::channel::control) {
      control_ = peer.connection;
      // At the very place where this connection ends: a name may have many.
      (void)network_->connect(peer.seen.empty() ? peer.address : peer.seen, actors::channel::data,
                              {});
      return;
    }
    const actors::gossip_message question{actors::summary{true, {}}, {}, {}};
    (void)network_->send(
        control_, actors::message_kind::gossip, 0,
        std::make_shared<const std::vector<std::byte>>(actors::encode_gossip(question)));
  }
  void received(const actors::peer_info&, actors::message_kind kind, std::uint32_t,
                actors::received_bytes bytes) override {
    const auto said = kind == actors::message_kind::gossip
                          ? actors::decode_gossip(*bytes)
                          : result<actors::gossip_message>{error{}};
    if (said) {
      const std::lock_guard lock{guard_};
      words_.take_adverts(said->updates);
      changed_.notify_one();
    }
  }
  void closed(const actors::peer_info&, const error& reason) override {
    const std::lock_guard lock{guard_};
    ended_ = reason;
    changed_.notify_one();
  }

  const std::uint64_t unix_now_;
  std::unique_ptr<actors::tls_network> network_;
  actors::connection_id control_{};
  std::mutex guard_;
  std::condition_variable changed_;
  introduction_words words_;
  node_id far_;
  std::optional<error> ended_;
};

} // namespace

result<introduction> introduce(const std::vector<std::string>& members, const secret_key& key,
                               std::uint64_t unix_now, const std::function<bool()>& stop) {
  std::deque<std::string> open{members.begin(), members.end()};
  std::set<std::string> asked;
  error last = fail(errc::not_found, "no member is named");
  while (!open.empty() && asked.size() < members_asked_max && !stop()) {
    const std::string address = std::move(open.front());
    open.pop_front();
    if (!asked.insert(address).second) {
      continue;
    }
    introducer at{key, unix_now};
    const auto words = at.ask(address, stop);
    if (!words) {
      last = words.error();
      continue;
    }
    if (words->enough()) {
      return words->taken();
    }
    last = fail(errc::not_found,
                "{} is in its cluster without leave, and no node that it names has leave", address);
    for (std::string& other : words->others()) {
      open.push_back(std::move(other));
    }
  }
  return fail(last.code, "no member lets this machine in without an invitation: {}", last.message);
}

} // namespace ovir::apps
