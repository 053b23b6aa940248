// The bytes of docs/formats/audit.md. A change here is a new version of the format.
#include "ledger/audit/audit_draw.hpp"
#include "ledger/audit/track_record.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"

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
  const audit_verdict verdict =
      give_verdict(cast.key(3), name, place, some(1), {audit_kernels::avx2, "ovir test"});
  EXPECT_EQ(to_hex(name), "84c4cd3f0522d1ec42509bec25143239b2d594ca74ff69c6497b959e4a1cc64b");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "03a5f968fad640a6fab28c1eac107ef848a3d438178ef4a5f480448d1dd58db8");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "a6901ebb0e5723c4b3c4c658dc51f534c794ace756218545fb76f46728b1e231");
  EXPECT_EQ(named(audit_question{7, place, {audit_kernels::avx2}, bytes}),
            "174c853653849ece649ccdc8622ba89f15168e18f08e006a1e9df1a7fb542eef");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "5949542c177baefe3f557395cf8ecbb6d3df636ec7fbe5176410a26da5cb2c47");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "83280e19721be5cad6d9995bc667763c6b9ac5956a2f85b1a4a9af5f4be725d0");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "abc6b3da4c725a60db730c40180eacd58c0505fd7b554b47bd3c638e991dfbd7");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "63b001766812d35f96807bebceadf7ac0ebf5ecb5ef7c97ad25c7058bcf9f106");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "d94d9fcaba3aafa3f02515389cc1005f600c80daa7089f0fc3bc9f7d0f0ffdb6");
  std::vector<node_id> keys{cast.id(1), cast.id(2)};
  std::sort(keys.begin(), keys.end());
  const audit_known known{true, keys};
  EXPECT_EQ(named(known), "0587120b288cfed6aac3de86b3c0a2e20d87b20f0788ed084ef67e7d028c0d31");
  const audit_standing standing{keys, {0, 1'000'000}};
  EXPECT_EQ(named(standing), "3bb37df81b088a635402dce71e10f5a957a13dfe62f182f007e3b90f516334eb");
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
