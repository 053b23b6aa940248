// The bytes of docs/formats/ledger-log.md.
#include "ledger/keeper/ledger.hpp"
#include "ledger/log/log_format.hpp"
#include "messages/wire/bytes.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/memory_file.hpp"

#include <gtest/gtest.h>

namespace ovir::ledger {
namespace {

using test::ledger_world;

std::string hex(std::span<const std::byte> bytes) {
  std::string out;
  for (const std::byte b : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return out;
}

node_id node(std::uint8_t n) {
  node_id id;
  id.key.fill(n);
  return id;
}

TEST(golden_ledger, a_transfer_is_its_fields_in_order_and_its_proof) {
  std::vector<std::byte> bytes;
  entry e{0x0102030405060708, transfer{node(0x11), node(0x22), 0x0a0b, 5}, {}};
  e.proof.bytes.fill(0x33);
  encode(e, bytes);
  std::string expected = "0807060504030201" // time
                         "03";              // kind
  for (const char* const part : {"11", "22"}) {
    for (int i = 0; i < 32; ++i) {
      expected += part;
    }
  }
  expected += "0b0a000000000000"  // amount
              "0500000000000000"; // nonce
  for (int i = 0; i < 64; ++i) {
    expected += "33";
  }
  EXPECT_EQ(hex(bytes), expected);
}

TEST(golden_ledger, ids_leaves_and_chains_are_these) {
  EXPECT_EQ(to_hex(id_of(transfer{node(1), node(2), 3, 4})),
            "682fa63ed911e9de20a4f4b96d5eef1f21fcc3764bc643c8fe555be9e633caaa");
  EXPECT_EQ(to_hex(leaf_hash({})),
            "c785815338dfa5049a452464ff044b03f9a9d00de5f252bae44c13174b9a8c99");
  EXPECT_EQ(to_hex(node_hash(digest{}, digest{})),
            "004a7e940500a7de14125fb83f7327cd77ab47feb53590634005a75e52c1e274");
  EXPECT_EQ(to_hex(chain_after(digest{}, digest{})),
            "c9feecedcdd5ea105d573f8d82ecad6671836af8233a3028118e74ab99602cdc");
}

TEST(golden_ledger, a_log_of_three_entries_in_two_batches_is_these_bytes) {
  test::memory_file file;
  ledger_options options;
  options.log.step_bytes = 4'096;
  ledger book = ledger::create(file, ledger_world::rules(), ledger_world::t0, options).value();
  ledger_world world{book.id()};
  const std::array batch{world.mint(1, credit), world.transfer(1, 2, 5)};
  ASSERT_TRUE(book.commit(batch, ledger_world::t0 + 1));
  ASSERT_EQ(file.content.size(), 4'096U);
  EXPECT_EQ(hex(std::span{file.content}.first(16)), "4f5649524c4f47310100000000020000");
  EXPECT_EQ(hex(std::span{file.content}.subspan(512, 24)),
            "425443480100000000000000000000002c01000000000000");
  EXPECT_EQ(to_hex(hash_plain(file.content)),
            "9dc2a436a3a734f8cd6726c29327761c8f32103c11b5a89897f04676c7cbb094");
  EXPECT_EQ(to_hex(book.id()), "90fe66d16d85761f9aa0bc67df99916c748b06ff7f81f65bb2426348692ba349");
  EXPECT_EQ(to_hex(book.log().root()),
            "2eb0735c209832fda134d440c3cbf63e82d0db456c4c797be92f845e98e820c7");
  EXPECT_EQ(to_hex(hash_plain(book.view().snapshot())),
            "e38eaf4e037b91be24c4d8adc8ffd8fa54b1187205b97d6009e9c7a6376b45d5");
  const signed_head head = sign(ledger_world::key(ledger_world::keeper), book.head());
  EXPECT_EQ(to_hex(hash_plain(to_bytes(head))),
            "9f100203c0b2a2b47d31eee76267568182080b9d3b16918f576fd055ac8f9f1f");
  EXPECT_EQ(to_hex(hash_plain(to_bytes(book.acknowledge(1, head).value()))),
            "5de39bcd576d1acf7edda4dc900e56f2f8c2ac6df840341decb8166bcb5e672f");
}

} // namespace
} // namespace ovir::ledger
