// The bytes of docs/formats/audit.md. A change here is a new version of the format.
#include "ledger/audit/audit_draw.hpp"
#include "ledger/audit/track_record.hpp"
#include "messages/evidence/addendum.hpp"
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
  EXPECT_EQ(to_hex(name), "7ab6be18dff0d6eae0aef224035f412c7cba21489ffe2be886ca5af13abe8be0");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "700957df81711093905c9273288eaa20c9b9ecebaa6f1d8e285510aec4ec05c0");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "29b1a9f8dec15c0497d9999454c0192128176fbf70bb520469383e66b9482ced");
  EXPECT_EQ(named(audit_question{7, place, {audit_kernels::avx2}, bytes}),
            "cb86ef11388228e0cac7227a162a04ede53cf41bedad9ae972b41e03b77c07ea");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "bcb4cf74e23b772cde427b27ef2ba1585d710e8808536713f4e27562d2a3f14a");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "3f526f3fce46a0a7eee2497d0ecc85e6acb0fc4c42638162a25a2dca89e4739a");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "a02d977b4e0124b57a630ef47d04910a802b9b7163e56b2f17ef0cb75ca4f791");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "e249a6e8e2c08771b3918f4dc7bef3da8ea599f75e973ef1dba191da6e277239");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "7aa0ea3416b830e0a096d0e8ef460aa2b4c5daf72194263d7ed059a0704df7c6");
  std::vector<node_id> keys{cast.id(1), cast.id(2)};
  std::sort(keys.begin(), keys.end());
  const audit_known known{true, keys};
  EXPECT_EQ(named(known), "01d96213e552b2a6dffd047bb287cd6b13c99f1a4eb041a7b3599d0f12ecab78");
  const audit_standing standing{keys, {0, 1'000'000}};
  EXPECT_EQ(named(standing), "14ad2410923245e2ca3ac5ac15e78b1246c75b1f979a67d3029161c4b11677d4");
  EXPECT_EQ(std::get<audit_standing>(*decode_audit(*encode_audit(standing))), standing);
  addendum told;
  told.receipt = name;
  told.means = verdict.means;
  told.unix_seconds = 1'800'000'000;
  told.units = {{0, 0, audit_finding::right}, {1, 0, audit_finding::missing}};
  sign_addendum(told, cast.key(3));
  EXPECT_EQ(to_hex(addendum_digest(told)),
            "f6ac823bb422b7569bacc2dd3d3e8f3a8321292ccc9cae6f2ccd7bffe00b9bd9");
  EXPECT_EQ(named(audit_addendum{told}),
            "1d5e933f6f0c086da3910a7110da24f7614029231887e1e01361d482e14275fb");
  EXPECT_EQ(to_hex(hash_plain(*encode_addenda(std::span{&told, 1}))),
            "2cf74b673979d4deb8b7fc1671196e0f6526b2c7607b341e3f8deccc20e9048f");
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
