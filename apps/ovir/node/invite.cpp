#include "apps/key_file.hpp"
#include "apps/ovir/base/node_address.hpp"
#include "apps/ovir/base/package_commands.hpp"
#include "apps/ovir/base/qr_text.hpp"
#include "apps/ovir/base/token_words.hpp"
#include "apps/ovir/node/made_invitations.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "apps/ovir/node/swarm_file.hpp"
#include "apps/ovir/shell/shell_client.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits/invitations.hpp"
#include "messages/swarm_line.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace ovir::apps {

namespace {

struct invite_options {
  std::string folder;
  std::string roles{"worker,scheduler,verifier"};
  std::string expires{"24h"};
  std::uint32_t uses{1};
  std::string at; ///< where members are reached; empty: where the node listens
  bool qr{false};
  std::string named; ///< which one to revoke
  bool print{false}; ///< the revocation, and tell no node
  bool as_json{false};
};

/// The node of the folder, and the line of its swarm.
struct inviting_node {
  std::string folder;
  supervision::node_options how;
  swarm_line line;
};

result<inviting_node> inviting(const invite_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, up_folder(given.folder));
  OVIR_ASSIGN(auto how, read_node_config(around.environment, up_config_in(folder)));
  const std::string address = !given.at.empty()        ? given.at
                              : !how.advertise.empty() ? how.advertise
                                                       : how.listen;
  auto line = kept_line(around.environment, folder, address);
  if (!line && line.error().code == errc::not_found) {
    return fail(errc::not_found,
                "{} has no line of a swarm: it joined by an invitation itself; make invitations "
                "where the swarm began, or on a machine that joined by its line",
                folder);
  }
  if (!line) {
    return line.error();
  }
  return inviting_node{folder, std::move(how), std::move(*line)};
}

/// Of signing something new.
std::array<std::byte, 16> fresh_nonce(surroundings& around) {
  std::array<std::byte, 16> nonce{};
  around.environment.random(nonce);
  return nonce;
}

result<exit_code> make_invitation(const invite_options& given, surroundings& around) {
  OVIR_ASSIGN(const role_set roles, roles_from(given.roles));
  if (!roles.has(role::worker) || !roles.within(member_roles) || roles.has(role::ledger)) {
    return fail(errc::invalid_argument,
                "--role is {}; an invitation is for workers, which may be scheduler, verifier and "
                "store, too",
                to_string(roles));
  }
  OVIR_ASSIGN(const std::chrono::seconds lifetime, lifetime_from(given.expires));
  OVIR_ASSIGN(const inviting_node node, inviting(given, around));
  if (const auto good = check_address(node.line.members.front(), address_use::connect); !good) {
    return in_context("where others reach this node (name it by --at)", good.error());
  }
  const std::uint64_t now = around.environment.unix_seconds();
  const std::uint64_t end = now + static_cast<std::uint64_t>(lifetime.count());
  std::array<std::byte, secret_key::seed_size> seed{};
  around.environment.random(seed);
  secret_key secret = secret_key::from_seed(seed);
  wipe(seed);
  const invitation by = issue_invitation(node.line.key, secret.id(), roles, end, given.uses);
  OVIR_TRY(keep_invitation(around.environment, node.folder, by, now));
  const std::string text = to_text(swarm_line{node.line.members, std::move(secret), node.line.model,
                                              node.line.keeper, node.line.context, by});
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"join", text},
                                 {"invitation", to_hex(by.key)},
                                 {"roles", to_string(roles)},
                                 {"expires_unix", end},
                                 {"uses", by.uses}}));
    return exit_code::done;
  }
  if (given.qr) {
    OVIR_ASSIGN(const std::string code, qr_text(text));
    write_note(code);
  }
  write_note(
      fmt::format("invitation {} for {} node{}, {}, ends in {}; take it back by: ovir invite "
                  "revoke {}\n",
                  short_name(by.key), by.uses, by.uses == 1 ? "" : "s", to_string(roles),
                  span_text(end - now), short_name(by.key)));
  OVIR_TRY(write_output(fmt::format("ovir up --join {}\n", text)));
  return exit_code::done;
}

result<exit_code> list_invitations(const invite_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, up_folder(given.folder));
  OVIR_ASSIGN(const auto known, known_invitations(around.environment, folder));
  const std::uint64_t now = around.environment.unix_seconds();
  json all = json::array();
  std::string text = fmt::format("{:<12}{:<10}{:>8}{:>8}  {:<10}{}\n", "invitation", "state",
                                 "used", "left", "ends in", "roles");
  for (const listed_invitation& one : known) {
    const std::string_view state = one.state(now);
    const std::size_t left = state == "open" ? one.uses - one.used : 0;
    all.push_back({{"invitation", to_hex(one.key)},
                   {"state", state},
                   {"used", one.used},
                   {"left", left},
                   {"uses", one.uses},
                   {"expires_unix", one.expires_unix},
                   {"roles", to_string(one.roles)}});
    text += fmt::format("{:<12}{:<10}{:>8}{:>8}  {:<10}{}\n", short_name(one.key), state, one.used,
                        left, state == "open" ? span_text(one.expires_unix - now) : "-",
                        to_string(one.roles));
  }
  OVIR_TRY(given.as_json ? write_document(json{{"invitations", std::move(all)}})
                         : write_output(text));
  return exit_code::done;
}

/// Hands a revocation to the node of the folder, which tells all members.
result<void> tell_node(const inviting_node& node, const std::string& token, surroundings& around) {
  const std::string& address =
      node.how.admin_listen.empty() ? node.how.listen : node.how.admin_listen;
  OVIR_TRY(check_address(address, address_use::connect));
  OVIR_ASSIGN(const std::string people, operator_folder());
  OVIR_ASSIGN(const secret_key person, load_key(around.environment, admin_key_path_in(people)));
  OVIR_ASSIGN(const secret_key own, load_key(around.environment, key_path_in(node.folder)));
  OVIR_ASSIGN(const auto link, shell_link::make(person, {{address}, {own.id()}}));
  shell_patience patience;
  patience.deadline = std::chrono::seconds{10};
  shell_client client{*link, patience, around.interrupted};
  const shell_outcome outcome =
      client.call({find_command("revoke"), json{{"token", token}}},
                  {[](std::string_view) {}, [](std::uint64_t) {}, [](const json&) {},
                   [](std::string_view note) { write_note(note); }});
  if (const auto* const failure = std::get_if<shell_failure>(&outcome)) {
    return fail(errc::peer_lost,
                "the node at {} does not take it, so the invitation stays open: {}; start the node "
                "and repeat this, or give what --print prints to another member by ovir shell",
                address, failure->message);
  }
  return {};
}

result<exit_code> revoke_one(const invite_options& given, surroundings& around) {
  OVIR_ASSIGN(const inviting_node node, inviting(given, around));
  OVIR_ASSIGN(const auto known, known_invitations(around.environment, node.folder));
  OVIR_ASSIGN(const node_id key, invitation_named(known, given.named));
  const std::string token = to_text(issue_revocation(node.line.key, key, fresh_nonce(around)));
  if (given.print) {
    OVIR_TRY(write_output(token + "\n"));
    return exit_code::done;
  }
  OVIR_TRY(tell_node(node, token, around));
  OVIR_TRY(given.as_json ? write_document(json{{"invitation", to_hex(key)}, {"revoked", true}})
                         : write_output(fmt::format("invitation {} lets no further machine in\n",
                                                    short_name(key))));
  return exit_code::done;
}

void add_folder(CLI::App& command, invite_options& given) {
  command.add_option("--folder", given.folder, "Folder of the node, as that of ovir up");
  add_json(command, given.as_json);
}

void add_invite_actions(CLI::App& command, chosen_command& chosen) {
  CLI::App* const list =
      command.add_subcommand("list", "Invitations of this machine, and what is left of them");
  const auto listed = std::make_shared<invite_options>();
  add_folder(*list, *listed);
  list->callback([listed, &chosen] {
    chosen.as_json = listed->as_json;
    chosen.run = [listed](surroundings& around) { return list_invitations(*listed, around); };
  });
  CLI::App* const revoke =
      command.add_subcommand("revoke", "Take an invitation back: nodes that used it stay");
  const auto revoked = std::make_shared<invite_options>();
  revoke->add_option("INVITATION", revoked->named, "The beginning of its key")->required();
  revoke->add_flag("--print", revoked->print,
                   "Print the revocation for `revoke` of ovir shell, and tell no node");
  add_folder(*revoke, *revoked);
  revoke->callback([revoked, &chosen] {
    chosen.as_json = revoked->as_json;
    chosen.run = [revoked](surroundings& around) { return revoke_one(*revoked, around); };
  });
}

} // namespace

void add_invite(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("invite", "Let other machines join this machine's swarm, so many and so "
                                   "long, without its key");
  const auto given = std::make_shared<invite_options>();
  command->footer(
      "Prints a line for `ovir up --join`. Who has it may join with as many machines as it says,\n"
      "until it ends or is revoked; none of them lets others in. All members count its uses.\n"
      "\nExamples:\n"
      "  ovir invite --uses 20 --expires 7d\n"
      "  ovir invite --qr\n"
      "  ovir invite list\n"
      "  ovir invite revoke 1a2b3c4d");
  command->add_option("--role", given->roles, "What the machines may be")->capture_default_str();
  command->add_option("--expires", given->expires, "For how long: 90s, 30m, 24h, 7d")
      ->capture_default_str();
  command->add_option("--uses", given->uses, "How many machines may join")
      ->check(CLI::Range(std::uint32_t{1}, limits::invitation_uses_max))
      ->capture_default_str();
  command->add_option("--at", given->at,
                      "HOST:PORT where others reach this node (default: where it listens)");
  command->add_flag("--qr", given->qr, "Draw the line as a QR code, too");
  add_folder(*command, *given);
  command->callback([command, given, &chosen] {
    if (command->get_subcommands().empty()) {
      chosen.as_json = given->as_json;
      chosen.run = [given](surroundings& around) { return make_invitation(*given, around); };
    }
  });
  add_invite_actions(*command, chosen);
}

} // namespace ovir::apps
