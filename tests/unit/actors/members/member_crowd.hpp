#pragma once

#include "actors/members/member_latest.hpp"
#include "actors/members/membership_core.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::actors {

using namespace std::chrono_literals;
using crowd_time = membership_core::time_point;
using crowd_effects = membership_core::effects;

inline secret_key crowd_key(std::uint16_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = static_cast<std::byte>(n & 0xffU);
  seed[1] = static_cast<std::byte>(n >> 8U);
  seed[2] = std::byte{0x33};
  return secret_key::from_seed(seed);
}

inline node_advert crowd_advert(std::uint16_t n) {
  node_advert a;
  a.name = "n" + std::to_string(n);
  a.address = a.name + ":1";
  a.roles.add(role::worker);
  return a;
}

inline constexpr std::uint16_t peers_met = 12;

/// One core in a crowd of members that the test plays: 1 to `peers_met`, all linked.
struct member_crowd : testing::Test {
  std::vector<secret_key> keys;
  std::map<node_id, std::uint16_t> numbers;
  std::unique_ptr<membership_core> core;
  crowd_time now{1h};
  std::set<std::uint16_t> silent; ///< answer no pings

  explicit member_crowd(std::size_t lists_above = limits::lists_above) {
    for (std::uint16_t n = 0; n < 40; ++n) {
      keys.push_back(crowd_key(n));
      numbers[keys[n].id()] = n;
    }
    membership_options options;
    options.full_mesh_max = 8;
    options.lists_above = lists_above;
    core = std::make_unique<membership_core>(
        keys[0], crowd_advert(0), 10, options, 1,
        [](const node_id&) { return std::optional{member_roles}; });
    for (std::uint16_t n = 1; n <= peers_met; ++n) {
      (void)core->on_link_up(keys[n].id(), now);
      (void)hear(n, news{}, {advert(n, 1)});
    }
    (void)pass(100ms);
  }

  [[nodiscard]] signed_update advert(std::uint16_t n, std::uint64_t incarnation) const {
    return sign_advert(keys[n], incarnation, crowd_advert(n));
  }
  [[nodiscard]] signed_update accusation(std::uint16_t by, std::uint16_t of,
                                         std::uint64_t incarnation = 1) const {
    return sign_suspicion(keys[by], keys[of].id(), incarnation);
  }
  crowd_effects hear(std::uint16_t from, gossip_body body, std::vector<signed_update> updates = {},
                     std::vector<known_node> counted = {}) {
    auto out = core->on_gossip(
        keys[from].id(), encode_gossip({std::move(body), std::move(updates), std::move(counted)}),
        now);
    EXPECT_TRUE(out) << out.error().message;
    return out ? std::move(*out) : crowd_effects{};
  }
  /// Time passes; those that are linked answer pings.
  crowd_effects pass(std::chrono::milliseconds span) {
    crowd_effects all;
    for (const crowd_time end = now + span; now < end;) {
      now += 25ms;
      crowd_effects some = core->on_tick(now);
      for (std::size_t i = 0; i < some.size(); ++i) {
        const auto* const s = std::get_if<send_gossip>(&some[i]);
        const std::uint16_t to = s == nullptr ? 0 : numbers.at(s->to);
        const auto message = s == nullptr ? gossip_message{} : *decode_gossip(s->bytes);
        if (const auto* p = std::get_if<ping>(&message.body);
            p != nullptr && !silent.contains(to)) {
          for (auto& e : hear(to, ping_answer{p->nonce})) {
            some.push_back(std::move(e));
          }
        }
      }
      std::move(some.begin(), some.end(), std::back_inserter(all));
    }
    return all;
  }
  [[nodiscard]] std::vector<gossip_message> said(const crowd_effects& all,
                                                 std::optional<std::uint16_t> to = {}) const {
    std::vector<gossip_message> out;
    for (const membership_effect& e : all) {
      if (const auto* s = std::get_if<send_gossip>(&e); s != nullptr && (!to || s->to == id(*to))) {
        out.push_back(*decode_gossip(s->bytes));
      }
    }
    return out;
  }
  template <class Effect>
  static std::vector<Effect> only(const crowd_effects& all) {
    std::vector<Effect> out;
    for (const membership_effect& e : all) {
      if (const auto* wanted = std::get_if<Effect>(&e)) {
        out.push_back(*wanted);
      }
    }
    return out;
  }
  [[nodiscard]] const node_id& id(std::uint16_t n) const { return keys[n].id(); }
  [[nodiscard]] std::optional<member_health> health(std::uint16_t n) const {
    const member* const m = core->find(id(n));
    return m == nullptr ? std::nullopt : std::optional{m->health};
  }
  [[nodiscard]] std::chrono::milliseconds suspicion() const {
    return std::bit_width(core->members().size()) * 600ms + 200ms;
  }
};

/// The same with news by lists (member_latest.hpp).
struct member_lists : member_crowd {
  explicit member_lists(bool settled = true) : member_crowd(0) {
    if (settled) { // no newcomer any more
      (void)pass(25s);
    }
  }

  /// The first list it sends to anyone.
  [[nodiscard]] latest list() {
    for (int i = 0; i < 80; ++i) {
      for (const gossip_message& m : said(pass(25ms))) {
        if (const auto* const l = std::get_if<latest>(&m.body)) {
          return *l;
        }
      }
    }
    ADD_FAILURE() << "no list in two seconds";
    return {};
  }
  [[nodiscard]] static latest_answer answer_in(const std::vector<gossip_message>& all) {
    for (const gossip_message& m : all) {
      if (const auto* const a = std::get_if<latest_answer>(&m.body)) {
        return *a;
      }
    }
    return {};
  }
  [[nodiscard]] static told_case case_of(const signed_update& word) {
    const auto& s = std::get<signed_suspicion>(word);
    return {head_of(s.subject), s.incarnation, {{head_of(s.accuser), s.proof}}};
  }
};

} // namespace ovir::actors
