#include "apps/key_file.hpp"
#include "apps/ovir/base/embedded_model.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/base/package_commands.hpp"
#include "apps/ovir/ledger/ledger_joint.hpp"
#include "apps/ovir/node/free_port.hpp"
#include "apps/ovir/node/ledger_part.hpp"
#include "apps/ovir/node/local_places.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "apps/ovir/node/toml_text.hpp"
#include "apps/state_folder.hpp"
#include "compute/model/model_config.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/ledger.hpp"
#include "messages/signing.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>
#include <vector>

namespace ovir::apps {

namespace {

namespace fs = std::filesystem;

struct init_options {
  std::string folder; ///< empty: the state folder
  std::string config; ///< empty: node.toml in the folder
  std::string name;   ///< empty: the machine's
  std::string cluster{"local"};
  std::string model{embedded_model_path};
  std::string http{"127.0.0.1:7380"};
  std::string shells{"127.0.0.1:7310"};
  std::string listen; ///< empty: a node alone
  std::vector<std::string> join;
  std::vector<node_id>
      keepers{};     ///< of the cluster's ledger; none: this node, unless it joins others
  bool keeps{false}; ///< the ledger, together with the others of `keepers`
  std::uint32_t keeper_count{1}; ///< of several nodes: the first ones
  std::string admin_key;  ///< secret, of who operates the node; empty: the operator's folder's
  std::string admin;      ///< instead of a secret: the public key, or "none"
  std::string token;      ///< instead of a secret: leave that it signed elsewhere
  std::uint32_t nodes{0}; ///< of one cluster on this machine; 0: the one that is described
  std::vector<std::string> layers{}; ///< ranges to hold; none: as many as fit
  bool logs_to_file{false};
  bool no_http{false}; ///< of several nodes: --http was given, and empty
  bool as_json{false};
};

/// As long as a token may live: it is shown once to each node that does not know this one yet.
constexpr std::chrono::seconds leave = limits::token_lifetime_max;

result<void> check_places(const init_options& given) {
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

/// Who lets the node in and operates it. The secret key stays with them: a node is told the public
/// one, and gets leave that the secret one signed.
struct node_operator {
  node_id id;        ///< empty: nobody
  std::string leave; ///< a join token's text; empty for a node alone
  role_set roles;    ///< that the token lets the node have
  bool made{false};  ///< the secret key, by this call
};

constexpr std::string_view no_operator = "none";

/// What a node is that this command writes a configuration for ...
role_set roles_of_node() { return role_set{}.add(role::worker).add(role::scheduler); }
/// ... and a member of a cluster, as far as its token lets it: who computes audits others, too.
role_set roles_of_member() { return roles_of_node().add(role::verifier); }
/// Where no other is named, the first member of a cluster keeps the ledger.
bool keeps_ledger(const init_options& given) {
  return given.keeps || (!given.listen.empty() && given.join.empty() && given.keepers.empty() &&
                         given.token.empty());
}

result<node_operator> operator_of_token(const std::string& text, const node_id& node,
                                        surroundings& around) {
  OVIR_ASSIGN(const join_token token, token_from_text(text));
  if (token.node != node) {
    return fail(errc::invalid_argument,
                "--token is for node {}, and this one is {}; ask for one with `ovir token --node "
                "{}`",
                short_name(token.node), short_name(node), to_hex(node));
  }
  if (!roles_of_node().within(token.roles)) {
    return fail(errc::invalid_argument,
                "--token is for the roles {}; ask for one with --role worker,scheduler,verifier",
                to_string(token.roles));
  }
  OVIR_TRY(check(token, token.admin, around.environment.unix_seconds()));
  return node_operator{token.admin, text, token.roles, false};
}

result<node_operator> operator_of(const init_options& how, const node_id& node,
                                  surroundings& around) {
  if (!how.token.empty()) {
    return operator_of_token(how.token, node, around);
  }
  if (how.admin == no_operator) {
    return node_operator{};
  }
  if (!how.admin.empty()) {
    const auto id = node_id_from_hex(how.admin);
    if (!id || id->empty()) {
      return fail(errc::invalid_argument,
                  "--admin {}: give the public key that ovir keygen "
                  "printed, 64 hexadecimal digits, or none",
                  how.admin);
    }
    return node_operator{*id, {}, {}, false};
  }
  OVIR_ASSIGN(const kept_key admin, keep_key(around.environment, how.admin_key));
  node_operator found{admin.key.id(), {}, {}, admin.made};
  if (!how.listen.empty()) {
    std::array<std::byte, 16> nonce{};
    around.environment.random(nonce);
    const auto end = around.environment.unix_seconds() + static_cast<std::uint64_t>(leave.count());
    found.roles = roles_of_member();
    if (keeps_ledger(how)) {
      found.roles.add(role::ledger);
    }
    found.leave = to_text(issue_token(admin.key, node, found.roles, end, nonce));
  }
  return found;
}

std::string joining_part(const init_options& given, const node_operator& who) {
  std::string out = fmt::format("\n# Where other members reach this node.\nlisten = {}\n",
                                toml_text(given.listen));
  if (!given.join.empty()) {
    out += "# Members to join through.\nseeds = [";
    for (const std::string& seed : given.join) {
      out += (out.ends_with('[') ? "" : ", ") + toml_text(seed);
    }
    out += "]\n";
  }
  out += fmt::format("# Who lets nodes in: the public key of who operates the cluster. The secret "
                     "one\n# belongs on no machine that runs a node.\nadmins = [\"{}\"]\n",
                     to_hex(who.id));
  out += fmt::format("# Its leave, for members that do not know it: those that come by a token of "
                     "theirs.\njoin_token = \"{}\"\n",
                     who.leave);
  return out;
}

std::string roles_text(role_set roles) {
  std::string out;
  for (const role one : {role::worker, role::scheduler, role::verifier, role::ledger}) {
    out += roles.has(one) ? (out.empty() ? "" : ", ") + toml_text(to_string(role_set{}.add(one)))
                          : std::string{};
  }
  return out;
}

std::string config_text(const init_options& given, const std::string& state, const node_id& node,
                        const node_operator& who) {
  std::string out = fmt::format(
      "# Made by `ovir init`. Every key there is, with unit, default and bound: all.toml "
      "among the\n# examples. `ovir node --check -c FILE` looks at a file without "
      "starting anything.\nname = {}\ncluster = {}\n"
      "roles = [{}]\n# The node's key, its requests and what it "
      "keeps for reuse.\nstate = {}\n# Where `ovir shell` connects.\nadmin_listen = {}\n",
      toml_text(given.name), toml_text(given.cluster),
      roles_text(
          who.roles.has(role::verifier)
              ? (keeps_ledger(given) ? roles_of_member().add(role::ledger) : roles_of_member())
              : roles_of_node()),
      toml_text(state), toml_text(given.shells));
  if (!given.listen.empty()) {
    out += joining_part(given, who);
  }
  if (!who.id.empty()) {
    out += fmt::format("\n# Who may look and operate, with `ovir shell`.\n"
                       "[[access]]\nkey = \"{}\"\nroles = [\"reader\", \"operator\"]\n",
                       to_hex(who.id));
  }
  out += "\n# \"embedded\" is the small model inside the program; else a GGUF file.\n";
  for (const std::string& range : given.layers) {
    out += fmt::format("[[model]]\npath = {}\nlayers = {}\n", toml_text(given.model),
                       toml_text(range));
  }
  if (given.layers.empty()) {
    out += fmt::format("[[model]]\npath = {}\n", toml_text(given.model));
  }
  if (given.logs_to_file) {
    out += "\n[log]\nfile = \"node.log\"\n";
  }
  if (!given.http.empty()) {
    out += fmt::format("\n# OpenAI's clients, and the console in a browser. An address that other "
                       "machines reach needs\n# `keys`, made by `ovir key create`.\n"
                       "[gateway]\nlisten = {}\n",
                       toml_text(given.http));
  }
  return out + (keeps_ledger(given) && !given.keeps ? ledger_part({&node, 1}, node)
                                                    : ledger_part(given.keepers, node));
}

result<std::string> absolute(const std::string& path) {
  std::error_code wrong;
  const fs::path whole = fs::absolute(path, wrong);
  if (wrong) {
    return fail(errc::io_failed, "{}: {}", path, wrong.message());
  }
  return whole.lexically_normal().string();
}

/// The secret key of who operates the node, where it is used at all, lies outside of its folder.
result<void> place_admin_key(init_options& how) {
  if (!how.admin.empty() || !how.token.empty()) {
    if (how.token.empty() && !how.listen.empty()) {
      return fail(errc::invalid_argument,
                  "--admin is for a node alone; a member of a cluster needs --token, made by "
                  "`ovir token` where the operator's key is");
    }
    if (!how.token.empty() && how.listen.empty()) {
      return fail(errc::invalid_argument,
                  "--token needs --listen HOST:PORT: it is leave to be a member of a cluster");
    }
    return {};
  }
  if (how.admin_key.empty()) {
    OVIR_ASSIGN(const std::string folder, operator_folder());
    how.admin_key = admin_key_path_in(folder);
  }
  OVIR_ASSIGN(how.admin_key, absolute(how.admin_key));
  const fs::path from_state = fs::path{how.admin_key}.lexically_relative(how.folder);
  if (!from_state.empty() && *from_state.begin() != "..") {
    return fail(errc::invalid_argument,
                "the operator's key {} would lie in the node's folder {}, and who takes the node "
                "would take the cluster; name another place with --admin-key",
                how.admin_key, how.folder);
  }
  return {};
}

result<void> complete(init_options& how) {
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
  OVIR_TRY(place_admin_key(how));
  if (how.model != embedded_model_path) {
    OVIR_ASSIGN(how.model, absolute(how.model));
  }
  return check_places(how);
}

struct made_node {
  init_options how; ///< complete
  node_id node;
  node_operator who;
  bool fresh; ///< else its configuration was there
};

result<made_node> make_node(const init_options& given, surroundings& around) {
  init_options how = given;
  OVIR_TRY(complete(how));
  OVIR_TRY(around.environment.make_folder(how.folder));
  OVIR_ASSIGN(const kept_key node, keep_key(around.environment, key_path_in(how.folder)));
  OVIR_ASSIGN(node_operator who, operator_of(how, node.key.id(), around));
  // A configuration beside its state may be moved and restored together with it.
  const bool beside = fs::path{how.config}.parent_path() == fs::path{how.folder};
  const std::string text =
      config_text(how, beside ? std::string{"."} : how.folder, node.key.id(), who);
  // Whatever was given, what is written must be what a node starts with.
  OVIR_TRY(parse_node_config(how.config, text));
  OVIR_ASSIGN(const bool fresh,
              around.environment.make_secret_file(how.config, std::as_bytes(std::span{text})));
  return made_node{how, node.key.id(), std::move(who), fresh};
}

json text_or_null(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

json node_document(const made_node& made) {
  return {{"config", made.how.config},
          {"made", made.fresh},
          {"state", made.how.folder},
          {"node", to_hex(made.node)},
          {"admin", made.who.id.empty() ? json(nullptr) : json(to_hex(made.who.id))},
          {"admin_key", text_or_null(made.how.admin_key)},
          {"http", made.how.http},
          {"shells", made.how.shells}};
}

/// How its operator looks at it, and where the key is that was made for that.
std::string ways_in(const made_node& made) {
  if (made.who.id.empty()) {
    return {};
  }
  const std::string& key = made.how.admin_key;
  const auto folder = operator_folder();
  const bool found_by_itself = key.empty() || (folder && key == admin_key_path_in(*folder));
  return (made.who.made
              ? fmt::format("made {}: who has this key lets nodes in and operates them; no node "
                            "needs it\n",
                            key)
              : std::string{}) +
         fmt::format("look at it:  ovir shell {}--connect {}{}\n",
                     found_by_itself ? std::string{} : "--key " + key + " ", made.how.shells,
                     key.empty() ? "   (where the operator's key is)" : "");
}

/// Layers are dealt in as many pieces as there are nodes, at most one per layer. A node holds its
/// piece and the next, so that three or more can do without any one of them.
std::vector<std::string> layers_of(std::uint32_t node, std::uint32_t nodes, std::uint32_t layers) {
  const std::uint32_t pieces = std::min(nodes, layers);
  const auto range = [&](std::uint32_t first_piece, std::uint32_t last_piece) {
    return fmt::format("{}-{}", layers * first_piece / pieces,
                       layers * (last_piece + 1) / pieces - 1);
  };
  const std::uint32_t piece = node % pieces;
  if (pieces <= 2) {
    return {range(0, pieces - 1)};
  }
  if (piece + 1 < pieces) {
    return {range(piece, piece + 1)};
  }
  return {range(0, 0), range(piece, piece)}; // the next piece is the first
}

result<std::uint32_t> count_layers(surroundings& around, const std::string& model) {
  if (model == embedded_model_path) {
    OVIR_ASSIGN(const open_model inside,
                parse_model(std::string{embedded_model_name}, embedded_model()));
    OVIR_ASSIGN(const compute::model_config shape, compute::read_config(inside.metadata));
    return shape.layers;
  }
  OVIR_ASSIGN(auto file, map_file(around.environment, model));
  OVIR_ASSIGN(const open_model opened, parse_model(model, std::move(file)));
  const auto shape = compute::read_config(opened.metadata);
  if (!shape) {
    return in_context(model, shape.error());
  }
  return shape->layers;
}

/// The keys and the ledger of those that keep it together.
template <class State>
result<std::vector<node_id>> make_keepers(const init_options& given, const State& state_of,
                                          surroundings& around) {
  if (given.keeper_count % 2 == 0 || given.keeper_count > given.nodes) {
    return fail(errc::invalid_argument,
                "--keepers {}: give an odd number of them, at most as many as there are nodes, {}",
                given.keeper_count, given.nodes);
  }
  std::vector<std::string> states;
  std::vector<node_id> keepers;
  for (std::uint32_t i = 0; i < given.keeper_count; ++i) {
    states.push_back(state_of(i));
    OVIR_TRY(around.environment.make_folder(states.back()));
    OVIR_ASSIGN(const kept_key node, keep_key(around.environment, key_path_in(states.back())));
    keepers.push_back(node.key.id());
  }
  std::ranges::sort(keepers);
  OVIR_TRY(make_free_joint_ledger(around.environment, states));
  return keepers;
}

/// n1, n2, ... below the folder, each with the next ports, one admin key for all.
result<exit_code> init_several(const init_options& given, surroundings& around) {
  if (!given.join.empty() || !given.keepers.empty() || !given.name.empty() ||
      !given.config.empty() || !given.admin.empty() || !given.token.empty()) {
    return fail(errc::invalid_argument, "--nodes makes a whole cluster; --join, --keeper, --name, "
                                        "--config, --admin and --token are for one node");
  }
  OVIR_ASSIGN(const std::uint32_t layers, count_layers(around, given.model));
  OVIR_ASSIGN(const std::string folder, absolute(given.folder.empty() ? "." : given.folder));
  OVIR_ASSIGN(const node_places places,
              divide_ports({given.nodes, given.listen, given.shells, given.http, !given.no_http}));
  json documents = json::array();
  std::string starts;
  std::string ways;
  std::string configs;
  const auto state_of = [&](std::uint32_t i) {
    return (fs::path{folder} / fmt::format("n{}", i + 1)).string();
  };
  const bool joint = given.keeper_count > 1;
  OVIR_ASSIGN(std::vector<node_id> keepers,
              joint ? make_keepers(given, state_of, around)
                    : result<std::vector<node_id>>{std::vector<node_id>{}});
  for (std::uint32_t i = 0; i < given.nodes; ++i) {
    init_options how = given;
    how.keepers = keepers;
    how.keeps = joint && i < given.keeper_count;
    how.name = fmt::format("n{}", i + 1);
    how.folder = state_of(i);
    how.layers = layers_of(i, given.nodes, layers);
    how.logs_to_file = true;
    how.listen = places.listen[i];
    how.shells = places.shells[i];
    how.http = places.http.empty() ? std::string{} : places.http[i];
    if (i > 0) {
      how.join = {places.listen.front()};
    }
    OVIR_ASSIGN(const made_node made, make_node(how, around));
    documents.push_back(node_document(made));
    configs += made.how.config + "\n";
    starts += made.fresh
                  ? fmt::format("start it:    ovir node -c {} &\n", made.how.config)
                  : fmt::format("{} is there already; it was left as it is\n", made.how.config);
    if (i == 0) {
      keepers = joint ? keepers : std::vector{made.node};
      ways = ways_in(made);
    }
  }
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"nodes", documents}}));
    return exit_code::done;
  }
  write_note(starts + ways +
             (places.http.empty()
                  ? std::string{}
                  : fmt::format("ask it:      http://{}/v1\n", places.http.front())));
  OVIR_TRY(write_output(configs));
  return exit_code::done;
}

result<exit_code> init(const init_options& given, surroundings& around) {
  if (given.nodes > 0) {
    return init_several(given, around);
  }
  OVIR_ASSIGN(const made_node made, make_node(given, around));
  const init_options& how = made.how;
  if (how.as_json) {
    OVIR_TRY(write_document(node_document(made)));
    return exit_code::done;
  }
  if (!made.fresh) {
    write_note(fmt::format("{} is there already; it was left as it is\n", how.config));
  } else {
    write_note(
        fmt::format("start it:    ovir node -c {}\n", how.config) + ways_in(made) +
        (how.http.empty() ? std::string{} : fmt::format("ask it:      http://{}/v1\n", how.http)));
  }
  OVIR_TRY(write_output(how.config + "\n"));
  return exit_code::done;
}

/// The three ways to say who operates the node.
void add_operator(CLI::App& command, init_options& given) {
  CLI::Option* const key = command.add_option(
      "--admin-key", given.admin_key,
      "Secret key of who lets nodes in and operates them, made when there is none; outside of the "
      "node's folder (default: admin.key in $OVIR_OPERATOR, else $XDG_CONFIG_HOME/ovir, else "
      "~/.config/ovir)");
  CLI::Option* const admin =
      command
          .add_option("--admin", given.admin,
                      "Public key of who operates a node alone, whose secret key is elsewhere; "
                      "none: nobody does")
          ->excludes(key);
  command
      .add_option("--token", given.token,
                  "Leave to join, made by `ovir token` where the operator's key is")
      ->excludes(key)
      ->excludes(admin);
}

/// `given` outlives the parse.
void add_keepers(CLI::App& command, init_options& given) {
  command
      .add_option("--keepers", given.keeper_count,
                  "Of several nodes, the first 1, 3, 5 or 7 keep the ledger; more than half of "
                  "them must be up")
      ->check(CLI::Range(std::size_t{1}, limits::ledger_keepers_max))
      ->capture_default_str();
  command
      .add_option_function<std::vector<std::string>>(
          "--keeper",
          [&given](const std::vector<std::string>& all) {
            for (const std::string& text : all) {
              const auto key = node_id_from_hex(text);
              if (!key || key->empty()) {
                throw CLI::ValidationError("--keeper", "give a node's key, 64 hexadecimal digits");
              }
              given.keepers.push_back(*key);
            }
          },
          "Keys of the nodes that keep the cluster's ledger, with commas (default: this one, "
          "unless it joins others)")
      ->delimiter(',');
}

} // namespace

void add_init(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("init", "Write a configuration that works, and keys");
  const auto given = std::make_shared<init_options>();
  command->footer(
      "Asks nothing. Without options: a node alone that computes the model inside the program and\n"
      "answers OpenAI's clients on this machine. What is there already is kept.\n"
      "The operator's key is made where there is none, apart from the node's folder. It lets "
      "nodes\n"
      "in and operates them, and stays with its owner: a node on another machine joins by a "
      "token.\n"
      "\nExamples:\n"
      "  ovir init\n"
      "  ovir init -m model.gguf --http 127.0.0.1:8080\n"
      "  ovir init --nodes 3\n"
      "  ovir init --nodes 5 --keepers 3\n"
      "  ovir init --listen a.example:7300\n"
      "  ovir init --listen b.example:7300 --join a.example:7300 --token ovir-join-...");
  command->add_option("--folder", given->folder,
                      "Folder for keys and state (default: $OVIR_HOME, else "
                      "$XDG_STATE_HOME/ovir, else ~/.local/state/ovir)");
  command->add_option("-c,--config", given->config,
                      "The file to write (default: node.toml in the folder)");
  command
      ->add_option("--nodes", given->nodes,
                   "Instead of one: so many nodes of a cluster on this machine, n1, n2, ... below "
                   "--folder (default: here), each with the next ports from 7381 (--http), 7311 "
                   "(--shells) and 7301 (--listen) on; of many nodes further on, none twice")
      ->check(CLI::Range(std::size_t{1}, limits::local_nodes_max));
  add_keepers(*command, *given);
  command->add_option("--name", given->name, "What people call the node (default: the machine's)");
  command->add_option("--cluster", given->cluster, "The cluster it belongs to")
      ->capture_default_str();
  command->add_option("-m,--model", given->model, "GGUF file, or embedded")->capture_default_str();
  CLI::Option* const http =
      command->add_option("--http", given->http, "HOST:PORT for OpenAI's clients; empty: none")
          ->capture_default_str();
  CLI::Option* const shells =
      command->add_option("--shells", given->shells, "HOST:PORT for ovir shell")
          ->capture_default_str();
  command->add_option("--listen", given->listen,
                      "HOST:PORT where other members reach it (default: it is alone)");
  command->add_option("--join", given->join, "HOST:PORT of members to join through, with commas")
      ->delimiter(',');
  add_operator(*command, *given);
  add_json(*command, given->as_json);
  command->callback([given, http, shells, &chosen] {
    if (given->nodes > 0) {
      given->no_http = http->count() > 0 && given->http.empty();
      given->http = http->count() > 0 ? given->http : std::string{};
      given->shells = shells->count() > 0 ? given->shells : std::string{};
    }
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return init(*given, around); };
  });
}

} // namespace ovir::apps
