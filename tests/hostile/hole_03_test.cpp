// Convictions of keys that were never members: they cost no cache and no place, and a member
// that sends many of them is not listened to. A real one is taken afterwards as before.
#include "tests/hostile/attacked_cluster.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "tests/support/model/resigned_receipt.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>

namespace ovir::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// More than a node forgives one sender at once, whatever it forgives.
constexpr std::uint64_t flood = 200;
constexpr std::size_t admissions = 4'096; ///< a node remembers, docs/formats

class hole_03 : public attacked_cluster {
protected:
  /// `guilty` signed two outputs of one input: it looks like a real liar's.
  [[nodiscard]] std::vector<std::byte> contradiction(secret_key guilty, std::uint64_t number) {
    const receipt made = cast_.small();
    const audit_place place{audit_part::unit, 0, 0, 0};
    std::vector<secret_key> keys;
    keys.push_back(throwaway(10'000 + number));
    keys.push_back(std::move(guilty));
    keys.push_back(throwaway(20'000 + number));
    const node_id name = keys[1].id();
    std::vector<std::vector<std::byte>> both;
    for (const char* const said : {"one", "other"}) {
      both.push_back(encode_receipt(resign(made, place, invented(said), keys).value()));
    }
    return contradiction_bytes(name, 0, 0, both[0], both[1]);
  }
  [[nodiscard]] std::uint64_t kept(std::size_t node, const char* what) const {
    return cluster_->ask(node, "cache").at(what).get<std::uint64_t>();
  }

  receipt_maker cast_;
};

TEST_F(hole_03, convictions_of_keys_that_were_never_members_cost_their_sender_and_nobody_else) {
  ASSERT_NO_FATAL_FAILURE(begin([this] {
    // What a flood of 4,096 convictions leaves behind in a node's state.
    std::filesystem::create_directories(cluster_->state(head));
    std::ofstream file{cluster_->state(head) / "admissions"};
    file << "ovir-admissions-v1\n";
    for (std::size_t i = 0; i < admissions; ++i) {
      file << fmt::format("{} 0 {:032} convicted\n", to_hex(node_id{invented("x", i).bytes}), 0);
    }
  }));
  ASSERT_TRUE(cluster_->wait_until([&] { return kept(front, "kept") > 0; }));
  const std::uint64_t before = kept(front, "kept");
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    hostile_member liar = attacked::member(where_[node], attacker::rival, 2);
    bool taken = true;
    for (std::uint64_t i = 0; i < flood && taken; ++i) {
      taken = attacked::audit(liar, contradiction(throwaway(i), i));
    }
    EXPECT_TRUE(liar.control.waits_for_close()) << cluster_->node(node).name;
    EXPECT_THAT(attacked::convicted(*cluster_, node), IsEmpty()) << cluster_->node(node).name;
    EXPECT_GT(audits(node, "useless"), 0U);
    EXPECT_EQ(kept(node, "quarantined"), 0U) << cluster_->node(node).name;
  }
  EXPECT_GE(kept(front, "kept"), before);
  EXPECT_TRUE(serves_on());

  // A new node comes with a token.
  hostile_peer guest{where_[head]};
  hostile_tls tls;
  tls.key = attacker::guest;
  ASSERT_TRUE(guest.handshake(tls));
  hostile_hello hello;
  std::array<std::byte, 16> nonce{};
  nonce.fill(std::byte{7});
  hello.token = to_bytes(issue_token(
      attacker_key(attacker::issuer), attacker_key(attacker::guest).id(),
      role_set{}.add(role::worker), storage::make_env_posix()->unix_seconds() + 600, nonce));
  EXPECT_EQ(guest.introduce(hello), std::string{});

  // A member that does contradict itself is out everywhere, by the word of another.
  hostile_member honest = attacked::member(where_[head], attacker::scheduler, 2);
  ASSERT_TRUE(attacked::audit(honest, contradiction(attacker_key(attacker::worker), 1)));
  const std::string guilty = to_hex(attacker_key(attacker::worker).id());
  for (std::size_t node = 0; node < cluster_->size(); ++node) {
    EXPECT_TRUE(
        cluster_->wait_until([&] { return !attacked::convicted(*cluster_, node).empty(); }));
    EXPECT_THAT(attacked::convicted(*cluster_, node), ElementsAre(guilty));
  }
  EXPECT_TRUE(cluster_->wait_until([&] { return kept(front, "quarantined") > 0; }));
}

} // namespace
} // namespace ovir::test
