#include "actors/operator/answer_checker.hpp"

#include "gateway/http/event_id.hpp"
#include "messages/limits/addenda.hpp"
#include "messages/limits/audit.hpp"
#include "verify/addendum_check.hpp"
#include "verify/receipt_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::actors {

namespace {

using gateway::answer_check;
using gateway::answer_party;
using gateway::answer_verdict;

answer_party party(const node_id& node, const key_facts& keys) {
  const auto found = keys.names.find(node);
  return {node, found == keys.names.end() ? std::string{} : found->second};
}

std::string called(const answer_party& who) {
  return who.name.empty() ? short_name(who.node)
                          : fmt::format("{} ({})", who.name, short_name(who.node));
}

std::string_view name_of(audit_finding what) {
  switch (what) {
  case audit_finding::right: return "right";
  case audit_finding::wrong: return "wrong";
  case audit_finding::missing: break;
  }
  return "missing";
}

std::vector<answer_check::reuse> reused_in(const stage_records& stage, const key_facts& keys) {
  std::map<node_id, std::uint64_t> units;
  for (const statement& s : stage.statements) {
    for (const unit_citation& c : s.cited) {
      ++units[c.author];
    }
  }
  std::vector<answer_check::reuse> all;
  for (const auto& [author, count] : units) {
    all.push_back({party(author, keys), count});
  }
  return all;
}

/// The strongest thing that was said of each window: that it is wrong, then that it is right.
using findings = std::map<std::uint32_t, audit_finding>;

void count_windows(answer_check::stage& out, const findings& said) {
  for (std::uint32_t window = 0; window < out.windows; ++window) {
    const auto found = said.find(window);
    const auto what = found == said.end() ? std::optional<audit_finding>{} : found->second;
    out.right += what == audit_finding::right ? 1 : 0;
    out.wrong += what == audit_finding::wrong ? 1 : 0;
    out.missing += what == audit_finding::missing ? 1 : 0;
    if (!what || *what == audit_finding::missing) {
      out.unaudited.push_back(window);
    }
  }
}

std::vector<findings> findings_of(const std::vector<addendum>& sound, std::size_t stages) {
  std::vector<findings> all(stages);
  const auto weight = [](audit_finding what) {
    return what == audit_finding::wrong ? 2 : what == audit_finding::right ? 1 : 0;
  };
  for (const addendum& a : sound) {
    for (const unit_finding& u : a.units) {
      const auto [at, fresh] = all[u.stage].try_emplace(u.window, u.what);
      if (!fresh && weight(u.what) > weight(at->second)) {
        at->second = u.what;
      }
    }
  }
  return all;
}

answer_check::stage stage_of(const stage_records& from, const findings& said,
                             const key_facts& keys) {
  answer_check::stage out;
  out.layers = from.signer.layers;
  out.by = party(from.signer.node, keys);
  out.software = from.signer.software;
  out.member = keys.member(from.signer.node);
  out.convicted = keys.convicted(from.signer.node);
  out.windows = static_cast<std::uint32_t>(from.statements.size());
  count_windows(out, said);
  out.reused = reused_in(from, keys);
  for (const statement& s : from.statements) {
    out.compute_us += s.compute_us;
    out.elapsed_us = std::max(out.elapsed_us, s.elapsed_us);
  }
  return out;
}

answer_check::audit audit_of(const addendum& a, const key_facts& keys) {
  answer_check::audit out;
  out.by = party(a.verifier, keys);
  out.kernels = to_string(a.means.kernels);
  out.software = a.means.software;
  out.unix_seconds = a.unix_seconds;
  for (const unit_finding& u : a.units) {
    out.findings.push_back({u.stage, u.window, name_of(u.what)});
  }
  return out;
}

struct window_counts {
  std::uint64_t all{0};
  std::uint64_t audited{0};
  std::uint64_t wrong{0};
  std::uint64_t missing{0};
};
window_counts count(const answer_check& found) {
  window_counts sum;
  for (const answer_check::stage& s : found.stages) {
    sum.all += s.windows;
    sum.audited += s.windows - s.unaudited.size();
    sum.wrong += s.wrong;
    sum.missing += s.missing;
  }
  return sum;
}

std::string why_unaudited(const window_counts& windows, const addendum_shelf::news& about) {
  if (windows.audited == windows.all) {
    return {};
  }
  if (windows.missing > 0) {
    return "what some of it was computed from was not to be had";
  }
  if (windows.audited > 0) {
    return "the draw named other windows";
  }
  if (about.unentered) {
    return fmt::format("no entry in any log within {} s", limits::audit_entry_wait.count());
  }
  return about.age && *about.age < limits::audit_entry_wait
             ? "its audits may be under way"
             : "no verifier told this node that it looked";
}

/// Of stages, the lead, and the authors of what was reused.
std::vector<answer_party> parties_that(const receipt& r, const key_facts& keys,
                                       const std::function<bool(const node_id&)>& are) {
  std::vector<answer_party> all;
  for (const node_id& node : compute::subject_of(r, {}).parties) {
    if (are(node)) {
      all.push_back(party(node, keys));
    }
  }
  return all;
}

std::string names_of(const std::vector<answer_party>& all) {
  std::string text;
  for (const answer_party& who : all) {
    text += (text.empty() ? "" : ", ") + called(who);
  }
  return text;
}

void conclude(answer_check& out, const receipt& r, const key_facts& keys) {
  const window_counts windows = count(out);
  const auto convicted = parties_that(r, keys, keys.convicted);
  const auto strangers =
      parties_that(r, keys, [&](const node_id& node) { return !keys.member(node); });
  if (!out.failures.empty()) {
    const answer_check::failure& first = out.failures.front();
    out.verdict = answer_verdict::wrong;
    out.text = fmt::format("Wrong: {}.{}", first.what,
                           first.by ? " Who signed that: " + called(*first.by) + "." : "");
  } else if (!convicted.empty()) {
    out.verdict = answer_verdict::convicted;
    out.text = fmt::format("It holds against itself, but {} was convicted of stating what it did "
                           "not compute.",
                           names_of(convicted));
  } else if (windows.wrong > 0) {
    out.verdict = answer_verdict::disputed;
    out.text = fmt::format("It holds against itself, but a verifier computed something else in {} "
                           "of its {} windows.",
                           windows.wrong, windows.all);
  } else if (!strangers.empty()) {
    out.verdict = answer_verdict::strangers;
    out.text = fmt::format("It holds against itself, and {} of its signers are none of the members "
                           "this node knows: {}.",
                           strangers.size(), names_of(strangers));
  } else if (windows.audited == windows.all) {
    out.verdict = answer_verdict::audited;
    out.text =
        fmt::format("It holds, and others computed all of its {} windows again.", windows.all);
  } else if (windows.audited > 0) {
    out.verdict = answer_verdict::in_part;
    out.text = fmt::format("It holds, and others computed {} of its {} windows again.",
                           windows.audited, windows.all);
  } else {
    out.verdict = answer_verdict::unaudited;
    out.text = fmt::format("It holds, and is unaudited: {}.", out.unaudited);
  }
}

} // namespace

gateway::answer_check judge_answer(const receipt& r, const digest& name,
                                   const addendum_shelf::news& about, const key_facts& keys) {
  answer_check out;
  out.receipt = name;
  out.transcript = r.transcript;
  out.model = r.asked.model;
  out.request = r.asked.request;
  out.prompt = r.asked.prompt.size();
  out.output = r.output.size();
  out.lead = party(r.lead.node, keys);
  out.stated = {r.first_token_us, r.prefill_us, r.decode_us};
  const compute::signer_policy any{compute::signer_policy::kind::any, {}};
  for (const compute::receipt_failure& f : compute::check_receipt(r, any)) {
    out.failures.push_back(
        {f.what, f.signer ? std::optional{party(*f.signer, keys)} : std::nullopt});
  }
  const auto judged = compute::judge_addenda(compute::subject_of(r, name), about.addenda);
  std::vector<addendum> sound;
  for (const addendum& a : judged.sound) {
    if (keys.verifier(a.verifier)) {
      sound.push_back(a);
      out.audits.push_back(audit_of(a, keys));
    } else {
      out.rejected.push_back(
          {"a key that is no verifier here says that it looked", party(a.verifier, keys)});
    }
  }
  for (const compute::addendum_fault& f : judged.faults) {
    out.rejected.push_back({f.text, f.by ? std::optional{party(*f.by, keys)} : std::nullopt});
  }
  const auto said = findings_of(sound, r.stages.size());
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    out.stages.push_back(stage_of(r.stages[i], said[i], keys));
  }
  out.unaudited = why_unaudited(count(out), about);
  conclude(out, r, keys);
  return out;
}

result<addendum_shelf::answer> answer_checker::find(request_id request,
                                                    const receipt_pointer& given) const {
  addendum_shelf::answer found;
  if (given != nullptr && *given) {
    found.bytes = {given, &**given};
    found.name = receipt_digest(*found.bytes);
  } else if (auto own = shelf_.find(request)) {
    found = std::move(*own);
  } else {
    return fail(errc::not_found, "no receipt of request {} is here", gateway::to_text(request));
  }
  if (found.bytes->size() > limits::answer_check_bytes_max) {
    return fail(errc::over_limit,
                "the receipt has {} bytes; above {} ask for it and use ovir-verify",
                found.bytes->size(), limits::answer_check_bytes_max);
  }
  return found;
}

result<gateway::answer_check> answer_checker::check(request_id request,
                                                    const receipt_pointer& given) const {
  OVIR_ASSIGN(const addendum_shelf::answer found, find(request, given));
  OVIR_ASSIGN(const receipt r, decode_receipt(*found.bytes));
  key_facts keys;
  keys.names = names_();
  keys.member = [this](const node_id& node) { return access_.was_member(node); };
  keys.convicted = [this](const node_id& node) { return access_.is_convicted(node); };
  keys.verifier = [this](const node_id& node) {
    return access_.past_roles_of(node).has(role::verifier) && !access_.is_convicted(node);
  };
  return judge_answer(r, found.name, shelf_.about(found.name), keys);
}

result<std::vector<std::byte>> answer_checker::addenda_of(request_id request,
                                                          const receipt_pointer& given) const {
  OVIR_ASSIGN(const addendum_shelf::answer found, find(request, given));
  return encode_addenda(shelf_.about(found.name).addenda);
}

} // namespace ovir::actors
