#include "apps/ovir-verify/addenda.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace ovir::apps {

namespace {

std::string_view name_of(audit_finding what) {
  switch (what) {
  case audit_finding::right: return "right";
  case audit_finding::wrong: return "wrong";
  case audit_finding::missing: break;
  }
  return "missing";
}

bool accepts(const compute::signer_policy& who, const node_id& node) {
  return who.who == compute::signer_policy::kind::any ||
         (who.who == compute::signer_policy::kind::listed && who.listed.contains(node));
}

std::size_t count(const addendum& a, audit_finding what) {
  return static_cast<std::size_t>(std::count_if(
      a.units.begin(), a.units.end(), [&](const unit_finding& u) { return u.what == what; }));
}

} // namespace

addenda_report judge_addenda_file(const receipt& r, std::span<const std::byte> receipt_bytes,
                                  std::span<const addendum> all,
                                  const compute::signer_policy& who) {
  const compute::addendum_subject subject = compute::subject_of(r, receipt_digest(receipt_bytes));
  addenda_report report;
  report.judged = compute::judge_addenda(subject, all);
  std::erase_if(report.judged.sound, [&](const addendum& a) {
    if (accepts(who, a.verifier)) {
      return false;
    }
    report.judged.faults.push_back(
        {compute::addendum_fault::kind::unsigned_word,
         fmt::format("the verifier {} is none of the signers that count", to_hex(a.verifier)),
         a.verifier});
    return true;
  });
  report.windows = subject.stages * subject.windows;
  std::map<std::pair<std::uint16_t, std::uint32_t>, bool> wrong; // by unit that was computed again
  for (const addendum& a : report.judged.sound) {
    for (const unit_finding& u : a.units) {
      if (u.what != audit_finding::missing) {
        bool& bad = wrong[{u.stage, u.window}];
        bad = bad || u.what == audit_finding::wrong;
      }
    }
  }
  report.disputed = static_cast<std::size_t>(
      std::count_if(wrong.begin(), wrong.end(), [](const auto& unit) { return unit.second; }));
  report.right = wrong.size() - report.disputed;
  return report;
}

json addenda_document(const addenda_report& report) {
  json audits = json::array();
  for (const addendum& a : report.judged.sound) {
    json units = json::array();
    for (const unit_finding& u : a.units) {
      units.push_back({{"stage", u.stage}, {"window", u.window}, {"finding", name_of(u.what)}});
    }
    audits.push_back({{"verifier", to_hex(a.verifier)},
                      {"kernels", to_string(a.means.kernels)},
                      {"software", a.means.software},
                      {"time", a.unix_seconds},
                      {"findings", std::move(units)}});
  }
  json failures = json::array();
  for (const compute::addendum_fault& f : report.judged.faults) {
    failures.push_back({{"what", f.text}, {"signer", f.by ? json(to_hex(*f.by)) : json(nullptr)}});
  }
  return {{"audits", std::move(audits)},
          {"failures", std::move(failures)},
          {"windows", report.windows},
          {"right", report.right},
          {"disputed", report.disputed}};
}

std::string addenda_text(const addenda_report& report) {
  std::string text;
  for (const addendum& a : report.judged.sound) {
    text +=
        fmt::format("audited: {} computed again with {}: {} windows right, {} wrong, {} not to "
                    "be had\n",
                    to_hex(a.verifier), to_string(a.means.kernels), count(a, audit_finding::right),
                    count(a, audit_finding::wrong), count(a, audit_finding::missing));
  }
  for (const compute::addendum_fault& f : report.judged.faults) {
    text += fmt::format("does not count: {}{}\n", f.text,
                        f.by ? fmt::format(" (signer {})", to_hex(*f.by)) : "");
  }
  text +=
      fmt::format("{} of {} windows were computed again: {} right, {} disputed\n",
                  report.right + report.disputed, report.windows, report.right, report.disputed);
  return text;
}

} // namespace ovir::apps
