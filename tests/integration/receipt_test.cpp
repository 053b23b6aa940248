// `ovir run --receipt`, `ovir receipt` and the auditor on receipts: what is honest passes without
// and with the model, and what was changed is found and its signer named.
#include "ledger/keeper/ledger.hpp"
#include "messages/evidence/addendum.hpp"
#include "messages/evidence/compact_receipt.hpp"
#include "storage/env/durable_file.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/ledger/ledger_world.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/receipt_maker.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using ::testing::HasSubstr;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string bytes_of_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

class receipts : public ::testing::Test {
protected:
  [[nodiscard]] std::string path(const std::string& name) const { return folder_.path() / name; }
  plain_json verdict(const std::vector<std::string>& arguments, int exit_code) {
    std::vector<std::string> all = arguments;
    all.emplace_back("--json");
    const child_result child = run_ovir_verify(all);
    EXPECT_EQ(child.exit_code, exit_code) << child.out << child.err;
    return document_of(child);
  }

  temporary_folder folder_;
  receipt_maker cast_;
};

TEST_F(receipts, are_checked_without_the_model_and_name_their_signers) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  const plain_json right = verdict({path("r"), "--any-signer"}, 0);
  EXPECT_EQ(right["ok"], true);
  EXPECT_EQ(right["tier"], "T0");
  EXPECT_EQ(right["failures"], plain_json::array());

  receipt r = cast_.honest();
  r.stages[1].statements[2].compute_us += 1;
  write_file(path("changed"), text_of(encode_receipt(r)));
  const plain_json wrong = verdict({path("changed"), "--any-signer"}, 1);
  EXPECT_EQ(wrong["ok"], false);
  EXPECT_EQ(wrong["failures"][0]["signer"], to_hex(cast_.id(1)));
  EXPECT_EQ(wrong["failures"][0]["unit"], (plain_json{{"window", 2}, {"layer", 3}}));
}

TEST_F(receipts, go_with_what_verifiers_signed_about_them) {
  const auto bytes = encode_receipt(cast_.honest());
  write_file(path("r"), text_of(bytes));
  const auto by = [&](std::size_t who, audit_finding what, std::uint32_t window) {
    addendum a;
    a.receipt = receipt_digest(bytes);
    a.units = {{0, window, what}};
    sign_addendum(a, cast_.key(who));
    return a;
  };
  const auto told = [&](const std::vector<addendum>& all, int exit_code) {
    write_file(path("a"), text_of(*encode_addenda(all)));
    return verdict({path("r"), "--addenda", path("a"), "--any-signer"}, exit_code)["addenda"];
  };
  const addendum honest = by(receipt_maker::stranger, audit_finding::right, 0);
  const plain_json right = told({honest}, 0);
  EXPECT_EQ(right["audits"][0]["verifier"], to_hex(cast_.id(receipt_maker::stranger)));
  EXPECT_EQ(right["right"], 1);
  EXPECT_EQ(right["windows"], 9);
  EXPECT_EQ(told({by(receipt_maker::stranger, audit_finding::wrong, 1)}, 1)["disputed"], 1);
  const plain_json forged = told({honest, by(1, audit_finding::right, 0)}, 1);
  EXPECT_EQ(forged["failures"][0]["signer"], to_hex(cast_.id(1))) << "it has a part in the answer";
  EXPECT_EQ(forged["audits"].size(), 1U);

  // Of a verifier that is none of those that count, and beside another receipt.
  std::string list;
  for (const std::size_t who :
       {std::size_t{0}, std::size_t{1}, std::size_t{2}, receipt_maker::lead}) {
    list += to_hex(cast_.id(who)) + "\n";
  }
  write_file(path("signers"), list);
  write_file(path("a"), text_of(*encode_addenda(std::span{&honest, 1})));
  const plain_json unlisted =
      verdict({path("r"), "--addenda", path("a"), "--signers", path("signers")}, 1);
  EXPECT_EQ(unlisted["ok"], true);
  EXPECT_EQ(unlisted["addenda"]["failures"][0]["signer"],
            to_hex(cast_.id(receipt_maker::stranger)));
  write_file(path("r"), text_of(encode_receipt(cast_.other_question())));
  EXPECT_THAT(told({honest}, 1)["failures"][0]["what"].get<std::string>(),
              HasSubstr("another receipt"));
  const child_result text = run_ovir_verify({path("r"), "--addenda", path("a"), "--any-signer"});
  EXPECT_THAT(text.out, HasSubstr("0 of 9 windows were computed again"));
}

TEST_F(receipts, ask_whose_signatures_count) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  const plain_json unknown = verdict({path("r")}, 1);
  EXPECT_THAT(unknown["failures"][0]["what"].get<std::string>(), HasSubstr("signers unknown"));
  std::string list = "# nodes\n";
  for (const std::size_t who : {std::size_t{0}, std::size_t{2}, receipt_maker::lead}) {
    list += to_hex(cast_.id(who)) + "  node\n";
  }
  write_file(path("signers"), list);
  const plain_json one_missing = verdict({path("r"), "--signers", path("signers")}, 1);
  EXPECT_EQ(one_missing["failures"][0]["signer"], to_hex(cast_.id(1)));
  write_file(path("signers"), list + to_hex(cast_.id(1)) + "#late\n");
  EXPECT_EQ(verdict({path("r"), "--signers", path("signers")}, 0)["ok"], true);
  write_file(path("signers"), "nobody\n");
  EXPECT_EQ(run_ovir_verify({path("r"), "--signers", path("signers")}).exit_code, 3);
  EXPECT_EQ(run_ovir_verify({path("r"), "--signers", "x", "--any-signer"}).exit_code, 2);
  EXPECT_EQ(run_ovir_verify({path("r"), "--ledger-head", "x", "--any-signer"}).exit_code, 2);
}

// Those count who have stake in a ledger: its head, and a copy of its log from anybody.
TEST_F(receipts, are_signed_by_whom_a_ledger_knows) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  const secret_key keeper = ledger_world::key(ledger_world::keeper);
  std::filesystem::create_directory(path("book"));
  const auto file = storage::open_durable_file(path("book") + "/log", true).value();
  ledger::ledger book =
      ledger::ledger::create(*file, ledger_world::rules(), ledger_world::t0, {}).value();
  const auto run = [&](const ledger::authentic_command& one) {
    EXPECT_TRUE(book.commit(std::span{&one, 1}, ledger_world::t0).value().commands[0].done);
  };
  const auto sign_head = [&](const std::string& name) {
    write_file(path("book") + "/" + name, text_of(to_bytes(ledger::sign(keeper, book.head()))));
  };
  std::uint64_t nonce = 1'000;
  for (const std::size_t who : {std::size_t{0}, std::size_t{2}, receipt_maker::lead}) {
    const secret_key minter = ledger_world::key(ledger_world::minter);
    const ledger::mint made{minter.id(), ledger::mint_target::participant, cast_.id(who),
                            500 * ledger::credit, ++nonce};
    run(authenticate(book.id(), made, sign_action(minter, book.id(), made)).value());
    const ledger::lock stake{cast_.id(who), 200 * ledger::credit, ++nonce};
    run(authenticate(book.id(), stake, sign_action(cast_.key(who), book.id(), stake)).value());
  }
  sign_head("early");
  const plain_json one_missing = verdict({path("r"), "--ledger-head", path("book") + "/early"}, 1);
  EXPECT_EQ(one_missing["failures"][0]["signer"], to_hex(cast_.id(1)));
  const secret_key minter = ledger_world::key(ledger_world::minter);
  const ledger::mint last{minter.id(), ledger::mint_target::participant, cast_.id(1),
                          500 * ledger::credit, ++nonce};
  run(authenticate(book.id(), last, sign_action(minter, book.id(), last)).value());
  const ledger::lock stake{cast_.id(1), 200 * ledger::credit, ++nonce};
  run(authenticate(book.id(), stake, sign_action(cast_.key(1), book.id(), stake)).value());
  sign_head("head");
  EXPECT_EQ(verdict({path("r"), "--ledger-head", path("book") + "/head"}, 0)["ok"], true);
  EXPECT_EQ(verdict({path("r"), "--ledger-head", path("book") + "/early"}, 1)["ok"], false)
      << "what came behind a head does not count";
  EXPECT_EQ(run_ovir({"receipt", "verify", path("r"), "--ledger-head", path("book") + "/head",
                      "--ledger-log", path("book") + "/log"})
                .exit_code,
            0);
  // A log that somebody changed, and none.
  std::string bytes = read_file(path("book") + "/log");
  bytes[1'000] = static_cast<char>(bytes[1'000] ^ 1);
  write_file(path("changed"), bytes);
  EXPECT_EQ(run_ovir_verify({path("r"), "--ledger-head", path("book") + "/head", "--ledger-log",
                             path("changed")})
                .exit_code,
            1);
  write_file(path("head"), read_file(path("book") + "/head"));
  const child_result alone = run_ovir_verify({path("r"), "--ledger-head", path("head")});
  EXPECT_EQ(alone.exit_code, 3);
  EXPECT_THAT(alone.err, HasSubstr("--ledger-log"));
}

TEST_F(receipts, are_made_compact_and_opened) {
  write_file(path("r"), text_of(encode_receipt(cast_.honest())));
  ASSERT_EQ(run_ovir({"receipt", "compact", path("r"), path("c")}).exit_code, 0);
  EXPECT_LT(read_file(path("c")).size(), 2'048U);
  EXPECT_EQ(verdict({path("c"), "--any-signer"}, 0)["ok"], true);
  ASSERT_EQ(run_ovir({"receipt", "open", path("r"), path("o"), "--window", "1", "--layer", "4"})
                .exit_code,
            0);
  EXPECT_EQ(verdict({path("c"), "--any-signer", "--open", path("o")}, 0)["ok"], true);
  write_file(path("other"), text_of(encode_compact(compact(cast_.other_question()).value())));
  EXPECT_EQ(verdict({path("other"), "--any-signer", "--open", path("o")}, 1)["ok"], false);
  EXPECT_EQ(run_ovir({"receipt", "open", path("r"), path("o"), "--window", "9", "--layer", "4"})
                .exit_code,
            3);
}

TEST_F(receipts, of_another_version_or_of_nothing_are_refused) {
  std::vector<std::byte> bytes = encode_receipt(cast_.small());
  bytes[24] = std::byte{9};
  write_file(path("r"), text_of(bytes));
  const child_result child = run_ovir_verify({path("r"), "--any-signer"});
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("version 9"));
}

TEST_F(receipts, of_a_run_hold_with_and_without_the_model) {
  const std::string model = source_file("assets/tales-q4_k_m.gguf");
  const plain_json run = ovir_json({"run", "-p", "Once upon a time", "-n", "70", "--stages", "3",
                                    "--temp", "0.8", "--seed", "11", "--receipt", path("r")});
  EXPECT_EQ(run["receipt"], path("r"));
  const plain_json t0 = verdict({path("r"), "--any-signer"}, 0);
  EXPECT_EQ(t0["receipt"]["transcript"], run["transcript"]);
  EXPECT_EQ(t0["receipt"]["tokens"], run["tokens"]);
  EXPECT_EQ(t0["receipt"]["stages"].size(), 3U);
  EXPECT_EQ(verdict({path("r"), "--any-signer", "--model", model}, 0)["tier"], "T2");
  EXPECT_EQ(run_ovir({"receipt", "show", path("r")}).exit_code, 0);
  EXPECT_EQ(run_ovir({"receipt", "verify", path("r"), "--any-signer"}).exit_code, 0);
}

TEST_F(receipts, survive_stages_that_crash_while_they_are_made) {
  const plain_json run = ovir_json({"run", "-p", "Once upon a time", "-n", "60", "--stages", "3",
                                    "--drill", "3", "--receipt", path("r")});
  EXPECT_EQ(run["restarts"], 3);
  EXPECT_EQ(verdict({path("r"), "--any-signer"}, 0)["ok"], true);
}

// Three workers and a scheduler, each a process with a key of its own.
TEST_F(receipts, of_a_cluster_name_its_nodes_and_hold_for_a_stranger) {
  compute::synth_spec spec;
  spec.layers = 9;
  const std::string model = path("synthetic.gguf");
  write_file(model, synthetic_model(spec));
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{model}}},
                                  {"one", {"worker"}, {{model, "0-2"}}},
                                  {"two", {"worker"}, {{model, "3-5"}}},
                                  {"three", {"worker"}, {{model, "6-8"}}}}}};
  cluster.start();
  cluster_shell shell = cluster.shell();
  apps::json asked{{"request", "00000000000abcde"},
                   {"max_tokens", 60},
                   {"receipt", true},
                   {"temperature", 0.8},
                   {"seed", 5}};
  for (int i = 0; i < 40; ++i) {
    asked["tokens"].push_back(3 + i % 7);
  }
  const apps::shell_outcome outcome = shell.call("run", asked);
  ASSERT_EQ(failure_text(outcome), "") << cluster.last_words();
  const auto& data = std::get<apps::json>(outcome);
  ASSERT_TRUE(data.at("receipt").is_object()) << data.at("receipt");
  ASSERT_TRUE(data.at("receipt").contains("bytes")) << data.at("receipt") << cluster.last_words();
  write_file(path("r"), bytes_of_hex(data.at("receipt").at("bytes").get<std::string>()));
  std::string signers;
  const apps::json nodes = cluster.ask(0, "nodes");
  for (const apps::json& node : nodes.at("nodes")) {
    signers += node.at("node").get<std::string>() + " " + node.at("name").get<std::string>() + "\n";
  }
  write_file(path("signers"), signers);
  const plain_json t0 = verdict({path("r"), "--signers", path("signers")}, 0);
  EXPECT_EQ(t0["receipt"]["transcript"], data.at("transcript").get<std::string>());
  std::set<std::string> who;
  for (const plain_json& stage : t0["receipt"]["stages"]) {
    who.insert(stage["signer"].get<std::string>());
  }
  EXPECT_EQ(who.size(), 3U);
  EXPECT_EQ(verdict({path("r"), "--any-signer", "--model", model}, 0)["tier"], "T2");

  // In parts: every stage from a capsule in the sandbox, and one unit of each without the weights.
  const std::string listed = path("signers");
  ASSERT_EQ(run_ovir({"receipt", "capsule", path("r"), path("c"), "-m", model}).exit_code, 0);
  const plain_json replayed =
      verdict({"--replay", path("c"), "--signers", listed, "--model", model}, 0);
  EXPECT_EQ(replayed["tier"], "T2");
  EXPECT_EQ(replayed["sandboxed"], true);
  EXPECT_EQ(replayed["units"], 9 * ((40 + 60 - 1 + 31) / 32));
  ASSERT_EQ(run_ovir_verify({"prepare", "-m", model, "-o", path("p")}).exit_code, 0);
  for (const char* const layer : {"0", "3", "6"}) {
    const child_result opened = run_ovir({"receipt", "reveal", path("c"), path("v"), "-m", model,
                                          "--window", "1", "--layer", layer});
    ASSERT_EQ(opened.exit_code, 0) << opened.err;
    const plain_json passed = verdict(
        {path("c"), "--reveal", path("v"), "--prepared", path("p"), "--signers", listed}, 0);
    EXPECT_EQ(passed["tier"], "T1");
    EXPECT_EQ(passed["ok"], true);
  }
}

// The scheduler dies in the midst of it; another goes on, and closes the receipt.
TEST_F(receipts, are_made_by_whoever_led_the_request_to_its_end) {
  compute::synth_spec spec;
  spec.layers = 9;
  const std::string model = path("synthetic.gguf");
  write_file(model, synthetic_model(spec));
  test_cluster cluster{{.nodes = {{"first", {"scheduler"}, {{model}}},
                                  {"second", {"scheduler"}, {{model}}},
                                  {"one", {"worker"}, {{model, "0-2"}}},
                                  {"two", {"worker"}, {{model, "3-5"}}},
                                  {"three", {"worker"}, {{model, "6-8"}}}}}};
  cluster.start();
  std::map<std::string, std::string> keys;
  const apps::json nodes = cluster.ask(0, "nodes");
  std::string signers;
  for (const apps::json& node : nodes.at("nodes")) {
    keys[node.at("name").get<std::string>()] = node.at("node").get<std::string>();
    signers += node.at("node").get<std::string>() + "\n";
  }
  write_file(path("signers"), signers);
  apps::json arguments{{"max_tokens", 400}, {"receipt", true}, {"temperature", 0.8}, {"seed", 5}};
  for (int i = 0; i < 40; ++i) {
    arguments["tokens"].push_back(3 + i % 7);
  }
  asked_request asked{cluster, {0, 1}, arguments};
  // Signatures are made beside the work: those of the first windows have left the lead by then.
  ASSERT_TRUE(asked.wait_for_tokens(200)) << asked.failure();
  cluster.kill(0);
  const apps::json data = asked.answer();
  ASSERT_EQ(asked.failure(), "") << cluster.last_words();
  ASSERT_GT(data.at("tokens").size(), 100U);
  ASSERT_TRUE(data.at("receipt").is_object()) << data.at("receipt") << cluster.last_words();
  ASSERT_TRUE(data.at("receipt").contains("bytes")) << data.at("receipt") << cluster.last_words();
  write_file(path("r"), bytes_of_hex(data.at("receipt").at("bytes").get<std::string>()));
  const plain_json t0 = verdict({path("r"), "--signers", path("signers")}, 0);
  EXPECT_EQ(t0["receipt"]["lead"], keys.at("second")) << t0;
  using token_list = std::vector<std::uint32_t>;
  EXPECT_EQ(t0["receipt"]["tokens"].get<token_list>(), data.at("tokens").get<token_list>());
  EXPECT_EQ(verdict({path("r"), "--any-signer", "--model", model}, 0)["tier"], "T2");
  // The first lead sent what came before: its signature is in it, and is asked for.
  const std::string first = keys.at("first") + "\n";
  signers.erase(signers.find(first), first.size());
  write_file(path("signers"), signers);
  const plain_json without = verdict({path("r"), "--signers", path("signers")}, 1);
  ASSERT_FALSE(without["failures"].empty()) << cluster.last_words();
  EXPECT_EQ(without["failures"][0]["signer"], keys.at("first"));
}

// Of more bytes than a reply to a shell may have.
TEST_F(receipts, of_long_requests_come_to_a_shell_in_pages) {
  compute::synth_spec spec;
  spec.layers = 64;
  spec.dim = 32;
  spec.ffn_dim = 64;
  spec.heads = 2;
  spec.kv_heads = 1;
  spec.context = 8'192;
  spec.quantization = compute::synth_quantization::q8_0;
  const std::string model = path("long.gguf");
  write_file(model, synthetic_model(spec));
  test_cluster cluster{{.nodes = {{"scheduler", {"scheduler"}, {{model}}},
                                  {"one", {"worker"}, {{model, "0-31"}}},
                                  {"two", {"worker"}, {{model, "32-63"}}}}}};
  cluster.start();
  std::string ids;
  for (int i = 0; i < 4'000; ++i) {
    ids += std::to_string(3 + i % 7);
    ids += ',';
  }
  ids.pop_back();
  const child_result child =
      run_ovir({"shell", "--key", cluster.admin_key(), "--connect", cluster.admin_address(0),
                "--json", "-e", "run --ids " + ids + " -n 3 --receipt " + path("r")});
  ASSERT_EQ(child.exit_code, 0) << child.err << cluster.last_words();
  EXPECT_GT(read_file(path("r")).size(), 262'144U) << "else it would fit into one reply";
  const plain_json t0 = verdict({path("r"), "--any-signer"}, 0);
  EXPECT_EQ(t0["receipt"]["tokens"], document_of(child)["tokens"]);
  // A page by itself, and behind the end.
  const std::string request = document_of(child)["request"].get<std::string>();
  const apps::json page = cluster.ask(0, "receipt " + request + " --from 262144");
  EXPECT_EQ(page.at("size"), read_file(path("r")).size());
  EXPECT_EQ(bytes_of_hex(page.at("bytes").get<std::string>()),
            read_file(path("r")).substr(262'144, 262'144));
  EXPECT_EQ(cluster.ask(0, "receipt " + request + " --from 9999999").at("bytes"), "");
}

} // namespace
} // namespace ovir::test
