// `ovir ledger create | mint | transfer | stake | unstake | balance`.
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "apps/ovir/ledger/ledger_joint.hpp"
#include "apps/ovir/ledger/ledger_policy_file.hpp"
#include "apps/ovir/ledger/ledger_signing.hpp"
#include "ledger/rules/standing.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <memory>

namespace ovir::apps {

namespace {

struct account_options : signing_options {
  std::string policy;
  std::vector<std::string> mint_keys;
  std::vector<std::string> with; ///< public keys of the other keepers
  std::string account;
  std::string amount;
  bool as_csv{false};
};

result<exit_code> create(const account_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  ledger::genesis rules;
  if (given.policy == free_policy_name) {
    rules.rules = ledger::free_policy();
  } else {
    OVIR_ASSIGN(const std::string text,
                around.environment.read(given.policy, limits::config_file_bytes_max));
    OVIR_ASSIGN(rules.rules, parse_ledger_policy(given.policy, text));
  }
  OVIR_ASSIGN(const secret_key keeper, key_from(around, given.keeper));
  for (const std::string& name : given.mint_keys) {
    OVIR_ASSIGN(const node_id key, node_id_from_hex(name));
    rules.mint_keys.push_back(key);
  }
  std::sort(rules.mint_keys.begin(), rules.mint_keys.end());
  rules.keepers = {keeper.id()};
  around.environment.random(std::as_writable_bytes(std::span{rules.salt.bytes}));
  if (!given.with.empty()) {
    OVIR_ASSIGN(const joint_beginning made,
                begin_joint_ledger(around.environment, folder, rules, given.with, keeper));
    return tell_joint_ledger(made, given.as_json);
  }
  OVIR_ASSIGN(ledger_folder made, ledger_folder::create(around.environment, folder, rules, keeper));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"ledger", to_hex(made.book().id())}, {"folder", folder}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{}\n", to_hex(made.book().id()))));
  }
  return exit_code::done;
}

/// Signs what `make` makes of the next nonce, commits it, and tells what became of it.
template <class Make>
result<exit_code> act(const account_options& given, surroundings& around, const Make& make) {
  OVIR_ASSIGN(const ledger::micro_credits amount, credits_from(given.amount));
  OVIR_ASSIGN(const auto done,
              commit_signed(given, around, [&](const node_id& who, std::uint64_t nonce) {
                return make(who, amount, nonce);
              }));
  const auto& [c, promise, nonce] = done;
  const std::string id = to_hex(ledger::id_of(c));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"entry", promise.entry.index},
                                 {"id", id},
                                 {"nonce", nonce},
                                 {"amount", amount},
                                 {"head", head_json(promise.head.head)}}));
  } else {
    OVIR_TRY(write_output(fmt::format("{} {} credits, entry {}, nonce {}\n",
                                      to_string(ledger::kind_of(c)), credits_text(amount),
                                      promise.entry.index, nonce)));
  }
  return exit_code::done;
}

result<exit_code> transfer(const account_options& given, surroundings& around) {
  return act(given, around,
             [&](const node_id& from, auto amount, auto nonce) -> result<ledger::command> {
               OVIR_ASSIGN(const node_id to, node_id_from_hex(given.account));
               return ledger::command{ledger::transfer{from, to, amount, nonce}};
             });
}

result<exit_code> mint(const account_options& given, surroundings& around) {
  return act(given, around,
             [&](const node_id& by, auto amount, auto nonce) -> result<ledger::command> {
               ledger::mint m{by, ledger::mint_target::participant, {}, amount, nonce};
               if (given.account == "assurance") {
                 m.target = ledger::mint_target::assurance;
               } else if (given.account == "treasury") {
                 m.target = ledger::mint_target::treasury;
               } else {
                 OVIR_ASSIGN(m.to, node_id_from_hex(given.account));
               }
               return ledger::command{m};
             });
}

result<exit_code> stake(const account_options& given, surroundings& around) {
  return act(given, around,
             [](const node_id& account, auto amount, auto nonce) -> result<ledger::command> {
               return ledger::command{ledger::lock{account, amount, nonce}};
             });
}

result<exit_code> unstake(const account_options& given, surroundings& around) {
  return act(given, around,
             [](const node_id& account, auto amount, auto nonce) -> result<ledger::command> {
               return ledger::command{ledger::unlock{account, amount, nonce}};
             });
}

json account_json(const node_id& node, const ledger::account& a, std::uint64_t now,
                  const ledger::policy& rules) {
  return {{"account", to_hex(node)},
          {"free", a.free},
          {"pending", a.pending},
          {"stake", a.stake},
          {"leaving", a.stake - a.firm_stake()},
          {"earned", a.earned},
          {"nonce", a.nonce},
          {"reputation_ppm", ledger::reputation_ppm(a, now, rules)},
          {"influence", ledger::influence(a, now, rules)},
          {"ejected", a.ejected}};
}

/// All accounts, or the one asked for; an account nobody heard of has nothing.
result<std::vector<std::pair<node_id, ledger::account>>>
accounts_asked(const account_options& given, const ledger::state& s) {
  std::vector<std::pair<node_id, ledger::account>> found;
  if (given.account.empty()) {
    for (const auto& [node, a] : s.accounts()) {
      found.emplace_back(node, *a);
    }
    return found;
  }
  OVIR_ASSIGN(const node_id node, node_id_from_hex(given.account));
  const ledger::account* const a = s.find(node);
  found.emplace_back(node, a == nullptr ? ledger::account{} : *a);
  return found;
}

result<exit_code> balance(const account_options& given, surroundings& around) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  OVIR_ASSIGN(ledger_folder open, ledger_folder::open(around.environment, folder));
  const ledger::state& s = open.book().view();
  const std::uint64_t now = around.environment.unix_seconds();
  OVIR_ASSIGN(const auto accounts, accounts_asked(given, s));
  const ledger::totals& t = s.sums();
  if (given.as_json) {
    json list = json::array();
    for (const auto& [node, a] : accounts) {
      list.push_back(account_json(node, a, now, s.origin().rules));
    }
    OVIR_TRY(write_document(json{{"accounts", std::move(list)},
                                 {"minted", t.minted},
                                 {"assurance", t.assurance},
                                 {"treasury", t.treasury},
                                 {"burnt", t.burnt}}));
    return exit_code::done;
  }
  std::string text = given.as_csv ? "account,free,pending,stake,earned,reputation_ppm,ejected\n"
                                  : fmt::format("{:<18}{:>20}{:>20}{:>20}{:>12}\n", "account",
                                                "free", "pending", "stake", "reputation");
  for (const auto& [node, a] : accounts) {
    const std::uint64_t reputation = ledger::reputation_ppm(a, now, s.origin().rules);
    text += given.as_csv ? fmt::format("{},{},{},{},{},{},{}\n", to_hex(node), a.free, a.pending,
                                       a.stake, a.earned, reputation, a.ejected ? 1 : 0)
                         : fmt::format("{:<18}{:>20}{:>20}{:>20}{:>12}\n",
                                       short_name(node) + (a.ejected ? " ejected" : ""),
                                       credits_text(a.free), credits_text(a.pending),
                                       credits_text(a.stake), reputation);
  }
  if (!given.as_csv && given.account.empty()) {
    text += fmt::format("minted {}, assurance {}, treasury {}, burnt {}\n", credits_text(t.minted),
                        credits_text(t.assurance), credits_text(t.treasury), credits_text(t.burnt));
  }
  OVIR_TRY(write_output(text));
  return exit_code::done;
}

} // namespace

void add_ledger_accounts(CLI::App& ledger, chosen_command& chosen) {
  const auto making = std::make_shared<account_options>();
  CLI::App* const command =
      add_ledger_command(ledger, chosen, "create", "Begin a ledger under a policy", making, create);
  command->add_option("--policy", making->policy, "Its rules, such as config/ledger.toml")
      ->required();
  command->add_option("--mint-key", making->mint_keys, "Public key that may mint (repeatable)")
      ->required();
  command->add_option("--keeper", making->keeper,
                      "Secret key of who keeps the log (default: node.key in the state folder)");
  command->add_option("--with", making->with,
                      "Public key of another node that keeps it, too; 2, 4 or 6 of them. Each then "
                      "takes the file that this prints: ovir ledger join FILE");
  struct verb {
    const char* name;
    const char* what;
    const char* account; ///< what the first argument is; null: there is none
    result<exit_code> (*run)(const account_options&, surroundings&);
  };
  for (const verb& v :
       {verb{"mint", "Make new credits (mint keys alone)", "Public key, or assurance or treasury",
             mint},
        verb{"transfer", "Pay credits to another account", "Public key of who is paid", transfer},
        verb{"stake", "Put free credits at stake", nullptr, stake},
        verb{"unstake", "Call stake back; it stays at stake until the delay is over", nullptr,
             unstake}}) {
    const auto given = std::make_shared<account_options>();
    CLI::App* const c = add_ledger_command(ledger, chosen, v.name, v.what, given, v.run);
    if (v.account != nullptr) {
      c->add_option("ACCOUNT", given->account, v.account)->required();
    }
    c->add_option("CREDITS", given->amount, "Amount with at most six decimals, such as 12.5")
        ->required();
    add_signing(*c, *given);
  }
  const auto asked = std::make_shared<account_options>();
  CLI::App* const balances = add_ledger_command(
      ledger, chosen, "balance", "Balances of all accounts, or of one", asked, balance);
  balances->add_option("ACCOUNT", asked->account, "Public key");
  balances->add_flag("--csv", asked->as_csv, "Comma-separated, amounts in micro-credits");
}

} // namespace ovir::apps
