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
            "735eaf06114512d7e1a52dce4ceb546876bba5b049bb186f8ef1ac1326155de2");
  EXPECT_EQ(named(audit_question{7, place, {audit_kernels::avx2}, bytes}),
            "b754e5ca587099a196fdbbd7631a4f87d7afe7a18320b2373428144c224006e9");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "4c0039c4a9bc9eecb49b471365db36e9f85007dcb8f2cc7afb6a64af8bf39700");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "2e37174d4bca9229ad078ec4eccf24c0ccfe15e1659ff3053573b2fa809852cd");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "ee72343aa9693901baf51141d3381cc9fc511c2c6c940c3a317910433c5ab30f");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "a687601daac08357895b3eeb01b8328766abffd67d4c3d79ef0d5e37338030e3");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "14d2f7ecc1115dc0fb56afb330dc32cc1e341054a9492c5fd4ec62442b3e58e7");
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
