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
  EXPECT_EQ(to_hex(name), "84c4cd3f0522d1ec42509bec25143239b2d594ca74ff69c6497b959e4a1cc64b");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))),
            "03a5f968fad640a6fab28c1eac107ef848a3d438178ef4a5f480448d1dd58db8");
  EXPECT_EQ(named(audit_offer{true, bytes}),
            "91fd34fb1573b3f3621f79a1e27fe4af5a5a7d3a263eca4b13581b9ce7c0bfca");
  EXPECT_EQ(named(audit_question{7, place, bytes}),
            "b211acadd5152ebacfda8f082f6e7d5540a84d74083922bbf4111f5b9299639c");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}),
            "92bd2117a9a2e8aad56ff0fd855a48dcf708af3cec1e421236252733ff53b04a");
  EXPECT_EQ(named(conviction{conviction_kind::replay,
                             cast.id(1),
                             place,
                             some(1),
                             {bytes},
                             {verdict, give_verdict(cast.key(5), name, place, some(1))}}),
            "fe187009c67fb5bed015eaf5383a7358cd08e644bcd7657f695451f077f109c7");
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
