// The bytes of docs/formats/keepers.md.
#include "ledger/group/log_part.hpp"
#include "ledger/keeper/batch_order.hpp"
#include "messages/limits/credit.hpp"
#include "messages/limits/keepers.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/limits/raft.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

std::string digits(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

batch_order some_order() {
  batch_order o;
  o.ledger = hash("ovir/test/keepers", {});
  o.behind = 7;
  o.time = 1'700'000'000;
  o.entries = {{std::byte{0xaa}, std::byte{0xbb}}, {std::byte{0xcc}}};
  o.evidence = {{std::byte{0xdd}}};
  return o;
}

TEST(golden_keepers, an_order_is_a_ledger_a_size_a_time_entries_and_evidence) {
  const batch_order o = some_order();
  const std::vector<std::byte> bytes = to_bytes(o);
  EXPECT_EQ(digits(bytes), "6202" + to_hex(o.ledger) +
                               "0700000000000000"
                               "00f1536500000000"
                               "0200"
                               "02000000aabb"
                               "01000000cc"
                               "0100"
                               "01000000dd");
  EXPECT_EQ(batch_order_from(bytes).value(), o);
}

TEST(golden_keepers, an_order_out_of_bounds_is_refused) {
  const auto code = [](const batch_order& o) {
    const auto read = batch_order_from(to_bytes(o));
    return read ? std::optional<errc>{} : std::optional{read.error().code};
  };
  batch_order o = some_order();
  o.entries.clear();
  EXPECT_EQ(code(o), errc::malformed);
  o = some_order();
  o.behind = 0;
  EXPECT_EQ(code(o), errc::malformed);
  o = some_order();
  o.time = limits::ledger_seconds_max + 1;
  EXPECT_EQ(code(o), errc::malformed);
  o = some_order();
  o.entries[0].resize(limits::ledger_entry_bytes_max + 1);
  EXPECT_EQ(code(o), errc::over_limit);
  o = some_order();
  o.entries.assign(limits::ledger_batch_entries_max + 1, {std::byte{1}});
  EXPECT_EQ(code(o), errc::over_limit);
  o = some_order();
  o.evidence.resize(3);
  EXPECT_EQ(code(o), errc::malformed) << "more than entries";
  o = some_order();
  o.evidence[0].resize(limits::credit_evidence_bytes_max + 1);
  EXPECT_EQ(code(o), errc::over_limit);
  o = some_order();
  o.evidence.resize(limits::keepers_order_evidence_max + 1);
  EXPECT_EQ(code(o), errc::over_limit);
  EXPECT_EQ(batch_order_from(std::vector<std::byte>(limits::raft_entry_bytes_max + 1)).error().code,
            errc::over_limit);
  std::vector<std::byte> bytes = to_bytes(some_order());
  bytes.push_back(std::byte{0});
  EXPECT_EQ(batch_order_from(bytes).error().code, errc::malformed);
  bytes[1] = std::byte{1};
  EXPECT_EQ(batch_order_from(bytes).error().code, errc::unsupported);
}

TEST(golden_keepers, a_part_of_a_log_is_a_proof_and_a_message_of_entries) {
  secret_key key = secret_key::from_seed(std::array<std::byte, secret_key::seed_size>{});
  log_part p;
  p.path = {hash("ovir/test/keepers", {})};
  p.run.first = 3;
  p.run.entries = {{std::byte{0xaa}}};
  p.run.head = sign(key, log_head{p.path[0], 9, p.path[0], p.path[0], 1'700'000'000});
  const std::vector<std::byte> bytes = to_bytes(p);
  EXPECT_EQ(digits(bytes), "01" + to_hex(p.path[0]) + digits(to_bytes(message{0, p.run})));
  EXPECT_EQ(log_part_from(bytes).value(), p);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(log_part_from(std::span{bytes}.first(size))) << size;
  }
  std::vector<std::byte> wrong = bytes;
  wrong[0] = std::byte{limits::keepers_path_max + 1};
  EXPECT_EQ(log_part_from(wrong).error().code, errc::over_limit);
  wrong = {std::byte{0}};
  const std::vector<std::byte> asks = to_bytes(message{0, ask_entries{4}});
  wrong.insert(wrong.end(), asks.begin(), asks.end());
  EXPECT_EQ(log_part_from(wrong).error().code, errc::malformed);
}

} // namespace
} // namespace ovir::ledger
