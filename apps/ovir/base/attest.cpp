#include "apps/key_file.hpp"
#include "apps/ovir/base/package_commands.hpp"
#include "apps/ovir/base/token_words.hpp"
#include "messages/evidence/attestation.hpp"

#include <memory>
#include <string>

namespace ovir::apps {

namespace {

struct attest_options {
  std::string key;
  std::string node;
  node_properties properties;
  std::string expires{"30d"};
  std::string text; ///< of `show`
  bool as_json{false};
};

json said(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

json document_of(const attestation& one) {
  return {{"node", to_hex(one.node)},
          {"operator", said(one.properties.operated_by)},
          {"region", said(one.properties.region)},
          {"confidential", said(one.properties.confidential)},
          {"expires_unix", one.expires_unix},
          {"attestor", to_hex(one.attestor)}};
}

result<exit_code> make_attestation(const attest_options& given, surroundings& around) {
  if (given.key.empty() || given.node.empty() || given.properties.empty()) {
    return fail(errc::invalid_argument,
                "ovir attest needs --key FILE, --node HEX and one of --operator, --region and "
                "--confidential; see ovir attest --help");
  }
  const auto node = node_id_from_hex(given.node);
  if (!node || node->empty()) {
    return fail(errc::invalid_argument, "--node: {}",
                node ? "all zeros name no node; give what ovir keygen printed there"
                     : node.error().message);
  }
  if (const auto good = check(given.properties); !good) {
    return fail(errc::invalid_argument, "{}", good.error().message);
  }
  OVIR_ASSIGN(const std::chrono::seconds lifetime, lifetime_from(given.expires));
  OVIR_ASSIGN(const secret_key attestor, load_key(around.environment, given.key));
  const std::uint64_t end =
      around.environment.unix_seconds() + static_cast<std::uint64_t>(lifetime.count());
  const attestation made = attest(attestor, *node, given.properties, end);
  if (given.as_json) {
    json document{{"attestation", to_text(made)}};
    document.update(document_of(made));
    OVIR_TRY(write_document(document));
    return exit_code::done;
  }
  OVIR_TRY(write_output(to_text(made) + "\n"));
  return exit_code::done;
}

result<exit_code> show_attestation(const attest_options& given, surroundings& around) {
  OVIR_ASSIGN(const attestation one, attestation_from_text(given.text));
  const bool is_signed = is_genuine(one);
  const std::uint64_t now = around.environment.unix_seconds();
  const bool expired = now >= one.expires_unix;
  const exit_code outcome = is_signed ? exit_code::done : exit_code::wrong;
  if (given.as_json) {
    json document = document_of(one);
    document["signed"] = is_signed;
    document["expired"] = expired;
    OVIR_TRY(write_document(document));
    return outcome;
  }
  OVIR_TRY(write_output(
      fmt::format("node       {}\n"
                  "says       {}\n"
                  "{:<10} {}\n"
                  "attestor   {}\n"
                  "signature  {}\n",
                  to_hex(one.node), to_string(one.properties), expired ? "expired" : "expires",
                  expired ? span_text(now - one.expires_unix) + " ago"
                          : "in " + span_text(one.expires_unix - now),
                  to_hex(one.attestor), is_signed ? "the attestor's" : "NOT the attestor's")));
  return outcome;
}

} // namespace

void add_attest(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command =
      app.add_subcommand("attest", "Sign who runs a node, where, and on which hardware");
  const auto given = std::make_shared<attest_options>();
  command->footer("The node shows it by `attestations` of its configuration. It counts for "
                  "requests whose tier\n"
                  "names the key that signed it, until it ends.\n\nExamples:\n"
                  "  ovir attest --key attestor.key --node HEX --region eu --confidential\n"
                  "  ovir attest show ovir-attested-...");
  command->add_option("--key", given->key, "File with the attestor's secret key (ovir keygen)");
  command->add_option("--node", given->node, "Public key of the node, as ovir keygen prints it");
  command->add_option("--operator", given->properties.operated_by, "Who runs it");
  command->add_option("--region", given->properties.region, "Where it is");
  CLI::Option* const level =
      command
          ->add_option("--confidential", given->properties.confidential,
                       "Hardware hides its memory from its operator; with a word: how")
          ->expected(0, 1);
  command->add_option("--expires", given->expires, "For how long: 24h, 7d")->capture_default_str();
  add_json(*command, given->as_json);
  command->callback([command, level, given, &chosen] {
    std::string& how = given->properties.confidential;
    if (level->count() > 0 && (how.empty() || how == "true")) { // as CLI11 says that it is alone
      how = any_level;
    }
    if (command->get_subcommands().empty()) {
      chosen.as_json = given->as_json;
      chosen.run = [given](surroundings& around) { return make_attestation(*given, around); };
    }
  });
  CLI::App* const show = command->add_subcommand("show", "Print what an attestation says");
  const auto shown = std::make_shared<attest_options>();
  show->add_option("ATTESTATION", shown->text, "The attestation")->required();
  add_json(*show, shown->as_json);
  show->callback([shown, &chosen] {
    chosen.as_json = shown->as_json;
    chosen.run = [shown](surroundings& around) { return show_attestation(*shown, around); };
  });
}

} // namespace ovir::apps
