// The bytes of docs/formats/audit.md. A change here is a new version of the format.
#include "ledger/audit_draw.hpp"
#include "ledger/track_record.hpp"
#include "messages/audit.hpp"
#include "messages/receipt.hpp"
#include "tests/support/receipt_maker.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ovir {
namespace {

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", std::to_integer<unsigned>(b));
  }
  return out;
}

digest some(std::uint64_t n) { return hasher{"ovir/test/audit"}.update_u64(n).finish(); }

std::string named(const audit_message& m) { return to_hex(hash_plain(*encode_audit(m))); }

TEST(audit_golden, messages_are_these_bytes) {
  const test::receipt_maker cast;
  const auto bytes = encode_receipt(cast.small());
  const audit_place place{audit_part::unit, 0, 1, 0};
  const digest name = receipt_digest(bytes);
  const audit_verdict verdict = give_verdict(cast.key(3), name, place, some(1));
  EXPECT_EQ(to_hex(name), "9f4b58e5fb500a0fc1c22b40222f00db4ef833707fcffdf40d1a737848f9dbf2");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "f1fbe1b1d20b726875d9aa98ae5a3246393fe1c5ad921ce6b6dd37a80e1f7559");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "85fb740755e8f30c064d9f3a7677cb91ae6612d65eb050e842ac0c73f23d98c7");
  EXPECT_EQ(named(audit_question{7, place, bytes}),
            "e895c99b4fcb4ff5cf34f00c22b88df637bcd0c2a9e3e9d73d193fa454695a82");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "ef208d35c28931a7b48d46166651c12a5c1b7f61768ba3f86902cda2c9b252c0");
  EXPECT_EQ(named(conviction{conviction_kind::replay,
                             cast.id(1),
                             place,
                             some(1),
                             {bytes},
                             {verdict, give_verdict(cast.key(5), name, place, some(1))}}),
            "ab1b7cf4e4a2808d5733a1b09d71b0d17fdfcfced91a1e40e8b44768df92ef87");
  std::vector<node_id> keys{cast.id(1), cast.id(2)};
  std::sort(keys.begin(), keys.end());
  const audit_known known{true, keys};
  EXPECT_EQ(named(known), "08eefa42e7061dc7c621f1fcb974fcc09efcf9d734e896d49e642bc8281a3a93");
  const audit_standing standing{keys, {0, 1'000'000}};
  EXPECT_EQ(named(standing), "20a7ff260bd1f04afe9a4483c2918f26b6531ce929ef3b6bd0f2364642030740");
  EXPECT_EQ(std::get<audit_standing>(*decode_audit(*encode_audit(standing))), standing);
  EXPECT_FALSE(decode_audit(*encode_audit(audit_standing{keys, {0}})));
  EXPECT_FALSE(decode_audit(*encode_audit(audit_standing{keys, {0, 1'000'001}})));
  EXPECT_EQ(std::get<audit_known>(*decode_audit(*encode_audit(known))), known);
  EXPECT_FALSE(decode_audit(*encode_audit(audit_known{false, {keys[1], keys[0]}}))) << "descending";
  EXPECT_FALSE(decode_audit(*encode_audit(audit_known{false, {keys[0], keys[0]}}))) << "twice";
}

TEST(audit_golden, draws_and_events_are_these) {
  const auto chain = ledger::hash_chain::make(some(2), 1'000);
  EXPECT_EQ(to_hex(chain->anchor()),
            "c48a8c4e92a55b02a31be529833cdf718da1eb42b126d82eea895174083b5a95");
  EXPECT_EQ(fmt::format("{:016x}", ledger::audit_draw(*chain->link(1), some(3), some(4))),
            "0e015079c23f11d5");
  const test::receipt_maker cast;
  EXPECT_EQ(hex(ledger::encode({1'800'000'000, cast.id(1), ledger::work_event::wrong, 3}, {})),
            "00d2496b000000008139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a2"
            "5df60f5b8fc9b394040000000300000098b9be77bd1c4c8f7b5af0e9fde6b8cb");
}

} // namespace
} // namespace ovir
