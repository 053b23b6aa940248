// The bytes of docs/formats/audit.md. A change here is a new version of the format.
#include "ledger/audit_draw.hpp"
#include "ledger/track_record.hpp"
#include "messages/audit.hpp"
#include "messages/receipt.hpp"
#include "tests/support/receipt_maker.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

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
  EXPECT_EQ(to_hex(name), "@NAME@");
  EXPECT_EQ(to_hex(verdict_digest(name, place, some(1))), "@VERDICT@");
  EXPECT_EQ(named(audit_offer{bytes}), "@OFFER@");
  EXPECT_EQ(named(audit_question{7, place, bytes}), "@QUESTION@");
  EXPECT_EQ(named(audit_answer{7, some(1), verdict}), "@ANSWER@");
  EXPECT_EQ(named(conviction{conviction_kind::replay,
                             cast.id(1),
                             place,
                             some(1),
                             {bytes},
                             {verdict, give_verdict(cast.key(5), name, place, some(1))}}),
            "@CONVICTION@");
}

TEST(audit_golden, draws_and_events_are_these) {
  const auto chain = ledger::hash_chain::make(some(2), 1'000);
  EXPECT_EQ(to_hex(chain->anchor()), "@ANCHOR@");
  EXPECT_EQ(fmt::format("{:016x}", ledger::audit_draw(*chain->link(1), some(3), some(4))),
            "@DRAW@");
  const test::receipt_maker cast;
  EXPECT_EQ(hex(ledger::encode({1'800'000'000, cast.id(1), ledger::work_event::wrong, 3}, {})),
            "@EVENT@");
}

} // namespace
} // namespace ovir
