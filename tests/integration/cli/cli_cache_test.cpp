// ovir cache: what it prints, what it changes, whom it refuses.
#include "storage/store/content_store.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace ovir::test {
namespace {

using nlohmann::json;
using storage::content_kind;
using ::testing::HasSubstr;

constexpr int wrong = 1;
constexpr int usage = 2;
constexpr int refused = 3;
constexpr int unavailable = 4;

class cli_cache : public ::testing::Test {
protected:
  cli_cache() {
    const auto store = open();
    for (int n = 0; n < 5; ++n) {
      const std::vector<std::byte> bytes(5'000, static_cast<std::byte>(n));
      names_.push_back(to_hex(hash_plain(bytes)));
      const storage::store_change put =
          storage::put_content{.kind = content_kind::kv, .bytes = bytes, .cost_us = 7};
      EXPECT_TRUE(store->commit(std::span{&put, 1}, 1'700'000'000));
    }
  }

  [[nodiscard]] std::unique_ptr<storage::content_store> open() const {
    return std::move(storage::content_store::open(*machine_, store(), {}).value());
  }
  [[nodiscard]] std::string store() const { return folder_.path() / "store"; }
  [[nodiscard]] std::vector<std::string> cache(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "cache");
    arguments.insert(arguments.end(), {"--store", store()});
    return arguments;
  }
  void damage(std::uint64_t offset) const {
    std::fstream file{store() + "/blocks", std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(static_cast<std::streamoff>(offset));
    file.put('!');
  }

  temporary_folder folder_;
  std::unique_ptr<storage::env> machine_{storage::make_env_posix()};
  std::vector<std::string> names_;
};

TEST_F(cli_cache, stats_counts_what_is_there) {
  const json document = ovir_json(cache({"stats"}));
  EXPECT_EQ(document["kinds"]["kv"]["entries"], 5);
  EXPECT_EQ(document["kinds"]["kv"]["bytes"], 25'000);
  EXPECT_EQ(document["kinds"]["kv"]["stored"], 5);
  EXPECT_EQ(document["kinds"]["weights"]["entries"], 0);
  const child_result table = run_ovir(cache({"stats"}));
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("boundaries"));
}

TEST_F(cli_cache, ls_names_entries_and_says_how_many_it_left_out) {
  const json all = ovir_json(cache({"ls"}));
  EXPECT_EQ(all["count"], 5);
  EXPECT_EQ(all["entries"].size(), 5U);
  EXPECT_EQ(all["entries"][0]["kind"], "kv");
  EXPECT_EQ(all["entries"][0]["cost_us"], 7);
  EXPECT_EQ(ovir_json(cache({"ls", "--kind", "weights"}))["count"], 0);
  const child_result some = run_ovir(cache({"ls", "--max", "2"}));
  EXPECT_THAT(some.err, HasSubstr("2 of 5 entries"));
  EXPECT_EQ(std::count(some.out.begin(), some.out.end(), '\n'), 2);
}

TEST_F(cli_cache, verify_drops_what_is_damaged_and_says_so_once) {
  EXPECT_EQ(run_ovir(cache({"verify"})).exit_code, 0);
  damage(8'192 + 4'999);
  const child_result found = run_ovir(cache({"verify", "--json"}));
  EXPECT_EQ(found.exit_code, wrong) << found.err;
  const json document = document_of(found);
  EXPECT_EQ(document["ok"], false);
  ASSERT_EQ(document["damaged"].size(), 1U);
  EXPECT_EQ(document["damaged"][0]["name"], names_[1]);
  EXPECT_EQ(run_ovir(cache({"verify"})).exit_code, 0);
  EXPECT_EQ(ovir_json(cache({"stats"}))["kinds"]["kv"]["entries"], 4);
  EXPECT_EQ(ovir_json(cache({"stats"}))["kinds"]["kv"]["damaged"], 1);
}

TEST_F(cli_cache, verify_says_so_when_the_index_had_to_be_mended) {
  std::fstream file{store() + "/index.mdb", std::ios::in | std::ios::out | std::ios::binary};
  file.seekp(4'096 + 16); // the older of the two first pages
  file.put('!');
  file.close();
  const child_result mended = run_ovir(cache({"verify"}));
  EXPECT_EQ(mended.exit_code, wrong);
  EXPECT_THAT(mended.err, HasSubstr("the index was damaged"));
  EXPECT_THAT(mended.out, HasSubstr("5 of 5 entries are sound"));
  EXPECT_EQ(run_ovir(cache({"verify"})).exit_code, 0);
}

TEST_F(cli_cache, gc_evicts_down_to_a_limit_and_spares_what_was_pinned) {
  EXPECT_EQ(ovir_json(cache({"pin", names_[3]}))["pinned"], 1);
  const json document = ovir_json(cache({"gc", "--limit", "kv=16K"}));
  EXPECT_EQ(document["evicted"], 3);
  EXPECT_EQ(document["entries"], 2);
  const child_result left = run_ovir(cache({"ls"}));
  EXPECT_THAT(left.out, HasSubstr(names_[3]));
  EXPECT_EQ(ovir_json(cache({"unpin", names_[3]}))["unpinned"], 1);
  EXPECT_EQ(ovir_json(cache({"gc", "--limit", "kv=0"}))["entries"], 0);
}

TEST_F(cli_cache, what_cannot_be_done_is_said_in_one_sentence) {
  const auto expect_refusal = [](const std::vector<std::string>& arguments, int code,
                                 const std::string& what) {
    const child_result refusal = run_ovir(arguments);
    EXPECT_EQ(refusal.exit_code, code) << refusal.err;
    EXPECT_THAT(refusal.err, HasSubstr(what));
    EXPECT_TRUE(is_one_line(refusal.err)) << refusal.err;
    EXPECT_EQ(refusal.out, "");
  };
  expect_refusal({"cache", "stats", "--store", folder_.path() / "none"}, refused,
                 "there is no store");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "none"));
  expect_refusal(cache({"pin", "nobody"}), refused, "names no entry");
  expect_refusal(cache({"gc", "--limit", "kv"}), usage, "KIND=SIZE");
  expect_refusal(cache({"gc", "--limit", "kv=1X"}), usage, "no size");
  expect_refusal(cache({"gc", "--limit", "kv=99999999999T"}), usage, "no size");
  expect_refusal(cache({"ls", "--kind", "x"}), usage, "the kinds are");
  expect_refusal({"cache"}, usage, "ovir cache --help");
  const auto holder = open();
  expect_refusal(cache({"stats"}), unavailable, "another process works in this folder");
}

TEST_F(cli_cache, the_default_is_the_state_folder) {
  child_options options;
  options.environment["OVIR_HOME"] = folder_.path();
  const child_result listed = run_ovir({"cache", "ls", "--json"}, options);
  EXPECT_EQ(document_of(listed)["count"], 5) << listed.err;
}

} // namespace
} // namespace ovir::test
