// The bytes of docs/formats/audit.md. A change here is a new version of the format.
#include "ledger/audit/audit_draw.hpp"
#include "ledger/audit/track_record.hpp"
#include "messages/evidence/addendum.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "verify/window_task.hpp"

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
  EXPECT_EQ(to_hex(name), "72cf0a19cbd1853efb15a94b42c7e2354e1c1cb7cc1406cd77b6f959a1e1cfb7");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "7bc6cff7dac25a5ffdafd6b4a1abaf6d4a4b1eb4dd1ed338d2d3ce9ddf855ca4");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "0e4ecc912c940f82dac9ff18dbabf4452fdbe00057ddd2ab4b2d76fd830bc6f7");
  const audit_task task = compute::task_of(cast.small(), {0, 0});
  EXPECT_EQ(to_hex(task_digest(task)),
            "cb8edc21e96b3e57eaac6d1b5da2b90b1b5b7fe27c658257cdf82707317a185f");
  EXPECT_EQ(named(audit_question{7, task, {audit_kernels::avx2}}),
            "b48209f9a38d6e907eeb89ca2eda379fa958ea5ec5943a6f260e539595c11616");
  EXPECT_EQ(named(audit_answer{7, some(1), sign_outcome(cast.key(3), task_digest(task), some(1))}),
            "a0066269a7e40e9b8e51baaa3b2c3ae8a3333504ceeda853047a39a22043a886");
  EXPECT_EQ(named(audit_reveal{7, place, bytes}),
            "83f283d49117827cf44ee0429676d0c45c2a7068e7bd5c0c17027c9d049ab432");
  EXPECT_EQ(named(audit_vouch{7, some(1), verdict}),
            "5f1313f45dd406ead8ee2473ed639387e62e491c4eb9598670a324f766ffb5a8");
  conviction c{conviction_kind::replay,
               cast.id(1),
               place,
               some(1),
               {bytes},
               {verdict, give_verdict(cast.key(5), name, place, some(1), {})}};
  EXPECT_EQ(named(c), "f50f1eebda13ec37ec1a4edc6576768c73dd0871c32b209b42f898e6c8235c99");
  c.admission = admit_fault(cast.key(1), c, audit_fault::hardware);
  EXPECT_EQ(named(audit_accusation{9, c, bytes}),
            "f348bc840977135693e7138f2fed337f7aa8a2195f9e9973fa0ae9b45156fd33");
  EXPECT_EQ(named(audit_defence{9, c.admission, {}}),
            "182e5a644167370218208836511c81bc17e152098a47d7a9aaa3c5415af54981");
  EXPECT_EQ(named(audit_defence{9, {}, verdict}),
            "90eb55022af193838fb7cf487941ef6bd7712c0fe9cb3edf0f6cf80fe43ac5a1");
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
            "0c695b7257b2dbec72f1cdccdbdeb07a67fbaba015023f1033d24e892f361cac");
  EXPECT_EQ(named(audit_addendum{told}),
            "0f09eacd90317bf1e6803734c33af4f61eaa71d271ac193c5c2ffba536dd79f3");
  EXPECT_EQ(to_hex(hash_plain(*encode_addenda(std::span{&told, 1}))),
            "0f1ebdb2d90ee407dff976823c4d455453739b933702699e1ed2cd6b8b8be15b");
  EXPECT_FALSE(decode_audit(*encode_audit(audit_standing{keys, {0}})));
  EXPECT_FALSE(decode_audit(*encode_audit(audit_standing{keys, {0, 1'000'001}})));
  EXPECT_EQ(std::get<audit_known>(*decode_audit(*encode_audit(known))), known);
  EXPECT_FALSE(decode_audit(*encode_audit(audit_known{false, {keys[1], keys[0]}}))) << "descending";
  EXPECT_FALSE(decode_audit(*encode_audit(audit_known{false, {keys[0], keys[0]}}))) << "twice";
}

TEST(audit_golden, questions_with_further_numbers_are_these_bytes) {
  const test::receipt_maker cast;
  const audit_task task = compute::task_of(cast.small(), {0, 0});
  audit_task ruled = task;
  ruled.sampling.presence_penalty = 0.5F;
  ruled.sampling.logit_bias = {{17, -100.0F}};
  EXPECT_NE(task_digest(ruled), task_digest(task));
  EXPECT_EQ(
      std::get<audit_question>(*decode_audit(*encode_audit(audit_question{7, ruled, {}}))).task,
      ruled);
  EXPECT_EQ(named(audit_question{7, ruled, {}}),
            "e704d5d4fa99215716e20dc35d0386de4c67d450f303b9499bccd5df5a0d75e1");
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
