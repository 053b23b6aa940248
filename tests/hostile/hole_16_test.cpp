// What a thief finds on a machine that runs a node: its own key, and nothing that lets other nodes
// in or operates them. And what the memory of a process gives away.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>
#include <memory>
#include <regex>

namespace ovir::test {
namespace {

namespace fs = std::filesystem;
using plain_json = nlohmann::json;
using testing::HasSubstr;

/// An operator with a folder of their own, beside the folders of nodes.
struct machine_room {
  temporary_folder nodes;
  temporary_folder own;

  [[nodiscard]] child_options as_operator() const {
    child_options options;
    options.environment["OVIR_OPERATOR"] = own.path().string();
    return options;
  }
  [[nodiscard]] std::string at(const std::string& name) const {
    return (nodes.path() / name).string();
  }
};

std::string base64(const std::string& bytes, int variant) {
  std::string text(sodium_base64_ENCODED_LEN(bytes.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), variant);
  text.pop_back();
  return text;
}

/// The seed of a key file ("ovir-key-v1 " and 64 digits), and each text that would be as good.
std::vector<std::string> forms_of(const std::string& key_file) {
  const std::string digits = key_file.substr(12, 64);
  std::string raw;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    raw += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  EXPECT_EQ(raw.size(), 32U) << key_file;
  std::string capitals = digits;
  std::transform(capitals.begin(), capitals.end(), capitals.begin(), ::toupper);
  std::vector<std::string> forms{raw, digits, capitals};
  for (const int variant :
       {sodium_base64_VARIANT_ORIGINAL_NO_PADDING, sodium_base64_VARIANT_URLSAFE_NO_PADDING}) {
    for (std::size_t before = 0; before < 3; ++before) { // whatever comes in front of it
      const std::string text = base64(std::string(before, '\0') + raw, variant);
      forms.push_back(text.substr(before == 0 ? 0 : 4, 38));
    }
  }
  return forms;
}

/// Files below `folder` that hold the secret in any form.
std::vector<std::string> files_with(const std::vector<std::string>& forms, const fs::path& folder) {
  std::vector<std::string> found;
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator{folder}) {
    if (!entry.is_regular_file()) {
      continue;
    }
    ++files;
    const std::string text = read_file(entry.path());
    if (std::any_of(forms.begin(), forms.end(),
                    [&](const std::string& f) { return text.find(f) != std::string::npos; })) {
      found.push_back(entry.path().string());
    }
  }
  EXPECT_GE(files, 2U) << folder << " has no key and no configuration";
  return found;
}

/// What `init` says of nodes: other ports, the same in every file, so that nothing is in the way.
void use_free_ports(const std::vector<std::string>& configs) {
  static const std::regex place{R"(127\.0\.0\.1:(\d+))"};
  std::map<std::string, std::uint16_t> ports;
  for (const std::string& config : configs) {
    const std::string text = read_file(config);
    std::string out;
    auto rest = text.cbegin();
    for (std::sregex_iterator at{text.begin(), text.end(), place}, end; at != end; ++at) {
      const auto [port, fresh] = ports.try_emplace((*at)[1].str(), std::uint16_t{0});
      port->second = fresh ? free_port() : port->second;
      out.append(rest, (*at)[0].first);
      out += fmt::format("127.0.0.1:{}", port->second);
      rest = (*at)[0].second;
    }
    out.append(rest, text.cend());
    std::ofstream{config, std::ios::trunc} << out;
  }
}

std::uint16_t gateway_port_of(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoul(address.substr(address.find(':') + 1)));
}

std::size_t alive(const std::string& shells, const child_options& options) {
  const child_result seen =
      run_ovir({"shell", "--connect", shells, "-e", "nodes", "--json"}, options);
  const plain_json document = plain_json::parse(seen.out, nullptr, false);
  if (!document.is_object() || !document.contains("nodes")) {
    return 0;
  }
  const auto& nodes = document["nodes"];
  return static_cast<std::size_t>(
      std::count_if(nodes.begin(), nodes.end(),
                    [](const plain_json& node) { return node["health"] == "alive"; }));
}

TEST(hole_16, no_node_has_the_operators_key_and_the_operator_works) {
  const machine_room room;
  const child_options mine = room.as_operator();
  const plain_json alone = ovir_json({"init", "--folder", room.at("alone")}, mine);
  const plain_json nodes =
      ovir_json({"init", "--nodes", "3", "--folder", room.at("many")}, mine)["nodes"];
  ASSERT_EQ(nodes.size(), 3U);
  for (const plain_json& node : {alone, nodes[0], nodes[2]}) {
    const auto forms = forms_of(read_file(node["admin_key"].get<std::string>()));
    EXPECT_THAT(files_with(forms, room.nodes.path()), testing::IsEmpty());
    EXPECT_EQ(fs::status(node["admin_key"].get<std::string>()).permissions(),
              fs::perms::owner_read | fs::perms::owner_write);
  }
  std::vector<std::string> configs;
  for (const plain_json& node : nodes) {
    configs.push_back(node["config"]);
  }
  use_free_ports(configs);
  std::vector<std::unique_ptr<child_process>> running;
  std::string shells;
  std::uint16_t http = 0;
  for (const std::string& config : configs) {
    const plain_json how = ovir_json({"node", "--check", "-c", config});
    shells = how["admin_listen"];
    http = gateway_port_of(how["gateway"]["listen"]);
    running.push_back(std::make_unique<child_process>(
        std::vector<std::string>{ovir_program(), "node", "-c", config}));
  }
  wait_until_ready(http);
  while (alive(shells, mine) < 3) {
    for (const auto& node : running) {
      ASSERT_TRUE(node->running()) << node->wait().err;
    }
  }
  const http_answer answer =
      http_ask(http, "POST", "/v1/completions",
               R"({"model": "embedded", "prompt": "Once", "max_tokens": 4})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  for (const auto& node : running) {
    node->send_signal(SIGTERM);
    EXPECT_EQ(node->wait().exit_code, 0);
  }
  // Nor did the nodes write it down meanwhile.
  const auto forms = forms_of(read_file(nodes[0]["admin_key"].get<std::string>()));
  EXPECT_THAT(files_with(forms, room.nodes.path()), testing::IsEmpty());
}

TEST(hole_16, a_machine_joins_by_a_token_and_never_sees_the_key) {
  const machine_room room;
  const child_options mine = room.as_operator();
  const plain_json first =
      ovir_json({"init", "--folder", room.at("a"), "--listen", "a.example:7300"}, mine);
  const std::string key = ovir_json({"keygen", "-o", room.at("b/node.key")})["public_key"];
  const plain_json leave = ovir_json({"token", "--node", key, "--role", "worker,scheduler"}, mine);
  std::vector<std::string> join{"init",     "--folder", room.at("b"),
                                "--listen", "b:7300",   "--join",
                                "a:7300",   "--token",  leave["token"].get<std::string>()};
  const plain_json second = ovir_json(join); // with nothing of the operator's
  EXPECT_EQ(second["admin_key"], nullptr);
  EXPECT_EQ(second["admin"], first["admin"]);
  EXPECT_EQ(second["node"], key);
  EXPECT_THAT(read_file(second["config"].get<std::string>()),
              HasSubstr(leave["token"].get<std::string>()));
  EXPECT_EQ(run_ovir({"node", "--check", "-c", second["config"]}).exit_code, 0);
  EXPECT_THAT(
      files_with(forms_of(read_file(first["admin_key"].get<std::string>())), room.nodes.path()),
      testing::IsEmpty());
  join[2] = room.at("c"); // whose key is another
  const child_result other = run_ovir(join);
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("--token is for node"));
  EXPECT_FALSE(fs::exists(room.nodes.path() / "c" / "node.toml"));
}

TEST(hole_16, a_node_that_is_given_the_operators_key_refuses_to_start) {
  const machine_room room;
  const plain_json made = ovir_json(
      {"init", "--folder", room.at("a"), "--listen", "a.example:7300"}, room.as_operator());
  const std::vector<std::string> check{"node", "--check", "-c", made["config"]};
  const std::vector<std::string> start{"node", "-c", made["config"]};
  EXPECT_EQ(run_ovir(check).exit_code, 0);
  for (const auto mode : {fs::perms::owner_read, fs::perms::owner_read | fs::perms::others_read}) {
    const fs::path planted = fs::path{room.at("a")} / "backup of an old friend";
    fs::copy_file(made["admin_key"].get<std::string>(), planted);
    fs::permissions(planted, mode);
    for (const auto& command : {check, start}) {
      const child_result seen = run_ovir(command);
      EXPECT_EQ(seen.exit_code, 2) << seen.out;
      EXPECT_THAT(seen.err, HasSubstr(planted.string() + ": is the secret key of"));
      EXPECT_TRUE(is_one_line(seen.err)) << seen.err;
    }
    fs::remove(planted);
  }
  EXPECT_EQ(run_ovir(check).exit_code, 0);
}

TEST(hole_16, a_process_with_keys_shows_its_memory_to_nobody) {
  const machine_room room;
  const plain_json made = ovir_json({"init", "--folder", room.at("a")}, room.as_operator());
  use_free_ports({made["config"]});
  const plain_json how = ovir_json({"node", "--check", "-c", made["config"]});
  child_options options;
  options.environment["OVIR_ALLOW_DEBUG"] = "";
  std::string program = ovir_program();
  uid_t user = ::geteuid();
  if (user == 0) { // of root's processes nothing shows who may look into them
    user = 65'534;
    options.user = user;
    program = room.at("ovir");
    fs::copy_file(ovir_program(), program);
    ASSERT_EQ(run_child({"/usr/bin/env", "chown", "-R", fmt::format("{0}:{0}", user),
                         room.nodes.path().string()})
                  .exit_code,
              0);
  }
  const child_process node{{program, "node", "-c", made["config"]}, options};
  wait_until_ready(gateway_port_of(how["gateway"]["listen"]));
  const fs::path seen = fs::path{"/proc"} / std::to_string(node.id());
  EXPECT_TRUE(
      std::regex_search(read_file(seen / "limits"), std::regex{R"(Max core file size\s+0\s+0\s)"}));
  struct stat memory {};
  ASSERT_EQ(::stat((seen / "mem").c_str(), &memory), 0);
  EXPECT_EQ(memory.st_uid, 0U) << "user " << user << " may read the memory of its processes";
}

} // namespace
} // namespace ovir::test
