#include "gateway/api/answer_check.hpp"

#include "gateway/http/event_id.hpp"

#include <utility>

namespace ovir::gateway {

namespace {

json named(const answer_party& who) {
  return {{"node", to_hex(who.node)}, {"name", who.name.empty() ? json(nullptr) : json(who.name)}};
}

json failure_json(const answer_check::failure& f) {
  json one{{"what", f.what}, {"node", nullptr}, {"name", nullptr}};
  if (f.by) {
    one.update(named(*f.by));
  }
  return one;
}

json stage_json(const answer_check::stage& s) {
  json one = named(s.by);
  json reused = json::array();
  for (const answer_check::reuse& r : s.reused) {
    json from = named(r.author);
    from["units"] = r.units;
    reused.push_back(std::move(from));
  }
  one.update({{"first_layer", s.layers.first},
              {"last_layer", s.layers.last - 1},
              {"software", s.software},
              {"member", s.member},
              {"convicted", s.convicted},
              {"windows", s.windows},
              {"right", s.right},
              {"wrong", s.wrong},
              {"missing", s.missing},
              {"unaudited", s.unaudited},
              {"reused", std::move(reused)},
              {"compute_ms", static_cast<double>(s.compute_us) / 1e3},
              {"elapsed_ms", static_cast<double>(s.elapsed_us) / 1e3}});
  return one;
}

json audit_json(const answer_check::audit& a) {
  json one = named(a.by);
  json findings = json::array();
  for (const answer_check::finding& f : a.findings) {
    findings.push_back({{"stage", f.stage}, {"window", f.window}, {"finding", f.what}});
  }
  one.update({{"kernels", a.kernels},
              {"software", a.software},
              {"time", a.unix_seconds},
              {"findings", std::move(findings)}});
  return one;
}

template <class List, class Write>
json list_of(const List& list, const Write& write) {
  json all = json::array();
  for (const auto& one : list) {
    all.push_back(write(one));
  }
  return all;
}

} // namespace

std::string_view to_string(answer_verdict verdict) noexcept {
  switch (verdict) {
  case answer_verdict::wrong: return "wrong";
  case answer_verdict::convicted: return "convicted";
  case answer_verdict::disputed: return "disputed";
  case answer_verdict::strangers: return "strangers";
  case answer_verdict::audited: return "audited";
  case answer_verdict::in_part: return "audited_in_part";
  case answer_verdict::unaudited: break;
  }
  return "unaudited";
}

json json_of(const answer_check& found, request_id id, const std::optional<answer_time>& seen) {
  json timing{{"first_token_ms", static_cast<double>(found.stated.first_token_us) / 1e3},
              {"prefill_ms", static_cast<double>(found.stated.prefill_us) / 1e3},
              {"decode_ms", static_cast<double>(found.stated.decode_us) / 1e3},
              {"took_ms", nullptr},
              {"slack_ms", nullptr}};
  if (seen) {
    timing["took_ms"] = seen->took.count();
    timing["slack_ms"] = seen->slack.count();
  }
  return {{"id", to_text(id)},
          {"verdict", to_string(found.verdict)},
          {"text", found.text},
          {"failures", list_of(found.failures, failure_json)},
          {"receipt", to_hex(found.receipt)},
          {"request", to_text(found.request)},
          {"transcript", to_hex(found.transcript)},
          {"model", to_hex(found.model)},
          {"prompt_tokens", found.prompt},
          {"output_tokens", found.output},
          {"lead", named(found.lead)},
          {"stages", list_of(found.stages, stage_json)},
          {"audits", list_of(found.audits, audit_json)},
          {"rejected", list_of(found.rejected, failure_json)},
          {"unaudited", found.unaudited.empty() ? json(nullptr) : json(found.unaudited)},
          {"timing", std::move(timing)}};
}

} // namespace ovir::gateway
