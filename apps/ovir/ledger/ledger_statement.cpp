// `ovir ledger statement`: what an account got and gave, for which request and window, and why.
#include "apps/ovir/ledger/ledger_commands.hpp"
#include "apps/ovir/ledger/ledger_folder.hpp"
#include "ledger/keeper/log_index.hpp"

#include <map>
#include <memory>

namespace ovir::apps {

namespace {

using ledger::statement_line;

struct statement_options {
  std::string folder;
  std::string account;
  std::string voucher; ///< of whose requests alone
  std::uint64_t since{0};
  bool as_csv{false};
  bool as_json{false};
};

std::string window_text(const ledger::posting& p) {
  return p.window >= ledger::first_compensation
             ? fmt::format("compensation {}", p.window - ledger::first_compensation)
             : fmt::format("window {}", p.window);
}

std::string why(const statement_line& l, const std::map<digest, node_id>& payers) {
  std::string text{to_string(l.what.kind)};
  if (l.what.request != digest{}) {
    text += " of request " + to_hex(l.what.request).substr(0, 8);
    if (const auto payer = payers.find(l.what.request); payer != payers.end()) {
      text += " by " + short_name(payer->second);
    }
    text += ", " + window_text(l.what);
  }
  return text;
}

struct statement {
  std::vector<statement_line> lines;
  std::map<digest, node_id> payers;  ///< of the requests in it
  std::map<digest, digest> vouchers; ///< that pay for some of these
};

/// From the index: as many entries are read as there are requests in it.
result<statement> from_index(const ledger::ledger& book, const node_id& node) {
  statement s;
  OVIR_ASSIGN(s.lines, book.statement(node));
  for (const statement_line& l : s.lines) {
    if (l.what.request == digest{} || s.payers.contains(l.what.request)) {
      continue;
    }
    const auto reserved = book.view().index_of(ledger::reservation_id(l.what.request));
    if (!reserved) {
      continue;
    }
    OVIR_ASSIGN(const auto bytes, book.log().entry_at(*reserved));
    OVIR_ASSIGN(const ledger::entry e, ledger::decode_entry(bytes));
    if (const auto* const r = std::get_if<ledger::reserve>(&e.what)) {
      s.payers.emplace(l.what.request, r->payer);
      s.vouchers.emplace(l.what.request, r->voucher);
    }
  }
  return s;
}

/// From the log, entry by entry: while another process has the ledger open.
result<statement> from_log(const std::string& folder, const node_id& node) {
  statement s;
  OVIR_TRY(walk_ledger(folder, [&](std::uint64_t index, const ledger::entry& e,
                                   const std::vector<ledger::posting>& effects) {
    if (const auto* const r = std::get_if<ledger::reserve>(&e.what)) {
      s.payers.emplace(ledger::escrow_of(*r), r->payer);
      s.vouchers.emplace(ledger::escrow_of(*r), r->voucher);
    }
    for (const ledger::posting& p : effects) {
      for (const bool out : {true, false}) {
        const ledger::account_ref& side = out ? p.from : p.to;
        if (side.of.bytes == node.key && side.kind >= ledger::purse::free &&
            side.kind <= ledger::purse::stake) {
          s.lines.push_back({index, e.time, p, out});
        }
      }
    }
  }));
  return s;
}

result<statement> gather(const statement_options& given, surroundings& around,
                         const node_id& node) {
  OVIR_ASSIGN(const std::string folder, ledger_folder_from(given.folder));
  const auto open = [&]() -> result<statement> {
    OVIR_ASSIGN(ledger_folder opened, ledger_folder::open(around.environment, folder));
    return from_index(opened.book(), node);
  };
  auto s = open();
  const bool by_log = !s && (s.error().code == errc::busy || s.error().code == errc::io_failed ||
                             s.error().code == errc::not_found);
  if (by_log) {
    s = from_log(folder, node);
  }
  if (s) {
    std::erase_if(s->lines, [&](const statement_line& l) { return l.time < given.since; });
    if (!given.voucher.empty()) {
      OVIR_ASSIGN(const digest named, digest_from_hex(given.voucher));
      std::erase_if(s->lines, [&](const statement_line& l) {
        const auto by = s->vouchers.find(l.what.request);
        return by == s->vouchers.end() || by->second != named;
      });
    }
  }
  return s;
}

json lines_json(const statement& s) {
  json list = json::array();
  for (const statement_line& l : s.lines) {
    json line = posting_json(l.what);
    line["entry"] = l.index;
    line["time"] = l.time;
    line["direction"] = l.out ? "out" : "in";
    line["why"] = why(l, s.payers);
    line["reason"] = std::string{ledger::reason_of(l.what.kind)};
    const auto payer = s.payers.find(l.what.request);
    line["payer"] = payer == s.payers.end() ? json(nullptr) : json(to_hex(payer->second));
    list.push_back(std::move(line));
  }
  return list;
}

std::string csv_line(const statement_line& l, const statement& s) {
  const ledger::account_ref& mine = l.out ? l.what.from : l.what.to;
  const ledger::account_ref& other = l.out ? l.what.to : l.what.from;
  const auto payer = s.payers.find(l.what.request);
  const bool of_request = l.what.request != digest{};
  return fmt::format(
      "{},{},{},{}{},\"{}\",{},{},{},{},\"{}\"\n", l.index, l.time, to_string(mine.kind),
      l.out ? "-" : "", l.what.amount, why(l, s.payers), place_text(other),
      of_request ? to_hex(l.what.request) : "", of_request ? fmt::format("{}", l.what.window) : "",
      payer == s.payers.end() ? "" : to_hex(payer->second), ledger::reason_of(l.what.kind));
}

std::string text_line(const statement_line& l, const statement& s) {
  const ledger::account_ref& mine = l.out ? l.what.from : l.what.to;
  const ledger::account_ref& other = l.out ? l.what.to : l.what.from;
  return fmt::format("{:>8}  {:<10}  {:<8}{:>20}  {}, {} {} ({})\n", l.index, l.time,
                     to_string(mine.kind), (l.out ? "-" : "+") + credits_text(l.what.amount),
                     why(l, s.payers), l.out ? "to" : "from", place_text(other),
                     ledger::reason_of(l.what.kind));
}

result<exit_code> show_statement(const statement_options& given, surroundings& around) {
  OVIR_ASSIGN(const node_id node, node_id_from_hex(given.account));
  OVIR_ASSIGN(const statement s, gather(given, around, node));
  if (given.as_json) {
    OVIR_TRY(write_document(json{{"account", to_hex(node)}, {"lines", lines_json(s)}}));
    return exit_code::done;
  }
  std::string text = given.as_csv
                         ? "entry,time,purse,change,why,other,request,window,payer,reason\n"
                         : fmt::format("{:>8}  {:<10}  {:<8}{:>20}  {}\n", "entry", "time", "purse",
                                       "change", "why");
  for (const statement_line& l : s.lines) {
    text += given.as_csv ? csv_line(l, s) : text_line(l, s);
  }
  OVIR_TRY(write_output(text));
  return exit_code::done;
}

} // namespace

void add_ledger_statement(CLI::App& ledger, chosen_command& chosen) {
  const auto given = std::make_shared<statement_options>();
  CLI::App* const command = ledger.add_subcommand(
      "statement", "What an account got and gave: which request and window, with whom, and why");
  command->add_option("--ledger", given->folder,
                      "Folder of the ledger (default: ledger in the state folder)");
  add_json(*command, given->as_json);
  command->add_option("ACCOUNT", given->account, "Public key")->required();
  command->add_option("--voucher", given->voucher, "Requests that this voucher pays for alone");
  command->add_option("--since", given->since, "Seconds since 1970");
  command->add_flag("--csv", given->as_csv, "Comma-separated, amounts in micro-credits");
  command->callback([given, &chosen] {
    chosen.as_json = given->as_json;
    chosen.run = [given](surroundings& around) { return show_statement(*given, around); };
  });
}

} // namespace ovir::apps
