// keygen and token: what they print, what they keep, whom they refuse.
#include "messages/signing.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ovir::test {
namespace {

using nlohmann::json;
using std::filesystem::perms;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int wrong = 1;
constexpr int usage = 2;
constexpr int refused = 3;

perms mode(const std::filesystem::path& path) {
  return std::filesystem::status(path).permissions();
}

void expect_refusal(std::vector<std::string> arguments, int exit_code, const std::string& what,
                    const child_options& options = {}) {
  const child_result plain = run_ovir(arguments, options);
  EXPECT_EQ(plain.exit_code, exit_code) << plain.err;
  EXPECT_THAT(plain.err, HasSubstr(what));
  EXPECT_TRUE(is_one_line(plain.err)) << plain.err;
  EXPECT_EQ(plain.out, "");
  arguments.emplace_back("--json");
  const child_result as_json = run_ovir(arguments, options);
  EXPECT_EQ(as_json.exit_code, exit_code);
  EXPECT_THAT(document_of(as_json)["error"]["message"].get<std::string>(), HasSubstr(what));
}

class cli_keys : public ::testing::Test {
protected:
  [[nodiscard]] std::string at(const std::string& name) const { return folder_.path() / name; }
  /// Makes a key in a file and returns its public key.
  [[nodiscard]] std::string key(const std::string& name) const {
    return ovir_json({"keygen", "-o", at(name)})["public_key"].get<std::string>();
  }

  temporary_folder folder_;
};

TEST_F(cli_keys, keygen_makes_a_private_file_and_prints_the_public_key) {
  const child_result made = run_ovir({"keygen", "-o", at("sub/node.key")});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, MatchesRegex("[0-9a-f]{64}\n"));
  EXPECT_THAT(made.err, HasSubstr("made a new secret key in " + at("sub/node.key")));
  EXPECT_EQ(mode(at("sub/node.key")), perms::owner_read | perms::owner_write);
  EXPECT_EQ(mode(at("sub")), perms::owner_all);
  EXPECT_THAT(read_file(at("sub/node.key")), MatchesRegex("ovir-key-v1 [0-9a-f]{64}\n"));
}

TEST_F(cli_keys, keygen_keeps_a_key_that_is_there) {
  const json first = ovir_json({"keygen", "-o", at("key")});
  EXPECT_EQ(first["made"], true);
  EXPECT_EQ(first["file"], at("key"));
  const std::string content = read_file(at("key"));
  const json again = ovir_json({"keygen", "--output", at("key")});
  EXPECT_EQ(again["made"], false);
  EXPECT_EQ(again["public_key"], first["public_key"]);
  EXPECT_EQ(read_file(at("key")), content);
  const child_result plain = run_ovir({"keygen", "-o", at("key")});
  EXPECT_EQ(plain.out, first["public_key"].get<std::string>() + "\n");
  EXPECT_THAT(plain.err, HasSubstr("holds a key already"));
}

TEST_F(cli_keys, keygen_finds_the_state_folder) {
  child_options options;
  auto& variable = options.environment;
  variable = {{"OVIR_HOME", ""}, {"XDG_STATE_HOME", ""}, {"HOME", ""}};
  expect_refusal({"keygen"}, usage, "set OVIR_HOME", options);
  variable["HOME"] = at("h");
  EXPECT_EQ(ovir_json({"keygen"}, options)["file"], at("h/.local/state/ovir/node.key"));
  variable["XDG_STATE_HOME"] = at("x");
  EXPECT_EQ(ovir_json({"keygen"}, options)["file"], at("x/ovir/node.key"));
  variable["OVIR_HOME"] = at("o");
  EXPECT_EQ(ovir_json({"keygen"}, options)["file"], at("o/node.key"));
}

TEST_F(cli_keys, keygen_refuses_what_is_no_private_key_file) {
  const std::string name = key("key");
  std::filesystem::permissions(at("key"), perms::group_read, std::filesystem::perm_options::add);
  expect_refusal({"keygen", "-o", at("key")}, refused, "chmod 600");
  write_file(at("key"), "something else\n");
  std::filesystem::permissions(at("key"), perms::owner_read | perms::owner_write);
  expect_refusal({"keygen", "-o", at("key")}, refused, "is not a key file");
  EXPECT_EQ(read_file(at("key")), "something else\n");
  expect_refusal({"keygen", "-o", folder_.path()}, refused, "is a directory");
  expect_refusal({"keygen", "-o", at("key/below")}, refused, "is not a directory");
  expect_refusal({"keygen", "-o", ""}, usage, "needs the name of a file");
  expect_refusal({"keygen", "-o", "-"}, usage, "needs the name of a file");
  expect_refusal({"keygen", "extra"}, usage, "extra");
}

TEST_F(cli_keys, a_token_says_what_was_asked_for_and_the_admin_signed_it) {
  const std::string admin = key("admin");
  const std::string node = key("node");
  const json made = ovir_json({"token", "--admin-key", at("admin"), "--node", node, "--role",
                               "scheduler,worker", "--expires", "2d"});
  EXPECT_EQ(made["node"], node);
  EXPECT_EQ(made["admin"], admin);
  EXPECT_EQ(made["roles"], json({"worker", "scheduler"}));
  const join_token token = token_from_text(made["token"].get<std::string>()).value();
  EXPECT_EQ(made["expires_unix"], token.expires_unix);
  EXPECT_TRUE(check(token, node_id_from_hex(admin).value(), token.expires_unix - 1));
  const json shown = ovir_json({"token", "show", made["token"]});
  EXPECT_EQ(shown["signed"], true);
  EXPECT_EQ(shown["expired"], false);
  for (const char* same : {"node", "admin", "roles", "expires_unix"}) {
    EXPECT_EQ(shown[same], made[same]) << same;
  }
  const child_result table = run_ovir({"token", "show", made["token"]});
  EXPECT_EQ(table.exit_code, 0);
  EXPECT_THAT(table.out, HasSubstr("node       " + node));
  EXPECT_THAT(table.out, HasSubstr("roles      worker, scheduler"));
  EXPECT_THAT(table.out, HasSubstr("signature  the admin's"));
}

TEST_F(cli_keys, no_two_tokens_are_the_same) {
  const std::string node = key("admin");
  const std::vector<std::string> ask{"token", "--admin-key", at("admin"), "--node",
                                     node,    "--role",      "worker"};
  EXPECT_NE(run_ovir(ask).out, run_ovir(ask).out) << "each works once";
  EXPECT_THAT(run_ovir(ask).out, MatchesRegex("ovir-join-[A-Za-z0-9_-]{211}\n"));
}

TEST_F(cli_keys, a_forged_token_is_shown_as_wrong_and_an_old_one_as_expired) {
  static_cast<void>(key("admin"));
  const json made =
      ovir_json({"token", "--admin-key", at("admin"), "--node", key("node"), "--role", "worker"});
  const join_token real = token_from_text(made["token"].get<std::string>()).value();
  join_token forged = real;
  forged.roles.add(role::operate);
  const child_result shown = run_ovir({"token", "show", to_text(forged), "--json"});
  EXPECT_EQ(shown.exit_code, wrong);
  EXPECT_EQ(document_of(shown)["signed"], false);
  forged = real;
  forged.expires_unix = 0;
  const child_result table = run_ovir({"token", "show", to_text(forged)});
  EXPECT_EQ(table.exit_code, wrong);
  EXPECT_THAT(table.out, HasSubstr("expired"));
  EXPECT_THAT(table.out, HasSubstr("NOT the admin's"));
}

TEST_F(cli_keys, token_says_what_it_cannot_use) {
  const std::string node = key("admin");
  const auto ask = [&](const std::string& admin_key, const std::string& who,
                       const std::string& roles, const std::string& expires) {
    return std::vector<std::string>{"token",  "--admin-key", admin_key,   "--node", who,
                                    "--role", roles,         "--expires", expires};
  };
  expect_refusal({"token"}, usage, "needs --node HEX and --role");
  expect_refusal({"token", "--admin-key", at("admin"), "--node", node}, usage, "--role");
  expect_refusal(ask(at("admin"), "abc", "worker", "1h"), usage, "64 lower-case hexadecimal");
  expect_refusal(ask(at("admin"), std::string(64, '0'), "worker", "1h"), usage, "all zeros");
  expect_refusal(ask(at("admin"), node, "worker,king", "1h"), usage, "'king' is not a role");
  expect_refusal(ask(at("admin"), node, "worker,", "1h"), usage, "'' is not a role");
  for (const char* expires :
       {"", "1", "h", "0h", "-1h", "1.5h", "1h ", "1w", "366d", "8761h", "99999999999s"}) {
    expect_refusal(ask(at("admin"), node, "worker", expires), usage, "--expires");
  }
  expect_refusal(ask(at("none"), node, "worker", "1h"), refused, "no such file");
  std::filesystem::permissions(at("admin"), perms::others_read, std::filesystem::perm_options::add);
  expect_refusal(ask(at("admin"), node, "worker", "1h"), refused, "chmod 600");
  expect_refusal({"token", "show"}, usage, "TOKEN");
  expect_refusal({"token", "show", "ovir-join-abc"}, refused, "221 characters");
  expect_refusal({"token", "give"}, usage, "give");
}

} // namespace
} // namespace ovir::test
