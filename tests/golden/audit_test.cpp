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
  EXPECT_EQ(to_hex(name), "215df998f3fae21512ce444419d9f04ab2a98b5d0341a4b98be5d24acf4393f3");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "54495517718d3f3fc8eef7c2c3afbb6bab2d711201996624033ca794605eff92");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "b02da9f8bc4fb98e3da503e93d42875ceb0158472460ca1f42852e124e21ca1c");
  EXPECT_EQ(named(audit_question{7, place, {audit_kernels::avx2}, bytes}),
            "7084479f5a9cf60db04379d2cfff4ff5de32d01072c9eb4987814a8647626aff");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "496e417d08a19d081c3ef7ec3349a24b585dbb5e935fd9272896a6914ac7dcdc");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "6e9e8bf16a68b89108df43243e539e8500a0369d786b4626b5948b41abbd596a");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "2b4a3e0e2fae35200f3142fb7918ad02951bb217d9f145660e6648981bc70293");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "5a3fb6d64fdf13587c3f3e0858485074c239b3ec7ac2b320f03610f9b2dd089f");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "93b653c4982a406b4a742570e1115c3d73b275eab536b7b8c4db55a2bdc0d3c6");
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
