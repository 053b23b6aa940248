// An open cluster: keys of which nothing is known, and what they are refused.
#include "actors/link/access_list.hpp"
#include "messages/limits/admissions.hpp"
#include "messages/limits/general.hpp"
#include "storage/env/memory_env.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t opened = 1'000'000;
constexpr role_set worker_only{static_cast<std::uint16_t>(role::worker)};

secret_key key_at(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

class open_access : public testing::Test {
protected:
  open_access() {
    settings_.admins = {admin_.id()};
    settings_.path = "admissions";
    settings_.cluster = "open";
    settings_.open = true;
    settings_.keys[key_at(2).id()] = role_set{worker_only}.add(role::scheduler);
    restart();
  }
  void restart() {
    auto loaded = access_list::load(env_, settings_);
    ASSERT_TRUE(loaded) << loaded.error().message;
    list_ = std::move(*loaded);
  }
  [[nodiscard]] static peer_hello hello(std::uint8_t key, role_set wants = worker_only) {
    peer_hello h;
    h.node = key_at(key).id();
    h.roles = wants;
    h.cluster = "open";
    h.kind = channel::control;
    h.from = prefix_of(0x0a000001U + (std::uint32_t{key} << 8U));
    return h;
  }
  [[nodiscard]] peer_hello with_leave(std::uint8_t key, role_set may) const {
    std::array<std::byte, 16> nonce{};
    nonce.fill(static_cast<std::byte>(key));
    peer_hello h = hello(key, may);
    h.token = to_bytes(issue_token(admin_, h.node, may, opened + 600, nonce));
    h.token_bound = true;
    return h;
  }
  std::string refusal(const peer_hello& h) {
    const auto admitted = list_->admit(h, opened);
    return admitted ? "" : admitted.error().message;
  }

  secret_key admin_ = key_at(1);
  storage::memory_env env_;
  access_list::settings settings_;
  std::unique_ptr<access_list> list_;
};

TEST_F(open_access, lets_an_unknown_key_in_as_a_worker) {
  EXPECT_EQ(list_->admit(hello(9), opened).value(), worker_only);
  EXPECT_TRUE(list_->is_stranger(key_at(9).id()));
  EXPECT_EQ(list_->roles_of(key_at(9).id()), worker_only);
  EXPECT_EQ(list_->worth_hearing_of(key_at(9).id()), worker_only);
  EXPECT_EQ(list_->past_roles_of(key_at(9).id()), worker_only) << "it can be audited and convicted";
  peer_hello nameless = hello(10);
  nameless.cluster.clear();
  EXPECT_EQ(refusal(nameless), "") << "it asks which cluster this is";
  nameless.cluster = "another";
  EXPECT_THAT(refusal(nameless), HasSubstr("belongs to the cluster"));
}

TEST_F(open_access, refuses_an_unknown_key_every_other_role_with_a_clear_sentence) {
  for (const role wanted :
       {role::verifier, role::scheduler, role::ledger, role::store, role::relay}) {
    const std::string why = refusal(hello(9, role_set{worker_only}.add(wanted)));
    EXPECT_THAT(why, HasSubstr("asks to be worker, " + to_string(role_set{}.add(wanted))));
    EXPECT_THAT(why, HasSubstr("may be worker alone"));
    EXPECT_NE(refusal(hello(9, role_set{}.add(wanted))), "");
    EXPECT_FALSE(list_->roles_of(key_at(9).id()).has(wanted));
  }
  EXPECT_THAT(refusal(hello(9, {})), HasSubstr("no role"));
  for (const role wanted : {role::reader, role::operate}) {
    peer_hello shell = hello(9, role_set{}.add(wanted));
    shell.kind = channel::admin;
    EXPECT_NE(refusal(shell), "");
  }
}

TEST_F(open_access, is_closed_unless_the_configuration_opens_it) {
  settings_.open = false;
  restart();
  EXPECT_THAT(refusal(hello(9)), HasSubstr("is not allowed here"));
  EXPECT_FALSE(list_->is_stranger(key_at(9).id()));
  EXPECT_TRUE(list_->roles_of(key_at(9).id()).empty());
  EXPECT_EQ(list_->strangers(), std::nullopt);
}

TEST_F(open_access, keeps_those_out_that_were_put_out_also_after_a_restart) {
  ASSERT_EQ(refusal(hello(9)), "");
  ASSERT_EQ(refusal(hello(10)), "");
  ASSERT_TRUE(list_->kick(key_at(9).id()));
  ASSERT_TRUE(list_->expel(key_at(10).id()));
  for (int life = 0; life < 2; ++life) {
    EXPECT_THAT(refusal(hello(9)), HasSubstr("was kicked"));
    EXPECT_THAT(refusal(hello(10)), HasSubstr("was convicted"));
    for (const std::uint8_t key : {9, 10}) {
      EXPECT_TRUE(list_->roles_of(key_at(key).id()).empty());
      EXPECT_EQ(list_->worth_hearing_of(key_at(key).id()), std::nullopt);
      EXPECT_FALSE(list_->is_stranger(key_at(key).id()));
    }
    restart();
  }
}

TEST_F(open_access, gives_those_with_leave_what_it_says_and_tells_others_of_it) {
  const role_set may = role_set{worker_only}.add(role::scheduler).add(role::verifier);
  ASSERT_EQ(refusal(with_leave(9, may)), "");
  EXPECT_EQ(list_->roles_of(key_at(9).id()), may);
  EXPECT_FALSE(list_->is_stranger(key_at(9).id()));
  EXPECT_FALSE(list_->is_stranger(key_at(2).id())) << "a listed one";
  EXPECT_EQ(list_->strangers()->here, 0U);
  std::size_t first = 0;
  const auto told = list_->notices(first, 8);
  ASSERT_EQ(told.size(), 1U);
  storage::memory_env other_env;
  const auto elsewhere = access_list::load(other_env, settings_).value();
  EXPECT_TRUE(elsewhere->is_stranger(key_at(9).id()));
  ASSERT_TRUE(elsewhere->show(told.front(), opened));
  EXPECT_EQ(elsewhere->worth_hearing_of(key_at(9).id()), may);
}

TEST_F(open_access, counts_strangers_of_one_network_and_frees_their_places) {
  std::size_t in = 0;
  for (std::uint8_t n = 100; n < 200; ++n) {
    peer_hello h = hello(n);
    h.from = prefix_of(0x0a0000ffU);
    in += list_->admit(h, opened) ? 1 : 0;
    list_->came(h.node);
  }
  EXPECT_EQ(in, limits::strangers_per_site_max);
  EXPECT_EQ(list_->strangers()->here, in);
  EXPECT_EQ(list_->strangers()->refused, 100 - in);
  list_->went(key_at(100).id());
  peer_hello next = hello(201);
  next.from = prefix_of(0x0a000017U);
  EXPECT_EQ(refusal(next), "");
}

TEST_F(open_access, has_room_for_a_conviction_however_many_strangers_were_convicted) {
  settings_.path.clear();
  restart();
  ASSERT_EQ(refusal(with_leave(9, worker_only)), "");
  constexpr std::uint32_t many = limits::admissions_max + limits::audit_convicted_max + 100;
  for (std::uint32_t i = 0; i < many; ++i) {
    node_id node;
    node.key[0] = 0xff;
    node.key[1] = static_cast<std::uint8_t>(i >> 8U);
    node.key[2] = static_cast<std::uint8_t>(i);
    ASSERT_TRUE(list_->expel(node));
  }
  EXPECT_EQ(list_->roles_of(key_at(9).id()), worker_only);
  EXPECT_TRUE(list_->expel(key_at(9).id()));
  EXPECT_TRUE(list_->is_convicted(key_at(9).id()));
}

} // namespace
} // namespace ovir::actors
