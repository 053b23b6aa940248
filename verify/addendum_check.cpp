#include "verify/addendum_check.hpp"

#include <algorithm>

namespace ovir::compute {

namespace {

using kind = addendum_fault::kind;

bool contradicts(audit_finding a, audit_finding b) {
  return a != b && a != audit_finding::missing && b != audit_finding::missing;
}

/// What its verifier said of this window before; none where it never got as far.
std::optional<audit_finding> said_before(const node_id& verifier, const unit_finding& u,
                                         std::span<const addendum> before) {
  std::optional<audit_finding> said;
  for (const addendum& a : before) {
    if (a.verifier != verifier) {
      continue;
    }
    const auto found = std::lower_bound(
        a.units.begin(), a.units.end(), u, [](const unit_finding& x, const unit_finding& y) {
          return std::pair{x.stage, x.window} < std::pair{y.stage, y.window};
        });
    const bool same =
        found != a.units.end() && found->stage == u.stage && found->window == u.window;
    if (same && (!said || *said == audit_finding::missing)) {
      said = found->what;
    }
  }
  return said;
}

std::optional<addendum_fault> find_repetition(const addendum& a, std::span<const addendum> before) {
  bool news = false;
  for (const unit_finding& u : a.units) {
    const auto said = said_before(a.verifier, u, before);
    if (said && contradicts(*said, u.what)) {
      return addendum_fault{kind::contradiction,
                            fmt::format("{} said the opposite of window {} of stage {} before",
                                        short_name(a.verifier), u.window, u.stage),
                            a.verifier};
    }
    news = news || !said || (*said != u.what && u.what != audit_finding::missing);
  }
  return news ? std::nullopt
              : std::optional{addendum_fault{
                    kind::repetition,
                    fmt::format("{} said all of this before", short_name(a.verifier)), a.verifier}};
}

} // namespace

addendum_subject subject_of(const receipt& r, const digest& name) {
  addendum_subject s{name, r.stages.size(), windows_of(r.positions), {r.lead.node}};
  for (const stage_records& stage : r.stages) {
    s.parties.insert(stage.signer.node);
    for (const evidence_signer& sender : stage.senders) {
      s.parties.insert(sender.node);
    }
    for (const statement& one : stage.statements) {
      for (const unit_citation& c : one.cited) {
        s.parties.insert(c.author);
      }
    }
  }
  return s;
}

std::optional<addendum_fault> find_addendum_fault(const addendum& a, const addendum_subject& about,
                                                  std::span<const addendum> before) {
  if (!verify_addendum(a)) {
    return addendum_fault{kind::unsigned_word,
                          fmt::format("an addendum that {} did not sign", short_name(a.verifier)),
                          std::nullopt};
  }
  if (a.receipt != about.receipt) {
    return addendum_fault{kind::elsewhere,
                          fmt::format("an addendum of {} is about another receipt, {}",
                                      short_name(a.verifier), to_hex(a.receipt).substr(0, 8)),
                          a.verifier};
  }
  if (about.parties.contains(a.verifier)) {
    return addendum_fault{kind::party,
                          fmt::format("{} took part in this answer and audits another's alone",
                                      short_name(a.verifier)),
                          a.verifier};
  }
  for (const unit_finding& u : a.units) {
    if (u.stage >= about.stages || u.window >= about.windows) {
      return addendum_fault{
          kind::no_unit,
          fmt::format("an addendum of {} is about window {} of stage {}; the receipt has {} and {}",
                      short_name(a.verifier), u.window, u.stage, about.windows, about.stages),
          a.verifier};
    }
  }
  return find_repetition(a, before);
}

judged_addenda judge_addenda(const addendum_subject& about, std::span<const addendum> all) {
  judged_addenda judged;
  for (const addendum& a : all) {
    if (auto fault = find_addendum_fault(a, about, judged.sound)) {
      judged.faults.push_back(std::move(*fault));
    } else {
      judged.sound.push_back(a);
    }
  }
  return judged;
}

} // namespace ovir::compute
