// The bytes of docs/formats/ledger-log.md.
#include "ledger/audit/epoch_draw.hpp"
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

std::string repeated(std::string_view part, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    all += part;
  }
  return all;
}

TEST(golden_ledger, a_head_is_its_fields_and_the_signatures_of_keepers) {
  signed_head h;
  h.head.ledger.bytes.fill(0x11);
  h.head.size = 0x0102;
  h.head.root.bytes.fill(0x22);
  h.head.chain.bytes.fill(0x33);
  h.head.time = 0x0304;
  h.signatures = {{node(0x44), {}}, {node(0x55), {}}};
  h.signatures[0].proof.bytes.fill(0x66);
  h.signatures[1].proof.bytes.fill(0x77);
  EXPECT_EQ(hex(to_bytes(h)), "0101" + repeated("11", 32) + "0201000000000000" +
                                  repeated("22", 32) + repeated("33", 32) + "0403000000000000" +
                                  "02" + repeated("44", 32) + repeated("66", 64) +
                                  repeated("55", 32) + repeated("77", 64));
}

TEST(golden_ledger, a_first_entry_ends_with_mint_keys_keepers_and_salt) {
  genesis g = ledger_world::rules();
  g.mint_keys = {node(0x11)};
  g.keepers = {node(0x22), node(0x33), node(0x44)};
  g.salt.bytes.fill(0x55);
  std::vector<std::byte> bytes;
  encode({1, g, {}}, bytes);
  const std::string end = "01" + repeated("11", 32) + "03" + repeated("22", 32) +
                          repeated("33", 32) + repeated("44", 32) + repeated("55", 32);
  EXPECT_EQ(hex(bytes).substr(2 * bytes.size() - end.size()), end);
  EXPECT_EQ(bytes.size(), 321U + 64U);
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
            "425443480100000000000000000000004d01000000000000");
  EXPECT_EQ(to_hex(hash_plain(file.content)),
            "d57218d8e018a6469fe03cdb14fe5a61adab3fdde7849847d0aa8a3566cc4747");
  EXPECT_EQ(to_hex(book.id()), "5cce172221d9d31247b95d7699aa544dc81b17a9b48764ce000a49f7f94972ca");
  EXPECT_EQ(to_hex(book.log().root()),
            "e5f24df1b90266ab391ff43c980231ce0e55a7c727fccf77ec7dbad5e96e1bd2");
  EXPECT_EQ(to_hex(hash_plain(book.view().snapshot())),
            "fb40a2799e5ba63e70419fab9cd2ef896e1efa3507b359ade422fae0948c26e8");
  const signed_head head = sign(ledger_world::key(ledger_world::keeper), book.head());
  EXPECT_EQ(to_hex(hash_plain(to_bytes(head))),
            "7c857dea7280255337b3c6ab72250848446c498e45e08f5618b0bce74001c282");
  EXPECT_EQ(to_hex(hash_plain(to_bytes(book.acknowledge(1, head).value()))),
            "8b241e2c8bb10f9596ee714c55919066aa162581998a0c5224c69013736e70b4");
}

TEST(golden_ledger, entries_of_epochs_are_their_fields_in_order) {
  const auto bytes_of = [](const command& c) {
    std::vector<std::byte> bytes;
    encode({1, c, {}}, bytes);
    return hex(bytes);
  };
  const auto thirty_two = [](std::string_view part) { return repeated(part, 32); };
  digest link;
  link.bytes.fill(0x22);
  const std::string time = "0100000000000000";
  EXPECT_EQ(bytes_of(chain_commit{node(0x11), link, 0x0304, 5}),
            time + "11" + thirty_two("11") + thirty_two("22") + "04030000" + "0500000000000000" +
                thirty_two("0000"));
  EXPECT_EQ(bytes_of(chain_link{node(0x11), 7, link}),
            time + "12" + thirty_two("11") + "0700000000000000" + thirty_two("22"));
  EXPECT_EQ(bytes_of(epoch_end{9}), time + "13" + "0900000000000000");
  EXPECT_EQ(to_hex(id_of(chain_link{node(0x11), 7, link})),
            "ec06b94c83756fa68adedc030195c6aaaf44253229fee3bacbdcf75bedccf469");
  EXPECT_EQ(to_hex(id_of(epoch_end{9})),
            "8b1781f74998eaf59ba7a6b3e38fd54ea7456724296a518fcf6b87f5a554b423");
}

TEST(golden_ledger, entries_of_vouchers_are_their_fields_in_order) {
  const auto bytes_of = [](const command& c) {
    std::vector<std::byte> bytes;
    encode({1, c, {}}, bytes);
    return hex(bytes);
  };
  const auto thirty_two = [](std::string_view part) { return repeated(part, 32); };
  const std::string time = "0100000000000000";
  const std::string proof = thirty_two("0000");
  digest key;
  key.bytes.fill(0x22);
  const voucher v{node(0x11), key, 0x0a0b, 0x0c0d, {node(0x33), node(0x44)}, 5};
  EXPECT_EQ(bytes_of(v), time + "14" + thirty_two("11") + thirty_two("22") + "0b0a000000000000" +
                             "0d0c000000000000" + "02" + thirty_two("33") + thirty_two("44") +
                             "0500000000000000" + proof);
  EXPECT_EQ(bytes_of(revoke{node(0x11), key, 6}),
            time + "15" + thirty_two("11") + thirty_two("22") + "0600000000000000" + proof);
  reserve r;
  r.payer = node(0x11);
  r.scheduler = node(0x33);
  r.voucher = key;
  r.about.bytes.fill(0x55);
  r.rate = 1;
  r.prompt = 2;
  r.completion_max = 3;
  r.expires = 4;
  r.stages = {{node(0x66), 7, 8}};
  r.nonce = 9;
  EXPECT_EQ(bytes_of(r), time + "16" + thirty_two("11") + thirty_two("33") + thirty_two("22") +
                             thirty_two("55") + "0100000000000000" + "0200000000000000" +
                             "0300000000000000" + "0400000000000000" + "01" + thirty_two("66") +
                             "07000000" + "0800000000000000" + "0900000000000000" + proof);
  EXPECT_EQ(to_hex(voucher_id(v)),
            "0a2def93a54aedb9bc5e9af7172c06aca93c8118a2f77ea1ea58695f41c37429");
  EXPECT_EQ(to_hex(escrow_of(r)),
            "c2a9811ef3b3594dcea6f4c4438b595da88a2af36f6e07bc2a2552906f6620bd");
  EXPECT_EQ(to_hex(id_of(v)), "e7662770a449f50e93b2ef4e582d5f58f03eaa3f73cdafd29830c682ad2bf108");
}

TEST(golden_ledger, an_entry_of_a_relay_is_its_fields_in_order) {
  carriage x;
  x.carried.what = {node(0x11), node(0x22), node(0x33), {}, 0x0a0b};
  x.carried.what.session.fill(0x44);
  x.carried.part = 0;
  x.carried.proof.bytes.fill(0x55);
  x.nonce = 6;
  std::vector<std::byte> bytes;
  encode({1, x, {}}, bytes);
  EXPECT_EQ(hex(bytes), "0100000000000000" // time
                        "17" +             // kind
                            repeated("11", 32) +
                            repeated("22", 32) + repeated("33", 32) + repeated("44", 16) +
                            "0b0a000000000000" + "00000000" + repeated("55", 64) +
                            "0600000000000000" + repeated("00", 64));
  EXPECT_EQ(to_hex(id_of(x)), "b4dffcbfdc04de707b456b8983f11c4cb5691e3d2890db4d55ddf5cccc880164");
}

TEST(golden_ledger, a_draw_is_this) {
  digest link;
  link.bytes.fill(0x33);
  epoch_draw d;
  d.chain.bytes.fill(0x44);
  d.auditors = 2;
  d.verifiers = {{node(1), 1, link}, {node(2), 3, link}, {node(4), 2, {}}};
  epoch_accrual a;
  a.request.bytes.fill(0x55);
  a.windows = 6;
  a.barred = {2};
  a.shares.push_back({node(9), link, 900'000});
  d.accruals.push_back(a);
  EXPECT_EQ(to_hex(d.seed()), "fb31fd8ff5360616be4990039416929180766e888f58893adc3cbeaf3060094d");
  EXPECT_EQ(to_hex(digest_of({a.request, 7, node(9), link})),
            "480b1522418de861be36939a4494a4ebcc077e4e402397783cf42541deb97c55");
  std::string text;
  d.each_drawn([&](const drawn_unit& u) {
    text += fmt::format("{}:", u.unit.window);
    for (const node_id& v : u.verifiers) {
      text += fmt::format(" {}", v.key[0]);
    }
    text += "; ";
  });
  EXPECT_EQ(text, "0: 2 1; 2: 2 1; 3: 1 2; 4: 2 1; 5: 2 1; ");
}

} // namespace
} // namespace ovir::ledger
