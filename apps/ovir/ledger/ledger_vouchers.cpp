// `ovir ledger voucher | revoke | vouchers`: what pays for the requests of an API key.
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "apps/ovir/ledger/ledger_signing.hpp"
#include "gateway/access/api_key_file.hpp"
#include "ledger/rules/attest.hpp"
#include "messages/hex.hpp"

#include <algorithm>
#include <memory>

namespace ovir::apps {

namespace {

struct voucher_options : signing_options {
  std::string subject; ///< an API key, or a voucher
  std::string amount;
  std::string keys; ///< file of API keys, where the key is named as in there
  std::uint64_t expires{0};
  std::vector<std::string> schedulers;
  std::string ledger; ///< sign for it, and enter nothing
};

/// What the ledger calls the API key: its digits, or the name that the file has for it.
result<digest> api_key_named(const voucher_options& given, surroundings& around) {
  if (given.keys.empty()) {
    return digest_from_hex(given.subject);
  }
  OVIR_ASSIGN(const auto keys, gateway::load_api_keys(around.environment, given.keys));
  for (const gateway::api_key& key : keys.table.keys()) {
    if (key.name == given.subject || key.id == given.subject) {
      return gateway::name_in_ledger(key);
    }
  }
  return fail(errc::not_found, "{}: there is no key '{}'", given.keys, given.subject);
}

/// For `ledger submit` in a shell of a cluster that runs.
result<exit_code> sign_only(const voucher_options& given, surroundings& around,
                            const command_maker& make) {
  if (given.nonce == 0) {
    return fail(errc::invalid_argument,
                "--sign-for knows no ledger to look the nonce up in; give --nonce, above every one "
                "the key used ('ledger balance' in a shell shows it)");
  }
  OVIR_ASSIGN(const digest ledger, digest_from_hex(given.ledger));
  OVIR_ASSIGN(const secret_key key, key_from(around, given.key));
  OVIR_ASSIGN(const ledger::command c, make(key.id(), given.nonce));
  OVIR_TRY(ledger::check_form(c));
  std::vector<std::byte> bytes;
  ledger::encode({0, c, ledger::sign_action(key, ledger, c)}, bytes);
  const std::string entry = to_hex(std::span<const std::byte>{bytes});
  OVIR_TRY(given.as_json ? write_document(json{{"entry", entry}}) : write_output(entry + "\n"));
  return exit_code::done;
}

result<exit_code> act(const voucher_options& given, surroundings& around,
                      const command_maker& make) {
  if (!given.ledger.empty()) {
    return sign_only(given, around, make);
  }
  OVIR_ASSIGN(const signed_entry done, commit_signed(given, around, make));
  const auto* const made = std::get_if<ledger::voucher>(&done.what);
  const std::string name = made != nullptr ? to_hex(ledger::voucher_id(*made)) : given.subject;
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"entry", done.promise.entry.index},
                                 {"id", to_hex(ledger::id_of(done.what))},
                                 {"nonce", done.nonce},
                                 {"voucher", name},
                                 {"head", head_json(done.promise.head.head)}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} {}, entry {}, nonce {}\n",
                                      to_string(ledger::kind_of(done.what)), name,
                                      done.promise.entry.index, done.nonce)));
  }
  return exit_code::done;
}

result<exit_code> make_voucher(const voucher_options& given, surroundings& around) {
  ledger::voucher v;
  OVIR_ASSIGN(v.key, api_key_named(given, around));
  OVIR_ASSIGN(v.limit, credits_from(given.amount));
  v.expires = given.expires;
  for (const std::string& name : given.schedulers) {
    OVIR_ASSIGN(const node_id scheduler, node_id_from_hex(name));
    v.schedulers.push_back(scheduler);
  }
  std::sort(v.schedulers.begin(), v.schedulers.end());
  return act(given, around, [&](const node_id& who, std::uint64_t nonce) {
    v.account = who;
    v.nonce = nonce;
    return result<ledger::command>{v};
  });
}

result<exit_code> revoke_voucher(const voucher_options& given, surroundings& around) {
  OVIR_ASSIGN(const digest name, digest_from_hex(given.subject));
  return act(given, around, [&](const node_id& who, std::uint64_t nonce) {
    return result<ledger::command>{ledger::revoke{who, name, nonce}};
  });
}

json voucher_json(const digest& name, const ledger::voucher_record& v) {
  json schedulers = json::array();
  for (const node_id& s : v.schedulers) {
    schedulers.push_back(to_hex(s));
  }
  return {{"voucher", to_hex(name)},
          {"account", to_hex(v.account)},
          {"key", to_hex(v.key)},
          {"limit", v.limit},
          {"spent", v.spent},
          {"reserved", v.reserved},
          {"left", v.left()},
          {"expires", v.expires},
          {"revoked", v.revoked},
          {"open_requests", v.open_requests},
          {"schedulers", std::move(schedulers)}};
}

result<exit_code> list_vouchers(const voucher_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(ledger_folder open, ledger_folder::open(around.environment, folder));
  std::optional<node_id> of;
  if (!given.subject.empty()) {
    OVIR_ASSIGN(of, node_id_from_hex(given.subject));
  }
  json documents = json::array();
  std::string table = fmt::format("{:<66}{:>16}{:>16}{:>16}  {:<12}{}\n", "voucher", "left",
                                  "reserved", "limit", "expires", "account");
  for (const auto& [name, v] : open.book().view().vouchers().all()) {
    if (of && *of != v.account) {
      continue;
    }
    documents.push_back(voucher_json(name, v));
    table += fmt::format("{:<66}{:>16}{:>16}{:>16}  {:<12}{}{}\n", to_hex(name),
                         credits_text(v.left()), credits_text(v.reserved), credits_text(v.limit),
                         v.expires, short_name(v.account), v.revoked ? " revoked" : "");
  }
  OVIR_TRY(given.as_json ? write_document(json{{"vouchers", std::move(documents)}})
                         : write_output(table));
  return exit_code::done;
}

void add_sign_for(CLI::App& command, voucher_options& given) {
  command.add_option("--sign-for", given.ledger,
                     "Name of a ledger that another process keeps: print the signed entry, for "
                     "'ledger submit' in a shell, and enter nothing (needs --nonce)");
}

} // namespace

void add_ledger_vouchers(CLI::App& ledger, chosen_command& chosen) {
  const auto making = std::make_shared<voucher_options>();
  CLI::App* const made =
      add_ledger_command(ledger, chosen, "voucher",
                         "Pay for the requests of an API key, up to a limit", making, make_voucher);
  made->add_option("API_KEY", making->subject,
                   "What the ledger calls it (in_ledger of ovir key list --json); with --keys its "
                   "name or id in there")
      ->required();
  made->add_option("CREDITS", making->amount, "Limit in all, with at most six decimals")
      ->required();
  made->add_option("--keys", making->keys, "File of API keys, with its secret");
  made->add_option("--expires", making->expires, "Seconds since 1970")->required();
  made->add_option("--scheduler", making->schedulers,
                   "Public key of a gateway's node that may spend it (repeatable)")
      ->required();
  add_signing(*made, *making);
  add_sign_for(*made, *making);

  const auto revoking = std::make_shared<voucher_options>();
  CLI::App* const revoked = add_ledger_command(
      ledger, chosen, "revoke", "Let a voucher pay for nothing more", revoking, revoke_voucher);
  revoked->add_option("VOUCHER", revoking->subject, "Its name")->required();
  add_signing(*revoked, *revoking);
  add_sign_for(*revoked, *revoking);

  const auto asked = std::make_shared<voucher_options>();
  add_ledger_command(ledger, chosen, "vouchers", "What all vouchers have left, or one account's",
                     asked, list_vouchers)
      ->add_option("ACCOUNT", asked->subject, "Public key");
}

} // namespace ovir::apps
