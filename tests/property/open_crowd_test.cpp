// An open cluster's members under 500 hostile newcomers: each links to every honest node that has a
// place for it, tells of members there are not, counts them, and accuses everybody.
#include "actors/link/stranger_door.hpp"
#include "actors/members/membership_core.hpp"
#include "messages/limits/links.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <unordered_map>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t honest_nodes = 26;
constexpr std::size_t with_leave = 6; // of these, from the first on; seeds of the others
constexpr std::size_t hostile_nodes = 500;
constexpr std::size_t ghosts = 3'000;
constexpr std::size_t ghosts_told = 16; // by one message

secret_key crowd_secret(std::uint32_t n) {
  std::array<std::byte, secret_key::seed_size> seed{};
  std::memcpy(seed.data(), &n, sizeof n);
  seed[31] = std::byte{0x49};
  return secret_key::from_seed(seed);
}

/// Machine `n` has a /24 of its own.
address_prefix at_home(std::size_t n) {
  return prefix_of(0x0a000001U + (static_cast<std::uint32_t>(n) << 8U));
}

std::string address_in(std::size_t n) { return fmt::format("10.{}.{}.1:7300", n / 256, n % 256); }

node_advert advert_at(std::size_t site) {
  node_advert a;
  a.name = "n" + std::to_string(site);
  a.address = address_in(site);
  a.roles.add(role::worker);
  return a;
}

class open_crowd : public ::testing::Test {
protected:
  struct honest_node {
    std::unique_ptr<secret_key> key;
    std::unique_ptr<membership_core> core;
    stranger_door door;
    std::set<node_id> linked;
  };
  struct hostile_key {
    std::unique_ptr<secret_key> key;
    std::size_t site{0};
    signed_update own;
  };
  struct letter {
    std::size_t to;
    node_id from;
    std::vector<std::byte> bytes; ///< none: the link's end
  };

  /// 500 hostile keys come from so many networks.
  void begin(std::size_t networks) {
    fmt::print("seed {}\n", seed_);
    for (std::size_t i = 0; i < honest_nodes; ++i) {
      honest_.emplace_back();
      honest_[i].key = std::make_unique<secret_key>(crowd_secret(static_cast<std::uint32_t>(i)));
      numbers_[honest_[i].key->id()] = i;
    }
    for (std::size_t i = 0; i < hostile_nodes; ++i) {
      hostile_key h{
          std::make_unique<secret_key>(crowd_secret(static_cast<std::uint32_t>(1'000 + i))),
          1'000 + i % networks,
          {}};
      h.own = sign_advert(*h.key, 1, advert_at(h.site));
      foes_[h.key->id()] = i;
      hostile_.push_back(std::move(h));
    }
    for (std::size_t i = 0; i < ghosts; ++i) {
      const secret_key key = crowd_secret(static_cast<std::uint32_t>(10'000 + i));
      ghosts_.emplace_back(sign_advert(key, 1, advert_at(2'000 + i)));
    }
    for (std::size_t i = 0; i < honest_nodes; ++i) {
      start(i);
    }
  }

  [[nodiscard]] bool has_leave(const node_id& node) const {
    const auto at = numbers_.find(node);
    return at != numbers_.end() && at->second < with_leave;
  }

  void start(std::size_t i) {
    membership_options options;
    options.full_mesh_max = 12;
    options.stranger = [this](const node_id& node) { return !has_leave(node); };
    honest_[i].core = std::make_unique<membership_core>(
        *honest_[i].key, advert_at(i), 10, options, seed_ + i,
        [](const node_id&) { return std::optional{stranger_door::roles}; },
        [this](const signed_update& u) { return is_right(u); });
  }

  /// The same bytes have the same answer: only the first time costs.
  bool is_right(const signed_update& update) {
    const auto& proof = std::visit(
        [](const auto& u) -> const auto& { return u.proof; }, update);
    std::uint64_t head = 0;
    std::memcpy(&head, &proof, sizeof head);
    const auto known = checked_.find(head);
    if (known != checked_.end()) {
      return known->second;
    }
    const bool right = is_genuine(update);
    checked_[head] = right;
    return right;
  }

  [[nodiscard]] std::uint64_t seconds() const {
    return static_cast<std::uint64_t>(now_.time_since_epoch() / 1s);
  }
  /// Whether `i` lets this key in from there.
  bool lets_in(std::size_t i, const node_id& node, const address_prefix& from) {
    return has_leave(node) || honest_[i].door.enter(node, from, seconds()).has_value();
  }

  void link(std::size_t i, std::size_t j) {
    const node_id a = honest_[i].key->id();
    const node_id b = honest_[j].key->id();
    if (i == j || honest_[i].linked.contains(b) || honest_[j].linked.contains(a) ||
        !lets_in(j, a, at_home(i)) || !lets_in(i, b, at_home(j))) {
      return;
    }
    enter(i, b, at_home(j), true);
    enter(j, a, at_home(i), false);
  }
  void enter(std::size_t i, const node_id& node, const address_prefix& from, bool ours) {
    honest_[i].linked.insert(node);
    honest_[i].door.came(node);
    perform(i, honest_[i].core->on_link_up(node, now_, ours, from));
  }
  void part(std::size_t i, const node_id& node) {
    if (honest_[i].linked.erase(node) == 0) {
      return;
    }
    honest_[i].door.went(node);
    perform(i, honest_[i].core->on_link_down(node, now_));
    if (const auto at = numbers_.find(node); at != numbers_.end()) {
      mail_.push_back({at->second, honest_[i].key->id(), {}}); // behind what was said
    }
  }

  void perform(std::size_t i, const membership_effects& effects) {
    for (const membership_effect& e : effects) {
      if (const auto* s = std::get_if<send_gossip>(&e)) {
        if (honest_[i].linked.contains(s->to)) {
          if (const auto at = numbers_.find(s->to); at != numbers_.end()) {
            mail_.push_back({at->second, honest_[i].key->id(), s->bytes});
          } else {
            answer(i, s->to, s->bytes);
          }
        }
      } else if (const auto* w = std::get_if<want_link>(&e)) {
        if (const auto at = numbers_.find(w->to); at != numbers_.end()) {
          link(i, at->second);
        } else if (const auto foe = foes_.find(w->to); foe != foes_.end()) {
          come(hostile_[foe->second], i);
        } else {
          ++ghost_dials_;
        }
      } else if (const auto* p = std::get_if<part_link>(&e)) {
        part(i, p->from);
      } else if (const auto* c = std::get_if<member_changed>(&e)) {
        const bool wronged = numbers_.contains(c->now.node) && c->now.health == member_health::dead;
        deaths_ += wronged ? 1 : 0;
      }
    }
  }

  /// Answers pings, as a node does that wants to stay.
  void answer(std::size_t i, const node_id& foe, std::span<const std::byte> bytes) {
    const auto said = decode_gossip(bytes);
    if (const auto* p = said ? std::get_if<ping>(&said->body) : nullptr) {
      mail_.push_back({i, foe, encode_gossip({ping_answer{p->nonce}, {}, {}})});
    }
  }
  void come(const hostile_key& h, std::size_t i) {
    const node_id& id = h.key->id();
    if (!honest_[i].linked.contains(id) && lets_in(i, id, at_home(h.site))) {
      enter(i, id, at_home(h.site), false);
      mail_.push_back({i, id, encode_gossip({news{}, {h.own}, {}})});
    }
  }
  void misbehave(const hostile_key& h) {
    gossip_message said{news{}, {}, {}};
    const std::size_t first = random_() % ghosts;
    for (std::size_t n = 0; n < ghosts_told; ++n) {
      const signed_update& ghost = ghosts_[(first + n) % ghosts];
      said.updates.push_back(ghost);
      said.counted.push_back({subject_of(ghost), 1, true});
    }
    const std::size_t victim = random_() % honest_nodes;
    const membership_core& of = *honest_[victim].core;
    said.updates.emplace_back(sign_suspicion(*h.key, of.self(), of.find(of.self())->incarnation));
    const std::vector<std::byte> bytes = encode_gossip(said);
    for (std::size_t i = 0; i < honest_nodes; ++i) {
      if (honest_[i].linked.contains(h.key->id())) {
        mail_.push_back({i, h.key->id(), bytes});
      }
    }
  }

  void deliver() {
    for (const letter& one : std::exchange(mail_, {})) {
      if (!honest_[one.to].linked.contains(one.from)) {
        continue;
      }
      if (one.bytes.empty()) {
        part(one.to, one.from);
        continue;
      }
      auto effects = honest_[one.to].core->on_gossip(one.from, one.bytes, now_);
      if (effects) {
        perform(one.to, *effects);
      } else {
        EXPECT_TRUE(foes_.contains(one.from)) << effects.error().message;
        part(one.to, one.from);
      }
    }
  }

  void pass(std::chrono::seconds span, bool attacked) {
    for (const auto end = now_ + span; now_ < end; ++steps_) {
      now_ += 50ms;
      deliver();
      for (std::size_t i = 0; i < honest_nodes; ++i) {
        if (steps_ % 2 == 0) {
          perform(i, honest_[i].core->on_tick(now_));
        }
        if (steps_ % 10 == i % 10 && (!honest_[i].core->crowded() || random_() % 60 == 0)) {
          link(i, random_() % with_leave);
        }
        for (const node_id& gone : honest_[i].door.take_replaced()) {
          part(i, gone);
        }
      }
      for (std::size_t h = 0; attacked && h < hostile_nodes; ++h) {
        if ((steps_ + h) % 20 == 0) {
          come(hostile_[h], random_() % honest_nodes);
          misbehave(hostile_[h]);
        }
      }
    }
  }

  /// In how many pairs an honest node does not see one of the first `of_them` alive.
  [[nodiscard]] std::size_t unseen(std::size_t of_them) const {
    std::size_t count = 0;
    for (const honest_node& one : honest_) {
      for (std::size_t j = 0; j < of_them; ++j) {
        const member* const m = one.core->find(honest_[j].key->id());
        count += m == nullptr || m->health != member_health::alive ? 1 : 0;
      }
    }
    return count;
  }
  [[nodiscard]] std::size_t ghosts_among(std::size_t i) const {
    const auto members = honest_[i].core->members();
    return static_cast<std::size_t>(
        std::count_if(members.begin(), members.end(), [&](const member& m) {
          return !numbers_.contains(m.node) && !foes_.contains(m.node);
        }));
  }
  [[nodiscard]] std::size_t foes_drawn(std::size_t i) const {
    const auto drawn = honest_[i].core->drawn();
    return static_cast<std::size_t>(std::count_if(
        drawn.begin(), drawn.end(), [&](const node_id& node) { return foes_.contains(node); }));
  }

  const std::uint64_t seed_{49};
  std::mt19937_64 random_{seed_};
  std::vector<honest_node> honest_;
  std::vector<hostile_key> hostile_;
  std::vector<signed_update> ghosts_;
  std::map<node_id, std::size_t> numbers_;
  std::map<node_id, std::size_t> foes_;
  std::unordered_map<std::uint64_t, bool> checked_;
  std::vector<letter> mail_;
  membership_core::time_point now_{1h};
  std::uint64_t steps_{0};
  std::size_t ghost_dials_{0};
  std::size_t deaths_{0};
};

TEST_F(open_crowd, keeps_its_members_and_neighbours_under_a_flood_of_invented_ones) {
  begin(2);
  pass(60s, true); // from the first moment on
  EXPECT_LE(unseen(honest_nodes), honest_nodes * honest_nodes / 50) << "of 676 pairs";
  EXPECT_EQ(deaths_, 0U) << "times that an honest node was taken for dead";
  for (std::size_t i = 0; i < honest_nodes; ++i) {
    SCOPED_TRACE(i);
    EXPECT_TRUE(honest_[i].core->crowded());
    EXPECT_EQ(ghosts_among(i), 0U);
    EXPECT_LE(foes_drawn(i), limits::drawn_least);
    EXPECT_LE(honest_[i].core->strangers().size(), limits::stranger_entries_max);
    std::size_t linked = 0;
    for (const hostile_key& h : hostile_) {
      linked += honest_[i].linked.contains(h.key->id()) ? 1 : 0;
    }
    EXPECT_LE(linked, 2 * limits::strangers_per_site_max);
  }
}

TEST_F(open_crowd, keeps_those_with_leave_where_the_hostile_come_from_many_networks) {
  begin(50);
  pass(60s, true);
  EXPECT_LE(unseen(with_leave), 2U) << "of 156 pairs";
  EXPECT_LE(unseen(honest_nodes), honest_nodes * honest_nodes / 2);
  EXPECT_EQ(deaths_, 0U);
  for (std::size_t i = 0; i < honest_nodes; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(ghosts_among(i), 0U) << "of many networks, too, strangers alone make no member";
    EXPECT_LE(honest_[i].core->strangers().size(), limits::stranger_entries_max);
    const auto drawn = honest_[i].core->drawn();
    EXPECT_TRUE(std::any_of(drawn.begin(), drawn.end(),
                            [&](const node_id& node) { return has_leave(node); }));
  }
  pass(20s, false); // the flood ends
  EXPECT_EQ(unseen(with_leave), 0U);
}

} // namespace
} // namespace ovir::actors
