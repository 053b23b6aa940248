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
  EXPECT_EQ(to_hex(name), "29b6c88e9e30a555c070081289992262709635c015b2106491647742b004cbf6");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "70acaef98e8b912a8ff0d3843e9cb0e81b2b04f585fbd440b47ef5d6c7b9749d");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "62314c3d8157854977533ff891f15e42824e606edacb38a3778057954444ffd3");
  EXPECT_EQ(named(audit_question{7, place, {audit_kernels::avx2}, bytes}),
            "846abee394d69b4a292960559ff1eac2640f1c5dc9c3aa6dda541c3b26320ec8");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "334be0c892b2140616c6a50e02e6406cd4cbebbeed14e0bf24d447480ce5e5f3");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "be9a7c899caa0ee707d7a62d0c51222e6d9b094d5099b10b80afa6b40dbdf47d");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "c41cc73fb35a0d115bf5794bf44900de0414f47eae254377ef9b5fa43885bcfe");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "c96fbe9589af1786c6a0443a87b91c824dc5161ff80545cc0cc8f8b855057ff9");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "4466003337f69581296d4a23b5a598715b3798196ce40be70d4bb629d8184a58");
  std::vector<node_id> keys{cast.id(1), cast.id(2)};
  std::sort(keys.begin(), keys.end());
  const audit_known known{true, keys};
  EXPECT_EQ(named(known), "01d96213e552b2a6dffd047bb287cd6b13c99f1a4eb041a7b3599d0f12ecab78");
  const audit_standing standing{keys, {0, 1'000'000}};
  EXPECT_EQ(named(standing), "14ad2410923245e2ca3ac5ac15e78b1246c75b1f979a67d3029161c4b11677d4");
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
