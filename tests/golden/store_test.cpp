// The bytes of docs/formats/store.md, field by field. A change here is a new version of the format.
#include "storage/env/lmdb_file.hpp"
#include "storage/store/store_record.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace ovir::storage {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    out += fmt::format("{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return out;
}

digest repeated(std::uint8_t byte) {
  digest d;
  d.bytes.fill(byte);
  return d;
}

entry example() {
  entry e;
  e.kind = content_kind::kv;
  e.name = e.content = hash_plain({});
  e.size = 32'768;
  e.offset = 0x1'0000'1000;
  e.stored = 1'700'000'000;
  e.last_use = 1'700'000'060;
  e.uses = 3;
  e.cost_us = 1'500;
  e.pinned = true;
  e.from.author.key = repeated(0xAA).bytes;
  e.from.statement = repeated(0xBB);
  e.from.verified = true;
  e.keys = {repeated(0x11)};
  return e;
}

TEST(store_golden, an_entry_is_this_key_and_this_record) {
  const std::string key = entry_index_key(content_kind::kv, example().name);
  EXPECT_EQ(hex(key), "65" // 'e'
                      "04" // kv
                      "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
  EXPECT_EQ(hex(to_record(example())),
            "01"               // version
            "05"               // pinned, verified
            "0100"             // keys
            "03000000"         // uses
            "0080000000000000" // size
            "0010000001000000" // offset
            "00f1536500000000" // stored
            "3cf1536500000000" // last use
            "dc05000000000000" // cost
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
            "1111111111111111111111111111111111111111111111111111111111111111"
            "8601bfb205821420");
  EXPECT_EQ(entry_from(key, to_record(example())), example());
}

TEST(store_golden, a_key_leads_to_an_entry_with_these_bytes) {
  EXPECT_EQ(hex(key_index_key(repeated(0x11))),
            "6b" // 'k'
            "1111111111111111111111111111111111111111111111111111111111111111");
  EXPECT_EQ(hex(to_record(repeated(0x11), key_target{content_kind::kv, hash_plain({})})),
            "01" // version
            "04" // kv
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
            "706c594b8a683bbe");
}

TEST(store_golden, counters_and_the_summary_are_these_bytes) {
  EXPECT_EQ(hex(counters_index_key(content_kind::kv)), "6304");
  EXPECT_EQ(hex(to_record(content_kind::kv, kind_counters{1, 2, 3, 4, 5, 6, 7})),
            "01"
            "0100000000000000020000000000000003000000000000000400000000000000"
            "050000000000000006000000000000000700000000000000"
            "02f4b3ccf0ba87b6");
  EXPECT_EQ(hex(summary_index_key()), "73");
  EXPECT_EQ(hex(to_record(index_summary{9, 8, 7})),
            "01"
            "090000000000000008000000000000000700000000000000"
            "7ec30651d388a9fb");
}

/// The record of this name in the page's block of bytes: its hexadecimal digits without spaces.
std::string on_the_page(const std::string& name) {
  std::ifstream page{OVIR_SOURCE_DIR "/docs/formats/store.md"};
  std::string digits;
  bool inside = false;
  bool wanted = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
    } else if (inside) {
      std::istringstream words{line};
      std::string word;
      if (!line.starts_with(" ")) {
        words >> word;
        wanted = word == name;
      }
      while (wanted && words >> word) {
        digits += word;
      }
    }
  }
  return digits;
}

TEST(store_golden, the_page_of_the_format_has_these_bytes) {
  EXPECT_EQ(on_the_page("entry"),
            hex(entry_index_key(content_kind::kv, example().name)) + hex(to_record(example())));
  EXPECT_EQ(on_the_page("key"),
            hex(key_index_key(repeated(0x11))) +
                hex(to_record(repeated(0x11), key_target{content_kind::kv, hash_plain({})})));
  EXPECT_EQ(on_the_page("counters"),
            hex(counters_index_key(content_kind::kv)) +
                hex(to_record(content_kind::kv, kind_counters{1, 2, 3, 4, 5, 6, 7})));
  EXPECT_EQ(on_the_page("summary"),
            hex(summary_index_key()) + hex(to_record(index_summary{9, 8, 7})));
}

TEST(store_golden, private_names_are_salted) {
  const content_owner owner{repeated(0x22)};
  EXPECT_EQ(to_hex(entry_name(owner, hash_plain({}))),
            "69b99722483aae592e31637beb5ce9425a17a7828b42f281efcf5da72f0eba6e");
  EXPECT_EQ(to_hex(lookup_key(owner, repeated(0x11))),
            "6b4542db65ab87c904fee2755b9ef3a8d355b1eb201f96399f8fe0d0ef40d911");
  EXPECT_EQ(entry_name({}, hash_plain({})), hash_plain({}));
  EXPECT_EQ(lookup_key({}, repeated(0x11)), repeated(0x11));
}

TEST(store_golden, kinds_keep_their_numbers_and_names) {
  std::string all;
  for (const content_kind kind : content_kinds) {
    all += fmt::format("{}={} ", static_cast<int>(kind), to_string(kind));
  }
  EXPECT_EQ(all, "1=weights 2=inputs 3=boundaries 4=kv 5=logits 6=results ");
}

} // namespace
} // namespace ovir::storage
