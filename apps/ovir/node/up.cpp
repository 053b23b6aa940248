#include "actors/link/stranger_door.hpp"
#include "actors/reach/lan.hpp"
#include "apps/key_file.hpp"
#include "apps/ovir/base/embedded_model.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/base/package_commands.hpp"
#include "apps/ovir/base/qr_text.hpp"
#include "apps/ovir/base/size_text.hpp"
#include "apps/ovir/model/model_files.hpp"
#include "apps/ovir/node/free_port.hpp"
#include "apps/ovir/node/lan_join.hpp"
#include "apps/ovir/node/ledger_part.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "apps/ovir/node/node_run.hpp"
#include "apps/ovir/node/open_join.hpp"
#include "apps/ovir/node/swarm_file.hpp"
#include "apps/ovir/node/toml_text.hpp"
#include "apps/state_folder.hpp"
#include "compute/gguf/manifest.hpp"
#include "messages/cid.hpp"
#include "messages/limits/general.hpp"
#include "messages/swarm_line.hpp"
#include "node/node.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace ovir::apps {

namespace {

namespace fs = std::filesystem;

struct up_options {
  std::string folder; ///< empty: `up` in the state folder
  std::string model{embedded_model_path};
  std::string line; ///< of the swarm to join, or "auto"; empty: a new one
  std::string name; ///< empty: the machine's
  std::string memory;
  std::string
      listen;       ///< empty: the machine's address, with the first port from 7300 on that is free
  std::string http; ///< likewise 127.0.0.1 and 7380
  std::string shells; ///< likewise 127.0.0.1 and 7310
  std::uint32_t threads{0};
  std::uint32_t context{0};
  bool list{false};        ///< what the local network announces, and end
  bool keeps_quiet{false}; ///< the node is not announced there
  bool qr{false};
  bool open{false}; ///< of a new swarm: keys without leave may join
  node_id expected; ///< key of the open swarm that was chosen of those announced
  bool as_json{false};
};

/// What a node's configuration says of its swarm.
struct node_place {
  node_id node;
  role_set roles;
  std::string cluster;
  node_id swarm;
  std::string leave; ///< a token's text; empty: it joins an open cluster without
  std::vector<std::string> members;
  node_id keeper;
  std::uint32_t context{0};
  bool open{false};
};

constexpr std::uint16_t first_listen_port = 7300;
constexpr std::uint16_t first_shells_port = 7310;
constexpr std::uint16_t first_http_port = 7380;
/// Positions that a swarm promises to a request unless told otherwise: nodes keep room for them.
constexpr std::uint32_t usual_context = 4'096;
constexpr std::string_view join_auto = "auto";

/// A swarm of its own, of this model.
result<swarm_line> new_swarm(up_options& given, surroundings& around) {
  std::array<std::byte, secret_key::seed_size> seed{};
  around.environment.random(seed);
  swarm_line line{{}, secret_key::from_seed(seed), {}, {}, 0};
  if (const auto name = digest_from_cid(given.model)) {
    line.model = *name;
    line.context = given.context == 0 ? usual_context : given.context;
    return line;
  }
  const bool embedded = given.model == embedded_model_path;
  OVIR_ASSIGN(const ready_model model, load_model(around, embedded ? std::string{} : given.model));
  OVIR_ASSIGN(const compute::model_manifest manifest, compute::manifest_of(model.source.metadata));
  line.model = compute::name_of(manifest);
  const std::uint32_t all = model.weights.config.context;
  line.context = given.context == 0 ? std::min(usual_context, all) : given.context;
  return line;
}

result<lan_findings> search_lan(const std::string& own, surroundings& around) {
  const auto network = actors::make_avahi_lan();
  OVIR_ASSIGN(lan_findings found,
              look_around(
                  *network, own, [&around] { return around.interrupted.load(); },
                  [&around] { return around.environment.now(); }));
  for (const std::string& warning : found.warnings) {
    write_note("ovir: warning: " + warning + "\n");
  }
  return found;
}

/// What a search found takes the place of "auto": an open swarm's addresses, else its line.
result<void> find_line(up_options& given, surroundings& around) {
  if (given.line != join_auto) {
    return {};
  }
  if (given.listen.empty()) {
    OVIR_ASSIGN(given.listen, free_place(address_of_machine(), first_listen_port));
  }
  OVIR_ASSIGN(const lan_findings found, search_lan(given.listen, around));
  write_note(findings_text(found));
  OVIR_ASSIGN(const actors::found_cluster chosen, chosen_by_lan(found, ask_person));
  if (chosen.asks || chosen.addresses.empty()) {
    OVIR_ASSIGN(const swarm_line line, line_for(chosen, ask_person));
    given.line = to_text(line);
    return {};
  }
  given.expected = chosen.key;
  given.line = fmt::format("{}", fmt::join(chosen.addresses, ","));
  return {};
}

json findings_document(const lan_findings& found) {
  json clusters = json::array();
  for (const actors::found_cluster& one : found.clusters) {
    clusters.push_back({{"cluster", one.name},
                        {"key", to_hex(one.key)},
                        {"addresses", one.addresses},
                        {"asks_for_invitation", one.asks},
                        {"nodes", one.nodes}});
  }
  return {{"clusters", std::move(clusters)},
          {"nodes", found.nodes},
          {"last_after_ms", found.last.count()},
          {"warnings", found.warnings}};
}

result<exit_code> list_lan(const up_options& given, surroundings& around) {
  if (given.line != join_auto) {
    return fail(errc::invalid_argument, "--list is for --join auto");
  }
  OVIR_ASSIGN(const lan_findings found, search_lan(given.listen, around));
  OVIR_TRY(given.as_json ? write_document(findings_document(found))
                         : write_output(findings_text(found)));
  return exit_code::done;
}

result<swarm_line> swarm_of(up_options& given, surroundings& around) {
  if (given.line.empty()) {
    return new_swarm(given, around);
  }
  OVIR_ASSIGN(swarm_line line, swarm_line_from(given.line));
  for (const std::string& member : line.members) {
    if (const auto good = check_address(member, address_use::connect); !good) {
      return in_context("the line to join by names " + member, good.error());
    }
  }
  given.model = to_cid(line.model);
  return line;
}

result<void> complete_up(up_options& how) {
  if (how.listen.empty()) {
    OVIR_ASSIGN(how.listen, free_place(address_of_machine(), first_listen_port));
  }
  if (how.shells.empty()) {
    OVIR_ASSIGN(how.shells, free_place("127.0.0.1", first_shells_port));
  }
  if (how.http.empty()) {
    OVIR_ASSIGN(how.http, free_place("127.0.0.1", first_http_port));
  }
  if (how.name.empty()) {
    how.name = machine_name();
  }
  if (!digest_from_cid(how.model) && how.model != embedded_model_path) {
    how.model = fs::absolute(how.model).lexically_normal().string();
  }
  return {};
}

result<std::string> limits_text(const up_options& how, std::uint32_t context) {
  std::string out = fmt::format("\n[limits]\ncontext = {}\n", context);
  if (!how.memory.empty()) {
    OVIR_ASSIGN(const std::uint64_t bytes, bytes_from(how.memory));
    const std::uint64_t mib = bytes >> 20U;
    if (mib == 0) {
      return fail(errc::invalid_argument, "--memory {} is less than a MiB", how.memory);
    }
    out += fmt::format("memory_mib = {}\n", mib);
  }
  if (how.threads > 0) {
    out += fmt::format("threads = {}\n", how.threads);
  }
  return out;
}

/// What the node may be: all that the swarm lets its machines be, or as much as the invitation
/// says.
result<role_set> roles_in(const swarm_line& line, const node_id& node) {
  role_set roles =
      role_set{}.add(role::worker).add(role::scheduler).add(role::verifier).add(role::relay);
  if (line.by) {
    roles.bits &= line.by->roles.bits;
  }
  if (line.keeper == node) {
    roles.add(role::ledger);
  }
  return roles.has(role::worker)
             ? result<role_set>{roles}
             : fail(errc::invalid_argument,
                    "the invitation is for {}, and `ovir up` makes workers; ask for one with the "
                    "role worker",
                    to_string(line.by->roles));
}

/// "worker", "verifier": as the configuration has them.
std::string role_words(role_set roles) {
  std::string words;
  for (std::uint32_t bit = 1; bit <= member_roles.bits; bit <<= 1U) {
    if (const role_set one{static_cast<std::uint16_t>(roles.bits & bit)}; !one.empty()) {
      words += (words.empty() ? "" : ", ") + toml_text(to_string(one));
    }
  }
  return words;
}

/// A swarm's own key signs the node's token, that of an invitation as far as it goes.
result<shown_token> leave_by(const swarm_line& line, const node_id& node, role_set roles,
                             surroundings& around) {
  std::array<std::byte, 16> nonce{};
  around.environment.random(nonce);
  const std::uint64_t now = around.environment.unix_seconds();
  if (!line.by) {
    const auto longest =
        static_cast<std::uint64_t>(std::chrono::seconds{limits::token_lifetime_max}.count());
    return shown_token{issue_token(line.key, node, roles, now + longest, nonce)};
  }
  const shown_token leave = accept_invitation(line.key, *line.by, node, roles, nonce);
  OVIR_TRY(check(leave, now));
  return leave;
}

result<std::string> config_text(const up_options& how, const node_place& at,
                                const node_id& person) {
  std::string seeds;
  for (const std::string& member : at.members) {
    seeds += (seeds.empty() ? "" : ", ") + toml_text(member);
  }
  OVIR_ASSIGN(const std::string limits, limits_text(how, at.context));
  return fmt::format(
      "# Made by `ovir up`, which goes on with it; `ovir node -c` starts the same node.\n"
      "name = {}\ncluster = {}\nroles = [{}]\nstate = \".\"\n"
      "listen = {}\nadmin_listen = {}\n{}"
      "\n# Whose signature lets nodes in: that of the swarm's own key.\n"
      "admins = [\"{}\"]\n{}{}"
      "\n# Who may look and operate, with `ovir shell`.\n"
      "[[access]]\nkey = \"{}\"\nroles = [\"reader\", \"operator\"]\n"
      "\n# Its layers are placed by the swarm.\n[[model]]\npath = {}\n{}"
      "\n# What the local network hears: the cluster's name, its key and this node's port.\n"
      "[lan]\nannounce = {}\n"
      "{}{}",
      toml_text(how.name), toml_text(at.cluster), role_words(at.roles), toml_text(how.listen),
      toml_text(how.shells), seeds.empty() ? std::string{} : "seeds = [" + seeds + "]\n",
      to_hex(at.swarm), at.leave.empty() ? std::string{} : "join_token = \"" + at.leave + "\"\n",
      at.open ? "# Keys without leave may join, as workers with a newcomer's work.\n"
                "membership = \"open\"\n"
              : "",
      to_hex(person), toml_text(how.model), limits, !how.keeps_quiet,
      at.roles.has(role::scheduler)
          ? "\n# OpenAI's clients, and the console in a browser.\n[gateway]\nlisten = " +
                toml_text(how.http) + "\n"
          : std::string{},
      ledger_part({&at.keeper, at.keeper.empty() ? 0U : 1U}, at.node));
}

result<void> write_config(const std::string& config, const std::string& text,
                          surroundings& around) {
  OVIR_ASSIGN(const bool made,
              around.environment.make_secret_file(config, std::as_bytes(std::span{text})));
  return made ? result<void>{}
              : fail(errc::busy, "{} was made by another program meanwhile", config);
}

/// The keys of the node and of who operates it, in their folders.
struct kept_keys {
  kept_key node;
  kept_key person;
};

result<kept_keys> keys_for(const up_options& how, surroundings& around) {
  OVIR_TRY(around.environment.make_folder(how.folder));
  OVIR_ASSIGN(kept_key node, keep_key(around.environment, key_path_in(how.folder)));
  OVIR_ASSIGN(const std::string people, operator_folder());
  OVIR_ASSIGN(kept_key person, keep_key(around.environment, admin_key_path_in(people)));
  return kept_keys{std::move(node), std::move(person)};
}

std::vector<std::string> members_of_list(const std::string& text) {
  std::vector<std::string> members;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    members.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return members;
}

/// A node of an open cluster, of which a person named some member's address alone.
result<void> make_in_open(up_options how, const std::string& config, surroundings& around) {
  const std::vector<std::string> members = members_of_list(how.line);
  for (const std::string& member : members) {
    if (const auto good = check_address(member, address_use::connect);
        !good || members.size() > limits::seeds_max) {
      return in_context("--join " + member,
                        good ? fail(errc::over_limit, "more than {} addresses", limits::seeds_max)
                             : good.error());
    }
  }
  OVIR_ASSIGN(const kept_keys keys, keys_for(how, around));
  OVIR_ASSIGN(const introduction told,
              introduce(members, keys.node.key, around.environment.unix_seconds(),
                        [&around] { return around.interrupted.load(); }));
  if (!how.expected.empty() && told.swarm != how.expected) {
    return fail(errc::invalid_argument,
                "{} is of the swarm with the key {} and not of the announced one with {}; name "
                "the right one by its address",
                how.line, to_hex(told.swarm), to_hex(how.expected));
  }
  how.model = to_cid(told.model);
  OVIR_TRY(complete_up(how));
  node_place at{keys.node.key.id(),
                actors::stranger_door::roles,
                told.cluster,
                told.swarm,
                {},
                members,
                told.keeper,
                how.context == 0 ? usual_context : how.context,
                true};
  OVIR_ASSIGN(const std::string text, config_text(how, at, keys.person.key.id()));
  OVIR_TRY(parse_node_config(config, text));
  write_note(fmt::format("joins the open cluster '{}' with the key {}, as a worker; {} told so, "
                         "believe it as far as you believe that address\n",
                         told.cluster, to_hex(told.swarm), how.line));
  return write_config(config, text, around);
}

/// Makes the node's files, all of them or none that counts: the configuration comes last.
result<void> make(up_options how, const std::string& config, surroundings& around) {
  OVIR_TRY(find_line(how, around));
  if (is_address_list(how.line)) {
    return make_in_open(how, config, around);
  }
  OVIR_ASSIGN(swarm_line line, swarm_of(how, around));
  OVIR_TRY(complete_up(how));
  OVIR_ASSIGN(const kept_keys keys, keys_for(how, around));
  const node_id& node = keys.node.key.id();
  if (how.line.empty()) {
    line.keeper = node;
  }
  OVIR_ASSIGN(const role_set roles, roles_in(line, node));
  OVIR_ASSIGN(const shown_token leave, leave_by(line, node, roles, around));
  const node_place at{
      node,         leave.token.roles, "swarm-" + to_hex(line.swarm()).substr(0, 12),
      line.swarm(), to_text(leave),    line.members,
      line.keeper,  line.context,      how.open};
  OVIR_ASSIGN(const std::string text, config_text(how, at, keys.person.key.id()));
  OVIR_TRY(parse_node_config(config, text));
  if (line.members.empty()) {
    line.members.push_back(how.listen);
  }
  if (!line.by) { // an invitation is not kept: this machine lets no other in by it
    OVIR_TRY(keep_line(around.environment, how.folder, line));
  }
  return write_config(config, text, around);
}

/// What others join by; empty where this machine lets no other in.
result<std::string> told_line(const std::string& folder, const supervision::node& started,
                              surroundings& around) {
  const auto kept = kept_line(around.environment, folder, started.listen_address());
  if (!kept && kept.error().code == errc::not_found) {
    return std::string{};
  }
  return kept ? result<std::string>{to_text(*kept)} : kept.error();
}

result<void> say_ways_in(const up_options& how, bool is_open, const supervision::node& started,
                         surroundings& around) {
  OVIR_ASSIGN(const std::string line, told_line(how.folder, started, around));
  if (how.as_json) {
    return write_document(json{{"join", line.empty() ? json(nullptr) : json(line)},
                               {"open", is_open ? json(started.listen_address()) : json(nullptr)},
                               {"http", started.http_address()},
                               {"shells", started.admin_address()},
                               {"folder", how.folder}});
  }
  if (!started.http_address().empty()) {
    write_note(fmt::format("console:     http://{}/console\n", started.http_address()));
  }
  write_note(fmt::format("look at it:  ovir shell --connect {}\n", started.admin_address()));
  if (line.empty() && is_open) {
    write_note(fmt::format("next machine, as a worker without leave:\novir up --join {}\n",
                           started.listen_address()));
    return {};
  }
  if (line.empty()) {
    write_note(
        "next machine: by an invitation, which `ovir invite` makes on a machine that has the "
        "swarm's line\n");
    return {};
  }
  if (how.qr) {
    OVIR_ASSIGN(const std::string code, qr_text(line));
    write_note(code);
  }
  if (is_open) {
    write_note(
        fmt::format("another person's machine, as a worker without leave:\novir up --join {}\n",
                    started.listen_address()));
  }
  write_note(is_open ? "a machine of your own:\n" : "next machine:\n");
  return write_output(fmt::format("ovir up --join {}\n", line));
}

result<exit_code> up(const up_options& given, surroundings& around) {
  if (given.list) {
    return list_lan(given, around);
  }
  up_options how = given;
  OVIR_ASSIGN(how.folder, up_folder(given.folder));
  const std::string config = up_config_in(how.folder);
  const bool known = fs::exists(config);
  if (given.open && !given.line.empty()) {
    return fail(errc::invalid_argument,
                "--open is of a new swarm; one that is joined is open or not already");
  }
  if (known && (!given.line.empty() || given.open || given.model != embedded_model_path)) {
    return fail(errc::invalid_argument,
                "{} is a node's already: start that by `ovir up` alone, or name another folder by "
                "--folder",
                how.folder);
  }
  if (!known && is_model_url(how.model)) {
    OVIR_ASSIGN(how.model, pulled_model(how.model, around));
  }
  if (!known) {
    OVIR_TRY(make(how, config, around));
  }
  const auto reread = [&around, config] { return read_node_config(around.environment, config); };
  OVIR_ASSIGN(const auto options, reread());
  result<void> said;
  OVIR_ASSIGN(const exit_code ended,
              run_node(options, around, reread, [&](const supervision::node& started) {
                said = say_ways_in(how, options.open, started, around);
              }));
  OVIR_TRY(said);
  return ended;
}

} // namespace

void add_up(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("up", "Start a swarm with one line, or join one with another");
  const auto given = std::make_shared<up_options>();
  command->footer(
      "The first machine starts with a model and prints the line for the next one. Layers are\n"
      "placed by the swarm: complete first, then twice where the machines have room, and anew\n"
      "when machines come or go (`placement` in ovir shell). Who has the line can join, and let\n"
      "others in: give it to machines that you trust. Started again in the same folder, the node\n"
      "goes on. `ovir init` makes a node that is told what it holds.\n"
      "Nodes announce themselves to the local network: --join auto lists those of swarms, and "
      "asks\n"
      "for the line of the one to join. What is announced is trusted for nothing.\n"
      "\nExamples:\n"
      "  ovir up -m model.gguf\n"
      "  ovir up -m hf:OWNER/REPO/MODEL-Q4_K_M.gguf\n"
      "  ovir up --join 192.168.1.5:7300/ovir-swarm-...\n"
      "  ovir up --join auto\n"
      "  ovir up --open -m model.gguf\n"
      "  ovir up --join swarm.example.org:7300\n"
      "  ovir up --memory 12G --threads 8");
  command
      ->add_option("-m,--model", given->model,
                   "Of a new swarm: GGUF file, hf:OWNER/REPO/FILE, a model's name by content, or "
                   "embedded")
      ->capture_default_str();
  command->add_option(
      "--join", given->line,
      "The line that a member of the swarm printed; HOST:PORT of members of an open "
      "swarm, with commas; auto: look for swarms on the local network");
  command->add_flag("--list", given->list,
                    "With --join auto: print the swarms of the local network, and end");
  command->add_flag("--open", given->open,
                    "Of a new swarm: any machine may join as a worker, without an invitation");
  command->add_flag("--qr", given->qr, "Draw the line for other machines as a QR code, too");
  command->add_flag("--no-announce", given->keeps_quiet,
                    "Of a new node: the local network hears nothing of it ([lan] of its "
                    "configuration)");
  command->add_option("--memory", given->memory,
                      "For weights and requests, such as 12G (default: 80 % of the machine's)");
  command->add_option("-t,--threads", given->threads, "Compute threads (default: all processors)")
      ->check(CLI::Range(std::uint32_t{1}, limits::threads_max));
  command
      ->add_option("--context", given->context,
                   "Of a new swarm: positions promised to a request (default: the model's, at "
                   "most 4096)")
      ->check(CLI::Range(std::uint32_t{1}, limits::context_max));
  command->add_option("--name", given->name, "What people call the node (default: the machine's)");
  command->add_option("--listen", given->listen,
                      "HOST:PORT where other members reach it (default: this machine's address, "
                      "a free port from 7300 on)");
  command->add_option("--http", given->http,
                      "HOST:PORT for OpenAI's clients and the console (default: 127.0.0.1, a free "
                      "port from 7380 on)");
  command->add_option("--shells", given->shells,
                      "HOST:PORT for ovir shell (default: 127.0.0.1, a free port from 7310 on)");
  command->add_option("--folder", given->folder,
                      "Folder for keys and state (default: up in $OVIR_HOME, else in "
                      "$XDG_STATE_HOME/ovir, else in ~/.local/state/ovir)");
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return up(*given, around); };
  });
}

} // namespace ovir::apps
