// Whatever the files of a store hold: it never crashes, and never hands out a wrong byte. Each try
// is a process of its own, so that a crash is seen as one.
#include "storage/env/lmdb_file.hpp"
#include "tests/store/disk_recorder.hpp"
#include "tests/store/store_folder.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <random>
#include <sstream>

namespace ovir::storage {
namespace {

using test::content_of;
using test::digest_of;

constexpr std::uint64_t t0 = 1'700'000'000;
constexpr std::uint64_t entries = 150;
constexpr std::uint64_t tries = 400; // times OVIR_STORE_EFFORT
const content_owner everybody{};

std::size_t size_of(std::uint64_t n) { return 1 + n * 97 % 9'000; }

std::string read_all(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void write_all(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream{path, std::ios::binary} << bytes;
}

/// Overwrites in place, as a disk or another process does beneath a store that is open.
void overwrite(const std::filesystem::path& path, const std::string& bytes) {
  std::fstream out{path, std::ios::binary | std::ios::in | std::ios::out};
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// Damages a file's bytes in one of the ways disks and people have.
std::string damage(std::string bytes, std::mt19937_64& random) {
  const auto place = [&](std::size_t step) { return random() % (bytes.size() / step) * step; };
  const std::uint64_t way = random() % 20;
  if (bytes.size() < 8'192) {
    return std::string(random() % 5'000, static_cast<char>(random()));
  }
  if (way < 12) { // single bits and bytes, often where structure is: the fronts of pages
    for (std::uint64_t n = 1 + random() % 8; n > 0; --n) {
      const std::size_t at =
          random() % 2 == 0 ? random() % bytes.size() : place(4'096) + random() % 200;
      bytes[at % bytes.size()] = static_cast<char>(
          random() % 2 == 0
              ? static_cast<unsigned char>(bytes[at % bytes.size()]) ^ (1U << random() % 8)
              : static_cast<unsigned>(random() % 256));
    }
  } else if (way < 14) { // a page of another place
    bytes.replace(place(4'096), 4'096, bytes.substr(place(4'096), 4'096));
  } else if (way < 16) { // a page of another place that claims to be here
    const std::size_t to = place(4'096);
    bytes.replace(to + 8, 4'088, bytes.substr(place(4'096) + 8, 4'088));
  } else if (way < 18) { // a lost sector
    bytes.replace(place(512), 512, std::string(512, '\0'));
  } else if (way == 18) {
    bytes.resize(random() % bytes.size());
  } else {
    for (std::size_t at = 0; at < bytes.size(); at += 1 + random() % 3'000) {
      bytes[at] = static_cast<char>(random());
    }
  }
  return bytes;
}

/// Uses everything a store can do. 0, or the number of the promise that was broken.
int use(content_store& store, std::uint64_t first) {
  for (std::uint64_t n = 0; n < entries; ++n) {
    const lookup_answer by_key = store.get_by_key(everybody, digest_of(n), t0);
    if (by_key.outcome == lookup_outcome::hit && by_key.bytes != content_of(n, size_of(n))) {
      return 1;
    }
    const lookup_answer by_content =
        store.get(content_kind::kv, everybody, hash_plain(content_of(n, size_of(n))), t0);
    if (by_content.outcome == lookup_outcome::hit &&
        by_content.bytes != content_of(n, size_of(n))) {
      return 2;
    }
  }
  for (std::uint64_t n = first; n < first + 20; ++n) {
    const auto bytes = content_of(n, size_of(n));
    const std::array<store_change, 2> changes{
        put_content{.kind = content_kind::kv, .bytes = bytes, .key = digest_of(n)},
        remove_content{
            {content_kind::kv, hash_plain(content_of(n % entries, size_of(n % entries)))}}};
    const auto done = store.commit(changes, t0 + n);
    if (!done) {
      return 3;
    }
    const lookup_answer again = store.get_by_key(everybody, digest_of(n), t0);
    if ((*done)[0] == change_outcome::done && n >= entries &&
        (again.outcome != lookup_outcome::hit || again.bytes != bytes)) {
      return 4;
    }
  }
  std::uint64_t counted = 0;
  const auto seen = store.visit([&](const entry&) { ++counted; });
  if (seen ? counted != store.usage(content_kind::kv).entries
           : seen.error().code != errc::digest_mismatch) {
    return 5;
  }
  return store.compact() ? 0 : 6;
}

class hostile_files_test : public testing::Test {
protected:
  hostile_files_test() {
    test::skip_syncs(true);
    const auto store = test::open_store(folder.store());
    for (std::uint64_t n = 0; n < entries; ++n) {
      const auto bytes = content_of(n, size_of(n));
      const store_change put =
          put_content{.kind = content_kind::kv, .bytes = bytes, .key = digest_of(n)};
      EXPECT_TRUE(store->commit(std::span{&put, 1}, t0));
    }
    for (std::uint64_t n = 0; n < 20; ++n) { // so that there are free pages and free blocks
      const store_change remove =
          remove_content{{content_kind::kv, hash_plain(content_of(n, size_of(n)))}};
      EXPECT_TRUE(store->commit(std::span{&remove, 1}, t0));
    }
  }
  ~hostile_files_test() override { test::skip_syncs(false); }

  test::store_folder folder{"ovir-hostile-files"};
};

TEST_F(hostile_files_test, damage_done_while_it_is_closed_is_never_served_and_never_a_crash) {
  const std::filesystem::path target = folder.path() / "store";
  std::map<std::string, std::string> sound;
  for (const auto& file : std::filesystem::directory_iterator{target}) {
    sound[file.path().filename().string()] = read_all(file.path());
  }
  ASSERT_EQ(sound.size(), 3U) << "index.mdb, blocks, lock";
  std::mt19937_64 random{test::test_seed()};
  std::uint64_t rebuilt = 0;
  for (std::uint64_t i = 0; i < tries * test::effort(); ++i) {
    for (const auto& [name, bytes] : sound) {
      write_all(target / name, bytes);
    }
    const std::uint64_t which = random() % 10;
    const std::string name = which < 6 ? "index.mdb" : which < 9 ? "blocks" : "lock";
    write_all(target / name, damage(sound[name], random));
    const int outcome = test::run_in_child([&] {
      const auto store = test::open_store(folder.store());
      const int broken = use(*store, entries);
      return broken != 0 ? broken : store->report().rebuilt ? 100 : 0;
    });
    ASSERT_TRUE(outcome == 0 || outcome == 100)
        << outcome << ", try " << i << ", OVIR_SEED=" << test::test_seed();
    rebuilt += outcome == 100;
  }
  EXPECT_GT(rebuilt, tries / 10) << "the damage must have been found";
}

TEST_F(hostile_files_test, damage_done_while_it_is_open_is_never_served_and_never_a_crash) {
  const std::filesystem::path target = folder.path() / "store";
  const std::string index = read_all(target / "index.mdb");
  const std::string blocks = read_all(target / "blocks");
  std::mt19937_64 random{test::test_seed() + 1};
  for (std::uint64_t i = 0; i < tries * test::effort(); ++i) {
    write_all(target / "index.mdb", index);
    write_all(target / "blocks", blocks);
    const bool in_index = random() % 3 != 0;
    std::string damaged = damage(in_index ? index : blocks, random);
    damaged.resize((in_index ? index : blocks).size());
    const int outcome = test::run_in_child([&] {
      const auto store = test::open_store(folder.store());
      overwrite(target / (in_index ? "index.mdb" : "blocks"), damaged);
      return use(*store, entries);
    });
    ASSERT_EQ(outcome, 0) << "try " << i << ", OVIR_SEED=" << test::test_seed();
  }
}

TEST_F(hostile_files_test, one_damaged_leaf_of_the_index_costs_only_its_own_entries) {
  const std::filesystem::path index = folder.path() / "store" / "index.mdb";
  std::string bytes = read_all(index);
  std::size_t leaves = 0;
  for (std::size_t at = 2 * 4'096; at < bytes.size(); at += 4'096) {
    leaves += bytes[at + 10] == 2;
  }
  ASSERT_GT(leaves, 10U);
  const digest name = hash_plain(content_of(entries - 1, size_of(entries - 1)));
  const std::string key = entry_index_key(content_kind::kv, name);
  for (std::size_t at = bytes.find(key); at != std::string::npos; at = bytes.find(key, at + 1)) {
    bytes[at + 40] ^= 1;
  }
  write_all(index, bytes);
  const auto store = test::open_store(folder.store());
  EXPECT_TRUE(store->report().rebuilt);
  EXPECT_TRUE(store->take_warning());
  EXPECT_EQ(store->get_by_key(everybody, digest_of(entries - 1), t0).outcome, lookup_outcome::miss);
  EXPECT_EQ(store->usage(content_kind::kv).entries, entries - 20 - 1);
}

TEST_F(hostile_files_test, a_store_of_another_version_is_refused_and_left_alone) {
  const std::filesystem::path index = folder.path() / "store" / "index.mdb";
  {
    auto file = lmdb_file::open(index.string()).value();
    std::string record = to_record(index_summary{.transaction = 1, .records = 2, .sum = 3});
    record.resize(record.size() - 8);
    record.front() = 2;
    hasher check{"ovir/store/v1/record"};
    check.update_text(summary_index_key()).update(std::as_bytes(std::span{record}));
    std::array<std::uint8_t, 8> sum{};
    check.finish_into(sum);
    record.append(reinterpret_cast<const char*>(sum.data()), sum.size());
    ASSERT_TRUE(file.commit({{summary_index_key(), record}}));
  }
  const std::string before = read_all(index);
  const auto machine = make_env_posix();
  const auto store = content_store::open(*machine, folder.store(), {});
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, errc::unsupported);
  EXPECT_EQ(read_all(index), before);
}

} // namespace
} // namespace ovir::storage
