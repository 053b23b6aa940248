#include "messages/evidence/evidence.hpp"

#include "messages/check.hpp"
#include "messages/digest_tree.hpp"
#include "messages/limits/evidence.hpp"
#include "messages/short_hash.hpp"

#include <algorithm>
#include <bit>

static_assert(std::endian::native == std::endian::little, "fields are hashed in memory order");

// The grammar of all of these is on docs/formats/receipt.md.
namespace ovir {

namespace {

hasher& add_key(hasher& state, const node_id& node) {
  return state.update(std::as_bytes(std::span{node.key}));
}

hasher& add_terms(hasher& state, const evidence_terms& terms) {
  return state.update_u64(terms.request.value)
      .update(terms.content)
      .update(terms.model)
      .update_text(terms.profile)
      .update_u32(terms.layers);
}

hasher& add_signer(hasher& state, const evidence_signer& by) {
  state.update_u32(by.layers.first).update_u32(by.layers.last);
  return add_key(state, by.node).update_text(by.software);
}

std::span<const std::byte> bytes_of(const digest& d) { return std::as_bytes(std::span{d.bytes}); }

constexpr std::string_view order_domain = "ovir/order/v1/signature";
constexpr std::string_view commitment_domain = "ovir/commitment/v1/signature";
constexpr std::string_view statement_domain = "ovir/statement/v1/signature";
constexpr std::string_view link_domain = "ovir/link/v1/signature";
constexpr std::string_view closing_domain = "ovir/closing/v1/signature";

digest draws_root(const statement& what) {
  growing_tree tree;
  for (std::size_t i = 0; i < what.logits.size(); ++i) {
    const position at = what.first_draw + static_cast<position>(i);
    tree.add(i < what.choices.size() ? choice_leaf_digest(at, what.logits[i], what.choices[i])
                                     : draw_leaf_digest(at, what.logits[i]));
  }
  return tree.root();
}

} // namespace

digest token_window_digest(std::uint32_t window, std::span<const token_id> ids) {
  return hasher{"ovir/statement/v1/tokens"}
      .update_u32(window)
      .update_u32(static_cast<std::uint32_t>(ids.size()))
      .update(std::as_bytes(ids))
      .finish();
}

digest unit_leaf_digest(std::uint32_t window, layer_index layer, std::uint32_t positions,
                        const digest& output, const digest& kv) {
  thread_local short_hasher units{"ovir/statement/v1/unit"}; // one per layer and window
  struct {
    std::uint32_t window;
    std::uint32_t layer;
    std::uint32_t positions;
    digest output;
    digest kv;
  } const fields{window, layer, positions, output, kv};
  static_assert(sizeof(fields) == 3 * sizeof(std::uint32_t) + 2 * digest::size);
  return units(std::as_bytes(std::span{&fields, 1}));
}

digest cited_leaf_digest(const unit_citation& cited) {
  hasher state{"ovir/statement/v1/cited"};
  return add_key(state.update_u32(cited.layer), cited.author)
      .update(cited.binding)
      .update(std::as_bytes(std::span{cited.proof.bytes}))
      .finish();
}

digest draw_leaf_digest(position at, const digest& logits) {
  return hasher{"ovir/statement/v1/draw"}.update_u32(at).update(logits).finish();
}

digest choice_leaf_digest(position at, const digest& logits, token_id choice) {
  thread_local short_hasher choices{"ovir/statement/v1/choice"}; // one per token
  struct {
    position at;
    digest logits;
    token_id choice;
  } const fields{at, logits, choice};
  static_assert(sizeof(fields) == sizeof(position) + digest::size + sizeof(token_id));
  return choices(std::as_bytes(std::span{&fields, 1}));
}

digest commitment_digest(const evidence_terms& terms, const evidence_signer& by,
                         const commitment& what, const digest& history) {
  hasher state{"ovir/commitment/v1"};
  add_signer(add_terms(state, terms), by);
  return state.update_u32(what.window)
      .update_u32(what.windows)
      .update_u32(what.statements)
      .update(history)
      .update_u64(what.deadline_unix)
      .update_u32(what.step_us)
      .finish();
}

digest signed_digest(const digest& what, const signature& proof) {
  return hasher{"ovir/evidence/v1/signed"}
      .update(what)
      .update(std::as_bytes(std::span{proof.bytes}))
      .finish();
}

digest input_digest(const digest& input, const signature& received,
                    std::span<const handover> handovers) {
  hasher state{"ovir/statement/v1/input"};
  state.update(input).update(std::as_bytes(std::span{received.bytes}));
  state.update_u32(static_cast<std::uint32_t>(handovers.size()));
  for (const handover& h : handovers) {
    state.update_u32(h.positions).update_u32(h.came_us).update_u32(h.sent_us);
  }
  return state.finish();
}

digest statement_digest(const digest& commitment, const statement_summary& what) {
  return hasher{"ovir/statement/v1"}
      .update(commitment)
      .update_u32(what.window)
      .update_u32(what.positions)
      .update(what.input)
      .update_u32(what.units)
      .update_u32(what.cited)
      .update(what.units_root)
      .update_u32(what.first_draw)
      .update_u32(what.draws)
      .update(what.draws_root)
      .update(what.history)
      .update_u64(what.compute_us)
      .update_u64(what.elapsed_us)
      .finish();
}

std::uint32_t part_of_step(const evidence_order& order, layer_range layers) {
  const std::uint64_t all = std::max<std::uint32_t>(order.terms.layers, 1);
  const std::uint64_t own = std::min<std::uint64_t>(layers.size(), all);
  return static_cast<std::uint32_t>((order.step_us * own + all - 1) / all);
}

digest order_digest(const evidence_terms& terms, const evidence_signer& lead) {
  hasher state{"ovir/order/v1"};
  return add_signer(add_terms(state, terms), lead).finish();
}

digest link_digest(const evidence_terms& terms, const evidence_signer& by, std::uint32_t window,
                   std::uint32_t positions, const digest& output) {
  hasher state{"ovir/link/v1"};
  add_signer(add_terms(state, terms), by);
  return state.update_u32(window).update_u32(positions).update(output).finish();
}

statement_summary summary_of(const statement& what, const evidence_signer& by,
                             const digest& history) {
  growing_tree units;
  for (std::size_t i = 0; i < what.units.size(); ++i) {
    units.add(unit_leaf_digest(what.window, by.layers.first + static_cast<layer_index>(i),
                               what.positions, what.units[i], what.kv[i]));
  }
  for (const unit_citation& c : what.cited) {
    units.add(cited_leaf_digest(c));
  }
  return {what.window,
          what.positions,
          input_digest(what.input, what.received, what.handovers),
          static_cast<std::uint32_t>(what.units.size()),
          static_cast<std::uint32_t>(what.cited.size()),
          units.root(),
          what.first_draw,
          static_cast<std::uint32_t>(what.logits.size()),
          draws_root(what),
          history,
          what.compute_us,
          what.elapsed_us};
}

digest output_of(const statement& what, const evidence_signer& by, std::uint32_t model_layers) {
  if (by.layers.last == model_layers) {
    return draws_root(what);
  }
  OVIR_CHECK(!what.units.empty());
  return what.units.back();
}

const unit_citation* citation_of(const statement& what, layer_index layer) {
  const auto found = std::find_if(what.cited.begin(), what.cited.end(),
                                  [layer](const unit_citation& c) { return c.layer == layer; });
  return found == what.cited.end() ? nullptr : &*found;
}

unit_claim claim_of(const statement& what, const evidence_signer& by, layer_index layer,
                    const digest& earlier) {
  const std::size_t at = layer - by.layers.first;
  return {layer,   what.window,    at == 0 ? what.input : what.units[at - 1],
          earlier, what.units[at], what.kv[at]};
}

std::optional<std::uint32_t> find_void_citation(const evidence_terms& terms,
                                                const stage_records& records) {
  const evidence_signer& by = records.signer;
  std::vector<digest> earlier(by.layers.size());
  for (const statement& s : records.statements) {
    for (const unit_citation& c : s.cited) {
      const unit_claim claim = claim_of(s, by, c.layer, earlier[c.layer - by.layers.first]);
      if (!verify_unit(c.author, claim_digest(terms.model, terms.profile, claim), c.binding,
                       c.proof)) {
        return s.window;
      }
    }
    for (std::size_t i = 0; i < earlier.size(); ++i) {
      earlier[i] = with_earlier(earlier[i], s.kv[i]);
    }
  }
  return std::nullopt;
}

signature sign_order(const secret_key& key, const digest& what) {
  return key.sign(order_domain, bytes_of(what));
}
signature sign_commitment(const secret_key& key, const digest& what) {
  return key.sign(commitment_domain, bytes_of(what));
}
signature sign_statement(const secret_key& key, const digest& what) {
  return key.sign(statement_domain, bytes_of(what));
}
signature sign_link(const secret_key& key, const digest& what) {
  return key.sign(link_domain, bytes_of(what));
}
signature sign_closing(const secret_key& key, const digest& what) {
  return key.sign(closing_domain, bytes_of(what));
}
bool verify_order(const node_id& by, const digest& what, const signature& s) {
  return verify(by, order_domain, bytes_of(what), s);
}
bool verify_commitment(const node_id& by, const digest& what, const signature& s) {
  return verify(by, commitment_domain, bytes_of(what), s);
}
bool verify_statement(const node_id& by, const digest& what, const signature& s) {
  return verify(by, statement_domain, bytes_of(what), s);
}
bool verify_link(const node_id& by, const digest& what, const signature& s) {
  return verify(by, link_domain, bytes_of(what), s);
}
bool verify_closing(const node_id& by, const digest& what, const signature& s) {
  return verify(by, closing_domain, bytes_of(what), s);
}

namespace {

std::optional<form_fault> find_statement_fault(const stage_records& records, const statement& s,
                                               std::uint32_t model_layers) {
  const evidence_signer& by = records.signer;
  if (s.units.size() != by.layers.size() || s.kv.size() != by.layers.size()) {
    return form_fault{fmt::format("{} units, and K and V of {}, are stated for layers [{}, {})",
                                  s.units.size(), s.kv.size(), by.layers.first, by.layers.last),
                      s.window};
  }
  const bool ends = by.layers.last == model_layers;
  const std::uint64_t first = std::uint64_t{s.window} * limits::window_positions;
  const bool placed = s.logits.empty() ? s.first_draw == 0
                                       : ends && s.first_draw >= first &&
                                             s.first_draw + s.logits.size() <= first + s.positions;
  if (!placed) {
    return form_fault{fmt::format("{} logits from position {} on are stated, which is not in the "
                                  "window or not where the model ends",
                                  s.logits.size(), s.first_draw),
                      s.window};
  }
  if (!s.choices.empty() && s.choices.size() != s.logits.size()) {
    return form_fault{fmt::format("{} choices are stated of {} rows of logits", s.choices.size(),
                                  s.logits.size()),
                      s.window};
  }
  layer_index next = by.layers.first;
  for (const unit_citation& c : s.cited) {
    if (c.layer < next || c.layer >= by.layers.last || c.author.empty() || c.author == by.node ||
        s.positions != limits::window_positions || !s.logits.empty()) {
      return form_fault{
          fmt::format("a unit of layer {} is said to be another's, which it cannot be", c.layer),
          s.window};
    }
    next = c.layer + 1;
  }
  const bool last = &s == &records.statements.back();
  if (!last && s.positions != limits::window_positions) {
    return form_fault{fmt::format("only {} positions are stated, and others follow", s.positions),
                      s.window};
  }
  return std::nullopt;
}

} // namespace

std::optional<form_fault> find_form_fault(const stage_records& records,
                                          std::uint32_t model_layers) {
  std::uint32_t next = 0;
  for (const commitment& c : records.commitments) {
    if (c.window != next || c.windows == 0 || c.statements > c.window) {
      return form_fault{fmt::format("a commitment to {} windows from {} on, after {} statements, "
                                    "where window {} was next",
                                    c.windows, c.window, c.statements, next),
                        next};
    }
    next += c.windows;
  }
  const std::uint32_t committed = next;
  next = 0;
  for (const statement& s : records.statements) {
    if (s.window != next) {
      return form_fault{fmt::format("window {} is stated where {} was next", s.window, next), next};
    }
    if (s.window >= committed) {
      return form_fault{"no commitment was made before it", s.window};
    }
    if (auto fault = find_statement_fault(records, s, model_layers)) {
      return fault;
    }
    ++next;
  }
  if (!records.commitments.empty() && records.commitments.back().window >= next) {
    return form_fault{"a commitment to it is there, but no statement", next};
  }
  return std::nullopt;
}

} // namespace ovir
