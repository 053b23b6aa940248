// `ovir ledger`: a ledger from its first entry to a rewritten one, as people use it.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A ledger with a keeper, who may mint, and two accounts with keys of their own.
class cli_ledger : public testing::Test {
protected:
  cli_ledger() {
    keeper = make_key("keeper");
    alice = make_key("alice");
    bob = make_key("bob");
    const json made = run({"create", "--policy", source_file("config/ledger.toml"), "--mint-key",
                           keeper, "--keeper", path("keeper")});
    id = made["ledger"];
  }

  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  std::string make_key(const std::string& name) const {
    return ovir_json({"keygen", "-o", path(name)})["public_key"];
  }
  std::vector<std::string> with_ledger(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "ledger");
    arguments.insert(arguments.end(), {"--ledger", path("book")});
    return arguments;
  }
  json run(std::vector<std::string> arguments) const {
    return ovir_json(with_ledger(std::move(arguments)));
  }
  child_result fail(std::vector<std::string> arguments, int code) const {
    child_result child = run_ovir(with_ledger(std::move(arguments)));
    EXPECT_EQ(child.exit_code, code) << child.out << child.err;
    return child;
  }
  json act(std::vector<std::string> what, const std::string& key) const {
    what.insert(what.end(), {"--key", path(key), "--keeper", path("keeper")});
    return run(std::move(what));
  }
  json balance(const std::string& account) const {
    return run({"balance", account})["accounts"][0];
  }

  temporary_folder folder;
  std::string keeper;
  std::string alice;
  std::string bob;
  std::string id;
};

TEST_F(cli_ledger, credits_are_minted_paid_staked_and_called_back) {
  act({"mint", alice, "100"}, "keeper");
  const json paid = act({"transfer", bob, "12.345678", "--promise", path("promise")}, "alice");
  EXPECT_EQ(paid["entry"], 2);
  EXPECT_EQ(paid["amount"], 12'345'678);
  act({"stake", "50"}, "alice");
  act({"unstake", "20"}, "alice");
  const json of_alice = balance(alice);
  EXPECT_EQ(of_alice["free"], 37'654'322);
  EXPECT_EQ(of_alice["stake"], 50'000'000);
  EXPECT_EQ(of_alice["leaving"], 20'000'000);
  EXPECT_EQ(balance(bob)["free"], 12'345'678);
  // The same again, with its nonce: the first answer.
  const json again = act(
      {"transfer", bob, "12.345678", "--nonce", std::to_string(paid["nonce"].get<int>())}, "alice");
  EXPECT_EQ(again["entry"], 2);
  EXPECT_EQ(again["id"], paid["id"]);
  EXPECT_EQ(balance(bob)["free"], 12'345'678);
  const json verified = run({"verify", "--promise", path("promise")});
  EXPECT_EQ(verified["ok"], true);
  EXPECT_EQ(verified["head"]["size"], 5);
  EXPECT_EQ(verified["head"]["ledger"], id);
  const json proof = run({"prove", "2", "--since-size", "3"});
  EXPECT_EQ(proof["root"], verified["head"]["root"]);
  EXPECT_EQ(run({"head"})["root"], proof["root"]);
}

TEST_F(cli_ledger, keepers_and_who_signed_are_shown) {
  const json keepers = json::array({keeper});
  const json head = run({"head"});
  EXPECT_EQ(head["keepers"], keepers);
  EXPECT_EQ(head["signed_by"], keepers);
  EXPECT_EQ(head["signed"], true);
  EXPECT_THAT(run_ovir(with_ledger({"head"})).out,
              HasSubstr("keeper " + keeper + ", who signed this\n"));
  EXPECT_EQ(run({"log"})["entries"][0]["keepers"], keepers);
  EXPECT_THAT(run_ovir(with_ledger({"log"})).out, HasSubstr("keeper  " + keeper + "\n"));
  const json verified = run({"verify"});
  EXPECT_EQ(verified["keepers"], keepers);
  EXPECT_EQ(verified["signed_by"], keepers);
  EXPECT_THAT(run_ovir(with_ledger({"verify"})).out,
              HasSubstr("kept by " + keeper.substr(0, 8) + "; the head of 1 entries is signed by " +
                        keeper.substr(0, 8)));
  // A head that its keeper never signed.
  std::string bytes = read_file(path("book") + "/head");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(path("book") + "/head", bytes);
  const json forged = document_of(fail({"head", "--json"}, 1));
  EXPECT_EQ(forged["signed"], false);
  EXPECT_EQ(forged["signed_by"], json::array());
  EXPECT_THAT(fail({"head"}, 1).out, HasSubstr("who did NOT sign this"));
  EXPECT_THAT(fail({"verify"}, 2).err, HasSubstr("not signed by more than half"));
}

TEST_F(cli_ledger, statements_say_what_moved_and_why_for_people_and_for_tables) {
  act({"mint", alice, "100"}, "keeper");
  act({"transfer", bob, "10"}, "alice");
  const child_result text = run_ovir(with_ledger({"statement", alice}));
  EXPECT_THAT(text.out, HasSubstr("+100.000000  mint, from mint"));
  EXPECT_THAT(text.out, HasSubstr("-10.000000  transfer, to free of " + bob.substr(0, 8)));
  const child_result csv = run_ovir(with_ledger({"statement", bob, "--csv"}));
  EXPECT_THAT(csv.out,
              HasSubstr("entry,time,purse,change,why,other,request,window,payer,reason\n2,"));
  EXPECT_THAT(csv.out, HasSubstr(",free,10000000,\"transfer\",free of " + alice.substr(0, 8)));
  EXPECT_THAT(csv.out, HasSubstr(",\"paid\"\n"));
  EXPECT_EQ(run({"statement", bob})["lines"][0]["direction"], "in");
  EXPECT_EQ(run({"log", "--from", "1", "--max", "1"})["entries"][0]["kind"], "mint");
  EXPECT_THAT(run_ovir(with_ledger({"balance", "--csv"})).out,
              HasSubstr(alice + ",90000000,0,0,0,0,0\n"));
}

TEST_F(cli_ledger, a_damaged_or_missing_index_is_made_anew_and_changes_no_answer) {
  act({"mint", alice, "100"}, "keeper");
  act({"transfer", bob, "10"}, "alice");
  const json before = run({"statement", bob});
  EXPECT_EQ(before["lines"][0]["reason"], "paid");
  const std::string index = path("book") + "/index.mdb";
  const std::string sound = read_file(index);
  for (const std::string& bytes :
       {std::string(sound.size(), 'x'), sound.substr(0, 5'000), std::string{}}) {
    write_file(index, bytes);
    const child_result seen = run_ovir(with_ledger({"statement", bob, "--json"}));
    EXPECT_EQ(document_of(seen), before);
    EXPECT_THAT(seen.err, HasSubstr("made anew from the log"));
    EXPECT_EQ(run({"verify"})["ok"], true);
  }
  std::filesystem::remove(index);
  EXPECT_EQ(run({"statement", bob}), before);
  EXPECT_EQ(balance(bob)["free"], 10'000'000);
}

TEST_F(cli_ledger, others_check_its_proofs_without_its_log_and_find_forged_ones) {
  act({"mint", alice, "100"}, "keeper");
  run({"head", "-o", path("early")});
  act({"transfer", bob, "10", "--promise", path("promise")}, "alice");
  run({"prove", "2", "-o", path("entry")});
  run({"prove", "2", "--since-head", path("early"), "-o", path("grown")});
  write_file(path("keepers"), keeper + "\n");
  write_file(path("strangers"), bob + "\n");
  const auto check = [&](const std::string& proof, std::vector<std::string> who, int code) {
    who.insert(who.begin(), {path(proof), "--json"});
    const child_result child = run_ovir_verify(who);
    EXPECT_EQ(child.exit_code, code) << proof << child.out << child.err;
    return document_of(child);
  };
  write_file(path("keepers_and_others"), keeper + "\n" + alice + "\n" + bob + "\n");
  run({"prove", "0", "-o", path("rules")});
  for (const std::string proof : {"early", "promise", "entry", "grown", "rules"}) {
    EXPECT_EQ(check(proof, {"--signers", path("keepers")}, 0)["ledger"], id);
    EXPECT_EQ(check(proof, {"--ledger-head", path("book") + "/head"}, 0)["signed_by"],
              json::array({keeper}));
    EXPECT_EQ(check(proof, {"--signers", path("strangers")}, 1)["failures"][0]["signer"], keeper);
    EXPECT_THAT(check(proof, {"--signers", path("keepers_and_others")}, 1)["failures"][0]["what"]
                    .get<std::string>(),
                HasSubstr("1 of 3 keepers"));
    EXPECT_THAT(check(proof, {}, 1)["failures"][0]["what"].get<std::string>(),
                HasSubstr("signers unknown"));
  }
  const json entry = check("entry", {"--any-signer"}, 0);
  EXPECT_EQ(entry["kind"], "transfer");
  EXPECT_EQ(entry["entry"], 2);
  std::string forged = read_file(path("entry"));
  forged[30] = static_cast<char>(forged[30] ^ 1); // who paid
  write_file(path("forged"), forged);
  EXPECT_THAT(check("forged", {"--any-signer"}, 1)["failures"][0]["what"].get<std::string>(),
              HasSubstr("not those of the leaf"));
  // The keeper begins again from the same rules and pays bob less: what it proves of that log does
  // not follow from the head it signed before.
  const std::string log = path("book") + "/log";
  std::string rewritten = read_file(log);
  const std::size_t third = rewritten.rfind("BTCH");
  const std::size_t second = rewritten.rfind("BTCH", third - 1);
  std::fill(rewritten.begin() + static_cast<long>(second), rewritten.end(), '\0');
  write_file(log, rewritten);
  std::filesystem::remove(path("book") + "/head");
  act({"mint", alice, "99"}, "keeper");
  act({"transfer", bob, "9"}, "alice");
  run({"prove", "2", "--since-head", path("early"), "-o", path("grown")});
  EXPECT_THAT(
      check("grown", {"--signers", path("keepers")}, 1)["failures"][0]["what"].get<std::string>(),
      HasSubstr("does not show"));
}

TEST_F(cli_ledger, refuses_what_the_rules_forbid_and_says_why) {
  const auto acting = [&](std::vector<std::string> what, const std::string& key) {
    what.insert(what.end(), {"--key", path(key), "--keeper", path("keeper")});
    return what;
  };
  EXPECT_THAT(fail(acting({"transfer", bob, "1"}, "alice"), 3).err,
              HasSubstr("has 0 micro-credits free"));
  EXPECT_THAT(fail(acting({"mint", alice, "1"}, "alice"), 2).err, HasSubstr("mint keys"));
  EXPECT_THAT(fail(acting({"transfer", bob, "1.2345678"}, "alice"), 2).err,
              HasSubstr("six decimals"));
  EXPECT_THAT(fail(acting({"transfer", "bob", "1"}, "alice"), 3).err,
              HasSubstr("64 lower-case hexadecimal digits"));
  EXPECT_THAT(fail({"mint", alice, "1", "--key", path("keeper"), "--keeper", path("alice")}, 2).err,
              HasSubstr("not that of this ledger's keeper"));
  EXPECT_EQ(run({"verify"})["head"]["size"], 1) << "a refusal was written";
  EXPECT_THAT(run_ovir({"ledger", "balance", "--ledger", path("nowhere")}).err,
              HasSubstr("there is no ledger"));
  EXPECT_EQ(fail({"create", "--policy", source_file("config/ledger.toml"), "--mint-key", keeper,
                  "--keeper", path("keeper")},
                 2)
                .exit_code,
            2);
}

TEST_F(cli_ledger, vouchers_are_signed_listed_and_revoked) {
  act({"mint", alice, "100"}, "keeper");
  const std::string keys = path("keys.json");
  const json made_key = ovir_json({"key", "create", "-f", keys, "ann", "--voucher", "ledger"});
  const std::string name = made_key["in_ledger"];
  const json listed = ovir_json({"key", "list", "-f", keys});
  EXPECT_EQ(listed["keys"][0]["voucher"], "ledger");
  EXPECT_EQ(listed["keys"][0]["in_ledger"], name);
  const json made = act({"voucher", "ann", "12.5", "--keys", keys, "--expires", "4000000000",
                         "--scheduler", bob, "--scheduler", keeper},
                        "alice");
  const std::string voucher = made["voucher"];
  const json all = run({"vouchers", alice})["vouchers"];
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0]["voucher"], voucher);
  EXPECT_EQ(all[0]["key"], name);
  EXPECT_EQ(all[0]["left"], 12'500'000);
  EXPECT_EQ(all[0]["schedulers"].size(), 2U);
  EXPECT_EQ(all[0]["revoked"], false);
  EXPECT_TRUE(run({"vouchers", bob})["vouchers"].empty());
  EXPECT_TRUE(run({"statement", alice, "--voucher", voucher})["lines"].empty());
  act({"revoke", voucher}, "alice");
  EXPECT_EQ(run({"vouchers"})["vouchers"][0]["revoked"], true);
  EXPECT_EQ(run({"verify"})["ok"], true);
  // Without the ledger's folder: what a shell submits.
  const json entry = run({"voucher", name, "1", "--expires", "4000000000", "--scheduler", bob,
                          "--sign-for", id, "--nonce", "9", "--key", path("alice")});
  EXPECT_EQ(entry["entry"].get<std::string>().substr(16, 2), "14") << "its kind";
  EXPECT_THAT(fail({"voucher", name, "1", "--expires", "4000000000", "--scheduler", bob,
                    "--sign-for", id, "--key", path("alice")},
                   2)
                  .err,
              HasSubstr("give --nonce"));
}

TEST_F(cli_ledger, verify_names_the_entry_of_a_flipped_bit_and_convicts_a_rewritten_log) {
  act({"mint", alice, "100"}, "keeper");
  act({"transfer", bob, "10", "--promise", path("promise")}, "alice");
  const std::string log = path("book") + "/log";
  const std::string sound = read_file(log);
  std::string damaged = sound;
  const std::size_t third = damaged.rfind("BTCH");
  damaged[third + 100] = static_cast<char>(damaged[third + 100] ^ 1);
  write_file(log, damaged);
  const child_result found = fail({"verify", "--json"}, 1);
  EXPECT_EQ(document_of(found)["fault"]["entry"], 2);
  EXPECT_EQ(fail({"balance"}, 1).out, "") << "a damaged ledger answers nothing";
  // The keeper, with its keys, begins again from before the transfer.
  std::string shorter = sound;
  std::fill(shorter.begin() + static_cast<long>(third), shorter.end(), '\0');
  write_file(log, shorter);
  EXPECT_THAT(fail({"verify"}, 1).out, HasSubstr("signed head says"));
  std::filesystem::remove(path("book") + "/head");
  act({"transfer", bob, "99"}, "alice");
  EXPECT_EQ(run({"verify"})["ok"], true) << "by itself the rewritten log is sound";
  const child_result convicted = fail({"verify", "--promise", path("promise"), "--json"}, 1);
  EXPECT_EQ(document_of(convicted)["fault"]["entry"], 2);
}

} // namespace
} // namespace ovir::test
