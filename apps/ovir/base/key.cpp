#include "apps/ovir/base/http_commands.hpp"
#include "gateway/access/api_key_file.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ovir::apps {

namespace {

struct key_options {
  std::string file;
  std::string name; ///< of a key; of `revoke` also its id
  std::vector<std::string> roles{"infer"};
  std::uint64_t requests_per_minute{0};
  std::uint64_t tokens_per_day{0};
  std::uint64_t concurrent{0};
  std::string reveal{"at_once"};
  std::string privacy{"none"};
  std::string voucher; ///< empty: the node pays
  bool as_json{false};
};

bool has(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

result<exit_code> create(const key_options& given, surroundings& around) {
  gateway::api_key key;
  key.name = given.name;
  key.may_infer = has(given.roles, "infer");
  key.may_read_metrics = has(given.roles, "metrics");
  key.may_look = has(given.roles, "reader");
  key.created = around.environment.unix_seconds();
  key.requests_per_minute = given.requests_per_minute;
  key.tokens_per_day = given.tokens_per_day;
  key.concurrent = given.concurrent;
  OVIR_ASSIGN(key.reveal, reveal_from(given.reveal));
  OVIR_ASSIGN(key.privacy, privacy_from(given.privacy));
  if (!given.voucher.empty()) {
    OVIR_ASSIGN(key.voucher, gateway::voucher_from(given.voucher));
  }
  std::array<std::byte, 32> secret{};
  around.environment.random(secret);
  std::string text;
  std::string id;
  std::string in_ledger;
  OVIR_TRY(gateway::change_api_keys(around.environment, given.file, true,
                                    [&](gateway::known_keys& keys) -> result<void> {
                                      OVIR_ASSIGN(text, keys.table.add(key, secret, keys.with));
                                      const gateway::api_key& made = keys.table.keys().back();
                                      id = made.id;
                                      in_ledger = to_hex(gateway::name_in_ledger(made));
                                      return {};
                                    }));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"id", id},
                                 {"name", given.name},
                                 {"key", text},
                                 {"file", given.file},
                                 {"in_ledger", in_ledger}}));
    return exit_code::done;
  }
  write_note(
      fmt::format("key {} '{}' is in {} as a hash alone; this is the only time it is shown\n", id,
                  given.name, given.file));
  OVIR_TRY(write_output(text + "\n"));
  return exit_code::done;
}

json voucher_json(const gateway::api_key& key) {
  return !key.voucher               ? json(nullptr)
         : *key.voucher == digest{} ? json("ledger")
                                    : json(to_hex(*key.voucher));
}

result<exit_code> list(const key_options& given, surroundings& around) {
  OVIR_ASSIGN(const auto keys, gateway::load_api_keys(around.environment, given.file));
  json documents = json::array();
  std::string table;
  const auto limit = [](std::uint64_t number) {
    return number == 0 ? std::string{"-"} : std::to_string(number);
  };
  for (const gateway::api_key& key : keys.table.keys()) {
    json roles = json::array();
    if (key.may_infer) {
      roles.push_back("infer");
    }
    if (key.may_read_metrics) {
      roles.push_back("metrics");
    }
    if (key.may_look) {
      roles.push_back("reader");
    }
    table += fmt::format("{}  {:<20} {:<8} {}/min  {}/day  {} at once{}{}\n", key.id, key.name,
                         key.revoked > 0 ? "revoked" : "good", limit(key.requests_per_minute),
                         limit(key.tokens_per_day), limit(key.concurrent),
                         key.reveal == reveal_when::after ? "  reveal after" : "",
                         key.privacy == privacy_mode::ends ? "  privacy ends" : "");
    table += key.voucher ? fmt::format("{:18}pays by a voucher, as {}\n", "",
                                       to_hex(gateway::name_in_ledger(key)))
                         : std::string{};
    documents.push_back({{"id", key.id},
                         {"name", key.name},
                         {"roles", std::move(roles)},
                         {"created", key.created},
                         {"revoked", key.revoked > 0 ? json(key.revoked) : json(nullptr)},
                         {"requests_per_minute", key.requests_per_minute},
                         {"tokens_per_day", key.tokens_per_day},
                         {"concurrent", key.concurrent},
                         {"reveal", to_string(key.reveal)},
                         {"privacy", to_string(key.privacy)},
                         {"voucher", voucher_json(key)},
                         {"in_ledger", to_hex(gateway::name_in_ledger(key))}});
  }
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"keys", std::move(documents)}}));
  } else {
    OVIR_TRY(write_output(table));
  }
  return exit_code::done;
}

result<exit_code> revoke(const key_options& given, surroundings& around) {
  OVIR_TRY(gateway::change_api_keys(
      around.environment, given.file, false, [&](gateway::known_keys& keys) {
        return keys.table.revoke(given.name, around.environment.unix_seconds());
      }));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"revoked", given.name}}));
  } else {
    write_note(
        fmt::format("'{}' is revoked; gateways refuse it within {} s\n", given.name,
                    std::chrono::ceil<std::chrono::seconds>(limits::api_keys_reread).count()));
  }
  return exit_code::done;
}

using action = result<exit_code> (*)(const key_options&, surroundings&);

CLI::App* add_action(CLI::App& parent, const std::string& name, const std::string& help,
                     const std::shared_ptr<key_options>& given, chosen_command& chosen,
                     action act) {
  CLI::App* const command = parent.add_subcommand(name, help);
  command->add_option("-f,--file", given->file, "File of API keys")->required();
  add_json(*command, given->as_json);
  command->callback([given, &chosen, act] {
    chosen.as_json = given->as_json;
    chosen.run = [given, act](surroundings& around) { return act(*given, around); };
  });
  return command;
}

} // namespace

void add_key(CLI::App& app, chosen_command& chosen) {
  CLI::App* const command = app.add_subcommand("key", "Keys of clients that ask over HTTP");
  command->require_subcommand(1);
  command->footer("A key is shown once, when it is made; the file has a keyed hash of it, and\n"
                  "FILE.secret what it is keyed with. Several gateways may have copies of both.\n"
                  "\nExamples:\n"
                  "  ovir key create -f api-keys.json ann --tokens-per-day 100000\n"
                  "  ovir key list -f api-keys.json\n"
                  "  ovir key revoke -f api-keys.json ann");
  const auto given = std::make_shared<key_options>();
  CLI::App* const made =
      add_action(*command, "create", "Make a key and show it, once", given, chosen, create);
  made->add_option("name", given->name, "Who it is for, as logs say it")->required();
  made->add_option(
          "--role", given->roles,
          "infer, metrics, reader (looks at the cluster, as the console does); with commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"infer", "metrics", "reader"}))
      ->capture_default_str();
  const auto limit = [made](const std::string& name, std::uint64_t& value,
                            const std::string& help) {
    made->add_option(name, value, help)->check(CLI::Range(std::uint64_t{1}, limits::api_rate_max));
  };
  limit("--requests-per-minute", given->requests_per_minute,
        "Requests it may begin (default: any)");
  limit("--tokens-per-day", given->tokens_per_day, "Tokens of prompts and answers (default: any)");
  limit("--concurrent", given->concurrent, "Requests under way at once (default: any)");
  made->add_option("--reveal", given->reveal,
                   "after: its tokens are told only once they were computed twice, over nodes that "
                   "have none in common")
      ->check(CLI::IsMember({"at_once", "after"}))
      ->capture_default_str();
  made->add_option("--privacy", given->privacy,
                   "ends: tokens and logits of its requests stay on the gateway's node and those "
                   "that it names (privacy.nodes)")
      ->check(CLI::IsMember({"none", "ends"}))
      ->capture_default_str();
  made->add_option(
      "--voucher", given->voucher,
      "Its requests are paid by a voucher: 'ledger' for the one that the ledger has for "
      "this key, or 64 hexadecimal digits (default: the node pays)");
  add_action(*command, "list", "Every key, without the keys themselves", given, chosen, list);
  add_action(*command, "revoke", "Refuse a key from now on", given, chosen, revoke)
      ->add_option("name", given->name, "Its name or id")
      ->required();
}

} // namespace ovir::apps
