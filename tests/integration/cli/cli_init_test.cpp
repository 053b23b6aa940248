// `ovir init`: what it writes starts, it asks nothing and takes nothing away. And what a node tells
// a service manager.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <map>
#include <set>
#include <sstream>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using plain_json = nlohmann::json;
using testing::HasSubstr;

std::string local(std::uint16_t port) { return fmt::format("127.0.0.1:{}", port); }

TEST(cli_init, writes_a_configuration_that_a_node_understands) {
  const temporary_folder folder;
  const plain_json made = ovir_json({"init", "--folder", (folder.path() / "n").string()});
  EXPECT_EQ(made["made"], true);
  const plain_json how = ovir_json({"node", "--check", "-c", made["config"]});
  EXPECT_EQ(how["roles"], plain_json::array({"worker", "scheduler"}));
  EXPECT_EQ(how["gateway"]["listen"], local(7380));
  EXPECT_TRUE(fs::exists(folder.path() / "n" / "node.key"));
  EXPECT_FALSE(fs::exists(folder.path() / "n" / "admin.key"));
}

TEST(cli_init, keeps_what_is_there) {
  const temporary_folder folder;
  const std::string state = (folder.path() / "n").string();
  const plain_json first = ovir_json({"init", "--folder", state});
  write_file(first["config"].get<std::string>(),
             read_file(first["config"].get<std::string>()) + "# mine\n");
  const std::string text = read_file(first["config"].get<std::string>());
  const plain_json again = ovir_json({"init", "--folder", state, "--name", "another"});
  EXPECT_EQ(again["made"], false);
  EXPECT_EQ(again["node"], first["node"]);
  EXPECT_EQ(read_file(first["config"].get<std::string>()), text);
}

TEST(cli_init, refuses_what_no_node_would_start_with) {
  const temporary_folder folder;
  const std::string state = (folder.path() / "n").string();
  for (const auto& [arguments, why] : std::map<std::vector<std::string>, std::string>{
           {{"--http", fmt::format("0.0.0.0:{}", 7380)}, "keys"},
           {{"--join", "a.example:7300"}, "--listen"},
           {{"--listen", fmt::format("0.0.0.0:{}", 7300)}, "name the one"},
           {{"--http", "nonsense"}, "--http"},
           {{"--admin-key", state + "/sub/k"}, "name another place"},
           {{"--admin", "abc"}, "64 hexadecimal digits"},
           {{"--admin", "none", "--listen", "a.example:7300"}, "--token"},
           {{"--admin", "none", "--token", "ovir-join-"}, "excludes"},
           {{"--token", "ovir-join-"}, "--listen"},
           {{"--token", "ovir-join-", "--listen", "a.example:7300"}, "221 characters"},
           {{"--name", ""}, ""}}) {
    std::vector<std::string> all{"init", "--folder", state};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const child_result seen = run_ovir(all);
    if (why.empty()) { // the machine's name is taken
      EXPECT_EQ(seen.exit_code, 0) << seen.err;
      fs::remove(folder.path() / "n" / "node.toml");
      continue;
    }
    EXPECT_NE(seen.exit_code, 0) << arguments[0];
    EXPECT_THAT(seen.err, HasSubstr(why));
    EXPECT_TRUE(is_one_line(seen.err)) << seen.err;
    EXPECT_FALSE(fs::exists(folder.path() / "n" / "node.toml"));
  }
}

/// Every layer that the nodes' configurations name, by node.
std::vector<std::set<int>> layers_of(const plain_json& nodes) {
  std::vector<std::set<int>> held;
  for (const plain_json& node : nodes) {
    held.emplace_back();
    const plain_json how = ovir_json({"node", "--check", "-c", node["config"]});
    for (const plain_json& part : how["models"]) {
      for (int layer = part["layers"]["first"]; layer <= part["layers"]["last"]; ++layer) {
        EXPECT_TRUE(held.back().insert(layer).second) << layer << " is held twice";
      }
    }
  }
  return held;
}

TEST(cli_init, makes_a_cluster_of_one_machine_that_can_do_without_any_node) {
  const temporary_folder folder;
  const temporary_folder mine;
  child_options options;
  options.environment["OVIR_OPERATOR"] = mine.path().string();
  const plain_json nodes =
      ovir_json({"init", "--nodes", "3", "--folder", folder.path().string()}, options)["nodes"];
  ASSERT_EQ(nodes.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(nodes[i]["http"], local(static_cast<std::uint16_t>(7381 + i)));
    EXPECT_EQ(nodes[i]["shells"], local(static_cast<std::uint16_t>(7311 + i)));
    EXPECT_EQ(nodes[i]["admin_key"], (mine.path() / "admin.key").string());
    EXPECT_EQ(nodes[i]["config"],
              (folder.path() / fmt::format("n{}", i + 1) / "node.toml").string());
    EXPECT_NE(nodes[i]["node"], nodes[(i + 1) % 3]["node"]);
  }
  const auto held = layers_of(nodes);
  std::set<int> all;
  for (const auto& part : held) {
    all.insert(part.begin(), part.end());
  }
  EXPECT_EQ(static_cast<std::size_t>(*all.rbegin()) + 1, all.size());
  for (std::size_t lost = 0; lost < held.size(); ++lost) {
    EXPECT_LT(held[lost].size(), all.size()) << "nobody should hold the whole model";
    std::set<int> rest = held[(lost + 1) % 3];
    rest.insert(held[(lost + 2) % 3].begin(), held[(lost + 2) % 3].end());
    EXPECT_EQ(rest, all) << "without node " << lost;
  }
}

TEST(cli_init, refuses_a_cluster_that_cannot_be) {
  const temporary_folder folder;
  const std::string there = (folder.path() / "n").string();
  for (const auto& [arguments, why] : std::map<std::vector<std::string>, std::string>{
           {{"--nodes", "3", "--join", "a.example:7300"}, "--join"},
           {{"--nodes", "3", "--http", local(65535)}, "65536"},
           {{"--nodes", "3", "--listen", local(0)}, "--listen"},
           {{"--nodes", "3", "-m", "nowhere.gguf"}, "nowhere.gguf"},
           {{"--nodes", "65"}, "64"}}) {
    std::vector<std::string> all{"init", "--folder", there};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const child_result seen = run_ovir(all);
    EXPECT_NE(seen.exit_code, 0) << arguments[2];
    EXPECT_THAT(seen.err, HasSubstr(why));
    EXPECT_TRUE(is_one_line(seen.err)) << seen.err;
  }
}

/// Where the nodes listen, as their configurations say, each place once per mention.
std::multiset<std::string> places_of(const plain_json& nodes) {
  std::multiset<std::string> places;
  for (const plain_json& node : nodes) {
    std::istringstream text{read_file(node["config"].get<std::string>())};
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with("listen = ") || line.starts_with("admin_listen = ")) {
        places.insert(line.substr(line.find('"')));
      }
    }
  }
  return places;
}

TEST(cli_init, gives_no_port_twice_however_many_nodes_there_are) {
  for (const std::size_t count : {11U, 20U, 64U}) {
    const temporary_folder folder;
    const plain_json nodes = ovir_json(
        {"init", "--nodes", std::to_string(count), "--folder", folder.path().string()})["nodes"];
    const auto places = places_of(nodes);
    EXPECT_EQ(places.size(), 3 * count);
    EXPECT_EQ(std::set<std::string>(places.begin(), places.end()).size(), 3 * count) << count;
    for (const std::uint16_t alone : std::array<std::uint16_t, 3>{7300, 7310, 7380}) {
      EXPECT_FALSE(places.contains(fmt::format("\"{}\"", local(alone)))) << alone;
    }
  }
}

TEST(cli_init, refuses_ports_that_would_be_given_twice_and_makes_way_for_those_asked_for) {
  const temporary_folder folder;
  const std::string there = folder.path().string();
  const child_result seen = run_ovir({"init", "--nodes", "3", "--folder", there, "--listen",
                                      local(7500), "--shells", local(7502)});
  EXPECT_NE(seen.exit_code, 0);
  EXPECT_THAT(seen.err, HasSubstr(local(7502)));
  EXPECT_TRUE(is_one_line(seen.err)) << seen.err;
  const plain_json nodes =
      ovir_json({"init", "--nodes", "3", "--folder", there, "--http", local(7301)})["nodes"];
  const auto places = places_of(nodes);
  EXPECT_EQ(std::set<std::string>(places.begin(), places.end()).size(), 9U);
  EXPECT_EQ(nodes[0]["http"], local(7301));
}

TEST(cli_init, makes_nodes_that_say_on_the_console_where_they_cannot_listen) {
  const temporary_folder folder;
  const std::uint16_t port = free_port();
  const plain_json nodes =
      ovir_json({"init", "--nodes", "1", "--folder", folder.path().string(), "--http", "",
                 "--listen", local(port), "--shells", local(free_port())})["nodes"];
  const int held = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  ASSERT_EQ(::bind(held, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(held, 1), 0);
  const child_result seen = run_ovir({"node", "-c", nodes[0]["config"]});
  ::close(held);
  EXPECT_NE(seen.exit_code, 0);
  EXPECT_THAT(seen.err, HasSubstr("cannot listen on " + local(port)));
  EXPECT_THAT(seen.err, HasSubstr("n1"));
  EXPECT_TRUE(is_one_line(seen.err)) << seen.err;
  EXPECT_THAT(read_file(folder.path() / "n1" / "node.log"), HasSubstr("cannot listen on"));
}

/// What systemd would be: a socket that a service tells how it is.
class service_socket {
public:
  explicit service_socket(const fs::path& path)
      : path_(path), socket_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  }
  ~service_socket() { ::close(socket_); }
  service_socket(const service_socket&) = delete;
  service_socket& operator=(const service_socket&) = delete;

  [[nodiscard]] std::string path() const { return path_.string(); }
  /// The next message that begins so; empty when none comes for a long time.
  [[nodiscard]] std::string next(std::string_view begins) const {
    pollfd waits{socket_, POLLIN, 0};
    while (::poll(&waits, 1, 60'000) == 1) {
      std::array<char, 1024> text{};
      const ssize_t size = ::recv(socket_, text.data(), text.size(), 0);
      const std::string_view seen{text.data(),
                                  static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
      if (seen.starts_with(begins)) {
        return std::string{seen};
      }
    }
    return {};
  }

private:
  fs::path path_;
  int socket_;
};

TEST(service, says_when_it_is_ready_that_it_lives_and_when_it_ends) {
  const temporary_folder folder;
  const service_socket manager{folder.path() / "notify"};
  const std::uint16_t port = free_port();
  const plain_json made = ovir_json({"init", "--folder", (folder.path() / "n").string(), "--http",
                                     local(port), "--shells", local(free_port())});
  child_options options;
  options.environment["NOTIFY_SOCKET"] = manager.path();
  options.environment["WATCHDOG_USEC"] = "400000";
  child_process node{{ovir_program(), "node", "-c", made["config"]}, options};
  EXPECT_THAT(manager.next("READY=1"), HasSubstr("STATUS=node"));
  EXPECT_EQ(http_ask(port, "GET", "/health").status, 200);
  EXPECT_EQ(manager.next("WATCHDOG=1"), "WATCHDOG=1");
  EXPECT_EQ(manager.next("WATCHDOG=1"), "WATCHDOG=1");
  node.send_signal(SIGTERM);
  EXPECT_THAT(manager.next("STOPPING=1"), HasSubstr("drains"));
  EXPECT_EQ(node.wait().exit_code, 0);
}

TEST(manual, has_a_page_for_every_command_and_none_for_others) {
  const temporary_folder folder;
  const std::string pages = (folder.path() / "man1").string();
  ASSERT_EQ(run_ovir({"manual", "--folder", pages}).exit_code, 0);
  ASSERT_EQ(run_ovir_verify({"--manual", pages}).exit_code, 0);
  for (const char* const page : {"ovir", "ovir-run", "ovir-model-inspect", "ovir-token-show",
                                 "ovir-verify", "ovir-verify-prepare"}) {
    const std::string text = read_file(fs::path{pages} / (std::string{page} + ".1"));
    EXPECT_THAT(text, HasSubstr(".SH NAME")) << page;
    EXPECT_THAT(text, HasSubstr(".SH OPTIONS")) << page;
  }
  EXPECT_THAT(read_file(fs::path{pages} / "ovir-run.1"), HasSubstr("\\-\\-stages"));
}

/// What a shell, with the script of its completion, says of a line.
std::string completed(const std::string& shell, const std::string& script,
                      const std::string& question) {
  const child_result seen = run_child({"/usr/bin/env", shell, "-c", script + "\n" + question});
  EXPECT_EQ(seen.exit_code, 0) << shell << ": " << seen.err;
  return seen.out;
}

TEST(manual, completes_commands_and_options_in_bash) {
  const std::string script = run_ovir({"manual", "--completion"}).out;
  const auto say = [&](const std::string& words, int at) {
    return completed(
        "bash", script,
        fmt::format("COMP_WORDS=({}); COMP_CWORD={}; _ovir; echo ${{COMPREPLY[*]}}", words, at));
  };
  EXPECT_EQ(say("ovir model ins", 2), "inspect\n");
  EXPECT_EQ(say("ovir run --stag", 2), "--stages\n");
  EXPECT_EQ(run_ovir({"manual", "--completion=bash"}).out, script);
}

TEST(manual, completes_commands_and_options_in_zsh) {
  const std::string script = run_ovir({"manual", "--completion=zsh"}).out;
  // _describe shows the elements of the array that its last argument names.
  const std::string shown = "_describe() { print -rl -- ${(P)@[-1]} }\n_files() { print files }\n"
                            "compdef() { }\n";
  const auto say = [&](const std::string& words, int at) {
    return completed("zsh", shown + script,
                     fmt::format("words=({}); CURRENT={}; _ovir", words, at));
  };
  EXPECT_THAT(say("ovir model ins", 3), HasSubstr("inspect:"));
  EXPECT_THAT(say("ovir run --stag", 3), HasSubstr("--stages:"));
  EXPECT_EQ(say("ovir model inspect mod", 4), "files\n");
}

TEST(manual, completes_commands_and_options_in_fish) {
  const std::string script = run_ovir({"manual", "--completion=fish"}).out;
  const auto say = [&](const std::string& line) {
    return completed("fish", script, "complete -C '" + line + "'");
  };
  EXPECT_THAT(say("ovir model ins"), testing::StartsWith("inspect\t"));
  EXPECT_THAT(say("ovir run --stag"), testing::StartsWith("--stages\t"));
  EXPECT_THAT(say("ovir model inspect --he"), testing::StartsWith("--help\t"));
}

TEST(manual, says_which_shells_it_completes_for) {
  const child_result seen = run_ovir({"manual", "--completion=cmd"});
  EXPECT_EQ(seen.exit_code, 2);
  EXPECT_THAT(seen.err, HasSubstr("bash, zsh and fish"));
  const child_result verify = run_ovir_verify({"--completion", "zsh"});
  EXPECT_EQ(verify.exit_code, 0);
  EXPECT_THAT(verify.out, HasSubstr("#compdef ovir-verify"));
  EXPECT_THAT(verify.out, HasSubstr("'ovir-verify prepare')"));
}

} // namespace
} // namespace ovir::test
