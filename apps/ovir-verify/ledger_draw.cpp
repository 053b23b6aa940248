#include "apps/ovir-verify/ledger_draw.hpp"

#include "storage/env/durable_file.hpp"

#include <filesystem>
#include <utility>

namespace ovir::apps {

namespace {

std::string_view short_hex(const std::string& hex) { return std::string_view{hex}.substr(0, 8); }

bool is_overdue(const ledger::epoch_verifier& v) { return v.link == digest{}; }

json epoch_json(const draw_report& r, const drawn_epoch& e) {
  json verifiers = json::array();
  for (const ledger::epoch_verifier& v : e.what.verifiers) {
    verifiers.push_back({{"verifier", to_hex(v.node)},
                         {"weight", v.weight},
                         {"link", is_overdue(v) ? json(nullptr) : json(to_hex(v.link))}});
  }
  json units = json::array();
  for (const ledger::drawn_unit& d : e.units) {
    json audits = json::array();
    for (const node_id& verifier : d.verifiers) {
      audits.push_back(
          {{"verifier", to_hex(verifier)}, {"audited", r.audited(e, d.unit, verifier)}});
    }
    units.push_back({{"request", to_hex(d.unit.request)},
                     {"window", d.unit.window},
                     {"signer", to_hex(d.unit.signer)},
                     {"audits", std::move(audits)}});
  }
  return {{"epoch", e.what.number},
          {"first", e.what.first},
          {"last", e.what.last},
          {"seed", to_hex(e.what.seed())},
          {"verifiers", std::move(verifiers)},
          {"units", std::move(units)}};
}

std::string epoch_text(const draw_report& r, const drawn_epoch& e) {
  std::string text =
      fmt::format("epoch {}: entries {} to {}, {} verifiers, {} units drawn\n", e.what.number,
                  e.what.first, e.what.last, e.what.verifiers.size(), e.units.size());
  for (const ledger::epoch_verifier& v : e.what.verifiers) {
    text += is_overdue(v) ? fmt::format("  overdue: the link of {}\n", short_name(v.node)) : "";
  }
  for (const ledger::drawn_unit& d : e.units) {
    text += fmt::format("  request {} window {} of {}:", short_hex(to_hex(d.unit.request)),
                        d.unit.window, short_name(d.unit.signer));
    for (const node_id& verifier : d.verifiers) {
      text += fmt::format(" {} {}", short_name(verifier),
                          r.audited(e, d.unit, verifier) ? "audited" : "not yet");
    }
    text += d.verifiers.empty() ? " nobody may audit it\n" : "\n";
  }
  return text;
}

} // namespace

bool draw_report::audited(const drawn_epoch& e, const ledger::audit_unit& u,
                          const node_id& verifier) const {
  const auto found = paid.find({u.request, u.window, u.signer, verifier});
  return found != paid.end() && found->second > e.what.last;
}

std::map<node_id, verifier_sums> draw_report::sums() const {
  std::map<node_id, verifier_sums> all;
  for (const drawn_epoch& e : epochs) {
    for (const ledger::epoch_verifier& v : e.what.verifiers) {
      all[v.node].links_overdue += is_overdue(v) ? 1 : 0;
    }
    for (const ledger::drawn_unit& d : e.units) {
      for (const node_id& verifier : d.verifiers) {
        ++all[verifier].drawn;
        all[verifier].audited += audited(e, d.unit, verifier) ? 1 : 0;
      }
    }
  }
  return all;
}

result<draw_report> read_draws(durable_file& log) {
  draw_report report;
  ledger::epoch_reader reader;
  ledger::verify_options how;
  how.watch = [&](std::uint64_t index, const ledger::entry& e, const digest& chain,
                  const ledger::state& after) {
    if (const auto* const x = std::get_if<ledger::compensate>(&e.what)) {
      report.paid[{x->request, x->window, x->signer, x->to}] = index;
    }
    for (ledger::epoch_draw& d : reader.take(index, e, chain, after)) {
      drawn_epoch& one = report.epochs.emplace_back();
      d.each_drawn([&](const ledger::drawn_unit& u) { one.units.push_back(u); });
      d.accruals.clear();
      one.what = std::move(d);
    }
  };
  OVIR_ASSIGN(report.log, ledger::verify_log(log, how));
  return report;
}

std::string text_of(const draw_report& r) {
  if (r.log.fault) {
    return fmt::format("WRONG{}: {}\n",
                       r.log.fault->entry ? fmt::format(" at entry {}", *r.log.fault->entry) : "",
                       r.log.fault->what);
  }
  std::string text;
  for (const drawn_epoch& e : r.epochs) {
    text += e.what.verifiers.empty() ? "" : epoch_text(r, e);
  }
  for (const auto& [verifier, s] : r.sums()) {
    text +=
        fmt::format("verifier {}: {} drawn, {} audited, {} missing, {} links overdue\n",
                    short_name(verifier), s.drawn, s.audited, s.drawn - s.audited, s.links_overdue);
  }
  return text + fmt::format("{} entries, all as they were written; {} epochs\n", r.log.head.size,
                            r.epochs.size());
}

json document_of(const draw_report& r) {
  json fault = nullptr;
  json epochs = json::array();
  json verifiers = json::array();
  if (r.log.fault) {
    fault = {{"entry", r.log.fault->entry ? json(*r.log.fault->entry) : json(nullptr)},
             {"what", r.log.fault->what}};
  } else {
    for (const drawn_epoch& e : r.epochs) {
      epochs.push_back(epoch_json(r, e));
    }
    for (const auto& [verifier, s] : r.sums()) {
      verifiers.push_back({{"verifier", to_hex(verifier)},
                           {"drawn", s.drawn},
                           {"audited", s.audited},
                           {"missing", s.drawn - s.audited},
                           {"links_overdue", s.links_overdue}});
    }
  }
  return {{"ok", !r.log.fault},
          {"ledger", to_hex(r.log.head.ledger)},
          {"size", r.log.head.size},
          {"epochs", std::move(epochs)},
          {"verifiers", std::move(verifiers)},
          {"fault", std::move(fault)}};
}

result<exit_code> verify_draws(const std::string& path, bool as_json) {
  std::error_code none;
  const bool is_folder = std::filesystem::is_directory(path, none);
  const std::string log = is_folder ? (std::filesystem::path{path} / "log").string() : path;
  OVIR_ASSIGN(const auto file, storage::open_durable_file_to_read(log));
  auto report = read_draws(*file);
  if (!report) {
    return in_context(log, report.error());
  }
  OVIR_TRY(as_json ? write_document(document_of(*report)) : write_output(text_of(*report)));
  return report->log.fault ? exit_code::wrong : exit_code::done;
}

} // namespace ovir::apps
