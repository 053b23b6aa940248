#include "actors/audit/verifier_actor.hpp"
#include "actors/operator/admin_call_actor.hpp"
#include "messages/caf/errors.hpp"

namespace ovir::actors {

namespace {

std::string_view name_of(audit_part part) {
  switch (part) {
  case audit_part::unit: return "unit";
  case audit_part::kv: return "kv";
  case audit_part::draw: return "logits";
  case audit_part::token: return "token";
  }
  return "";
}

std::string_view kind_word(conviction_kind kind) {
  switch (kind) {
  case conviction_kind::replay: return "replay";
  case conviction_kind::equivocation: return "equivocation";
  case conviction_kind::parts: return "parts";
  }
  return "";
}

json conviction_json(const conviction_view& view) {
  json verifiers = json::array();
  for (const node_id& node : view.verifiers) {
    verifiers.push_back(to_hex(node));
  }
  const bool unit = view.place.of_layer();
  return {{"node", to_hex(view.node)},
          {"kind", kind_word(view.kind)},
          {"part", name_of(view.place.part)},
          {"window", view.place.window},
          {"layer", view.place.layer},
          {"position", unit ? json(nullptr) : json(view.place.at)},
          {"what", view.what},
          {"admitted", view.admitted},
          {"verifiers", std::move(verifiers)}};
}

json signer_json(const signer_view& view) {
  return {{"node", to_hex(view.node)},
          {"reputation_ppm", view.reputation_ppm},
          {"audit_rate_ppm", view.audit_rate_ppm},
          {"valid_units", view.valid_units},
          {"assigned_units", view.assigned_units}};
}

} // namespace

result<void> show_audits(const admin_call& c, admin_arguments& args) {
  OVIR_TRY(args.done());
  const caf::actor verifier = find_actor(c, "verifier");
  if (!verifier) {
    return fail(errc::busy, "the node is starting; ask again");
  }
  // It computes for seconds at a time.
  constexpr std::chrono::seconds wait{30};
  c.self->request(verifier, wait, list_convictions{})
      .then(
          [c](const audit_report& report) {
            json convictions = json::array();
            for (const conviction_view& view : report.convictions) {
              convictions.push_back(conviction_json(view));
            }
            json signers = json::array();
            for (const signer_view& view : report.signers) {
              signers.push_back(signer_json(view));
            }
            c.done({{"convictions", std::move(convictions)},
                    {"signers", std::move(signers)},
                    {"receipts", report.receipts},
                    {"units", report.units},
                    {"drawn", report.drawn},
                    {"from_inputs", report.from_inputs},
                    {"from_tokens", report.from_tokens},
                    {"withheld", report.withheld},
                    {"waiting", report.waiting},
                    {"open", report.open},
                    {"unaudited", report.unaudited},
                    {"duties", report.duties},
                    {"held", report.held},
                    {"refused", report.refused},
                    {"strangers", report.strangers},
                    {"useless", report.useless}});
          },
          [c](const caf::error& e) { c.refuse(from_caf(e)); });
  return {};
}

} // namespace ovir::actors
