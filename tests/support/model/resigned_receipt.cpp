#include "tests/support/model/resigned_receipt.hpp"

#include "messages/digest_tree.hpp"
#include "verify/receipt_check.hpp"

namespace ovir::test {

namespace {

/// What the one before signed that it sent.
void sign_inputs(receipt& r, std::size_t which, std::span<const secret_key> keys) {
  const evidence_terms terms = terms_of(r.asked);
  const evidence_signer& sender = which == 0 ? r.lead : r.stages[which - 1].signer;
  stage_records& stage = r.stages[which];
  stage.senders.clear();
  for (statement& s : stage.statements) {
    if (which > 0) { // tokens stay what they are
      s.input = output_of(r.stages[which - 1].statements[s.window], sender, r.asked.layers);
    }
    s.received = sign_link(keys[which], link_digest(terms, sender, s.window, s.positions, s.input));
  }
}

void sign_work(receipt& r, std::size_t which, const secret_key& key) {
  const evidence_terms terms = terms_of(r.asked);
  stage_records& stage = r.stages[which];
  growing_tree history;
  std::vector<digest> roots{history.root()};
  std::size_t stated = 0;
  for (commitment& c : stage.commitments) {
    const digest committed = commitment_digest(terms, stage.signer, c, roots[c.statements]);
    c.proof = sign_commitment(key, committed);
    const digest commits = signed_digest(committed, c.proof);
    for (;
         stated < stage.statements.size() && stage.statements[stated].window < c.window + c.windows;
         ++stated) {
      statement& s = stage.statements[stated];
      const digest value = statement_digest(commits, summary_of(s, stage.signer, history.root()));
      s.proof = sign_statement(key, value);
      history.add(signed_digest(value, s.proof));
      roots.push_back(history.root());
    }
  }
}

} // namespace

result<receipt> resign(const receipt& honest, const audit_place& place, const digest& wrong,
                       std::span<const secret_key> keys) {
  receipt r = honest;
  digest* changed = nullptr;
  for (stage_records& stage : r.stages) {
    const layer_range layers = stage.signer.layers;
    if (place.part == audit_part::unit && place.layer >= layers.first &&
        place.layer < layers.last && place.window < stage.statements.size()) {
      changed = &stage.statements[place.window].units[place.layer - layers.first];
    }
  }
  if (changed == nullptr || keys.size() != r.stages.size() + 1) {
    return fail(errc::invalid_argument, "layer {} over window {} and {} keys for {} stages",
                place.layer, place.window, keys.size(), r.stages.size());
  }
  *changed = wrong;
  r.lead.node = keys.front().id();
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    r.stages[i].signer.node = keys[i + 1].id();
  }
  std::vector<digest> last;
  for (std::size_t i = 0; i < r.stages.size(); ++i) {
    sign_inputs(r, i, keys);
    sign_work(r, i, keys[i + 1]);
    last.push_back(bind_statements(terms_of(r.asked), r.stages[i]).back().value);
  }
  OVIR_ASSIGN(r.transcript, compute::transcript_of(r));
  r.order = sign_order(keys.front(), order_digest(terms_of(r.asked), r.lead));
  r.closing = sign_closing(keys.front(), closing_digest(closing_of(r, last)));
  return r;
}

} // namespace ovir::test
