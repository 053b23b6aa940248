// A scheduler that floods a verifier: with receipts of signers it made itself, and with more than
// its share. Nothing of the former is computed again, and honest receipts are looked at meanwhile.
#include "tests/hostile/attacked_cluster.hpp"
#include "tests/support/model/resigned_receipt.hpp"

#include <gmock/gmock.h>

namespace ovir::test {
namespace {

class hole_11 : public attacked_cluster {
protected:
  /// What a member computed, signed by keys that the attacker made up.
  [[nodiscard]] static std::vector<std::byte> resigned(const receipt& genuine, std::uint64_t number,
                                                       bool lies) {
    std::vector<secret_key> keys;
    for (std::size_t i = 0; i <= genuine.stages.size(); ++i) {
      keys.push_back(throwaway(1'000 * (number + 1) + i));
    }
    const digest right = genuine.stages[0].statements[0].units[0];
    const auto made = resign(genuine, {audit_part::unit, 0, 0, 0},
                             lies ? invented("output", number) : right, keys);
    return encode_receipt(made.value());
  }
};

TEST_F(hole_11, receipts_of_signers_that_were_never_members_are_not_computed_again) {
  ASSERT_NO_FATAL_FAILURE(begin());
  const receipt genuine = decode_receipt(attacked::receipt_in(answer_with_receipt(0))).value();
  ASSERT_TRUE(cluster_->wait_until([&] { return audits(watch, "receipts") == 1; }));
  constexpr std::uint64_t flood = 40;
  hostile_member liar = attacked::member(where_[watch], attacker::scheduler, 2);
  for (std::uint64_t i = 0; i < flood; ++i) {
    ASSERT_TRUE(attacked::audit(liar, offer_bytes(true, resigned(genuine, i, i % 2 == 0))));
  }
  (void)answer_with_receipt(1);
  EXPECT_TRUE(cluster_->wait_until(
      [&] { return audits(watch, "receipts") + audits(watch, "strangers") == flood + 2; }));
  EXPECT_EQ(audits(watch, "receipts"), 2U) << "those of honest nodes";
  EXPECT_EQ(audits(watch, "strangers"), flood);
  EXPECT_EQ(audits(watch, "open"), 0U) << "no key that was made up is looked into";
  EXPECT_TRUE(attacked::convicted(*cluster_, watch).empty());
  EXPECT_TRUE(serves_on());
}

// Each is genuine, and it has them all looked at in full, again and again.
TEST_F(hole_11, what_a_scheduler_has_waiting_is_bounded_and_honest_receipts_are_looked_at) {
  ASSERT_NO_FATAL_FAILURE(begin());
  const std::vector<std::byte> genuine = attacked::receipt_in(answer_with_receipt(0));
  ASSERT_TRUE(cluster_->wait_until([&] { return audits(watch, "receipts") == 1; }));
  const std::vector<std::byte> offer = offer_bytes(true, genuine);
  constexpr std::uint64_t flood = 1'500;
  constexpr std::uint64_t share = 128; ///< receipts of one sender that wait
  constexpr std::uint64_t honest = 3;
  hostile_member liar = attacked::member(where_[watch], attacker::scheduler, 2);
  for (std::uint64_t i = 0; i < flood; ++i) {
    ASSERT_TRUE(attacked::audit(liar, offer));
  }
  for (std::uint32_t i = 1; i <= honest; ++i) {
    (void)answer_with_receipt(i);
    EXPECT_LE(audits(watch, "waiting"), share + honest);
  }
  EXPECT_TRUE(cluster_->wait_until([&] {
    return audits(watch, "waiting") == 0 &&
           audits(watch, "receipts") + audits(watch, "refused") == 1 + flood + honest;
  })) << cluster_->ask(watch, "audits");
  EXPECT_GT(audits(watch, "refused"), 0U);
  EXPECT_TRUE(serves_on());
}

} // namespace
} // namespace ovir::test
