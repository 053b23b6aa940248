// `ovir shell` as users run it, against a node that follows a script.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/fake_node.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace ovir::test {
namespace {

using json = fake_node::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const json two_nodes{
    {"nodes",
     {{{"node", std::string(64, 'a')},
       {"name", "one"},
       {"address", "10.0.0.1:7400"},
       {"roles", {"worker", "scheduler"}},
       {"health", "alive"},
       {"self", true},
       {"draining", false},
       {"rtt_ms", nullptr},
       {"sessions", 2},
       {"memory_bytes", 8589934592},
       {"memory_free", 4294967296},
       {"held", {{{"model", std::string(64, 'c')}, {"first_layer", 0}, {"last_layer", 3}}}}},
      {{"node", std::string(64, 'b')}, {"name", "tw\x1bo"}, {"health", "suspect"}}}}};

void answer(fake_node& self, const json& command) {
  const std::string name = command.at("command");
  if (name == "nodes") {
    self.done(command, two_nodes);
  } else if (name == "run") {
    self.token(command, 0, 7, "Once ");
    self.token(command, 1, 8, "\x1b[2Jupon");
    self.done(command, {{"request", command["args"]["request"]},
                        {"text", "Once \x1b[2Jupon"},
                        {"prompt_tokens", {1}},
                        {"tokens", {7, 8}},
                        {"finish_reason", "length"},
                        {"transcript", std::string(64, 'd')}});
  } else if (name == "job") {
    self.refuse(command, "not_found", "no request of this id");
  } else if (name == "drain") {
    self.refuse(command, "forbidden", "drain needs the role operate");
  } else {
    self.done(command, {{"version", "9.9"}, {"protocol", 1}});
  }
}

class cli_shell : public ::testing::Test {
protected:
  child_result shell(std::vector<std::string> arguments, std::string input = {}) {
    std::vector<std::string> all{"shell", "--connect", node_.address()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    child_options options;
    options.environment["OVIR_HOME"] = home_.path();
    options.input = std::move(input);
    return run_ovir(all, options);
  }

  fake_node node_{1, answer};
  temporary_folder home_;
};

TEST_F(cli_shell, shows_a_table) {
  const child_result child = shell({"-e", "nodes"});
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(child.out,
            "NODE        NAME     HEALTH   ROLES             ADDRESS        RTT ms  SESSIONS   "
            "MEMORY     FREE  HOLDS\n"
            "aaaaaaaa *  one      alive    worker,scheduler  10.0.0.1:7400       -         2  8.0 "
            "GiB  4.0 GiB  cccccccc 0-3\n"
            "bbbbbbbb    tw\\x1bo  suspect  -                 -                   -         -     "
            "   -        -  -\n");
}

TEST_F(cli_shell, prints_one_document_per_line_of_commands) {
  const child_result one = shell({"-e", "nodes", "--json"});
  EXPECT_EQ(json::parse(one.out), two_nodes);
  const child_result several = shell({"-e", "version; nodes", "-e", "version", "--json"});
  EXPECT_EQ(several.exit_code, 0);
  std::istringstream documents{several.out};
  json first;
  json second;
  documents >> first >> second;
  const json version{{"version", "9.9"}, {"protocol", 1}};
  EXPECT_EQ(first, json::array({version, two_nodes}));
  EXPECT_EQ(second, version);
  documents >> std::ws;
  EXPECT_TRUE(documents.eof());
}

TEST_F(cli_shell, runs_a_prompt_and_keeps_control_characters_off_the_terminal) {
  const child_result child = shell({"-e", "run 'Once upon' -n 2"});
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(child.out, "Once \xef\xbf\xbd[2Jupon\n");
  EXPECT_THAT(child.err, HasSubstr("transcript " + std::string(64, 'd')));
  const child_result document = shell({"-e", "run 'Once upon' -n 2", "--json"});
  const auto data = document_of(document);
  EXPECT_EQ(data["text"], "Once \x1b[2Jupon");
  EXPECT_EQ(data["tokens"], nlohmann::json({7, 8}));
}

TEST_F(cli_shell, reads_commands_from_standard_input) {
  const child_result child = shell({}, "version\n\nexit\nnodes\n");
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(child.out, "version   9.9\nprotocol  1\n");
}

TEST_F(cli_shell, ends_at_the_first_command_that_fails_with_its_exit_code) {
  const child_result missing = shell({"-e", "job 7; version"});
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.out, IsEmpty());
  EXPECT_THAT(missing.err, HasSubstr("ovir shell: no request of this id\n"));
  EXPECT_EQ(shell({"-e", "drain one"}).exit_code, 3);
  EXPECT_EQ(shell({"-e", "dance"}).exit_code, 2);
  EXPECT_EQ(shell({"-e", "job"}).exit_code, 2);
  EXPECT_EQ(shell({"-e", "run 'no end"}).exit_code, 2);
  EXPECT_EQ(shell({"-e", "top --follow", "--json"}).exit_code, 2);
}

TEST_F(cli_shell, a_failure_is_a_document_too) {
  const child_result child = shell({"-e", "drain one", "--json"});
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_EQ(document_of(child),
            nlohmann::json(
                {{"error", {{"code", "forbidden"}, {"message", "drain needs the role operate"}}}}));
}

TEST_F(cli_shell, says_what_is_wrong_with_its_options) {
  EXPECT_EQ(run_ovir({"shell", "-e", "nodes"}).exit_code, 2);
  EXPECT_EQ(run_ovir({"shell", "--connect", "nowhere", "-e", "nodes"}).exit_code, 2);
  EXPECT_EQ(shell({"--node", "ab", "-e", "nodes"}).exit_code, 2);
  EXPECT_EQ(shell({"--key", home_.path() / "none.key", "-e", "nodes"}).exit_code, 3);
}

TEST_F(cli_shell, nobody_there_is_unavailable) {
  std::string address;
  {
    const fake_node gone{2, answer};
    address = gone.address();
  }
  child_options options;
  options.environment["OVIR_HOME"] = home_.path();
  const child_result child =
      run_ovir({"shell", "--connect", address, "-e", "nodes", "--json"}, options);
  EXPECT_EQ(child.exit_code, 4);
  EXPECT_EQ(document_of(child)["error"]["code"], "peer_lost");
}

TEST_F(cli_shell, tells_a_new_user_its_key) {
  node_.close_door({errc::invalid_argument, "this key is not known here"});
  const child_result child = shell({"-e", "nodes"});
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("note: made the key "));
  EXPECT_THAT(child.err, HasSubstr("this key is not known here"));
}

TEST_F(cli_shell, helps) {
  const child_result child = shell({"-e", "help; help run"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_THAT(child.out, HasSubstr("  nodes      Members of the cluster\n"));
  EXPECT_THAT(child.out, HasSubstr("--max-tokens, -n"));
  EXPECT_EQ(shell({"-e", "help dance"}).exit_code, 3);
}

} // namespace
} // namespace ovir::test
