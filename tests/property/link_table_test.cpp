#include "actors/link/link_table.hpp"
#include "messages/limits/general.hpp"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <set>

namespace ovir::actors {
namespace {

node_id node_named(std::uint8_t first) {
  node_id id;
  id.key[0] = first;
  return id;
}

// Two nodes and the connections between them. Each connection tells either end of its beginning, of
// messages and of its end, in order for one end of one connection and in any order otherwise, as a
// network does.
class two_ends {
public:
  static constexpr int begins = -1;
  static constexpr int ends = 0;

  explicit two_ends(std::uint64_t seed) : random_(seed) {}

  void dial(std::size_t from, const std::string& address, bool knows) {
    end& e = ends_[from];
    const node_id expected = knows ? name(1 - from) : node_id{};
    if (e.table.wants(address, expected)) {
      e.table.dialled(open(from, channel::control, address), address, expected);
    }
  }

  /// The wire of a random connection is cut.
  void cut() {
    std::vector<std::uint64_t> whole;
    for (const auto& [id, w] : wires_) {
      if (!w.cut) {
        whole.push_back(id);
      }
    }
    if (!whole.empty()) {
      end_of(whole[random_() % whole.size()]);
    }
  }

  /// One end loses all its connections, of which the other hears nothing.
  void forget(std::size_t side) {
    for (auto& [id, w] : wires_) {
      if (w.stands[side]) {
        w.cut = true;
        w.news[side] = {ends};
        w.news[1 - side].clear();
      }
    }
  }

  /// What one end holds of connections that the other has forgotten ends at last.
  void time_out() {
    for (auto& [id, w] : wires_) {
      for (std::size_t side = 0; side < 2; ++side) {
        if (w.cut && w.owed[side] && w.news[side].empty()) {
          w.news[side] = {ends};
        }
      }
    }
  }

  /// One end says something. What arrives belongs to one link of the one and one of the other.
  void say(std::size_t from, channel kind) {
    end& e = ends_[from];
    const auto way = e.up ? e.table.way(name(1 - from), kind) : std::nullopt;
    if (way && !wires_.at(way->value).cut) {
      wires_.at(way->value).news[1 - from].push_back(static_cast<int>(e.link));
    }
  }

  /// Something that is due at one of the ends happens. False when nothing is.
  bool step() {
    std::vector<std::pair<std::uint64_t, std::size_t>> due;
    for (const auto& [id, w] : wires_) {
      for (std::size_t side = 0; side < 2; ++side) {
        if (!w.news[side].empty()) {
          due.emplace_back(id, side);
        }
      }
    }
    if (due.empty()) {
      return false;
    }
    const auto [id, side] = due[random_() % due.size()];
    wire& w = wires_.at(id);
    const int news = w.news[side].front();
    w.news[side].pop_front();
    peer_info peer;
    peer.connection = connection_id{id};
    peer.node = name(1 - side);
    peer.kind = w.kind;
    peer.incoming = side != w.opener;
    end& e = ends_[side];
    if (news == begins) {
      w.stands[side] = true;
      w.owed[side] = true;
      for (std::size_t one = 0; one < 2; ++one) {
        w.told[one] = w.told[one].value_or(ends_[one].table.last_loss(name(1 - one)));
      }
      peer.told_loss = *w.told[side];
      peer.last_loss = *w.told[1 - side];
      perform(side, e.table.connected(peer));
    } else if (news == ends) {
      w.stands[side] = false;
      w.owed[side] = false;
      perform(side, e.table.closed(peer, "gone"));
    } else if (e.up && w.stands[side]) {
      const auto link = static_cast<std::size_t>(news);
      const auto [known, first] = e.heard.try_emplace(e.link, link);
      EXPECT_EQ(known->second, link) << "a link of the other side ended, and this one went on";
      EXPECT_TRUE(!first || e.links_heard.insert(link).second)
          << "this link ended, and the other side's went on";
    }
    std::erase_if(wires_, [](const auto& one) {
      const wire& w = one.second;
      return w.cut && w.news[0].empty() && w.news[1].empty() && !w.owed[0] && !w.owed[1];
    });
    return true;
  }

  void tick() {
    for (std::size_t side = 0; side < 2; ++side) {
      perform(side, ends_[side].table.tick());
    }
  }

  [[nodiscard]] const link_table& table(std::size_t side) const { return ends_[side].table; }
  [[nodiscard]] bool up(std::size_t side) const { return ends_[side].up; }
  [[nodiscard]] std::size_t wires() const { return wires_.size(); }
  [[nodiscard]] std::size_t downs() const { return ends_[0].downs + ends_[1].downs; }
  static node_id name(std::size_t side) { return node_named(static_cast<std::uint8_t>(side + 1)); }

private:
  struct end {
    link_table table;
    bool up{false};
    std::size_t downs{0};
    std::size_t link{0};                      ///< number of the one that is up, or was
    std::map<std::size_t, std::size_t> heard; ///< by this side's links: the other's, of messages
    std::set<std::size_t> links_heard;
  };
  struct wire {
    channel kind{channel::control};
    std::size_t opener{0};
    bool cut{false};
    std::array<std::deque<int>, 2> news; ///< `begins`, `ends`, or who sent it in which link
    std::array<bool, 2> stands{};
    std::array<bool, 2> owed{};                         ///< who hears of its end
    std::array<std::optional<std::uint64_t>, 2> told{}; ///< in the hellos
  };

  connection_id open(std::size_t from, channel kind, const std::string& address) {
    EXPECT_FALSE(address.empty());
    wire& w = wires_[++last_];
    w.kind = kind;
    w.opener = from;
    w.news[0].push_back(begins);
    w.news[1].push_back(begins);
    w.owed[from] = true;
    w.told[from] = ends_[from].table.last_loss(name(1 - from));
    return connection_id{last_};
  }

  void end_of(std::uint64_t id) {
    const auto found = wires_.find(id);
    if (found == wires_.end()) {
      return;
    }
    wire& w = found->second;
    if (w.cut) { // the other end has forgotten it
      for (std::size_t side = 0; side < 2; ++side) {
        w.news[side] = w.owed[side] ? std::deque<int>{ends} : w.news[side];
      }
      return;
    }
    w.cut = true;
    for (std::size_t side = 0; side < 2; ++side) {
      // The opener hears of its failure; the other side never met it.
      if (!w.stands[side] && side != w.opener) {
        w.news[side].clear();
      } else {
        w.news[side] = {ends};
      }
    }
  }

  void perform(std::size_t side, const link_table::effects& effects) {
    end& e = ends_[side];
    for (const link_effect& one : effects) {
      EXPECT_EQ(one.node, name(1 - side));
      switch (one.what) {
      case link_effect::action::close: end_of(one.connection.value); break;
      case link_effect::action::dial_data: {
        const connection_id data = open(side, channel::data, one.address);
        perform(side, e.table.data_dialled(one.node, one.connection, data));
        break;
      }
      case link_effect::action::up:
        EXPECT_FALSE(std::exchange(e.up, true));
        ++e.link;
        EXPECT_TRUE(e.table.linked(one.node));
        break;
      case link_effect::action::down:
        EXPECT_TRUE(std::exchange(e.up, false));
        ++e.downs;
        break;
      }
    }
    EXPECT_EQ(e.up, e.table.linked(name(1 - side)));
    EXPECT_LE(e.table.connections(name(1 - side)).size(), 2 * limits::link_lines_max + 1);
  }

  std::mt19937_64 random_;
  std::array<end, 2> ends_{end{link_table{name(0)}}, end{link_table{name(1)}}};
  std::map<std::uint64_t, wire> wires_;
  std::uint64_t last_{0};
};

// What membership does: looks after links, and dials while there is none.
void settle(two_ends& world) {
  for (int round = 0; round < 100; ++round) {
    while (world.step()) {
    }
    world.tick();
    if (world.up(0) && world.up(1) && world.wires() == 2) {
      return;
    }
    world.dial(0, "a:1", true);
    world.dial(1, "b:1", true);
    if (round == 50) {
      world.time_out();
    }
  }
  FAIL() << "the two never agreed on a link";
}

void expect_one_link(const two_ends& world) {
  EXPECT_EQ(world.wires(), 2U) << "connections that are of no use to anybody";
  for (const channel kind : {channel::control, channel::data}) {
    const auto here = world.table(0).way(two_ends::name(1), kind);
    const auto there = world.table(1).way(two_ends::name(0), kind);
    ASSERT_TRUE(here && there);
    EXPECT_EQ(here->value, there->value);
  }
}

TEST(link_table, two_nodes_agree_on_one_link_whatever_the_order) {
  for (std::uint64_t seed = 1; seed <= 12'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    two_ends world{seed};
    std::mt19937_64 random{seed + 77};
    for (int i = 0; i < 60; ++i) {
      switch (random() % 12) {
      case 8:
      case 9: world.say(random() % 2, random() % 2 == 0 ? channel::control : channel::data); break;
      case 10:
        if (random() % 3 == 0) {
          world.forget(random() % 2);
        }
        break;
      case 11: world.tick(); break;
      case 0: world.dial(0, "a:1", true); break;
      case 1: world.dial(1, "b:1", true); break;
      case 2: world.dial(0, "seed:1", false); break;
      case 3: world.dial(1, "seed:1", false); break;
      case 4:
        if (random() % 3 == 0) {
          world.cut();
        }
        break;
      default: world.step();
      }
    }
    settle(world);
    expect_one_link(world);
    if (testing::Test::HasFailure()) {
      return;
    }
  }
}

TEST(link_table, links_opened_at_once_lose_nothing) {
  for (std::uint64_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    two_ends world{seed};
    world.dial(0, "b:1", true);
    world.dial(1, "a:1", true);
    for (int round = 0; round < 10; ++round) {
      while (world.step()) {
      }
      world.tick();
    }
    EXPECT_TRUE(world.up(0) && world.up(1));
    expect_one_link(world);
    EXPECT_EQ(world.downs(), 0U);
    if (testing::Test::HasFailure()) {
      return;
    }
  }
}

peer_info of(std::uint64_t id, channel kind, bool incoming) {
  peer_info peer;
  peer.connection = connection_id{id};
  peer.node = node_named(2);
  peer.kind = kind;
  peer.incoming = incoming;
  return peer;
}

peer_info after(peer_info peer, std::uint64_t last_loss) {
  peer.last_loss = last_loss;
  return peer;
}

TEST(link_table, a_link_its_opener_makes_anew_is_told) {
  link_table table{node_named(1)};
  EXPECT_TRUE(table.connected(of(1, channel::control, true)).empty());
  EXPECT_EQ(table.connected(of(2, channel::data, true)).size(), 1U);
  const auto effects = table.connected(after(of(3, channel::control, true), 1));
  ASSERT_EQ(effects.size(), 3U);
  EXPECT_EQ(effects[0].what, link_effect::action::down);
  EXPECT_EQ(effects[1].connection, connection_id{1});
  EXPECT_EQ(effects[2].connection, connection_id{2});
  ASSERT_EQ(table.connected(after(of(4, channel::data, true), 1)).size(), 1U);
  EXPECT_EQ(table.way(node_named(2), channel::data), connection_id{4});
  EXPECT_EQ(table.connected(of(5, channel::control, true)).size(), 1U) << "of before";
  EXPECT_EQ(table.way(node_named(2), channel::data), connection_id{4});
}

// The one with the higher key closes its own within two ticks if it knows ours.
TEST(link_table, a_line_that_lasts_beside_ours_ends_the_link) {
  link_table table{node_named(1)};
  peer_info mine = of(1, channel::control, false);
  table.dialled(connection_id{1}, "b:1", mine.node);
  (void)table.connected(mine);
  (void)table.data_dialled(mine.node, connection_id{1}, connection_id{2});
  (void)table.connected(of(2, channel::data, false));
  (void)table.connected(of(3, channel::control, true));
  EXPECT_TRUE(table.connected(of(4, channel::data, true)).empty());
  EXPECT_EQ(table.way(mine.node, channel::control), connection_id{1});
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(table.tick().empty());
  }
  EXPECT_EQ(table.last_loss(mine.node), 0U);
  EXPECT_EQ(table.tick().size(), 5U);
  EXPECT_FALSE(table.linked(mine.node));
  EXPECT_EQ(table.last_loss(mine.node), 1U);
  // What was under way with the hello of before is of no use.
  EXPECT_EQ(table.connected(of(5, channel::control, true)).at(0).connection, connection_id{5});
  peer_info anew = of(6, channel::control, true);
  anew.told_loss = 1;
  EXPECT_TRUE(table.connected(anew).empty());
}

// The other side lost the link and opened another, while ours looks as before.
TEST(link_table, a_line_opened_after_a_loss_takes_the_place_of_ours_aloud) {
  for (const std::uint64_t lost : {0U, 5U}) {
    link_table table{node_named(3)};
    peer_info mine = of(1, channel::control, false);
    table.dialled(connection_id{1}, "b:1", mine.node);
    (void)table.connected(mine);
    (void)table.data_dialled(mine.node, connection_id{1}, connection_id{2});
    (void)table.connected(of(2, channel::data, false));
    const auto first = table.connected(after(of(3, channel::control, true), lost));
    const auto then = table.connected(after(of(4, channel::data, true), lost));
    EXPECT_EQ(table.way(mine.node, channel::control), connection_id{3});
    ASSERT_EQ(first.size(), lost != 0 ? 3U : 0U);
    ASSERT_EQ(then.size(), lost != 0 ? 1U : 0U);
    if (lost != 0) {
      EXPECT_EQ(first[0].what, link_effect::action::down);
      EXPECT_EQ(then[0].what, link_effect::action::up);
    }
  }
}

TEST(link_table, few_losses_are_remembered) {
  link_table table{node_named(1)};
  for (std::uint64_t i = 0; i < limits::lost_links_max + 10; ++i) {
    peer_info control = of(2 * i + 1, channel::control, true);
    control.node.key[1] = static_cast<std::uint8_t>(i);
    control.node.key[2] = static_cast<std::uint8_t>(i >> 8U);
    peer_info data = control;
    data.kind = channel::data;
    data.connection = connection_id{2 * i + 2};
    (void)table.connected(control);
    (void)table.connected(data);
    (void)table.closed(data, "gone");
    EXPECT_EQ(table.last_loss(control.node), i + 1);
  }
  peer_info first = of(1, channel::control, true);
  EXPECT_EQ(table.last_loss(first.node), 0U);
  first.node.key[1] = 10;
  EXPECT_EQ(table.last_loss(first.node), 11U);
}

// It crashed and is back at once: whatever it did not get of the line before is lost.
TEST(link_table, a_line_to_the_peers_next_life_takes_every_others_place_aloud) {
  for (const bool ours : {false, true}) {
    link_table table{node_named(3)};
    peer_info earlier = of(1, channel::control, !ours);
    table.dialled(connection_id{1}, "b:1", earlier.node);
    (void)table.connected(earlier);
    if (ours) {
      (void)table.data_dialled(earlier.node, connection_id{1}, connection_id{2});
    }
    (void)table.connected(of(2, channel::data, !ours));
    ASSERT_TRUE(table.linked(earlier.node));
    peer_info later = of(3, channel::control, true);
    later.life = 7;
    const auto effects = table.connected(later);
    ASSERT_EQ(effects.size(), 3U);
    EXPECT_EQ(effects[0].what, link_effect::action::down);
    EXPECT_EQ(effects[1].connection, connection_id{1});
    EXPECT_EQ(effects[2].connection, connection_id{2});
    EXPECT_FALSE(table.linked(earlier.node));
    peer_info data = of(4, channel::data, true);
    data.life = 7;
    ASSERT_EQ(table.connected(data).size(), 1U);
    EXPECT_EQ(table.way(earlier.node, channel::data), connection_id{4});
  }
}

TEST(link_table, half_a_link_is_none) {
  link_table table{node_named(1)};
  (void)table.connected(of(1, channel::control, true));
  (void)table.connected(of(2, channel::data, true));
  const auto effects = table.closed(of(2, channel::data, true), "gone");
  ASSERT_EQ(effects.size(), 2U);
  EXPECT_EQ(effects[0].connection, connection_id{1});
  EXPECT_EQ(effects[1].what, link_effect::action::down);
  EXPECT_EQ(table.size(), 0U);
}

// An order can arrive before it is known here that the data connection stands: its opener knew.
TEST(link_table, answers_find_their_way_before_the_data_connection_is_known) {
  link_table table{node_named(1)};
  (void)table.connected(of(1, channel::control, true));
  EXPECT_FALSE(table.linked(node_named(2)));
  EXPECT_EQ(table.way(node_named(2), channel::control), connection_id{1});
  EXPECT_EQ(table.way(node_named(2), channel::data), std::nullopt);
  (void)table.closed(of(1, channel::control, true), "gone");
  EXPECT_EQ(table.way(node_named(2), channel::control), std::nullopt);
  peer_info mine = of(2, channel::control, false);
  table.dialled(connection_id{2}, "b:1", mine.node);
  (void)table.connected(mine);
  EXPECT_EQ(table.way(mine.node, channel::control), std::nullopt) << "nothing was asked there";
}

TEST(link_table, a_peer_holds_few_lines_that_are_of_no_use) {
  link_table table{node_named(1)};
  std::size_t refused = 0;
  for (std::uint64_t i = 1; i <= 100; ++i) {
    refused += table.connected(of(i, i % 2 == 0 ? channel::data : channel::control, true)).size();
    EXPECT_LE(table.connections(node_named(2)).size(), 2 * limits::link_lines_max + 1);
  }
  EXPECT_GT(refused, 50U);
}

TEST(link_table, nobody_is_dialled_twice_at_once) {
  link_table table{node_named(1)};
  EXPECT_TRUE(table.wants("a:1", node_named(2)));
  table.dialled(connection_id{1}, "a:1", {});
  EXPECT_FALSE(table.wants("a:1", node_named(2)));
  EXPECT_FALSE(table.wants("a:1", {}));
  EXPECT_TRUE(table.wants("b:1", node_named(2)));
  peer_info failed;
  failed.connection = connection_id{1};
  (void)table.closed(failed, "nobody there");
  EXPECT_TRUE(table.wants("a:1", {}));
}

} // namespace
} // namespace ovir::actors
