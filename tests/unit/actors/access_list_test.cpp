#include "actors/link/access_list.hpp"
#include "messages/limits/general.hpp"
#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t now = 1'000'000;
constexpr std::uint64_t later = now + 600;

secret_key key_of(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

role_set roles(std::initializer_list<role> list) {
  role_set all;
  for (const role r : list) {
    all.add(r);
  }
  return all;
}

class access_lists : public testing::Test {
protected:
  access_lists() {
    settings_.admins = {admin_.id()};
    settings_.path = "admissions";
    settings_.cluster = "test";
    settings_.keys[key_of(2).id()] = roles({role::worker});
    settings_.keys[key_of(3).id()] = roles({role::reader});
    settings_.keys[key_of(4).id()] = roles({role::operate});
    restart();
  }

  void restart() {
    auto loaded = access_list::load(env_, settings_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    list_ = std::move(*loaded);
  }

  [[nodiscard]] static peer_hello hello(std::uint8_t key, role_set wants = roles({role::worker})) {
    peer_hello h;
    h.node = key_of(key).id();
    h.roles = wants;
    h.cluster = "test";
    h.kind = wants.within(admin_roles) ? channel::admin : channel::control;
    return h;
  }
  [[nodiscard]] peer_hello with_token(std::uint8_t key, std::uint8_t nonce,
                                      std::uint64_t until = later,
                                      role_set may = roles({role::worker})) const {
    std::array<std::byte, 16> drawn{};
    drawn.fill(static_cast<std::byte>(nonce));
    peer_hello h = hello(key);
    h.token = to_bytes(issue_token(admin_, h.node, may, until, drawn));
    h.token_bound = true;
    return h;
  }
  std::string refusal(const peer_hello& h, std::uint64_t at = now) {
    const auto admitted = list_->admit(h, at);
    return admitted ? "" : admitted.error().message;
  }

  secret_key admin_ = key_of(1);
  storage::memory_env env_;
  access_list::settings settings_;
  std::unique_ptr<access_list> list_;
};

TEST_F(access_lists, a_listed_key_is_what_its_entry_allows_and_no_more) {
  EXPECT_EQ(refusal(hello(2)), "");
  EXPECT_THAT(refusal(hello(2, roles({role::worker, role::scheduler}))),
              HasSubstr("wants to be worker, scheduler"));
  EXPECT_THAT(refusal(hello(2, {})), HasSubstr("no role"));
  EXPECT_THAT(refusal(hello(9)), HasSubstr("is not allowed here"));
}

TEST_F(access_lists, members_name_the_cluster_and_shells_may_leave_that_open) {
  peer_hello h = hello(2);
  h.cluster = "production";
  EXPECT_THAT(refusal(h), HasSubstr("belongs to the cluster 'test'"));
  h.cluster.clear();
  EXPECT_NE(refusal(h), "");
  h = hello(3, roles({role::reader}));
  h.cluster.clear();
  EXPECT_EQ(refusal(h), "");
  h.cluster = "production";
  EXPECT_NE(refusal(h), "");
}

TEST_F(access_lists, a_shell_that_asks_for_everything_gets_what_it_may) {
  const role_set all = roles({role::reader, role::operate});
  EXPECT_EQ(list_->admit(hello(3, all), now).value(), roles({role::reader}));
  EXPECT_EQ(list_->admit(hello(4, all), now).value(), all);
  EXPECT_NE(refusal(hello(2, all)), "");
}

TEST_F(access_lists, a_token_counts_for_its_key_on_its_connection_and_before_its_end) {
  EXPECT_EQ(refusal(with_token(9, 1)), "");
  EXPECT_EQ(refusal(hello(9)), "") << "the admission stays";
  EXPECT_NE(refusal(with_token(10, 2, now - 1)), "") << "expired";
  peer_hello unbound = with_token(10, 3);
  unbound.token_bound = false;
  EXPECT_THAT(refusal(unbound), HasSubstr("not bound"));
  peer_hello stolen = with_token(10, 4);
  stolen.node = key_of(11).id();
  EXPECT_THAT(refusal(stolen), HasSubstr("is for"));
  peer_hello damaged = with_token(10, 5);
  damaged.token[20] ^= std::byte{1};
  EXPECT_NE(refusal(damaged), "");
  peer_hello greedy = with_token(10, 6);
  greedy.roles.add(role::scheduler);
  EXPECT_NE(refusal(greedy), "");
  EXPECT_NE(refusal(with_token(10, 0)), "") << "the nonce that stands for none";
  settings_.admins = {key_of(8).id()};
  restart();
  EXPECT_THAT(refusal(with_token(10, 7)), HasSubstr("no admin here"));
}

TEST_F(access_lists, a_token_that_admitted_its_key_vouches_for_it_after_its_end_too) {
  const peer_hello h = with_token(9, 1);
  ASSERT_EQ(refusal(h), "");
  EXPECT_EQ(refusal(h, later + 1'000), "");
  restart();
  EXPECT_EQ(refusal(h, later + 1'000), "");
}

TEST_F(access_lists, a_kicked_node_returns_with_no_token_it_has_shown_before) {
  ASSERT_EQ(refusal(with_token(9, 1)), "");
  ASSERT_EQ(refusal(with_token(9, 2)), "");
  ASSERT_TRUE(list_->kick(key_of(9).id()));
  for (int life = 0; life < 2; ++life) {
    EXPECT_THAT(refusal(with_token(9, 1)), HasSubstr("was kicked"));
    EXPECT_THAT(refusal(with_token(9, 2)), HasSubstr("was kicked"));
    EXPECT_THAT(refusal(hello(9)), HasSubstr("was kicked"));
    EXPECT_EQ(list_->worth_hearing_of(key_of(9).id()), std::nullopt);
    EXPECT_TRUE(list_->roles_of(key_of(9).id()).empty());
    restart();
  }
  EXPECT_EQ(refusal(with_token(9, 3)), "") << "a new one";
  EXPECT_EQ(refusal(hello(9)), "");
}

TEST_F(access_lists, a_kicked_key_that_the_configuration_names_returns_after_a_restart) {
  ASSERT_TRUE(list_->kick(key_of(2).id()));
  EXPECT_THAT(refusal(hello(2)), HasSubstr("was kicked"));
  EXPECT_EQ(list_->worth_hearing_of(key_of(2).id()), std::nullopt);
  EXPECT_TRUE(list_->roles_of(key_of(2).id()).empty());
  restart();
  EXPECT_EQ(refusal(hello(2)), "");
  EXPECT_EQ(list_->roles_of(key_of(2).id()), roles({role::worker}));
}

TEST_F(access_lists, a_convicted_key_returns_with_nothing_at_all) {
  ASSERT_EQ(refusal(with_token(9, 1)), "");
  ASSERT_TRUE(list_->expel(key_of(9).id()));
  ASSERT_TRUE(list_->expel(key_of(2).id())); // which the configuration names
  for (int life = 0; life < 2; ++life) {
    EXPECT_THAT(refusal(with_token(9, 1)), HasSubstr("was convicted"));
    EXPECT_THAT(refusal(with_token(9, 3)), HasSubstr("was convicted")) << "a new token";
    EXPECT_THAT(refusal(hello(9)), HasSubstr("was convicted"));
    EXPECT_THAT(refusal(hello(2)), HasSubstr("was convicted"));
    for (const std::uint8_t key : {std::uint8_t{9}, std::uint8_t{2}}) {
      EXPECT_EQ(list_->worth_hearing_of(key_of(key).id()), std::nullopt);
      EXPECT_TRUE(list_->roles_of(key_of(key).id()).empty());
      EXPECT_TRUE(list_->was_member(key_of(key).id()));
    }
    ASSERT_TRUE(list_->kick(key_of(9).id())); // by an operator too: no way to a token's readmission
    restart();
  }
  EXPECT_THAT(refusal(with_token(9, 4)), HasSubstr("was convicted"));
}

TEST_F(access_lists, gossip_is_kept_of_those_who_could_show_a_token_who_may_nothing_yet) {
  EXPECT_EQ(list_->worth_hearing_of(key_of(2).id()), roles({role::worker}));
  EXPECT_EQ(list_->worth_hearing_of(key_of(77).id()), member_roles);
  EXPECT_TRUE(list_->roles_of(key_of(77).id()).empty());
  EXPECT_FALSE(list_->was_member(key_of(77).id()));
  settings_.admins.clear();
  restart();
  EXPECT_EQ(list_->worth_hearing_of(key_of(77).id()), std::nullopt);
}

TEST_F(access_lists, a_key_may_what_its_entry_or_its_token_says) {
  EXPECT_EQ(list_->roles_of(key_of(2).id()), roles({role::worker}));
  ASSERT_EQ(refusal(with_token(9, 1, later, roles({role::worker, role::verifier}))), "");
  EXPECT_EQ(list_->roles_of(key_of(9).id()), roles({role::worker, role::verifier}));
  EXPECT_TRUE(list_->was_member(key_of(9).id()));
  EXPECT_FALSE(list_->was_member(key_of(3).id())) << "a person, who computes nothing";
}

TEST_F(access_lists, a_token_that_another_shows_counts_like_its_own_and_can_be_shown_on) {
  const std::vector<std::byte> token = with_token(9, 1, later, roles({role::verifier})).token;
  ASSERT_TRUE(list_->show(token, now));
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(list_->roles_of(key_of(9).id()), roles({role::verifier}));
    EXPECT_EQ(list_->token_of(key_of(9).id()), token);
    restart();
  }
  // Another token of the same key, shown, takes no role away and adds none.
  ASSERT_TRUE(list_->show(with_token(9, 2, later, roles({role::worker})).token, now));
  EXPECT_EQ(list_->roles_of(key_of(9).id()), roles({role::verifier}));
  std::vector<std::byte> forged = with_token(10, 3).token;
  forged[40] ^= std::byte{1};
  EXPECT_EQ(list_->show(forged, now).error().code, errc::invalid_argument);
  std::array<std::byte, 16> nonce{std::byte{1}};
  const auto foreign =
      to_bytes(issue_token(key_of(8), key_of(10).id(), roles({role::worker}), later, nonce));
  EXPECT_EQ(list_->show(foreign, now).error().code, errc::not_found);
  EXPECT_EQ(list_->show(with_token(10, 4, later, roles({role::operate})).token, now).error().code,
            errc::not_found);
  EXPECT_FALSE(list_->was_member(key_of(10).id()));
}

TEST_F(access_lists, a_token_shown_after_its_end_makes_a_member_that_may_nothing) {
  ASSERT_TRUE(list_->show(with_token(9, 1).token, later + 1));
  EXPECT_TRUE(list_->was_member(key_of(9).id()));
  EXPECT_TRUE(list_->roles_of(key_of(9).id()).empty());
  EXPECT_NE(refusal(with_token(9, 1), later + 1), "") << "and does not let it in";
  EXPECT_EQ(refusal(with_token(9, 2)), "");
  EXPECT_EQ(list_->roles_of(key_of(9).id()), roles({role::worker}));
}

TEST_F(access_lists, nobody_brings_back_who_was_kicked_by_showing_a_token) {
  ASSERT_TRUE(list_->kick(key_of(9).id()));
  ASSERT_TRUE(list_->show(with_token(9, 1).token, now));
  EXPECT_TRUE(list_->roles_of(key_of(9).id()).empty());
  EXPECT_THAT(refusal(hello(9)), HasSubstr("was kicked"));
}

TEST_F(access_lists, a_node_shows_its_own_token_and_is_a_member) {
  settings_.self = key_of(5).id();
  settings_.token = with_token(5, 1).token;
  restart();
  EXPECT_EQ(list_->token_of(key_of(5).id()), settings_.token);
  EXPECT_TRUE(list_->was_member(key_of(5).id()));
}

TEST_F(access_lists, a_full_book_of_convictions_keeps_nobody_from_being_admitted) {
  settings_.path.clear();
  restart();
  for (std::uint32_t i = 0; i < limits::admissions_max; ++i) {
    node_id node;
    node.key[0] = 0xff;
    node.key[1] = static_cast<std::uint8_t>(i >> 8U);
    node.key[2] = static_cast<std::uint8_t>(i);
    ASSERT_TRUE(list_->expel(node));
  }
  EXPECT_EQ(refusal(with_token(9, 1)), "");
  EXPECT_TRUE(list_->expel(key_of(9).id()));
}

TEST_F(access_lists, a_damaged_file_is_refused_and_names_the_line) {
  ASSERT_EQ(refusal(with_token(9, 1)), "");
  const std::string good = env_.read("admissions", 10'000).value();
  for (const std::string& text :
       {std::string{"something else\n"}, good + "nonsense\n", good.substr(0, good.size() - 9),
        good.substr(0, good.find('\n') + 1) + "00 " + good.substr(good.find('\n') + 1)}) {
    auto file = env_.stage("admissions");
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->append(std::as_bytes(std::span{text})));
    ASSERT_TRUE((*file)->commit());
    const auto loaded = access_list::load(env_, settings_);
    ASSERT_FALSE(loaded) << text;
    EXPECT_EQ(loaded.error().code, errc::malformed);
    EXPECT_THAT(loaded.error().message, HasSubstr("damaged"));
  }
}

} // namespace
} // namespace ovir::actors
