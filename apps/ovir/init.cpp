#include "apps/key_file.hpp"
#include "apps/ovir/node_address.hpp"
#include "apps/ovir/node_config.hpp"
#include "apps/ovir/package_commands.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits.hpp"
#include "messages/signing.hpp"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <span>

namespace ovir::apps {

namespace {

namespace fs = std::filesystem;

struct options {
  std::string folder; ///< empty: the state folder
  std::string config; ///< empty: node.toml in the folder
  std::string name;   ///< empty: the machine's
  std::string cluster{"local"};
  std::string model{embedded_model_path};
  std::string http{"127.0.0.1:7380"};
  std::string shells{"127.0.0.1:7310"};
  std::string listen; ///< empty: a node alone
  std::vector<std::string> join;
  std::string admin_key; ///< empty: admin.key in the folder
  bool as_json{false};
};

/// As long as a token may live: it is shown once to each node that does not know this one yet.
constexpr std::chrono::seconds leave = limits::token_lifetime_max;

std::string machine_name() {
  std::array<char, 256> text{};
  if (::gethostname(text.data(), text.size() - 1) != 0 || text[0] == '\0') {
    return "node";
  }
  return std::string{text.data()}.substr(0, limits::node_name_bytes_max);
}

/// A text of TOML, in quotes.
std::string toml_text(std::string_view text) {
  std::string out{'"'};
  for (const char c : text) {
    out += c == '"' || c == '\\' ? std::string{'\\'} + c : std::string{c};
  }
  return out + '"';
}

result<void> check_places(const options& given) {
  struct place {
    std::string_view option;
    const std::string& address;
    address_use use;
  };
  for (const place& p : {place{"--http", given.http, address_use::listen},
                         place{"--shells", given.shells, address_use::listen},
                         place{"--listen", given.listen, address_use::listen}}) {
    if (const auto good = check_address(p.address, p.use); !p.address.empty() && !good) {
      return in_context(std::string{p.option} + " " + p.address, good.error());
    }
  }
  for (const std::string& address : given.join) {
    if (const auto good = check_address(address, address_use::connect); !good) {
      return in_context("--join " + address, good.error());
    }
  }
  if (!given.join.empty() && given.listen.empty()) {
    return fail(errc::invalid_argument,
                "--join needs --listen HOST:PORT: members of a cluster reach one another");
  }
  if (!given.listen.empty() && is_wildcard(given.listen)) {
    return fail(errc::invalid_argument,
                "--listen {} is every address of the machine; name the one that others use",
                given.listen);
  }
  return {};
}

struct keys {
  kept_key node;
  kept_key admin;
};

result<std::string> joining_part(const options& given, const keys& made, surroundings& around) {
  std::string out = fmt::format("\n# Where other members reach this node.\nlisten = {}\n",
                                toml_text(given.listen));
  if (!given.join.empty()) {
    out += "# Members to join through.\nseeds = [";
    for (const std::string& seed : given.join) {
      out += (out.ends_with('[') ? "" : ", ") + toml_text(seed);
    }
    out += "]\n";
  }
  out += fmt::format("# Whoever holds the admin key lets nodes in.\nadmins = [\"{}\"]\n",
                     to_hex(made.admin.key.id()));
  std::array<std::byte, 16> nonce{};
  around.environment.random(nonce);
  const join_token token = issue_token(
      made.admin.key, made.node.key.id(), role_set{}.add(role::worker).add(role::scheduler),
      around.environment.unix_seconds() + static_cast<std::uint64_t>(leave.count()), nonce);
  out += fmt::format("# Its leave, for members that do not know it: those that come by a token of "
                     "theirs.\njoin_token = \"{}\"\n",
                     to_text(token));
  return out;
}

result<std::string> config_text(const options& given, const std::string& state, const keys& made,
                                surroundings& around) {
  std::string out = fmt::format(
      "# Made by `ovir init`. Every key there is, with unit, default and bound: all.toml "
      "among the\n# examples. `ovir node --check -c FILE` looks at a file without "
      "starting anything.\nname = {}\ncluster = {}\n"
      "roles = [\"worker\", \"scheduler\"]\n# The node's key, its requests and what it "
      "keeps for reuse.\nstate = {}\n# Where `ovir shell` connects.\nadmin_listen = {}\n",
      toml_text(given.name), toml_text(given.cluster), toml_text(state), toml_text(given.shells));
  if (!given.listen.empty()) {
    OVIR_ASSIGN(const std::string joining, joining_part(given, made, around));
    out += joining;
  }
  out += fmt::format("\n# Who may look and operate: the key that `ovir shell --key` names.\n"
                     "[[access]]\nkey = \"{}\"\nroles = [\"reader\", \"operator\"]\n",
                     to_hex(made.admin.key.id()));
  out += fmt::format("\n# \"embedded\" is the small model inside the program; else a GGUF file.\n"
                     "[[model]]\npath = {}\n",
                     toml_text(given.model));
  if (!given.http.empty()) {
    out += fmt::format("\n# OpenAI's clients, and the console in a browser. An address that other "
                       "machines reach needs\n# `keys`, made by `ovir key create`.\n"
                       "[gateway]\nlisten = {}\n",
                       toml_text(given.http));
  }
  return out;
}

result<std::string> absolute(const std::string& path) {
  std::error_code wrong;
  const fs::path whole = fs::absolute(path, wrong);
  if (wrong) {
    return fail(errc::io_failed, "{}: {}", path, wrong.message());
  }
  return whole.lexically_normal().string();
}

result<void> complete(options& how) {
  if (how.folder.empty()) {
    OVIR_ASSIGN(how.folder, state_folder());
  }
  OVIR_ASSIGN(how.folder, absolute(how.folder));
  if (how.config.empty()) {
    how.config = (fs::path{how.folder} / "node.toml").string();
  }
  OVIR_ASSIGN(how.config, absolute(how.config));
  if (how.name.empty()) {
    how.name = machine_name();
  }
  if (how.admin_key.empty()) {
    how.admin_key = (fs::path{how.folder} / "admin.key").string();
  }
  if (how.model != embedded_model_path) {
    OVIR_ASSIGN(how.model, absolute(how.model));
  }
  return check_places(how);
}

result<exit_code> init(const options& given, surroundings& around) {
  options how = given;
  OVIR_TRY(complete(how));
  OVIR_TRY(around.environment.make_folder(how.folder));
  OVIR_ASSIGN(kept_key node, keep_key(around.environment, key_path_in(how.folder)));
  OVIR_ASSIGN(kept_key admin, keep_key(around.environment, how.admin_key));
  const keys made{std::move(node), std::move(admin)};
  // A configuration beside its state may be moved and restored together with it.
  const bool beside = fs::path{how.config}.parent_path() == fs::path{how.folder};
  OVIR_ASSIGN(const std::string text,
              config_text(how, beside ? std::string{"."} : how.folder, made, around));
  // Whatever was given, what is written must be what a node starts with.
  OVIR_TRY(parse_node_config(how.config, text));
  OVIR_ASSIGN(const bool fresh,
              around.environment.make_secret_file(how.config, std::as_bytes(std::span{text})));
  if (how.as_json) {
    OVIR_TRY(write_document(json{{"config", how.config},
                                 {"made", fresh},
                                 {"state", how.folder},
                                 {"node", to_hex(made.node.key.id())},
                                 {"admin_key", how.admin_key},
                                 {"http", how.http},
                                 {"shells", how.shells}}));
    return exit_code::done;
  }
  if (!fresh) {
    write_note(fmt::format("{} is there already; it was left as it is\n", how.config));
  } else {
    write_note(fmt::format(
        "start it:    ovir node -c {0}\n"
        "look at it:  ovir shell --key {1} --connect {2}\n{3}",
        how.config, how.admin_key, how.shells,
        how.http.empty() ? std::string{} : fmt::format("ask it:      http://{}/v1\n", how.http)));
  }
  OVIR_TRY(write_output(how.config + "\n"));
  return exit_code::done;
}

} // namespace

void add_init(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("init", "Write a configuration that works, and keys");
  const auto given = std::make_shared<options>();
  command->footer(
      "Asks nothing. Without options: a node alone that computes the model inside the program and\n"
      "answers OpenAI's clients on this machine. What is there already is kept.\n"
      "Nodes of one cluster are made with the same --admin-key: copy that file to each machine, "
      "or\n"
      "make their configurations where it is.\n"
      "\nExamples:\n"
      "  ovir init\n"
      "  ovir init -m model.gguf --http 127.0.0.1:8080\n"
      "  ovir init --listen a.example:7300\n"
      "  ovir init --listen b.example:7300 --join a.example:7300 --admin-key admin.key");
  command->add_option("--folder", given->folder,
                      "Folder for keys and state (default: $OVIR_HOME, else "
                      "$XDG_STATE_HOME/ovir, else ~/.local/state/ovir)");
  command->add_option("-c,--config", given->config,
                      "The file to write (default: node.toml in the folder)");
  command->add_option("--name", given->name, "What people call the node (default: the machine's)");
  command->add_option("--cluster", given->cluster, "The cluster it belongs to")
      ->capture_default_str();
  command->add_option("-m,--model", given->model, "GGUF file, or embedded")->capture_default_str();
  command->add_option("--http", given->http, "HOST:PORT for OpenAI's clients; empty: none")
      ->capture_default_str();
  command->add_option("--shells", given->shells, "HOST:PORT for ovir shell")->capture_default_str();
  command->add_option("--listen", given->listen,
                      "HOST:PORT where other members reach it (default: it is alone)");
  command->add_option("--join", given->join, "HOST:PORT of members to join through, with commas")
      ->delimiter(',');
  command->add_option("--admin-key", given->admin_key,
                      "Secret key that lets nodes in and operates them, made when there is none "
                      "(default: admin.key in the folder)");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return init(*given, around); };
  });
}

} // namespace ovir::apps
