#include "apps/key_file.hpp"
#include "apps/ovir/base/command.hpp"
#include "apps/ovir/base/token_words.hpp"
#include "apps/state_folder.hpp"
#include "messages/limits/general.hpp"
#include "messages/signing.hpp"

#include <array>

namespace ovir::apps {

namespace {

struct token_options {
  std::string admin_key; ///< empty: the operator's
  std::string node;
  std::string roles;
  std::string expires{"24h"};
  bool as_json{false};
};

json role_names(role_set roles) {
  json names = json::array();
  for (std::uint32_t bit = 1; bit <= role_set{}.add(role::operate).bits; bit <<= 1U) {
    if (const role_set one{static_cast<std::uint16_t>(roles.bits & bit)}; !one.empty()) {
      names.push_back(to_string(one));
    }
  }
  return names;
}

json document_of(const join_token& token) {
  return {{"node", to_hex(token.node)},
          {"roles", role_names(token.roles)},
          {"expires_unix", token.expires_unix},
          {"admin", to_hex(token.admin)}};
}

result<exit_code> make_token(const token_options& given, surroundings& around) {
  if (given.node.empty() || given.roles.empty()) {
    return fail(errc::invalid_argument,
                "ovir token needs --node HEX and --role ROLES; see ovir token --help");
  }
  const auto node = node_id_from_hex(given.node);
  if (!node || node->empty()) {
    return fail(errc::invalid_argument, "--node: {}",
                node ? "all zeros name no node; give what ovir keygen printed there"
                     : node.error().message);
  }
  OVIR_ASSIGN(const role_set roles, roles_from(given.roles));
  OVIR_ASSIGN(const std::chrono::seconds lifetime, lifetime_from(given.expires));
  std::string path = given.admin_key;
  if (path.empty()) {
    OVIR_ASSIGN(const std::string folder, operator_folder());
    path = admin_key_path_in(folder);
  }
  OVIR_ASSIGN(const secret_key admin, load_key(around.environment, path));
  std::array<std::byte, 16> nonce{};
  around.environment.random(nonce);
  const std::uint64_t end =
      around.environment.unix_seconds() + static_cast<std::uint64_t>(lifetime.count());
  const join_token token = issue_token(admin, *node, roles, end, nonce);
  if (given.as_json) {
    json document{{"token", to_text(token)}};
    document.update(document_of(token));
    OVIR_TRY(write_document(document));
    return exit_code::done;
  }
  OVIR_TRY(write_output(to_text(token) + "\n"));
  return exit_code::done;
}

/// What a token says, and whether the key it names as its admin's did sign it. Whether a cluster
/// takes tokens of that key is the cluster's to say.
result<exit_code> show_token(const std::string& text, bool as_json, surroundings& around) {
  OVIR_ASSIGN(const join_token token, token_from_text(text));
  const bool is_signed = signed_by_its_admin(token);
  const std::uint64_t now = around.environment.unix_seconds();
  const bool expired = now >= token.expires_unix;
  const exit_code outcome = is_signed ? exit_code::done : exit_code::wrong;
  if (as_json) {
    json document = document_of(token);
    document["signed"] = is_signed;
    document["expired"] = expired;
    OVIR_TRY(write_document(document));
    return outcome;
  }
  const std::string when = expired ? span_text(now - token.expires_unix) + " ago"
                                   : "in " + span_text(token.expires_unix - now);
  OVIR_TRY(write_output(fmt::format(
      "node       {}\n"
      "roles      {}\n"
      "{:<10} {} ({} s after 1970 began)\n"
      "admin      {}\n"
      "signature  {}\n",
      to_hex(token.node), to_string(token.roles), expired ? "expired" : "expires", when,
      token.expires_unix, to_hex(token.admin), is_signed ? "the admin's" : "NOT the admin's")));
  return outcome;
}

} // namespace

void add_token(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("token", "Make leave for one node to join a cluster, or look at one");
  const auto given = std::make_shared<token_options>();
  command->footer(
      "The token works once, for the node that has the key HEX, in clusters whose nodes name the\n"
      "admin's public key.\n\nExamples:\n"
      "  ovir token --node HEX --role worker,scheduler --expires 24h\n"
      "  ovir token show ovir-join-...");
  command->add_option(
      "--admin-key", given->admin_key,
      "File with the admin's secret key (default: the operator's, as ovir init made it)");
  command->add_option("--node", given->node, "Public key of the node, as ovir keygen prints it");
  command->add_option("--role", given->roles, "What it may be, such as worker,scheduler");
  command->add_option("--expires", given->expires, "For how long: 90s, 30m, 24h, 7d")
      ->capture_default_str();
  add_json(*command, given->as_json);
  command->callback([command, given, &chosen] {
    if (command->get_subcommands().empty()) {
      chosen.as_json = given->as_json;
      chosen.run = [given](surroundings& around) { return make_token(*given, around); };
    }
  });
  add_token_show(*command, chosen);
}

void add_token_show(CLI::App& token, chosen_command& chosen) {
  CLI::App* const command = token.add_subcommand("show", "Print what a join token says");
  struct show_options {
    std::string text;
    bool as_json{false};
  };
  const auto given = std::make_shared<show_options>();
  command->add_option("TOKEN", given->text, "The token")->required();
  add_json(*command, given->as_json);
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) {
      return show_token(given->text, given->as_json, around);
    };
  });
}

} // namespace ovir::apps
