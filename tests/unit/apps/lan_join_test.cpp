#include "apps/ovir/node/lan_announce.hpp"
#include "apps/ovir/node/lan_join.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

namespace ovir::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using time_point = std::chrono::steady_clock::time_point;

swarm_line line_of(std::uint8_t number) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed[0] = std::byte{number};
  return {{fmt::format("10.0.0.{}:7300", number)}, secret_key::from_seed(seed), {}, {}, 256};
}

/// What a test puts in the place of the network.
class told_lan final : public actors::lan {
public:
  void tell(std::uint8_t cluster, const std::string& service, const std::string& address) {
    seen.push_back(
        {service, address,
         actors::to_txt({fmt::format("swarm-{}", cluster), line_of(cluster).key.id(), true})});
  }
  result<std::unique_ptr<actors::announced>>
  announce(const actors::announcement& told, const actors::announced_place& place,
           std::function<void(const std::string&)> warn) override {
    if (!works) {
      return fail(errc::io_failed, "there is no network");
    }
    announcements.push_back(told);
    places.push_back(place);
    warn("another host announces this node's name");
    return std::make_unique<actors::announced>();
  }
  result<actors::search_end> search(std::chrono::milliseconds,
                                    const std::function<void(const actors::sighting&)>& found,
                                    const std::function<bool()>&) override {
    for (const actors::sighting& one : seen) {
      found(one);
    }
    return actors::search_end{left_out};
  }

  bool works{true};
  std::vector<actors::sighting> seen;
  std::size_t left_out{0};
  std::vector<actors::announcement> announcements;
  std::vector<actors::announced_place> places;
};

lan_findings findings(told_lan& network, const std::string& own = {}) {
  int times = 0;
  return look_around(
             network, own, [] { return false; },
             [&] { return time_point{std::chrono::milliseconds{100 * times++}}; })
      .value();
}

/// Answers in order, and the questions that were asked.
struct person {
  std::deque<std::string> answers;
  std::vector<std::string> asked;

  line_asker asker() {
    return [this](std::string_view question) -> result<std::string> {
      asked.emplace_back(question);
      if (answers.empty()) {
        return fail(errc::invalid_argument, "there is no answer");
      }
      std::string text = answers.front();
      answers.pop_front();
      return text;
    };
  }
};

TEST(lan_join, the_only_swarm_is_joined_by_its_line_and_at_the_places_found) {
  told_lan network;
  network.tell(1, "ovir-a", "10.0.0.7:7300");
  network.tell(1, "ovir-b", "10.0.0.1:7300");
  const lan_findings found = findings(network);
  EXPECT_EQ(found.nodes, 2U);
  EXPECT_EQ(found.last.count(), 200);
  person who{{"  " + to_text(line_of(1)) + "\r"}, {}};
  const auto line = line_by_lan(found, who.asker());
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_THAT(line->members, ElementsAre("10.0.0.1:7300", "10.0.0.7:7300"));
  EXPECT_EQ(line->key.id(), line_of(1).key.id());
  EXPECT_THAT(who.asked, ElementsAre(HasSubstr("invitation of 'swarm-1'")));
}

TEST(lan_join, a_line_without_addresses_is_completed_by_those_found) {
  told_lan network;
  network.tell(1, "ovir-a", "10.0.0.7:7300");
  const std::string whole = to_text(line_of(1));
  person who{{whole.substr(whole.find('/') + 1)}, {}};
  const auto line = line_by_lan(findings(network), who.asker());
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_THAT(line->members, ElementsAre("10.0.0.7:7300"));
}

TEST(lan_join, of_several_swarms_the_person_names_one) {
  told_lan network;
  network.tell(1, "ovir-a", "10.0.0.1:7300");
  network.tell(2, "ovir-b", "10.0.0.2:7300");
  for (const std::string& answer : {std::string{"2"}, to_hex(line_of(2).key.id()).substr(0, 8)}) {
    person who{{answer, to_text(line_of(2))}, {}};
    const auto line = line_by_lan(findings(network), who.asker());
    ASSERT_TRUE(line) << line.error().message;
    EXPECT_EQ(line->key.id(), line_of(2).key.id());
  }
  person unsure{{"3"}, {}};
  EXPECT_FALSE(line_by_lan(findings(network), unsure.asker()));
}

TEST(lan_join, the_key_of_the_invitation_decides_and_not_the_announced_name) {
  told_lan network;
  network.seen.push_back(
      {"liar", "10.0.0.9:7300", actors::to_txt({"swarm-1", line_of(2).key.id(), true})});
  person who{{to_text(line_of(1))}, {}};
  const auto line = line_by_lan(findings(network), who.asker());
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().code, errc::invalid_argument);
  EXPECT_THAT(line.error().message, HasSubstr("not of 'swarm-1'"));
}

TEST(lan_join, addresses_of_a_liar_stand_behind_those_of_the_line_and_are_bounded) {
  told_lan network;
  for (int i = 0; i < 500; ++i) {
    network.tell(1, fmt::format("liar-{}", i), fmt::format("10.0.0.9:{}", 1 + i));
  }
  person who{{to_text(line_of(1))}, {}};
  const auto line = line_by_lan(findings(network), who.asker());
  ASSERT_TRUE(line);
  EXPECT_EQ(line->members.front(), "10.0.0.1:7300");
  EXPECT_LE(line->members.size(), limits::seeds_max);
}

TEST(lan_join, finds_nothing_and_says_what_to_do) {
  told_lan network;
  network.left_out = 3;
  const lan_findings found = findings(network);
  EXPECT_THAT(found.warnings, ElementsAre(HasSubstr("3 announcements beyond")));
  person who;
  const auto line = line_by_lan(found, who.asker());
  ASSERT_FALSE(line);
  EXPECT_EQ(line.error().code, errc::not_found);
  EXPECT_THAT(who.asked, ::testing::IsEmpty());
}

TEST(lan_join, an_answer_that_is_no_line_is_refused_without_being_quoted) {
  told_lan network;
  network.tell(1, "ovir-a", "10.0.0.7:7300");
  for (const char* const wrong : {"", "ovir-swarm-c2VjcmV0", "yes"}) {
    person who{{wrong}, {}};
    const auto line = line_by_lan(findings(network), who.asker());
    ASSERT_FALSE(line);
    EXPECT_EQ(line.error().message.find("c2VjcmV0"), std::string::npos);
  }
}

/// HOST:PORT; nothing listens there.
std::string at_port(const std::string& host) { return host + ":7300"; }

supervision::node_options announcing() {
  supervision::node_options how;
  how.cluster = "home";
  how.announce = true;
  how.admins = {line_of(1).key.id(), line_of(2).key.id()};
  return how;
}

TEST(lan_announce, tells_the_cluster_its_first_admin_and_where_the_node_listens) {
  const node_id node = line_of(3).key.id();
  const auto told = notice_of(announcing(), "10.0.0.1:7311", node);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->told, (actors::announcement{"home", line_of(1).key.id(), true}));
  EXPECT_EQ(told->place.name, "ovir-" + to_hex(node).substr(0, 16));
  EXPECT_EQ(told->place.host, "10.0.0.1");
  EXPECT_EQ(told->place.port, 7311);
  EXPECT_EQ(notice_of(announcing(), "[fd00::7]:7300", node)->place.host, "fd00::7");
  EXPECT_EQ(notice_of(announcing(), at_port("0.0.0.0"), node)->place.host, "");
  EXPECT_EQ(notice_of(announcing(), at_port("[::]"), node)->place.host, "");
  supervision::node_options how = announcing();
  how.advertise = "10.9.9.9:7000";
  EXPECT_EQ(notice_of(how, at_port("0.0.0.0"), node)->place.host, "10.9.9.9");
  how.advertise = "node.example:7000";
  EXPECT_EQ(notice_of(how, "10.0.0.1:7300", node)->place.port, 7300);
}

TEST(lan_announce, tells_nothing_where_it_is_off_or_only_this_machine_is_meant) {
  const node_id node = line_of(3).key.id();
  for (const char* const here : {"127.0.0.1", "127.8.0.1", "[::1]", "localhost"}) {
    EXPECT_FALSE(notice_of(announcing(), at_port(here), node)) << here;
  }
  EXPECT_FALSE(notice_of(announcing(), "", node));
  supervision::node_options off = announcing();
  off.announce = false;
  EXPECT_FALSE(notice_of(off, "10.0.0.1:7300", node));
  supervision::node_options without_key = announcing();
  without_key.admins.clear();
  EXPECT_FALSE(notice_of(without_key, "10.0.0.1:7300", node));
}

class kept_log final : public actors::log {
public:
  void write(actors::log_level level, std::optional<request_id>, std::string_view text) override {
    lines.push_back(fmt::format("{}: {}", to_string(level), text));
  }
  [[nodiscard]] actors::log_level level() const noexcept override {
    return actors::log_level::debug;
  }
  void set_level(actors::log_level) noexcept override {}

  std::vector<std::string> lines;
};

TEST(lan_announce, a_network_that_cannot_be_told_is_a_warning_and_no_more) {
  told_lan network;
  kept_log journal;
  network.works = false;
  EXPECT_EQ(announce_node(network, announcing(), "10.0.0.1:7300", line_of(3).key.id(), journal),
            nullptr);
  EXPECT_THAT(journal.lines, ElementsAre(HasSubstr("warn: the local network hears nothing")));
  network.works = true;
  EXPECT_NE(announce_node(network, announcing(), "10.0.0.1:7300", line_of(3).key.id(), journal),
            nullptr);
  EXPECT_THAT(journal.lines, ElementsAre(HasSubstr("warn: "), HasSubstr("warn: another host"),
                                         HasSubstr("info: announced to the local network as")));
}

} // namespace
} // namespace ovir::apps
